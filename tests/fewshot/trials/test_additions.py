"""Synthetic images join what is trained on, and move nothing else; more photographs are what they compare with."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.checks.check import check
from curate.collection import decisions, findings, splits
from curate.collection.directory import REJECT_COLUMNS, Collection
from curate.collection.findings import Findings, Ran
from curate.collection.splits import draw_digest
from curate.foundation.errors import FewposeError, UsageError
from curate.models import clip_models
from curate.sweeps.records import Trial, read_sweep
from fewshot.reporting import write_report
from fewshot.reporting.sections.additions import sentences
from fewshot.sweeping import plan as planning
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trials.additions import Composition, composition, expanded

NO_REJECTS = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in REJECT_COLUMNS.items()})
LABELS = ("bow", "cat")
ALL = ("filtered", "filtered+synthetic3", "filtered+real3")


def content_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def photographs(size: int = 20) -> pd.DataFrame:
    """Rows without files: a plan reads the table alone."""
    ids = [(label, content_id(f"{label}{number}")) for label in LABELS for number in range(size)]
    return table([{"key": f"{label}/{id[:20]}.png", "id": id, "label": label, "group": id} for label, id in ids])


def table(rows: list[dict[str, str]]) -> pd.DataFrame:
    same: dict[str, Any] = {"file": "", "url": "", "width": 64, "height": 64, "format": "PNG", "mode": "RGB"}
    same |= {"frames": 1, "bytes": 9}
    return pd.DataFrame([{"source": "import", "provenance": "", "official_split": ""} | row for row in rows]).assign(
        **same
    )


def made(label: str, number: int, generator: str = "mannequin", **facts: str) -> dict[str, str]:
    """The row of a synthetic image. facts: of its provenance; one that was made from a photograph is in its group."""
    id = content_id(f"made{label}{number}{generator}{facts}")
    row = {"key": f"{label}/synthetic-{generator}-{number}-{len(facts)}.png", "id": id, "label": label}
    told = json.dumps({"generator": generator} | facts)
    return row | {"source": "synthetic", "group": facts.get("made_from", id), "provenance": told}


def rendered(number: int = 10) -> pd.DataFrame:
    return table([made(label, each) for label in LABELS for each in range(number)])


def augmented(images: pd.DataFrame, number: int = 2) -> pd.DataFrame:
    """So many images made from each photograph."""
    pairs: list[tuple[Any, int]] = [(row, each) for row in images.itertuples() for each in range(number)]
    rows = [
        made(row.label, 1000 * place + row.Index, "augment", made_from=row.id) for place, (row, _) in enumerate(pairs)
    ]
    return table(rows)


def accept(collection: Collection, rejected: tuple[str, ...] = ()) -> None:
    """What `synth accept` leaves behind, with these keys rejected."""
    images = collection.images()
    images = images[images["source"] == "synthetic"]
    bad = images[images["key"].isin(rejected)]
    said: dict[str, Any] = {"rule": "other_pose", "version": 1, "score": 1.0, "threshold": 0.5, "flagged": True}
    found = bad[["key", "id"]].assign(**said, detail="", other="", suggestion="")
    ran = {"other_pose": Ran("shows another pose", 1, "content", True, {}, len(bad), len(images))}
    findings.write(collection, Findings(found, ran, findings.digest(images)), findings.ACCEPTANCE)


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Collection]:
    def build(*parts: pd.DataFrame, rejected: tuple[str, ...] = ()) -> Collection:
        collection = Collection.create(tmp_path / "collection")
        collection.write(pd.concat(parts), NO_REJECTS)
        check(collection, model=None, rules=["exact_duplicate"])
        accept(collection, rejected)
        return collection

    return build


def plan(collection: Collection, *sets: str, **changes: Any) -> Plan:
    values: dict[str, Any] = {"collection": collection.root, "out": collection.root.parent / "sweep"}
    values |= {"shots": (6, 2), "splits": 3, "methods": ("linear-probe",), "sets": sets or ("filtered",)}
    return planning.make(SweepSettings.of(**(values | changes)))


def drawn(made_plan: Plan, set_: str, shots: int = 6, split: int = 0, method: str = "linear-probe") -> pd.DataFrame:
    return made_plan.draw(made_plan.split(split), Trial(set_, method, shots, split))


def synthetic(images: pd.DataFrame) -> pd.DataFrame:
    return images[images["source"] == "synthetic"]


# Names


def test_a_set_with_added_images_is_one_for_each_amount() -> None:
    names = ("filtered", "filtered+synthetic", "unfiltered+real7", "rendered")
    assert expanded(names, (20, 5)) == (
        *("filtered", "filtered+synthetic20", "filtered+synthetic5", "unfiltered+real7"),
        *("rendered20", "rendered5"),
    )
    assert composition("filtered+synthetic20") == Composition("filtered", "synthetic", 20)
    assert composition("rendered5") == Composition("", "rendered", 5)
    assert composition("filtered") == Composition("filtered")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("best", "there is no training set 'best'; there are unfiltered and filtered, either with [+]synthetic, "),
        ("filtered+drawn", "'filtered[+]drawn'; there are .* [+]rendered, [+]augmented, [+]generated or [+]real"),
        ("best+real20", "no training set 'best[+]real20'; there are unfiltered and filtered"),
        ("real20", "no training set 'real20'; .* and synthetic, rendered, generated alone"),
        ("filtered+synthetic0", "no training set 'filtered[+]synthetic0'"),
        (
            "augmented20",
            "--sets augmented20: augmented images are made from photographs, .* say filtered[+]augmented20",
        ),
        (
            "filtered+real",
            "--sets filtered[+]real: how many a class[?] Say filtered[+]real20, or --synthetic-per-class",
        ),
    ],
)
def test_a_set_that_there_is_not_is_said_beside_those_that_there_are(
    store: Callable[..., Collection], name: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        expanded((name,), ())
    assert str(caught.value).count("\n") == 0
    with pytest.raises(UsageError, match=sentence):  # not from the command line
        plan(store(photographs()), name)


def test_an_amount_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="--synthetic-per-class: give numbers of images a class"):
        expanded(("filtered+real",), (20, 0))


# What is left as it was


@pytest.mark.slow
def test_synthetic_images_move_no_split_no_draw_and_no_digest(store: Callable[..., Collection]) -> None:
    before = plan(store(photographs()), "filtered", "unfiltered")
    after = plan(store(photographs(), rendered(), augmented(photographs())), "filtered", "unfiltered", *ALL[1:])
    assert planning.set_digest(before) == planning.set_digest(after)
    for number in range(3):
        old, new = before.split(number), after.split(number)
        assert old.digest == new.digest
        assert (list(old.test["key"]), list(old.pool["key"])) == (list(new.test["key"]), list(new.pool["key"]))
        assert set(new.test["source"]) == set(new.pool["source"]) == {"import"}
        for name in ("filtered", "unfiltered"):
            assert before.sets[name].digest == after.sets[name].digest
            for shots in (2, 6):
                assert draw_digest(drawn(before, name, shots, number)) == draw_digest(drawn(after, name, shots, number))


@pytest.mark.slow
def test_an_official_split_is_moved_by_none_either(store: Callable[..., Collection]) -> None:
    images = photographs()
    images["official_split"] = ["test" if number % 4 == 0 else "train" for number in range(len(images))]
    how = {"split": "official"}
    before = plan(store(images), **how).split(0)
    after = plan(store(images, rendered(), augmented(images)), *ALL, **how).split(0)
    assert (before.digest, list(before.pool["key"])) == (after.digest, list(after.pool["key"]))


# What joins


@pytest.mark.slow
def test_added_images_come_on_top_of_the_same_photographs(store: Callable[..., Collection]) -> None:
    made_plan = plan(store(photographs(), rendered()), "filtered", "filtered+rendered3", "filtered+rendered8")
    for number in range(3):
        base, few, many = (drawn(made_plan, name, 6, number) for name in made_plan.sets)
        for more, amount in ((few, 3), (many, 8)):
            pd.testing.assert_frame_equal(more[more["source"] == "import"], base)
            assert dict(synthetic(more)["label"].value_counts()) == dict.fromkeys(LABELS, amount)
        assert set(few["key"]) < set(many["key"])  # amounts are nested
        # The same whatever is done with them, and with how many photographs.
        assert set(synthetic(drawn(made_plan, "filtered+rendered3", 2, number))["key"]) == set(synthetic(few)["key"])
        pd.testing.assert_frame_equal(drawn(made_plan, "filtered+rendered3", 6, number, "finetune"), few)
    choices = {frozenset(synthetic(drawn(made_plan, "filtered+rendered3", 6, number))["key"]) for number in range(3)}
    assert len(choices) == 3


@pytest.mark.slow
def test_an_image_joins_only_the_photograph_that_it_was_made_from(store: Callable[..., Collection]) -> None:
    images = photographs()
    made_plan = plan(store(images, augmented(images)), "filtered+augmented4")
    for number in range(3):
        for shots in (2, 6):
            got = drawn(made_plan, "filtered+augmented4", shots, number)
            sources = {json.loads(told)["made_from"] for told in synthetic(got)["provenance"]}
            assert len(synthetic(got)) == 8
            assert sources <= set(got["id"][got["source"] == "import"])
            assert not sources & set(made_plan.split(number).test["id"])


@pytest.mark.parametrize("fact", ["made_from", "control"])
def test_what_owes_a_pose_to_a_photograph_joins_that_photograph_alone(
    store: Callable[..., Collection], fact: str
) -> None:
    images = photographs()
    rows: list[Any] = list(images.itertuples())
    owing = [made(row.label, row.Index, "StableDiffusionPipeline", **{fact: row.id}) for row in rows]
    free = [made(label, 99, "StableDiffusionPipeline", control=f"pose {label} 3") for label in LABELS]
    made_plan = plan(store(images, table(owing + free)), "filtered+generated3")
    ids = {json.loads(row["provenance"])[fact]: row["id"] for row in owing}
    for number in range(3):
        got = drawn(made_plan, "filtered+generated3", 2, number)
        photographs_ = got["id"][got["source"] == "import"]
        assert set(synthetic(got)["id"]) == {ids[id] for id in photographs_} | {row["id"] for row in free}


def test_the_copy_of_a_tested_photograph_does_not_join(store: Callable[..., Collection]) -> None:
    images = photographs()
    rows = rendered(20)
    rows["group"] = list(images["group"])  # as curate groups what looks like a photograph
    made_plan = plan(store(images, rows), "filtered+rendered16")
    for number in range(3):
        parts = made_plan.split(number)
        got = synthetic(made_plan.draw(parts, Trial("filtered+rendered16", "linear-probe", 2, number)))
        assert len(got) == 2 * 16
        assert not set(got["group"]) & set(parts.test["group"])


def test_a_photograph_that_was_relabelled_takes_what_was_made_from_it_out(store: Callable[..., Collection]) -> None:
    images = photographs()
    collection = store(images, augmented(images))
    asked = {"short": "all", "splits": 1}
    before = drawn(plan(collection, "filtered+augmented12", **asked), "filtered+augmented12")
    moved = before["key"].iloc[0]
    decisions.relabel(collection, [moved], "cat" if moved.startswith("bow") else "bow")
    after = drawn(plan(collection, "filtered+augmented12", **asked), "filtered+augmented12")
    made_of_it = [told for told in synthetic(after)["provenance"] if before["id"].iloc[0] in told]
    assert any(before["id"].iloc[0] in told for told in synthetic(before)["provenance"])
    assert made_of_it == []


@pytest.mark.slow
def test_only_accepted_images_of_the_kind_join(store: Callable[..., Collection]) -> None:
    images = photographs()
    drawings = rendered(4)
    pictures = table([made(label, number, "FluxPipeline") for label in LABELS for number in range(4)])
    rejected, dropped = drawings["key"].iloc[0], drawings["key"].iloc[1]
    collection = store(images, drawings, pictures, augmented(images, 1), rejected=(rejected,))
    decisions.drop(collection, [dropped])
    sets = ("filtered+rendered2", "filtered+generated4", "filtered+augmented2", "filtered+synthetic8", "synthetic6")
    made_plan = plan(collection, *sets)
    got = {name: set(synthetic(drawn(made_plan, name))["key"]) for name in sets[:4]}
    assert got["filtered+rendered2"] <= set(drawings["key"]) - {rejected, dropped}
    assert got["filtered+generated4"] == set(pictures["key"])
    assert all("-augment-" in key for key in got["filtered+augmented2"])
    assert not any({rejected, dropped} & keys for keys in got.values())
    decisions.keep(collection, [rejected])  # a person's word beats a score
    assert rejected in set(plan(collection, "filtered+rendered2").sets["filtered+rendered2"].images["key"])


@pytest.mark.slow
def test_more_real_images_are_the_next_ones_of_the_same_draw(store: Callable[..., Collection]) -> None:
    made_plan = plan(store(photographs()), "filtered", "filtered+real3")
    for number in range(3):
        parts = made_plan.split(number)
        got = drawn(made_plan, "filtered+real3", 6, number)
        pd.testing.assert_frame_equal(got, splits.draw(parts.pool, 9, number, 0))
        assert set(drawn(made_plan, "filtered", 6, number)["key"]) < set(got["key"])


def test_alone_they_are_trained_on_without_a_photograph(store: Callable[..., Collection]) -> None:
    images = photographs()
    made_plan = plan(store(images, rendered(), augmented(images)), "synthetic4", methods=("zero-shot", "linear-probe"))
    assert made_plan.trials == tuple(Trial("synthetic4", "linear-probe", 0, number) for number in range(3))
    got = drawn(made_plan, "synthetic4", 0)
    assert dict(got["label"].value_counts()) == dict.fromkeys(LABELS, 4)
    assert set(got["source"]) == {"synthetic"}
    assert not any("made_from" in told for told in got["provenance"])  # there is no photograph that they could join


def test_a_method_that_is_not_trained_runs_where_nothing_is_added(store: Callable[..., Collection]) -> None:
    collection = store(photographs(), rendered())
    trials = plan(collection, *ALL, methods=("zero-shot", "linear-probe")).trials
    assert {trial.set for trial in trials if trial.method == "zero-shot"} == {"filtered"}
    with pytest.raises(UsageError, match="zero-shot is trained on nothing, so no added image changes it"):
        plan(collection, "filtered+real3", methods=("zero-shot",))


# What can't be done


@pytest.mark.slow
def test_a_class_with_too_few_is_said_with_its_count(store: Callable[..., Collection]) -> None:
    images = photographs()
    collection = store(images, rendered(5).iloc[1:], augmented(images, 2))
    with pytest.raises(UsageError) as caught:
        plan(collection, "filtered", "filtered+rendered5")
    message = str(caught.value)
    assert message.startswith("5 rendered images a class are asked for by filtered+rendered5, but a split leaves fewer")
    assert "to bow (4); make and accept more" in message
    assert "--short all" in message and "--short drop" in message and "\n" not in message
    with pytest.raises(UsageError, match=r"5 augmented images .* fewer to bow \(4\), cat \(4\)"):  # of 2 photographs
        plan(collection, "filtered+augmented5")
    with pytest.raises(UsageError, match=r"18 training images .* filtered\+real12, .* bow \(16\), cat \(16\); lower"):
        plan(collection, "filtered", "filtered+real12")
    with pytest.raises(UsageError, match=r"11 synthetic images a class .* synthetic11, .* bow \(4\), cat \(5\)"):
        plan(collection, "synthetic11")


@pytest.mark.slow
def test_short_all_uses_what_there_is_and_drop_leaves_the_class_out(store: Callable[..., Collection]) -> None:
    images = photographs()
    more = images.assign(label="dog", **{c: "d" + images[c].str[1:] for c in ("key", "id", "group")}).iloc[:20]
    collection = store(images, more, rendered(5).iloc[1:])
    used = drawn(plan(collection, "filtered+rendered5", short="all"), "filtered+rendered5")
    assert dict(synthetic(used)["label"].value_counts()) == {"cat": 5, "bow": 4}
    assert dict(used["label"].value_counts()) == {"cat": 11, "bow": 10, "dog": 6}
    assert plan(collection, "filtered+rendered4", short="drop").dropped == ("dog",)
    with pytest.raises(FewposeError, match="fewer than two classes have 5 rendered images in every split"):
        plan(collection, "filtered", "filtered+rendered5", short="drop")
    # Alone, a class without any says nothing.
    assert plan(collection, "synthetic5", short="all").dropped == ("dog",)


def test_images_that_nobody_looked_at_are_refused_only_where_they_are_asked_for(
    store: Callable[..., Collection],
) -> None:
    collection = store(photographs(), rendered())
    (collection.root / "acceptance.json").unlink()
    assert plan(collection, "filtered", "filtered+real3").trials
    with pytest.raises(FewposeError, match="synthetic images that nobody has looked at; first: synth accept"):
        plan(collection, "filtered+synthetic3")


def test_a_class_of_synthetic_images_alone_is_no_class(store: Callable[..., Collection]) -> None:
    collection = store(photographs(), rendered(), table([made("owl", number) for number in range(9)]))
    assert plan(collection, "filtered+rendered3").classes == LABELS
    with pytest.raises(UsageError, match="the collection has no owl; it has bow, cat"):
        plan(collection, classes=("bow", "owl"))


# Sweeps and reports


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny: clip_models.ClipModel) -> None:
    monkeypatch.setattr(clip_models, "load", lambda name, **options: tiny)


def add_pictures(collection: Collection, draw_pattern: Callable[[int, int], np.ndarray], number: int) -> None:
    """Accepted synthetic pictures of each class, drawn as its photographs are."""
    from PIL import Image

    images = collection.images()
    rows = []
    for kind, label in enumerate(sorted(set(images["label"]))):
        for each in range(number):
            file = io.BytesIO()
            Image.fromarray(draw_pattern(kind, 500 + each)).save(file, "PNG")
            row = made(label, each)
            path = collection.root / "images" / row["key"]
            path.write_bytes(file.getvalue())
            id = hashlib.sha256(file.getvalue()).hexdigest()
            rows.append(row | {"id": id, "group": id, "file": f"images/{row['key']}"})
    collection.write(pd.concat([images, table(rows).assign(file=[row["file"] for row in rows])]), collection.rejects())
    accept(collection)


@pytest.mark.slow
def test_a_sweep_goes_on_after_images_were_added_and_tells_what_they_change(
    quick: None, own_collection: Collection, tmp_path: Path, draw_pattern: Callable[[int, int], np.ndarray]
) -> None:
    asked: dict[str, Any] = {"collection": own_collection.root, "out": tmp_path / "sweep", "shots": (2, 3), "splits": 3}
    asked |= {"model": "tiny/random", "device": "cpu", "methods": ("zero-shot", "linear-probe")}
    before = run_sweep(SweepSettings.of(**asked, sets=("filtered",)))
    stored = {path: path.read_bytes() for path in (tmp_path / "sweep" / "trials").rglob("*.npz")}
    add_pictures(own_collection, draw_pattern, 4)

    sets = ("filtered", "filtered+rendered2", "filtered+rendered4", "filtered+real2", "synthetic4")
    after = run_sweep(SweepSettings.of(**asked, sets=sets))
    assert (before.done, after.found, after.done) == (9, 9, 9 + 3 * (3 * 2 + 1))
    assert all(path.read_bytes() == content for path, content in stored.items())

    sweep = read_sweep(tmp_path / "sweep")
    counts = {
        (record.trial.set, record.trial.shots): (record.train_images - record.synthetic_images, record.synthetic_images)
        for record in sweep.records
    }
    assert counts["filtered", 3] == (9, 0)
    assert counts["filtered+rendered4", 3] == (9, 12)
    assert counts["filtered+real2", 3] == (15, 0)
    assert counts["synthetic4", 0] == (0, 12)
    assert sweep.settings["sets"]["filtered"].keys() == {"digest", "images"}
    assert sweep.settings["sets"]["filtered+rendered2"]["synthetic"] == 12
    tested = {frozenset(row) for row in sweep.settings["class_sizes"].items()}
    assert tested == {frozenset({"bars", 11}), frozenset({"rings", 10}), frozenset({"waves", 10})}

    files = write_report(tmp_path / "sweep")
    results = pd.read_csv(files.csv["results"])
    found = results[(results["set"] == "filtered+rendered4") & (results["shots"] == 3)].iloc[0]
    assert (found["real_images"], found["synthetic_images"], found["n"]) == (9, 12, 3)
    assert list(dict.fromkeys(results["set"])) == ["filtered", "filtered+real2", *sets[1:3], "synthetic4"]

    differences = pd.read_csv(files.csv["differences"])
    added = differences[differences["kind"] == "addition"]
    assert set(zip(added["a"], added["b"], added["shots"], strict=True)) == {
        *((name, "filtered", shots) for name in sets[1:4] for shots in (2, 3)),
        *(("filtered+rendered2", "filtered+real2", shots) for shots in (2, 3)),
        *(("synthetic4", "filtered", shots) for shots in (2, 3)),
    }
    assert (added["n"] == 3).all() and added["ci_corrected_low"].notna().all()
    assert set(differences["kind"]) == {"method", "addition"}
    for text in (files.markdown.read_text(), files.html.read_text()):
        assert "Adding 2 or 4 rendered images a class to filtered" in text
        assert "Training on 4 synthetic images a class alone" in text
    assert "Images that are added" in files.html.read_text()
    assert "Against zero-shot, without training images" in files.html.read_text()


def test_classes_without_an_added_image_are_swept_all_the_same(
    quick: None, own_collection: Collection, tmp_path: Path, draw_pattern: Callable[[int, int], np.ndarray]
) -> None:
    add_pictures(own_collection, draw_pattern, 2)
    images = own_collection.images()
    own_collection.write(images[(images["source"] != "synthetic") | (images["label"] == "bars")], NO_REJECTS)
    accept(own_collection)
    asked: dict[str, Any] = {"collection": own_collection.root, "out": tmp_path / "sweep", "shots": (2,), "splits": 1}
    asked |= {"model": "tiny/random", "device": "cpu", "methods": ("linear-probe",), "short": "all"}
    sets = ("filtered", "filtered+synthetic2")
    run_sweep(SweepSettings.of(**asked, classes=("rings", "waves"), sets=sets))
    assert [record.train_images for record in read_sweep(tmp_path / "sweep").records] == [4, 4]


def test_sentences_say_how_often_and_how_far() -> None:
    rows = [
        *((f"filtered+rendered{amount}", "filtered", -0.01 * amount, "lower") for amount in (1, 2)),
        ("filtered+rendered1", "filtered+real1", -0.031, "undecided"),
        ("filtered+real1", "filtered", 0.02, "higher"),
        ("synthetic5", "filtered", -0.4, "lower"),
        ("synthetic5", "unfiltered", float("nan"), ""),
    ]
    table = pd.DataFrame([dict(zip(("a", "b", "mean", "verdict"), row, strict=True)) for row in rows])
    assert sentences(table.assign(kind="addition")) == [
        "Adding 1 or 2 rendered images a class to filtered changes accuracy by −2.0 to −1.0 points (2 comparisons); "
        "filtered is better in 2.",
        "Adding 1 rendered images a class to filtered, instead of as many photographs, changes accuracy by −3.1 points "
        "(1 comparison); this isn't distinguishable from zero.",
        "Adding 1 more real images a class to filtered changes accuracy by +2.0 points (1 comparison); "
        "filtered+real is better in 1.",
        "Training on 5 synthetic images a class alone, instead of filtered, changes accuracy by −40.0 points "
        "(1 comparison); filtered is better in 1.",
    ]
    assert sentences(table.assign(kind="set")) == []
