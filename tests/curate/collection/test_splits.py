"""Splits and draws depend on content alone, and a changed collection changes them as little as it can."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings

from curate.collection.splits import Split, draw, draw_digest, split, trial_seed
from curate.collection.splitting import Splitting
from curate.foundation.errors import UsageError

CLASSES = ("bow", "cat", "dog")
NEW = 5 * 10**9  # the content and the pile of an image that joins
FEW = settings(max_examples=20, deadline=None)


def content_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def table(rows: list[tuple[int, str, int]], official: dict[int, str] | None = None) -> pd.DataFrame:
    """Images from (content, label, pile); a pile is a group, whose name is the smallest id in it."""
    smallest: dict[int, str] = {}
    for content, _, pile in rows:
        smallest[pile] = min(smallest.get(pile, "z"), content_id(content))
    return pd.DataFrame(
        {
            "key": [f"{label}/{number}.jpg" for number, (_, label, _) in enumerate(rows)],
            "id": [content_id(content) for content, _, _ in rows],
            "label": [label for _, label, _ in rows],
            "source": "import",
            "official_split": [(official or {}).get(content, "") for content, _, _ in rows],
            "group": [smallest[pile] for _, _, pile in rows],
        }
    )


@st.composite
def singles(draw_from: Callable[..., Any], least: int = 2, most: int = 9) -> list[tuple[int, str, int]]:
    """Every image a group of its own, so many of each class."""
    sizes = [draw_from(st.integers(least, most)) for _ in CLASSES]
    offset = draw_from(st.integers(0, 10**6)) * 1000
    labels = [label for label, size in zip(CLASSES, sizes, strict=True) for _ in range(size)]
    return [(offset + number, label, number) for number, label in enumerate(labels)]


@st.composite
def tables(draw_from: Callable[..., Any]) -> list[tuple[int, str, int]]:
    """Images with copies, exact (one content) and near (one pile), some of them under another label."""
    rows = draw_from(singles())
    for _ in range(draw_from(st.integers(0, 6))):
        content, label, pile = rows[draw_from(st.integers(0, len(rows) - 1))]
        content = content if draw_from(st.booleans()) else NEW + len(rows)
        label = draw_from(st.sampled_from(CLASSES)) if draw_from(st.integers(0, 3)) == 0 else label
        rows.append((content, label, pile))
    result: list[tuple[int, str, int]] = rows
    return result


splittings = st.builds(
    Splitting,
    test_fraction=st.sampled_from([0.1, 0.2, 0.34, 0.5]),
    seed=st.integers(0, 5),
)
numbers = st.integers(0, 100)


def held(images: pd.DataFrame) -> Counter[Any]:
    """What a set of images is, whatever its rows and files are called."""
    return Counter(zip(images["id"], images["label"], strict=True))


def sides(parts: Split) -> dict[str, str]:
    """For each group, the side that it is on."""
    return dict.fromkeys(parts.pool["group"], "pool") | dict.fromkeys(parts.test["group"], "test")


def moved(before: Split, after: Split) -> set[str]:
    """The groups of both that changed sides."""
    one, other = sides(before), sides(after)
    return {group for group in one.keys() & other.keys() if one[group] != other[group]}


def of(images: pd.DataFrame, label: str) -> Counter[Any]:
    return held(images[images["label"] == label])


@pytest.mark.slow
@FEW
@given(tables(), splittings, numbers, st.randoms(use_true_random=False))
def test_the_order_of_rows_plays_no_part(rows: list[Any], how: Splitting, number: int, shuffler: random.Random) -> None:
    images = table(rows)
    order = list(range(len(images)))
    shuffler.shuffle(order)
    one, other = split(images, number, how), split(images.iloc[order], number, how)
    assert set(one.test["key"]) == set(other.test["key"])
    assert set(one.pool["key"]) == set(other.pool["key"])
    # Even the order in which a method gets its images is the same.
    assert list(draw(one.pool, 3, number, 0)["key"]) == list(draw(other.pool, 3, number, 0)["key"])


@pytest.mark.slow
@FEW
@given(tables(), splittings, numbers)
def test_the_names_of_files_play_no_part(rows: list[Any], how: Splitting, number: int) -> None:
    images = table(rows)
    renamed = images.assign(key=[f"{hashlib.md5(key.encode()).hexdigest()}.png" for key in images["key"]])  # noqa: S324
    one, other = split(images, number, how), split(renamed, number, how)
    assert held(one.test) == held(other.test)
    drawn, again = draw(one.pool, 3, number, 0), draw(other.pool, 3, number, 0)
    assert list(drawn["id"] + drawn["label"]) == list(again["id"] + again["label"])
    assert one.digest == other.digest
    assert draw_digest(drawn) == draw_digest(again)


@FEW
@given(tables(), splittings, numbers)
def test_every_image_is_on_one_side_and_every_group_as_well(rows: list[Any], how: Splitting, number: int) -> None:
    images = table(rows)
    parts = split(images, number, how)
    assert sorted([*parts.test["key"], *parts.pool["key"]]) == sorted(images["key"])
    assert not set(parts.test["group"]) & set(parts.pool["group"])


@FEW
@given(singles(), splittings, numbers)
def test_each_class_has_its_share_to_test_on_and_something_to_learn_from(
    rows: list[Any], how: Splitting, number: int
) -> None:
    images = table(rows)
    parts = split(images, number, how)
    for label in CLASSES:
        size, tested = (images["label"] == label).sum(), (parts.test["label"] == label).sum()
        assert 1 <= tested <= size - 1
        assert abs(tested - how.test_fraction * size) <= 1


@pytest.mark.slow
@FEW
@given(singles(), splittings, numbers, st.sampled_from(CLASSES), st.integers(1, 4))
def test_one_more_image_moves_at_most_one_other_and_of_its_own_class(
    rows: list[Any], how: Splitting, number: int, label: str, shots: int
) -> None:
    images, grown = table(rows), table([*rows, (NEW, label, NEW)])
    before, after = split(images, number, how), split(grown, number, how)
    changed = moved(before, after)
    assert len(changed) <= 1
    assert set(images.loc[images["group"].isin(changed), "label"]) <= {label}
    drawn, redrawn = draw(before.pool, shots, number, how.seed), draw(after.pool, shots, number, how.seed)
    for other in set(CLASSES) - {label}:
        assert of(drawn, other) == of(redrawn, other)
    assert (of(drawn, label) - of(redrawn, label)).total() <= 1
    assert (of(redrawn, label) - of(drawn, label)).total() <= 1


@pytest.mark.slow
@FEW
@given(tables(), splittings, numbers, st.sampled_from(CLASSES))
def test_one_more_image_moves_at_most_one_group_however_the_others_are_copied_and_labelled(
    rows: list[Any], how: Splitting, number: int, label: str
) -> None:
    before = split(table(rows), number, how)
    after = split(table([*rows, (NEW, label, NEW)]), number, how)
    assert len(moved(before, after)) <= 1


@FEW
@given(singles(least=3), splittings, numbers, st.sampled_from(CLASSES))
def test_whatever_leaves_the_relative_order_of_the_others_stays(
    rows: list[Any], how: Splitting, number: int, label: str
) -> None:
    grown = table([*rows, (NEW, label, NEW)])
    before = draw(table(rows), 100, number, how.seed)
    after = draw(grown, 100, number, how.seed)
    assert list(before["id"]) == [image for image in after["id"] if image != content_id(NEW)]


@pytest.mark.slow
@FEW
@given(tables(), splittings, numbers, st.data())
def test_a_second_copy_of_a_file_moves_no_group(
    rows: list[Any], how: Splitting, number: int, data: st.DataObject
) -> None:
    copied = data.draw(st.sampled_from(rows))
    before, after = split(table(rows), number, how), split(table([*rows, copied]), number, how)
    assert not moved(before, after)


@pytest.mark.slow
@FEW
@given(tables(), splittings, numbers, st.data())
def test_a_near_copy_that_does_not_rename_its_group_moves_no_group(
    rows: list[Any], how: Splitting, number: int, data: st.DataObject
) -> None:
    _, label, pile = data.draw(st.sampled_from(rows))
    images, grown = table(rows), table([*rows, (NEW, label, pile)])
    assume(set(images["group"]) == set(grown["group"]))  # its id is not the smallest of its group
    assert not moved(split(images, number, how), split(grown, number, how))


@pytest.mark.slow
@FEW
@given(singles(), splittings, numbers, st.data())
def test_a_near_copy_that_renames_its_group_moves_at_most_one_other(
    rows: list[Any], how: Splitting, number: int, data: st.DataObject
) -> None:
    _, label, pile = data.draw(st.sampled_from(rows))
    images, grown = table(rows), table([*rows, (NEW, label, pile)])
    assume(set(images["group"]) != set(grown["group"]))
    assert len(moved(split(images, number, how), split(grown, number, how))) <= 1


@pytest.mark.slow
@FEW
@given(tables(), splittings, numbers)
def test_draws_are_nested(rows: list[Any], how: Splitting, number: int) -> None:
    pool = split(table(rows), number, how).pool
    six, twenty, forty = (set(draw(pool, shots, number, how.seed)["key"]) for shots in (2, 4, 7))
    assert six <= twenty <= forty


def test_draws_of_6_20_and_43_are_nested_and_of_that_size() -> None:
    pool = split(table([(number, CLASSES[number % 3], number) for number in range(180)]), 0, Splitting()).pool
    drawn = {shots: draw(pool, shots, 0, 0) for shots in (6, 20, 43)}
    counts = {shots: set(images["label"].value_counts()) for shots, images in drawn.items()}
    assert counts == {6: {6}, 20: {20}, 43: {43}}
    assert set(drawn[6]["key"]) < set(drawn[20]["key"]) < set(drawn[43]["key"])


def test_a_short_class_gives_what_it_has_without_repetition() -> None:
    pool = table([(0, "bow", 0), (1, "bow", 1), *((number, "cat", number) for number in range(2, 12))])
    drawn = draw(pool, 5, 0, 0)
    assert dict(drawn["label"].value_counts()) == {"cat": 5, "bow": 2}
    assert drawn["key"].is_unique


def test_an_image_that_a_set_leaves_out_is_replaced_by_the_next_in_the_draw() -> None:
    pool = table([(number, "cat", number) for number in range(30)])
    full = draw(pool, 6, 3, 0)
    without = draw(pool[pool["key"] != full["key"].iloc[2]], 6, 3, 0)
    assert (held(full) - held(without)).total() == 1
    assert (held(without) - held(full)).total() == 1
    assert (held(without) - held(draw(pool, 7, 3, 0))).total() == 0


def test_splits_differ_by_number_and_by_seed_and_seed_0_is_one() -> None:
    images = table([(number, CLASSES[number % 3], number) for number in range(60)])
    digests = {
        (number, seed): split(images, number, Splitting(seed=seed)).digest for number in range(5) for seed in range(4)
    }
    assert len(set(digests.values())) == 20
    pool = split(images, 0, Splitting()).pool
    assert len({draw_digest(draw(pool, 3, number, seed)) for number in range(5) for seed in range(4)}) == 20


@pytest.mark.slow
def test_over_many_splits_each_image_is_tested_about_as_often() -> None:
    images = table([(number, "cat", number) for number in range(40)])
    tested = Counter(key for number in range(150) for key in split(images, number, Splitting()).test["key"])
    assert len(tested) == 40
    assert min(tested.values()) > 12  # 30 of 150 is expected, with a standard deviation of 5
    assert max(tested.values()) < 48


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    images = table([(number, CLASSES[number % 3], number) for number in range(60)])
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        states = random.getstate(), str(np.random.get_state())
        parts = split(images, 0, Splitting())
        found.append((parts.digest, draw_digest(draw(parts.pool, 3, 0, 0)), trial_seed(0, "a")))
        assert (random.getstate(), str(np.random.get_state())) == states
    assert found[0] == found[1]


# If these must change, so does every published number.
GOLDEN_TEST = ["bow/21.jpg", "cat/16.jpg", "cat/4.jpg", "dog/17.jpg", "dog/20.jpg", "dog/5.jpg"]
GOLDEN_DRAW = ["bow/27.jpg", "bow/18.jpg", "cat/7.jpg", "cat/13.jpg", "dog/8.jpg", "dog/26.jpg"]
GOLDEN_DIGESTS = ("2a9a1bc7fd439f06", "3f43104597540fb5")
GOLDEN_SEED = 5111584869758710538


def test_the_same_images_on_every_machine_and_version() -> None:
    images = table([(number, CLASSES[number % 3], number // 2) for number in range(30)])
    parts = split(images, 7, Splitting(seed=0))
    drawn = draw(parts.pool, 2, 7, 0)
    assert sorted(parts.test["key"]) == GOLDEN_TEST
    assert list(drawn["key"]) == GOLDEN_DRAW
    assert (parts.digest, draw_digest(drawn)) == GOLDEN_DIGESTS
    assert trial_seed(0, "unfiltered/finetune/n06/s003") == GOLDEN_SEED


def test_a_class_of_one_group_is_for_learning_only() -> None:
    images = table([(0, "bow", 0), (1, "bow", 0), *((number, "cat", number) for number in range(2, 12))])
    parts = split(images, 0, Splitting(test_fraction=0.9))
    assert (parts.test["label"] == "bow").sum() == 0
    assert (parts.pool["label"] == "bow").sum() == 2


def test_synthetic_images_are_neither_tested_nor_drawn_and_move_nothing() -> None:
    images = table([(number, CLASSES[number % 3], number) for number in range(30)])
    made = table([(1000 + number, CLASSES[number % 3], 1000 + number) for number in range(30)])
    both = pd.concat([images, made.assign(source="synthetic", key="synthetic/" + made["key"])], ignore_index=True)
    one, other = split(images, 0, Splitting()), split(both, 0, Splitting())
    assert set(other.test["key"]) == set(one.test["key"])
    assert set(other.pool["key"]) == set(one.pool["key"])


def test_the_official_test_images_are_the_test_images_of_every_split() -> None:
    official = {number: "test" if number % 5 == 0 else "train" for number in range(30)}
    images = table([(number, CLASSES[number % 3], number) for number in range(30)], official)
    tests = [split(images, number, Splitting("official")).test for number in range(3)]
    assert all(set(test["key"]) == set(images.loc[images["official_split"] == "test", "key"]) for test in tests)
    pools = [split(images, number, Splitting("official")).pool for number in range(3)]
    assert len({draw_digest(draw(pool, 3, number, 0)) for number, pool in enumerate(pools)}) == 3


def test_a_copy_of_an_official_test_image_leaves_the_official_training_part() -> None:
    official = {number: "test" if number < 6 else "train" for number in range(30)}
    images = table([(number, CLASSES[number % 3], number % 29) for number in range(30)], official)  # 29 copies 0
    parts = split(images, 0, Splitting("official"))
    assert content_id(0) in set(parts.test["id"])
    assert content_id(29) not in set(parts.pool["id"]) | set(parts.test["id"])
    assert len(parts.pool) == 23


def test_an_official_split_that_the_collection_lacks_is_said() -> None:
    with pytest.raises(UsageError, match="has no official split"):
        split(table([(0, "bow", 0), (1, "cat", 1)]), 0, Splitting("official"))


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_test_fraction_outside_0_and_1_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="--test-fraction must be a number, above 0 and below 1"):
        Splitting(test_fraction=fraction)


def test_an_unknown_kind_of_split_is_refused() -> None:
    kind: Any = "alphabetical"
    with pytest.raises(UsageError, match="--split must be random or official, not 'alphabetical'"):
        Splitting(kind)
