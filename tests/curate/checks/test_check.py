"""A check runs every rule that it can, says why not where it cannot, and writes the same findings each time."""

import dataclasses
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image, ImageDraw

from curate.checks import check as module
from curate.checks.check import check
from curate.checks.measures import measurements
from curate.checks.rules import RULES
from curate.checks.rules.rule import CannotRun, Inputs, Rule
from curate.collection import findings
from curate.collection.directory import Collection
from curate.collection.findings import Kind
from curate.foundation.errors import FewposeError, UsageError
from curate.importing.importer import import_folder
from curate.pose import keypoints
from curate.workers import blocks
from curate.workers.settings import WorkerSettings


def picture(seed: int) -> Image.Image:
    image = Image.new("RGB", (160, 120), (200, 180 + 5 * seed, 90 + 20 * seed))
    draw = ImageDraw.Draw(image)
    for n in range(6):
        draw.line((10 + 25 * n, 10 + (seed * 37 + n * 53) % 100, 150 - 20 * n, (seed * 71 + n * 17) % 120), "black", 5)
    return image


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    for label in ("plank", "tree"):
        (tmp_path / "photos" / label).mkdir(parents=True)
    for seed in range(4):
        picture(seed).save(tmp_path / f"photos/{'tree' if seed % 2 else 'plank'}/{seed}.png")
    shutil.copy(tmp_path / "photos/tree/1.png", tmp_path / "photos/tree/1-again.png")
    Image.new("RGB", (200, 200), "white").save(tmp_path / "photos/tree/blank.png")
    import_folder(tmp_path / "photos", tmp_path / "yoga")
    return Collection.open(tmp_path / "yoga")


def rule(name: str, run: object, needs_features: bool = False) -> Rule[Any]:
    return Rule(name, name, 3, Kind.CONTENT, False, {"threshold": 0.5}, run, needs_features)  # type: ignore[arg-type]


def scored(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """Scores by place."""
    return pd.DataFrame({"key": inputs.images["key"], "score": [n / 10 for n in range(len(inputs.images))]})


def flags(found: findings.Findings) -> dict[str, list[str]]:
    return {str(name): sorted(rows["key"]) for name, rows in found.flagged().groupby("rule")}


def test_rules_have_names_of_their_own_and_defaults_that_can_be_set() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.name.isidentifier() and 0 <= rule.parameters["threshold"] <= 1 for rule in RULES)
    assert all(rule.run.__doc__ for rule in RULES)  # explains the rule in the settings


@pytest.mark.slow
def test_findings_are_written_whole_and_read_back(collection: Collection) -> None:
    found = check(collection, model=None)
    assert flags(found)["exact_duplicate"] == ["tree/1.png"]
    assert flags(found)["low_information"] == ["tree/blank.png"]
    assert list(found.rules) == [rule.name for rule in RULES]
    assert found.images == findings.digest(collection.images())
    read = findings.read(collection)
    assert read is not None
    pd.testing.assert_frame_equal(read.table, found.table)
    assert read.rules == found.rules
    assert read.table["key"].is_monotonic_increasing


@pytest.mark.slow
def test_the_same_collection_gives_the_same_bytes(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    check(collection, model=None, workers=WorkerSettings(workers=1))
    before = {name: (collection.root / name).read_bytes() for name in ("findings.parquet", "checks.json")}
    shutil.rmtree(collection.cache("measurements"))
    monkeypatch.setattr(blocks, "BLOCK", 2)
    monkeypatch.setattr(measurements, "measure", lambda _: pytest.fail("measured in this process"))
    check(collection, model=None, workers=WorkerSettings(workers=2))
    assert {name: (collection.root / name).read_bytes() for name in before} == before


@pytest.mark.slow
def test_settings_decide_what_runs_and_what_is_flagged(collection: Collection) -> None:
    check(collection, model=None)
    path = collection.root / "curation.yaml"
    text = path.read_text()
    text = text.replace("exact_duplicate:\n  enabled: true", "exact_duplicate:\n  enabled: false")
    text = text.replace(
        "low_information:\n  enabled: true\n  drops: true", "low_information:\n  enabled: true\n  drops: false"
    )
    path.write_text(text.replace("min_side: 100", "min_side: 150"))
    found = check(collection, model=None)
    assert found.rules["exact_duplicate"].not_run == "it is off in curation.yaml"
    assert not found.rules["low_information"].drops
    assert found.rules["too_small"].parameters["min_side"] == 150
    assert flags(found)["too_small"] == [key for key in collection.images()["key"] if "blank" not in key]
    assert "exact_duplicate" not in flags(found)


@pytest.mark.slow
def test_a_rule_that_cannot_run_says_why(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    def needs_features(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
        """Needs features."""
        if inputs.features is None:
            raise CannotRun(f"it needs features: {inputs.model}")
        return scored(inputs, _)

    monkeypatch.setattr(module, "RULES", (rule("picky", needs_features, True), rule("plain", scored)))
    found = check(collection, model=None)
    assert found.rules["picky"].not_run == "it needs features: no model was asked for; add --model lite0, say"
    assert found.model == ""
    assert set(found.table["rule"]) == {"plain"}
    absent = check(collection, model="ViT-B-32", checkpoint=_broken(collection))
    assert "weights.safetensors" in absent.rules["picky"].not_run
    with_features = check(collection, model="lite0/random")
    assert with_features.model == "lite0/random"
    assert with_features.rules["picky"].scored == 6


def _broken(collection: Collection) -> Path:
    path = collection.root.parent / "weights.safetensors"
    path.write_bytes(b"no weights")
    return path


@pytest.mark.slow
def test_features_have_length_one(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
        """Looks at the features."""
        seen.append((inputs.features**2).sum(axis=1))  # type: ignore[operator]
        return scored(inputs, _)

    monkeypatch.setattr(module, "RULES", (rule("look", look, True),))
    check(collection, model="lite0/random")
    assert seen[0] == pytest.approx([1.0] * 6, abs=1e-5)


@pytest.mark.slow
def test_rules_that_are_not_asked_for_keep_what_they_found(collection: Collection) -> None:
    before = check(collection, model=None)
    path = collection.root / "curation.yaml"
    path.write_text(path.read_text().replace("min_side: 100", "min_side: 150"))
    found = check(collection, model=None, rules=["too_small"])
    assert found.rules["too_small"].flagged == 5
    assert {n: r for n, r in found.rules.items() if n != "too_small"} == {
        n: r for n, r in before.rules.items() if n != "too_small"
    }
    now, earlier = (table[table["rule"] != "too_small"].reset_index(drop=True) for table in (found.table, before.table))
    pd.testing.assert_frame_equal(now, earlier)


@pytest.mark.slow
def test_what_was_found_in_other_images_is_not_kept(collection: Collection, tmp_path: Path) -> None:
    check(collection, model=None)
    picture(9).save(tmp_path / "photos/tree/9.png")
    import_folder(tmp_path / "photos", collection.root)
    found = check(collection, model=None, rules=["dark"])
    assert found.rules["dark"].scored == 7
    assert found.rules["bright"].not_run == "it was not asked for"
    assert set(found.table["rule"]) == {"dark"}


@pytest.mark.slow
def test_what_an_older_version_of_a_rule_found_is_not_kept(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(collection, model=None)
    newer = tuple(dataclasses.replace(rule, version=2) if rule.name == "bright" else rule for rule in RULES)
    monkeypatch.setattr(module, "RULES", newer)
    assert check(collection, model=None, rules=["dark"]).rules["bright"].not_run


def test_a_score_at_the_threshold_is_flagged(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RULES", (rule("plain", scored),))
    found = check(collection, model=None)
    assert found.flagged()["score"].tolist() == [0.5]
    assert set(found.table["version"]) == {3}


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_rule_that_breaks_its_promise_is_a_fault(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, score: float
) -> None:
    def broken(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
        """Broken."""
        return pd.DataFrame({"key": inputs.images["key"], "score": score})

    monkeypatch.setattr(module, "RULES", (rule("broken", broken),))
    with pytest.raises(ValueError, match="broken gave scores"):
        check(collection, model=None)


@pytest.mark.slow
def test_an_interrupted_check_leaves_the_earlier_findings(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Inputs, __: Mapping[str, float]) -> pd.DataFrame:
        """Interrupted."""
        raise KeyboardInterrupt

    before = check(collection, model=None)
    monkeypatch.setattr(module, "RULES", (*RULES, rule("late", interrupted)))
    with pytest.raises(KeyboardInterrupt):
        check(collection, model=None)
    read = findings.read(collection)
    assert read is not None
    pd.testing.assert_frame_equal(read.table, before.table)


def test_a_collection_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(FewposeError, match="has no images yet"):
        check(Collection.create(tmp_path / "empty"), model=None)


def test_a_rule_that_does_not_exist_is_named(collection: Collection) -> None:
    with pytest.raises(UsageError, match="there is no rule 'foggy'; there are exact_duplicate"):
        check(collection, model=None, rules=["dark", "foggy"])


def test_a_model_that_does_not_exist_is_no_reason_to_go_on(collection: Collection) -> None:
    with pytest.raises(UsageError):
        check(collection, model="ViT-B-33")


def test_a_person_label_is_what_rules_see(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.collection import decisions

    seen: list[dict[str, str]] = []

    def look(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
        """Looks at the labels."""
        seen.append(dict(zip(inputs.images["key"], inputs.images["label"], strict=True)))
        return scored(inputs, _)

    monkeypatch.setattr(module, "RULES", (rule("look", look),))
    decisions.relabel(collection, ["plank/0.png"], "tree")
    check(collection, model=None)
    assert seen[0]["plank/0.png"] == "tree"


@pytest.mark.slow
def test_damaged_findings_are_refused_and_made_again_as_is_said(collection: Collection) -> None:
    check(collection, model=None)
    files = [collection.root / name for name in ("findings.parquet", "checks.json")]
    before = [file.read_bytes() for file in files]
    chance = random.Random(3)
    for file, whole in zip(files, before, strict=True):
        for _ in range(60):
            place = chance.randrange(len(whole))
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
            try:
                found = findings.read(collection)
            except FewposeError as error:
                assert str(error).endswith(f"; curate check {collection.root} makes it again")
                continue
            assert found is not None
            file.write_bytes(whole)
            same = findings.read(collection)
            assert same is not None
            assert found.table.equals(same.table)
            assert found.rules == same.rules
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FewposeError, match="makes it again"):
            findings.read(collection)
        check(collection, model=None)
        assert [file.read_bytes() for file in files] == before


@pytest.mark.slow
def test_damaged_keypoints_are_refused_and_not_taken_for_none(collection: Collection) -> None:
    file = collection.root / keypoints.TABLE
    for content in (b"", b"no table"):
        file.write_bytes(content)
        with pytest.raises(FewposeError, match=r"keypoints\.parquet is damaged .* curate pose .* makes it again"):
            check(collection, model=None, rules=["no_person"])
        assert file.read_bytes() == content
    file.unlink()
    check(collection, model=None, rules=["no_person"])


@pytest.mark.slow
def test_findings_of_another_check_are_not_taken_for_these(collection: Collection) -> None:
    """Their two files say the same, or a kill came between them."""
    check(collection, model=None)
    other = (collection.root / "findings.parquet").read_bytes()
    path = collection.root / "curation.yaml"
    path.write_text(path.read_text().replace("min_side: 100", "min_side: 150"))
    check(collection, model=None)
    (collection.root / "findings.parquet").write_bytes(other)
    with pytest.raises(FewposeError, match=r"findings\.parquet is damaged .*another table than the one"):
        findings.read(collection)


@pytest.mark.slow
def test_settings_that_are_others_than_in_the_last_check_are_said(
    collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are a person's, and have no checksum: where a disk has changed them, this tells."""
    check(collection, model=None)
    capsys.readouterr()
    check(collection, model=None)
    assert "other settings" not in capsys.readouterr().err
    path = collection.root / "curation.yaml"
    path.write_text(path.read_text().replace("min_side: 100", "min_side: 150"))
    check(collection, model=None)
    said = " ".join(capsys.readouterr().err.split())
    assert "curation.yaml: other settings of too_small than in the last check: min_side is 150, was 100" in said
