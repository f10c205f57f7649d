"""Acceptance of a collection: what is flagged, what people overrule, and what stays as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from curate.checks.check import check
from curate.collection import decisions, findings, sets
from curate.collection.directory import Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.importing.importer import import_folder
from curate.models import clip_models
from synth.accept import belonging
from synth.accept.accept import NAME, accept
from synth.accept.sheet import COLUMNS, chosen, sheet
from tests.synth.accept.conftest import add_synthetic, picture

BRIGHTER = ImageEnhance.Brightness(picture(1)).enhance(1.2)  # of the photograph tree/1.png
IMAGES = {
    "plank/synthetic-0-0.png": picture(20),
    "plank/synthetic-0-1.png": ImageEnhance.Brightness(picture(20)).enhance(1.1),
    "tree/synthetic-0-0.png": BRIGHTER,
    "tree/synthetic-0-1.png": Image.new("RGB", (128, 128), "white"),
    "tree/synthetic-0-2.png": picture(21),
}
GOOD = ["plank/synthetic-0-0.png", "tree/synthetic-0-2.png"]


@pytest.fixture
def generated(collection: Collection) -> Collection:
    add_synthetic(collection, IMAGES)
    return collection


def verdicts(collection: Collection) -> dict[str, str]:
    table = sets.explain_synthetic(collection)
    return {
        key: rules
        for key, rules, accepted in zip(table["key"], table["rules"], table["filtered"], strict=True)
        if not accepted
    }


@pytest.mark.slow
def test_an_image_is_accepted_unless_a_rule_rejects_it(generated: Collection) -> None:
    found = accept(generated, model=None)
    assert sorted(sets.accepted(generated).images["key"]) == GOOD
    rejected = verdicts(generated)
    assert rejected["plank/synthetic-0-1.png"] == "synthetic_duplicate"
    assert rejected["tree/synthetic-0-0.png"] == "synthetic_copy"
    assert "low_information" in rejected["tree/synthetic-0-1.png"]
    copy = found.table[(found.table["rule"] == "synthetic_copy") & found.table["flagged"]].iloc[0]
    ids = generated.images().set_index("key")["id"]
    assert copy["other"] == ids["tree/1.png"]
    assert copy["detail"].startswith("copy of tree/1.png (correlation")
    assert found.rules["synthetic_class"].not_run.endswith("no model was asked for; add --model lite0, say")


@pytest.mark.slow
def test_a_near_duplicate_of_its_own_photograph_is_a_copy_and_the_same_bytes_are_one(collection: Collection) -> None:
    ids = collection.images().set_index("key")["id"]
    same = Image.open(collection.path("images/tree/3.png"))
    add_synthetic(
        collection,
        {"tree/synthetic-0-0.png": BRIGHTER, "tree/synthetic-0-1.png": same},
        {"tree/synthetic-0-0.png": {"made_from": ids["tree/1.png"]}},
    )
    flagged = accept(collection, model=None).flagged()
    found = flagged[flagged["rule"] == "synthetic_copy"].set_index("key")
    assert "tree/1.png, which it was made from" in found["detail"]["tree/synthetic-0-0.png"]
    assert found["other"]["tree/synthetic-0-1.png"] == ids["tree/3.png"]
    assert found["score"]["tree/synthetic-0-1.png"] > 0.9


@pytest.mark.slow
def test_the_same_bytes_twice_are_accepted_once(collection: Collection) -> None:
    add_synthetic(collection, {f"tree/synthetic-{n}.png": picture(30) for n in range(3)})
    accept(collection, model=None)
    assert set(verdicts(collection).values()) == {"exact_duplicate"}
    assert len(sets.accepted(collection).images) == 1


@pytest.mark.slow
def test_a_persons_word_beats_the_rules(generated: Collection) -> None:
    accept(generated, model=None)
    decisions.keep(generated, ["tree/synthetic-0-0.png"])
    decisions.drop(generated, ["tree/synthetic-0-2.png"], reason="three legs")
    accept(generated, model=None)
    assert sorted(sets.accepted(generated).images["key"]) == ["plank/synthetic-0-0.png", "tree/synthetic-0-0.png"]
    why = sets.explain_synthetic(generated).set_index("key")["why"]
    assert "three legs" in why["tree/synthetic-0-2.png"]


@pytest.mark.slow
def test_the_same_collection_gives_the_same_bytes(generated: Collection) -> None:
    accept(generated, model="lite0/random", workers=1)
    names = ("acceptance.parquet", "acceptance.json", NAME)
    before = {name: (generated.root / name).read_bytes() for name in names}
    accept(generated, model="lite0/random", workers=2)
    assert {name: (generated.root / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_photographs_are_found_the_same_whatever_synthetic_images_there_are(collection: Collection) -> None:
    def outcome() -> tuple[bytes, bytes, str]:
        check(collection, model="lite0/random")
        files = (collection.root / name for name in ("findings.parquet", "checks.json"))
        return (*(file.read_bytes() for file in files), sets.training_set(collection, "filtered").digest)  # type: ignore[return-value]

    before = outcome()
    add_synthetic(collection, IMAGES)
    accept(collection, model="lite0/random")
    assert outcome() == before
    found = findings.read(collection)
    assert found is not None
    assert not found.table["key"].str.contains("synthetic").any()


@pytest.mark.slow
def test_settings_decide_what_is_rejected(generated: Collection) -> None:
    accept(generated, model=None)
    path = generated.root / NAME
    assert not (generated.root / "curation.yaml").exists()
    path.write_text(path.read_text().replace("synthetic_copy:\n  enabled: true", "synthetic_copy:\n  enabled: false"))
    found = accept(generated, model=None)
    assert found.rules["synthetic_copy"].not_run == f"it is off in {NAME}"
    assert "tree/synthetic-0-0.png" in set(sets.accepted(generated).images["key"])
    path.write_text("synthetic_copy:\n  enabled: perhaps\n")
    with pytest.raises(UsageError, match=r"acceptance.yaml, line 2: synthetic_copy: enabled is true or false"):
        accept(generated, model=None)


@pytest.mark.slow
def test_what_cannot_be_is_said_in_a_sentence(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(FewposeError, match="has no synthetic images yet; synth generate"):
        accept(collection)
    add_synthetic(collection, IMAGES)
    with pytest.raises(FewposeError, match="nobody has looked at"):
        sets.accepted(collection)
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(FewposeError, match="does not hold weights"):  # without a judge, all would be accepted
        accept(collection, model="ViT-B-32", checkpoint=broken)


@pytest.mark.slow
def test_a_trained_text_tower_judges_by_the_names_of_the_classes(
    generated: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody trained this one; here it passes for one that somebody did.
    clip = clip_models.load("lite0/random")
    clip.text_trained = True
    monkeypatch.setattr(clip_models, "load", lambda *_, **__: clip)
    monkeypatch.setattr(belonging, "LEAST_AGREED", 1.01)
    assert "the texts of lite0/random gives only" in accept(generated).rules["synthetic_class"].not_run
    monkeypatch.setattr(belonging, "LEAST_AGREED", 0.0)
    found = accept(generated)
    rows = found.table[found.table["rule"] == "synthetic_class"]
    assert len(rows) == len(IMAGES)
    assert rows["detail"].str.endswith("by the texts of lite0/random").all()
    probabilities = rows["detail"].str.extractall(r"(\d\.\d\d)")[0].astype(float).groupby(level=0).sum()
    np.testing.assert_allclose(probabilities, 1, atol=0.011)  # of two classes


@pytest.mark.slow
def test_a_sheet_shows_the_accepted_ones_first(generated: Collection, tmp_path: Path) -> None:
    accept(generated, model=None)
    table = sets.explain_synthetic(generated)
    path = tmp_path / "sheet.png"
    assert sheet(generated, table, path) == len(IMAGES)
    with Image.open(path) as page:
        # At the left edge of a class's second place: green for what was accepted, red for what was not.
        plank = [page.getpixel((x, 13 + 90)) for x in (1, 181)]
    assert plank == [(90, 190, 110), (220, 70, 60)]
    before = path.read_bytes()
    sheet(generated, table, path)
    assert path.read_bytes() == before
    with pytest.raises(UsageError, match=r"must end in .png"):
        sheet(generated, table, tmp_path / "sheet.gif")
    with pytest.raises(FewposeError, match="cannot write"):
        sheet(generated, table, path / "inside.png")


@pytest.mark.parametrize(("accepted", "rejected"), [(30, 30), (30, 1), (2, 30), (0, 3), (3, 0)])
def test_a_row_has_place_for_both(accepted: int, rejected: int) -> None:
    table = pd.DataFrame({"key": [f"{n:03}" for n in range(accepted + rejected)]})
    table["filtered"] = [n >= rejected for n in range(len(table))]
    shown = chosen(table)
    assert len(shown) == min(COLUMNS, len(table))
    counted = (int(shown["filtered"].sum()), int((~shown["filtered"]).sum()))
    assert counted == {
        (30, 30): (5, 5), (30, 1): (9, 1), (2, 30): (2, 8), (0, 3): (0, 3), (3, 0): (3, 0)
    }[accepted, rejected]  # fmt: skip
    assert shown["filtered"].is_monotonic_decreasing


@pytest.mark.slow
@pytest.mark.data
def test_photographs_that_pass_for_synthetic_are_accepted_and_those_of_other_poses_are_not(
    shared_data: Path, tmp_path: Path
) -> None:
    classes = ("downdog", "tree", "warrior2")
    for label in classes:
        (tmp_path / "photos" / label).mkdir(parents=True)
        for path in sorted((shared_data / "photos18" / label).iterdir())[:40]:
            (tmp_path / "photos" / label / path.name).symlink_to(path)
    import_folder(tmp_path / "photos", tmp_path / "yoga", workers=1)
    collection = Collection.open(tmp_path / "yoga")
    photographs = collection.images()
    assert len(photographs) > 100
    last = photographs.groupby("label").cumcount(ascending=False) < 10
    held_out = photographs.assign(source=photographs["source"].mask(last, "synthetic"))

    def rate(images: pd.DataFrame) -> dict[str, Any]:
        collection.write(images, collection.rejects())
        found = accept(collection)
        flagged = found.flagged()["rule"].value_counts()
        return {"accepted": sets.explain_synthetic(collection)["filtered"].mean(), **flagged}

    true = rate(held_out)
    assert true["accepted"] >= 0.8
    other = dict(zip(classes, classes[1:] + classes[:1], strict=True))
    wrong = rate(held_out.assign(label=held_out["label"].where(~last, held_out["label"].map(other))))
    assert wrong["accepted"] <= 0.4
    assert wrong["synthetic_far"] > true.get("synthetic_far", 0)
