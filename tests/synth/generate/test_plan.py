"""A plan names every image by content alone: more images, more classes or a larger draw only add to it."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curate.checks.check import check
from curate.collection.decisions import relabel
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.collection.sets import labelled, training_set
from curate.collection.splits import draw, split
from curate.collection.splitting import Splitting
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.option_flags import given
from curate.foundation.options import declared
from synth.generate import control
from synth.generate.image_job import Control, ImageJob, Source
from synth.generate.plan import digest, plan
from synth.generate.settings import Settings, Wanted
from synth.generate.sources import FromDraw

MODEL = Settings(model="somebody/some-model")
MANNEQUIN, AUGMENT = Settings(model="mannequin"), Settings(model="augment")
POSED = replace(MODEL, controlnet="somebody/some-controlnet")
COPIED = replace(POSED, control="keypoints")
SIZES = {"tree": 12, "plank": 9, "Boat_Pose_or_Paripurna_Navasana_": 10}
NO_REJECTS = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in REJECT_COLUMNS.items()})


def row(label: str, number: int, **told: Any) -> dict[str, Any]:
    content = hashlib.sha256(f"{label} {number}".encode()).hexdigest()
    empty = {name: "" if kind == "str" else 1 for name, kind in COLUMNS.items()}
    return empty | {
        "key": f"{label}/{number}.jpg", "id": content, "group": content, "label": label, "source": "import",
        "file": f"images/{label}/{number}.jpg", "width": 200, "height": 100,
    } | told  # fmt: skip


def build(root: Path, sizes: dict[str, int], *more: dict[str, Any]) -> Collection:
    """A collection's tables: a plan opens no picture."""
    collection = Collection.create(root)
    rows = [row(label, number) for label, size in sizes.items() for number in range(size)]
    collection.write(pd.DataFrame([*rows, *more], columns=list(COLUMNS)), NO_REJECTS)
    return collection


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    made = build(tmp_path_factory.mktemp("plan") / "c", SIZES, row("tree", 0, key="tree/copy.jpg"))
    lines = [{"id": row("tree", n)["id"], "keypoints": [[20, 70, 2]] * 17} for n in range(7)]
    lines += [{"id": row("plank", n)["id"], "keypoints": [[40, 50, 1]] * 17} for n in range(9)]
    (made.root / control.FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    check(made, model=None, rules=["exact_duplicate"])
    return made


def planned(
    collection: Collection,
    settings: Settings,
    *classes: str,
    per_class: int = 4,
    from_draw: str = "",
    weights: str = "w",
) -> list[ImageJob]:
    return plan(collection, settings, Wanted(classes, per_class, from_draw), weights)


def source(job: ImageJob) -> Source:
    assert job.source is not None
    return job.source


def skeleton(job: ImageJob) -> Control:
    assert job.control is not None
    return job.control


def by_key(jobs: list[ImageJob]) -> dict[str, ImageJob]:
    found = {job.key: job for job in jobs}
    assert len(found) == len(jobs)
    return found


def test_every_real_class_has_its_images(collection: Collection) -> None:
    jobs = planned(collection, MODEL)
    assert Counter(job.label for job in jobs) == dict.fromkeys(SIZES, 4)
    own = digest(MODEL, "w")
    assert [job.key for job in jobs if job.label == "tree"] == [
        f"tree/synthetic-{own}-{number:05d}.png" for number in range(4)
    ]
    assert len({job.seed for job in jobs}) == len(jobs)
    assert all(job.prompt and job.negative and not job.source and not job.control for job in jobs)
    assert {job.label for job in jobs[:3]} == set(SIZES)  # number by number: a stopped run has made as many of each


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "few", "many"),
    [
        (MODEL, {"per_class": 3}, {"per_class": 9}),
        (POSED, {"per_class": 2}, {"per_class": 3}),
        (MANNEQUIN, {"per_class": 3}, {"per_class": 9}),
        (AUGMENT, {"per_class": 4, "from_draw": "split=1,shots=2"}, {"per_class": 10, "from_draw": "split=1,shots=5"}),
        (MODEL, {"per_class": 4, "from_draw": "split=1,shots=2"}, {"per_class": 10, "from_draw": "split=1,shots=5"}),
        (POSED, {"per_class": 2, "from_draw": "split=1,shots=1"}, {"per_class": 6, "from_draw": "split=1,shots=3"}),
    ],
)
def test_more_images_more_classes_and_a_larger_draw_only_add(
    collection: Collection, settings: Settings, few: dict[str, Any], many: dict[str, Any]
) -> None:
    some, all_of_them = (
        by_key(planned(collection, settings, "tree", **few)),
        by_key(planned(collection, settings, **many)),
    )
    assert some
    assert some.items() <= all_of_them.items()


@pytest.mark.slow
def test_what_changes_the_pixels_changes_keys_and_seeds(collection: Collection, tmp_path: Path) -> None:
    own = tmp_path / "grammar.yaml"
    shipped = Path(__file__).parents[3] / "data" / "synthetic_prompts.yaml"
    own.write_text(shipped.read_text().replace("a beach", "the shore").replace("sandy beach", "shore"))
    same = tmp_path / "same.yaml"
    same.write_text(shipped.read_text())
    others = [MODEL, replace(MODEL, steps=3), replace(MODEL, seed=1), replace(MODEL, grammar=str(own)), POSED]
    plans = [planned(collection, settings, "tree", "plank") for settings in others]
    plans.append(planned(collection, MODEL, "tree", "plank", weights="others"))
    keys = [job.key for jobs in plans for job in jobs]
    assert len(set(keys)) == len(keys)
    assert len({job.seed for jobs in plans for job in jobs}) == len(keys)
    assert planned(collection, replace(MODEL, grammar=str(same))) == planned(collection, MODEL)


def test_a_draw_is_the_one_that_a_sweep_trains_on(collection: Collection) -> None:
    jobs = planned(collection, MODEL, per_class=9, from_draw="split=3,shots=4,set=filtered,seed=7")
    images = labelled(collection)
    pool = split(images, 3, Splitting(seed=7)).pool
    pool = pool[pool["key"].isin(training_set(collection, "filtered").images["key"])]
    drawn = draw(pool, 4, 3, 7)
    for label in SIZES:
        used = Counter(job.source.id for job in jobs if job.label == label and job.source)
        assert used.keys() == set(drawn.loc[drawn["label"] == label, "id"])
        assert sorted(used.values()) == [2, 2, 2, 3]
    test = set(split(images, 3, Splitting(seed=7)).test["id"])
    assert not {job.source.id for job in jobs if job.source} & test
    one = next(job for job in jobs if job.index == 1)
    assert one.key.endswith(f"-{source(one).id[:10]}-001.png")
    assert source(one).path == collection.root / "images" / one.label / source(one).path.name


def test_the_pool_is_every_real_image_once_whatever_was_generated_before(tmp_path: Path) -> None:
    made = row("tree", 99, source="synthetic", provenance="{}")
    collection = build(tmp_path / "c", SIZES, row("tree", 0, key="tree/copy.jpg"), made)
    jobs = planned(collection, AUGMENT, "tree", per_class=24, from_draw="pool")
    assert Counter(source(job).id for job in jobs) == {row("tree", n)["id"]: 2 for n in range(12)}
    assert {job.prompt for job in jobs} == {""}
    without = build(tmp_path / "d", SIZES)
    assert [job.key for job in planned(without, AUGMENT, "tree", per_class=24, from_draw="pool")] == [
        job.key for job in jobs
    ]


def test_the_ledgers_labels_count(tmp_path: Path) -> None:
    collection = build(tmp_path / "c", {"tree": 3, "plank": 3})
    relabel(collection, [str(row("tree", 0)["id"])], "boat", new_label=True, who="me")
    assert {job.label for job in planned(collection, MANNEQUIN)} == {"tree", "plank", "boat"}
    boats = planned(collection, AUGMENT, "boat", from_draw="pool")
    assert {source(job).id for job in boats} == {row("tree", 0)["id"]}


@pytest.mark.slow
def test_skeletons_of_the_renderer_vary_with_the_number_and_not_with_the_model(collection: Collection) -> None:
    jobs = planned(collection, POSED, "tree")
    assert [skeleton(job).id for job in jobs] == [f"pose tree 0 {number}" for number in range(4)]
    other = planned(collection, replace(POSED, model="another/model"), "tree")
    assert [job.control for job in other] == [job.control for job in jobs]
    assert not any("seen" in job.prompt for job in jobs)


def test_stored_skeletons(collection: Collection) -> None:
    jobs = planned(collection, COPIED, "tree", "plank", per_class=9)
    trees = [job for job in jobs if job.label == "tree"]
    assert sorted(Counter(skeleton(job).id for job in trees).values()) == [1, 1, 1, 1, 1, 2, 2]
    assert {skeleton(job).id for job in trees} == {row("tree", n)["id"] for n in range(7)}
    assert all(job.source is None for job in jobs)
    assert skeleton(trees[0]).keypoints[0] == (0.1, 0.6, 2)
    tailored = planned(collection, COPIED, "plank", per_class=6, from_draw="split=0,shots=3")
    assert all(source(job).id == skeleton(job).id for job in tailored)
    assert len({source(job).id for job in tailored}) == 3


def test_other_keypoints_are_other_images(collection: Collection, tmp_path: Path) -> None:
    before = by_key(planned(collection, COPIED, "tree", per_class=7))
    copy = build(tmp_path / "c", SIZES)
    lines = (collection.root / control.FILE).read_text().splitlines()
    lines.append(json.dumps({"id": row("tree", 3)["id"], "keypoints": [[21, 70, 2]] * 17}))
    (copy.root / control.FILE).write_text("\n".join(lines))
    after = by_key(planned(copy, COPIED, "tree", per_class=7))
    assert len(before.keys() - after.keys()) == len(after.keys() - before.keys()) == 1


def test_labels_may_hold_anything(tmp_path: Path) -> None:
    labels = ["Upward_Bow_(Wheel)_Pose_or_Urdhva_Dhanurasana_", "Sitting pose 1 (normal)", "a/b", "..", ".hidden"]
    collection = build(tmp_path / "c", {})
    collection.write(pd.DataFrame([row(f"n{i}", 0) | {"label": label} for i, label in enumerate(labels)]), NO_REJECTS)
    jobs = planned(collection, AUGMENT, from_draw="pool", per_class=1)
    assert len({job.key for job in jobs}) == len(labels)
    for job in jobs:
        folder, _, name = job.key.partition("/")
        assert "/" not in name
        assert not folder.startswith(".")
    assert {job.key.split("/")[0] for job in jobs} >= set(labels[:2])


def test_a_class_goes_by_its_poses_other_names(collection: Collection) -> None:
    assert {job.label for job in planned(collection, MODEL, "boat", "vrksasana")} == {
        "Boat_Pose_or_Paripurna_Navasana_", "tree",
    }  # fmt: skip


def test_jpeg_is_named_so(collection: Collection) -> None:
    assert all(job.key.endswith(".jpg") for job in planned(collection, replace(MODEL, format="jpeg")))


def test_a_negative_prompt_of_ones_own(collection: Collection) -> None:
    assert {job.negative for job in planned(collection, replace(MODEL, negative="cats"))} == {"cats"}
    assert {job.negative for job in planned(collection, replace(MODEL, negative=""))} == {""}


@pytest.mark.parametrize(
    ("settings", "classes", "from_draw", "said"),
    [
        (MODEL, ("swan",), "", "the collection has no swan; it has Boat"),
        (AUGMENT, (), "", "say which: --from-draw"),
        (MANNEQUIN, (), "pool", "leave out --from-draw"),
        (replace(MODEL, ip_adapter="x"), (), "", "--ip-adapter shows the model real images"),
        (COPIED, (), "", "no line in keypoints.jsonl of the collection for Boat_Pose_or_Paripurna_Navasana_;"),
    ],
)
def test_what_cant_be_done_is_told_in_one_sentence(
    collection: Collection, settings: Settings, classes: tuple[str, ...], from_draw: str, said: str
) -> None:
    with pytest.raises(UsageError) as told:
        planned(collection, settings, *classes, from_draw=from_draw)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [MANNEQUIN, POSED])
def test_classes_without_a_pose_are_all_named(tmp_path: Path, settings: Settings) -> None:
    collection = build(tmp_path / "c", {"goddess": 2, "tree": 2, "mountain": 2})
    with pytest.raises(UsageError, match=re.escape("for goddess, mountain; name the other classes")):
        planned(collection, settings)
    assert planned(collection, settings, "tree")


def test_a_class_without_a_name_or_without_an_image_in_the_draw(tmp_path: Path) -> None:
    collection = build(tmp_path / "c", {"tree": 3, "---": 3, "plank": 3})
    with pytest.raises(UsageError, match="'---' has no name"):
        planned(collection, MODEL)
    assert planned(collection, AUGMENT, "---", from_draw="pool")
    lonely = build(tmp_path / "d", {"tree": 3})
    lonely.write(
        pd.DataFrame([row("tree", n, official_split="test" if n else "train") for n in range(3)]
                     + [row("plank", 0, official_split="test")]), NO_REJECTS,
    )  # fmt: skip
    with pytest.raises(UsageError, match="no real image in the draw for plank"):
        planned(lonely, AUGMENT, from_draw="split=0,shots=2,kind=official")


def test_a_collection_without_photographs(tmp_path: Path) -> None:
    with pytest.raises(FewposeError, match="no photographs yet; first: curate import"):
        planned(build(tmp_path / "c", {}), MANNEQUIN)


def test_what_is_wanted_is_read() -> None:
    def read(classes: str, per_class: str = "5", from_draw: str = "") -> Wanted:
        return Wanted(**given({"classes": classes, "per_class": per_class, "from_draw": from_draw}, declared(Wanted)))

    assert read(" tree, plank,tree ") == Wanted(("tree", "plank"), 5)
    assert read("all") == read("") == Wanted((), 5)
    with pytest.raises(UsageError, match="--classes must be names, such as tree,plank, not ','"):
        read(",")
    for per_class, from_draw in (("0", ""), ("1", "split=x,shots=1")):
        with pytest.raises(UsageError):
            read("", per_class, from_draw)


def test_draws_are_read() -> None:
    assert FromDraw.parse("pool") == FromDraw()
    assert FromDraw.parse("shots=6, split=2") == FromDraw(6, 2)
    told = FromDraw.parse("split=2,shots=6,set=filtered,seed=-1,kind=official,test-fraction=0.5")
    assert told == FromDraw(6, 2, "filtered", Splitting("official", 0.5, -1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("split=0", "must name a split and its shots"),
        ("split=0,shots=0", "shots must be at least 1, not 0"),
        ("split=-1,shots=1", "split must be at least 0"),
        ("split=0,shots=many", "shots must be a whole number, not 'many'"),
        ("split=0,shots=2,set=best", "no set 'best'; there are unfiltered and filtered"),
        ("split=0,shots=2,colour=red", "'colour=red' is not understood"),
        ("split=0,split=1,shots=2", "'split=1' is not understood"),
        ("everything", "'everything' is not understood"),
        ("split=0,shots=2,test-fraction=2", "test-fraction must be a number, above 0 and below 1, not '2'"),
        ("split=0,shots=2,test-fraction=half", "test-fraction must be a number"),
        ("split=0,shots=2,kind=odd", "odd"),
    ],
)
def test_a_wrong_draw_is_told_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        FromDraw.parse(text)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_a_plan_is_the_same_in_another_process(collection: Collection) -> None:
    code = f"""
from pathlib import Path
from curate.collection.directory import Collection
from synth.generate.plan import plan
from synth.generate.settings import Settings, Wanted
wanted = Wanted(per_class=50)
found = plan(Collection.open(Path({str(collection.root)!r})), Settings(model="somebody/some-model"), wanted, "w")
print([(job.key, job.seed, job.prompt) for job in found])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([(s.key, s.seed, s.prompt) for s in planned(collection, MODEL, per_class=50)])
