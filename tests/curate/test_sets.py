"""A training set is a function of what the pictures are, never of the files' names or their order."""

import numpy as np
import pandas as pd
import pytest

from curate.collection import COLUMNS, REJECT_COLUMNS, Collection
from curate.errors import UsageError
from curate.sets import NAMES, digest, training_set


@pytest.fixture
def empty(tmp_path) -> Collection:
    return Collection.create(tmp_path / "collection")


def image(key: str, id: str, label: str, *, group: str = "", side: int = 100, bytes: int = 1000) -> dict:
    row = {name: "" if kind == "str" else 0 for name, kind in COLUMNS.items()}
    return row | {
        "key": key,
        "id": id,
        "label": label,
        "file": f"images/{key}",
        "width": side,
        "height": side,
        "bytes": bytes,
        "group": group or id,
    }


def with_images(collection: Collection, *rows: dict) -> Collection:
    collection.write(pd.DataFrame(rows).astype(COLUMNS), pd.DataFrame(columns=list(REJECT_COLUMNS)))
    return collection


def ids_of(collection: Collection, name: str) -> list[str]:
    return sorted(training_set(collection, name).images["id"])


def test_unfiltered_is_every_row_of_the_table(empty: Collection) -> None:
    rows = [image("a/1", "i1", "a"), image("a/2", "i1", "a"), image("b/1", "i1", "b"), image("b/2", "i2", "b")]
    found = training_set(with_images(empty, *rows), "unfiltered")
    pd.testing.assert_frame_equal(found.images, empty.images())
    assert len(found.images) == 4


def test_without_copies_and_conflicts_both_sets_are_the_same(empty: Collection) -> None:
    with_images(empty, image("a/1", "i1", "a"), image("a/2", "i2", "a"), image("b/1", "i3", "b"))
    sets = [training_set(empty, name) for name in NAMES]
    pd.testing.assert_frame_equal(sets[0].images, sets[1].images)
    assert sets[0].digest == sets[1].digest


def test_an_empty_collection_has_empty_sets(empty: Collection) -> None:
    assert [len(training_set(empty, name).images) for name in NAMES] == [0, 0]


def test_of_a_group_the_copy_with_most_pixels_is_kept(empty: Collection) -> None:
    rows = [image(f"a/{side}", f"i{side}", "a", group="g", side=side, bytes=10_000 - side) for side in (50, 200, 120)]
    assert ids_of(with_images(empty, *rows), "filtered") == ["i200"]


def test_pixels_are_counted_by_area(empty: Collection) -> None:
    wide = image("a/1", "wide", "a", group="g") | {"width": 400, "height": 10}
    square = image("a/2", "square", "a", group="g") | {"width": 100, "height": 100}
    assert ids_of(with_images(empty, wide, square), "filtered") == ["square"]


def test_of_equal_pixels_the_copy_with_most_bytes_is_kept(empty: Collection) -> None:
    rows = [image(f"a/{size}", f"i{size}", "a", group="g", bytes=size) for size in (500, 900, 700)]
    assert ids_of(with_images(empty, *rows), "filtered") == ["i900"]


def test_a_group_in_two_classes_keeps_one_image_in_each(empty: Collection) -> None:
    rows = [
        image("a/1", "i1", "a", group="g", side=200),
        image("a/2", "i2", "a", group="g"),
        image("b/1", "i3", "b", group="g"),
        image("b/2", "i4", "b", group="g", side=50),
    ]
    assert ids_of(with_images(empty, *rows), "filtered") == ["i1", "i3"]


def test_the_same_bytes_under_two_labels_are_left_out(empty: Collection) -> None:
    rows = [image("a/1", "both", "a"), image("b/1", "both", "b"), image("b/2", "fine", "b")]
    assert ids_of(with_images(empty, *rows), "filtered") == ["fine"]


def test_a_near_copy_of_what_is_left_out_takes_its_place(empty: Collection) -> None:
    """The conflict is about bytes; the smaller copy has one label, and nothing is known against it."""
    rows = [
        image("a/1", "both", "a", group="g", side=200),
        image("b/1", "both", "b", group="g", side=200),
        image("a/2", "near", "a", group="g", side=100),
    ]
    assert ids_of(with_images(empty, *rows), "filtered") == ["near"]


def test_the_same_bytes_twice_under_one_label_are_kept_once(empty: Collection) -> None:
    rows = [image("a/1", "twice", "a"), image("a/2", "twice", "a"), image("a/3", "other", "a")]
    assert ids_of(with_images(empty, *rows), "filtered") == ["other", "twice"]


def crowd(random: np.random.Generator) -> list[dict]:
    """Images in groups and classes, many of them equal in size and bytes, with copies and conflicts."""
    rows = []
    for number in range(80):
        content = f"i{random.integers(60):02}"
        known = next((row for row in rows if row["id"] == content), None)
        about = known or image("", content, "", group=f"g{random.integers(15)}", side=int(random.choice([50, 60])))
        rows.append(about | {"key": f"{number:03}", "label": str(random.choice(["a", "b"]))})
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_neither_file_names_nor_row_order_decide_anything(tmp_path, seed: int, name: str) -> None:
    random = np.random.default_rng(seed)
    rows = crowd(random)
    # Keys decide the order of the rows in the table, so new names are a new order too.
    names = random.permutation(len(rows))
    renamed = [row | {"key": f"{new:03}", "file": f"elsewhere/{new}"} for row, new in zip(rows, names, strict=True)]
    sets = [
        training_set(with_images(Collection.create(tmp_path / str(number)), *table), name)
        for number, table in enumerate([rows, renamed])
    ]
    contents = [sorted(zip(each.images["id"], each.images["label"], strict=True)) for each in sets]
    assert contents[0] == contents[1]
    assert sets[0].digest == sets[1].digest


@pytest.mark.parametrize("seed", range(5))
def test_filtered_is_a_part_of_unfiltered_with_one_image_a_group_and_label(empty: Collection, seed: int) -> None:
    with_images(empty, *crowd(np.random.default_rng(seed)))
    everything, filtered = (training_set(empty, name).images for name in ("unfiltered", "filtered"))
    assert 0 < len(filtered) < len(everything)
    assert not filtered.duplicated(["group", "label"]).any()
    assert not filtered["id"].duplicated().any()
    pd.testing.assert_frame_equal(filtered, everything.loc[filtered.index])
    labels = everything.groupby("id")["label"].nunique()
    undisputed = everything[everything["id"].map(labels) == 1]
    assert set(zip(filtered["group"], filtered["label"], strict=True)) == set(
        zip(undisputed["group"], undisputed["label"], strict=True)
    )


@pytest.mark.parametrize(
    "other",
    [
        [image("a/1", "i1", "a"), image("a/2", "i3", "a")],  # other content
        [image("a/1", "i1", "a"), image("a/2", "i2", "b")],  # another label
        [image("a/1", "i1", "b"), image("a/2", "i2", "a")],
        [image("a/1", "i1", "a")],  # less
        [image("a/1", "i1", "a"), image("a/2", "i2", "a"), image("a/3", "i2", "a")],  # one more copy
    ],
)
def test_the_digest_tells_other_contents_and_labels(other: list[dict]) -> None:
    assert digest(pd.DataFrame([image("a/1", "i1", "a"), image("a/2", "i2", "a")])) != digest(pd.DataFrame(other))


def test_the_digest_is_the_one_that_records_of_earlier_versions_hold() -> None:
    """Raise records' format when this must change: stored sweeps would no longer go on."""
    assert digest(pd.DataFrame([image("a/1", "i1", "a"), image("b/1", "i2", "b")])) == "c3b52bbc07840866"


def test_an_unknown_name_is_refused_with_those_that_there_are(empty: Collection) -> None:
    with pytest.raises(UsageError, match="no training set 'flitered'; there are unfiltered and filtered"):
        training_set(empty, "flitered")
