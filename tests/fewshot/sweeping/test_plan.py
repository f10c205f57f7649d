"""From settings and a collection to trials: which classes, which images, and what can't be done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curate.checks.check import check
from curate.collection import decisions
from curate.collection.directory import REJECT_COLUMNS, Collection
from curate.foundation.errors import FewposeError, UsageError
from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.sweeping import plan as planning
from fewshot.sweeping.settings import SweepSettings

NO_REJECTS = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in REJECT_COLUMNS.items()})


def table(sizes: dict[str, int]) -> pd.DataFrame:
    """Rows without files: a plan reads the table alone."""
    rows = []
    for label, size in sizes.items():
        for number in range(size):
            image = f"{label}{number}".encode().hex().ljust(64, "0")
            rows.append({"key": f"{label}/{number}.png", "id": image, "label": label, "group": image})
    same: dict[str, Any] = {"file": "", "source": "import", "url": "", "width": 64, "height": 64, "format": "PNG"}
    return pd.DataFrame(rows).assign(**same, mode="RGB", frames=1, bytes=100, official_split="", provenance="")


@pytest.fixture
def store(tmp_path: Path) -> Callable[[pd.DataFrame], Collection]:
    def build(images: pd.DataFrame) -> Collection:
        collection = Collection.create(tmp_path / "collection")
        collection.write(images, NO_REJECTS)
        check(collection, model=None, rules=["exact_duplicate"])
        return collection

    return build


def settings(collection: Collection, **changes: Any) -> SweepSettings:
    values: dict[str, Any] = {"collection": collection.root, "out": collection.root.parent / "sweep"}
    values |= {"shots": (6, 2), "splits": 3, "methods": ("linear-probe",)}
    return SweepSettings.of(**(values | changes))


def plan(collection: Collection, **changes: Any) -> planning.Plan:
    return planning.make(settings(collection, **changes))


def test_the_grid_is_sets_by_methods_by_shots_by_splits(store: Callable[[pd.DataFrame], Collection]) -> None:
    made = plan(
        store(table({"bow": 10, "cat": 10})),
        methods=("zero-shot", "linear-probe"),
        sets=("unfiltered", "filtered"),
    )
    assert len(made.trials) == len(set(made.trials)) == 3 * 2 * (1 + 2)
    assert {trial.shots for trial in made.trials if trial.method == "zero-shot"} == {0}
    assert {trial.shots for trial in made.trials if trial.method == "linear-probe"} == {2, 6}
    assert [trial.split for trial in made.trials] == sorted(trial.split for trial in made.trials)


def test_a_class_that_is_too_short_is_said_with_its_name_and_count(store: Callable[[pd.DataFrame], Collection]) -> None:
    collection = store(table({"bow": 10, "cat": 5, "dog": 4}))
    with pytest.raises(UsageError) as caught:
        plan(collection)
    message = str(caught.value)
    assert message.startswith("6 training images a class are asked for, but a split leaves fewer to dog (3), cat (4);")
    assert "--short all" in message
    assert "--short drop" in message
    assert "bow" not in message


def test_of_many_short_classes_the_shortest_are_named_and_the_others_counted(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    collection = store(table({"bow": 10, "cat": 20} | {f"c{number}": 2 + number // 4 for number in range(8)}))
    with pytest.raises(UsageError, match=r"c0 \(1\), c1 \(1\), c2 \(1\), c3 \(1\), c4 \(2\) and 3 more;"):
        plan(collection)


def test_short_all_uses_what_a_class_has(store: Callable[[pd.DataFrame], Collection]) -> None:
    made = plan(store(table({"bow": 10, "cat": 5})), short="all")
    assert made.classes == ("bow", "cat")
    assert made.dropped == ()
    drawn = made.draw(made.split(0), Trial("unfiltered", "linear-probe", 6, 0))
    assert dict(drawn["label"].value_counts()) == {"bow": 6, "cat": 4}


def test_short_drop_leaves_the_class_out_of_training_and_test_for_every_n(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    made = plan(store(table({"bow": 10, "cat": 5, "dog": 10})), short="drop")
    assert made.classes == ("bow", "dog")
    assert made.dropped == ("cat",)
    parts = made.split(0)
    assert set(parts.test["label"]) == set(parts.pool["label"]) == {"bow", "dog"}


def test_one_class_that_is_left_is_too_few(store: Callable[[pd.DataFrame], Collection]) -> None:
    with pytest.raises(FewposeError, match="fewer than two classes have 6 training images in every split"):
        plan(store(table({"bow": 10, "cat": 5})), short="drop")


@pytest.mark.parametrize("short", ["all", "drop"])
def test_a_class_of_one_image_can_not_be_tested_and_is_left_out(
    store: Callable[[pd.DataFrame], Collection], short: str
) -> None:
    made = plan(store(table({"bow": 10, "cat": 10, "dog": 1})), short=short)
    assert made.dropped == ("dog",)


def test_a_class_of_one_picture_in_many_copies_is_refused_for_the_right_reason(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    images = table({"bow": 10, "cat": 10, "dog": 8})
    dogs = images["label"] == "dog"
    images.loc[dogs, "group"] = images.loc[dogs, "id"].min()
    with pytest.raises(UsageError, match=r"a class of one picture .* can't be tested, as dog;"):
        plan(store(images))


def test_two_classes_are_enough_and_one_is_not(store: Callable[[pd.DataFrame], Collection]) -> None:
    assert plan(store(table({"bow": 10, "cat": 10}))).classes == ("bow", "cat")
    with pytest.raises(UsageError, match="at least two classes"):
        plan(store(table({"bow": 10, "cat": 10})), classes=("bow",))


@pytest.mark.slow
def test_chosen_classes_do_not_change_how_the_others_are_split(store: Callable[[pd.DataFrame], Collection]) -> None:
    images = table({"bow": 12, "cat": 12, "dog": 12})
    for number in range(6):  # groups of a bow and a cat, which belong to the class of the smaller id
        images.loc[number, "group"] = images.loc[12 + number, "group"] = min(images["id"][[number, 12 + number]])
    images["group"] = images["group"].map(lambda group: group[::-1])
    images["id"] = images["id"].map(lambda image: image[::-1])
    collection = store(images)
    for classes in (("dog", "bow"), ("cat", "dog")):
        left_out = ({"bow", "cat", "dog"} - set(classes)).pop()
        for number in range(3):
            whole, part = (
                plan(collection, short="all").split(number),
                plan(collection, classes=classes, short="all").split(number),
            )
            assert set(part.test["key"]) == {key for key in whole.test["key"] if not key.startswith(left_out)}
            assert set(part.pool["key"]) == {key for key in whole.pool["key"] if not key.startswith(left_out)}


@pytest.mark.slow
def test_unknown_classes_are_named_beside_those_that_there_are(store: Callable[[pd.DataFrame], Collection]) -> None:
    collection = store(table({"bow": 10, "cat": 10}))
    with pytest.raises(UsageError, match="the collection has no owl, emu; it has bow, cat"):
        plan(collection, classes=("owl", "bow", "emu"))


def test_an_empty_collection_is_said(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "empty")
    with pytest.raises(FewposeError, match="has no images yet; curate import"):
        plan(collection)


def test_unknown_sets_and_methods_are_said_beside_those_that_there_are(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    collection = store(table({"bow": 10, "cat": 10}))
    with pytest.raises(UsageError, match="'best'; there are unfiltered and filtered"):
        plan(collection, sets=("unfiltered", "best"))
    with pytest.raises(UsageError, match="'magic'; there are zero-shot, "):
        plan(collection, methods=("magic",))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("finetune-last", "say how many of the last blocks it trains, from 1 on"),
        ("finetune-last0", "say how many of the last blocks it trains, from 1 on"),
        ("lora2", "only finetune-last has a number behind its name"),
        ("finetune@2", "by a weight from 0 to 1"),
        ("linear-probe@0.5", "averages what proj, lora, finetune-last, finetune trained"),
        ("finetune@", "there is no method 'finetune@'"),
    ],
)
def test_names_of_methods_that_make_no_sense_are_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        methods.parse(name)


def test_a_name_says_what_is_trained_and_what_is_averaged() -> None:
    assert methods.parse("finetune-last12@0.25") == methods.Named("finetune-last", 12, 0.25)
    assert methods.parse("finetune-last12@0.25").training == "finetune-last12"
    assert methods.parse("tip-adapter-f") == methods.Named("tip-adapter-f")


def test_wrong_settings_of_a_method_are_said_before_any_work(store: Callable[[pd.DataFrame], Collection]) -> None:
    collection = store(table({"bow": 10, "cat": 10}))
    with pytest.raises(UsageError, match="augment must be none or flip"):
        plan(collection, methods=("finetune",), recipes={"finetune": {"augment": "rotate"}})
    with pytest.raises(UsageError, match="--lr must be a number, above 0"):
        plan(collection, methods=("finetune",), recipes={"finetune": {"lr": -1.0}})
    with pytest.raises(UsageError, match=r"settings of finetune: .*warmth"):
        plan(collection, methods=("finetune",), recipes={"finetune": {"warmth": 1}})
    with pytest.raises(UsageError, match="--recipe soup: there are paper, lite0"):
        plan(collection, methods=("finetune",), recipe="soup")


@pytest.mark.slow
def test_the_test_set_is_the_same_whatever_is_trained_on(store: Callable[[pd.DataFrame], Collection]) -> None:
    images = table({"bow": 10, "cat": 10})
    images.loc[1, ["id", "group"]] = images.loc[0, ["id", "group"]]  # filtered holds one of the two
    collection = store(images)
    both = plan(collection, sets=("unfiltered", "filtered"))
    for number in range(3):
        alone = [plan(collection, sets=(name,)).split(number) for name in ("unfiltered", "filtered")]
        assert alone[0].digest == alone[1].digest == both.split(number).digest
        assert set(alone[0].test["key"]) == set(alone[1].test["key"])
    assert len(both.sets["filtered"].images) == 19
    assert len(both.sets["unfiltered"].images) == 20


def test_what_a_set_leaves_out_is_not_drawn_and_draws_stay_paired(store: Callable[[pd.DataFrame], Collection]) -> None:
    images = table({"bow": 12, "cat": 12})
    images.loc[1, ["id", "group"]] = images.loc[0, ["id", "group"]]
    made = plan(store(images), sets=("unfiltered", "filtered"))
    left_out = set(made.sets["unfiltered"].images["key"]) - set(made.sets["filtered"].images["key"])
    seen = 0
    for number in range(3):
        parts = made.split(number)
        full = set(made.draw(parts, Trial("unfiltered", "", 6, number))["key"])
        part = set(made.draw(parts, Trial("filtered", "", 6, number))["key"])
        assert not part & left_out
        assert full - part == full & left_out
        seen += len(full & left_out)
    assert seen > 0


@pytest.mark.slow
def test_what_a_person_decided_holds_in_splits_and_draws(store: Callable[[pd.DataFrame], Collection]) -> None:
    collection = store(table({"bow": 12, "cat": 12}))
    before = plan(collection, sets=("unfiltered", "filtered"))
    drawn = before.draw(before.split(0), Trial("filtered", "", 2, 0))["key"]
    moved, dropped = (next(key for key in drawn if key.startswith(label)) for label in ("bow", "cat"))
    decisions.relabel(collection, [moved], "cat")
    decisions.drop(collection, [dropped])
    after = plan(collection, sets=("unfiltered", "filtered"))
    assert dict(after.images["label"].value_counts()) == {"bow": 11, "cat": 13}
    for number in range(3):
        parts = after.split(number)
        everything = pd.concat([parts.test, parts.pool]).set_index("key")
        assert len(everything) == 24  # what was dropped is tested on all the same: both sets have the same tests
        assert everything["label"][moved] == "cat"
        part = after.draw(parts, Trial("filtered", "", 6, number))
        assert dropped not in set(part["key"])
        assert set(part["label"][part["key"] == moved]) <= {"cat"}
    digests = [{each.sets[name].digest for name in each.sets} for each in (before, after)]
    assert [len(each) for each in digests] == [1, 2]
    assert planning.set_digest(before) != planning.set_digest(after)


def test_filtered_of_a_collection_that_was_never_checked_is_refused(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    collection = store(table({"bow": 10, "cat": 10}))
    (collection.root / "checks.json").unlink()
    with pytest.raises(FewposeError, match=r"was never checked.* curate check"):
        plan(collection, sets=("filtered",))


@pytest.mark.slow
def test_the_digest_of_a_set_tells_what_it_holds_and_not_what_files_are_called(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    images = table({"bow": 10, "cat": 10})
    found = plan(store(images))
    renamed = plan(store(images.assign(key=[f"{label}/x{n}" for n, label in enumerate(images["label"])])))
    fewer = plan(store(images.drop(index=3)))
    relabelled = plan(store(images.assign(label=["cat", *images["label"][1:]])))
    digests = [each.sets["unfiltered"].digest for each in (found, renamed, fewer, relabelled)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("column", ["id", "label", "group", "source", "official_split"])
def test_the_digest_of_the_images_covers_all_that_splits_depend_on(
    store: Callable[[pd.DataFrame], Collection], column: str
) -> None:
    images = table({"bow": 10, "cat": 10})
    changed = images.copy()
    value = {"label": "cat", "source": "synthetic", "official_split": "train"}.get(column, "f" * 64)
    changed.loc[0, column] = value
    assert planning.set_digest(plan(store(images))) != planning.set_digest(plan(store(changed)))


def test_the_digest_of_the_images_does_not_depend_on_names_or_order(
    store: Callable[[pd.DataFrame], Collection],
) -> None:
    images = table({"bow": 10, "cat": 10})
    renamed = images.assign(key=[f"{label}/{99 - n}" for n, label in enumerate(images["label"])])
    assert planning.set_digest(plan(store(images))) == planning.set_digest(plan(store(renamed)))


def test_an_official_split_that_is_missing_is_said(store: Callable[[pd.DataFrame], Collection]) -> None:
    with pytest.raises(UsageError, match="this collection has no official split"):
        plan(store(table({"bow": 10, "cat": 10})), split="official")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short": "maybe"}, "--short must be error or all or drop, not 'maybe'"),
        ({"fit": "stretch"}, "--fit must be crop or pad, not 'stretch'"),
        ({"shots": (0,)}, "--shots must be whole numbers, at least 1, such as 43,20,6, not 0"),
        ({"shots": ()}, r"--shots must be whole numbers, at least 1, such as 43,20,6, not \(\)"),
        ({"splits": 0}, "--splits must be a whole number, at least 1, not 0"),
        ({"workers": -1}, "--workers must be a whole number, at least 0, not -1"),
        ({"methods": ()}, r"--methods must be names, not \(\)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SweepSettings.of(**({"collection": Path("c"), "out": Path("o")} | changes))


def test_the_default_recipe_is_the_models_own(tmp_path: Path) -> None:
    def recipe(**changes: Any) -> dict[str, Any]:
        return SweepSettings.of(collection=tmp_path, out=tmp_path, **changes).method_settings("finetune")

    assert recipe(model="lite0")["start"] == "probe"
    assert recipe(model="ViT-B-32/openai")["start"] == "text"
    assert recipe(model="lite0", recipe="paper")["start"] == "text"
    assert recipe(model="lite0", recipes={"finetune": {"lr": 0.5}})["lr"] == 0.5
