"""Rows are kept by content id, and nothing but what was added ever comes back; what it means is the callers' tests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.foundation import cache as caching
from curate.foundation.cache import RowCache, in_shards

IDS = ["a", "b", "c", "d", "e"]


def rows(count: int = len(IDS), start: int = 0) -> np.ndarray:
    return np.arange(start, start + 3 * count, dtype=np.float32).reshape(count, 3)


def filled(folder: Path) -> RowCache:
    cache = RowCache(folder)
    cache.add(IDS[:2], rows(2))
    cache.add(IDS[2:], rows(3, 6))
    return cache


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("reopened", [False, True])
def test_rows_come_in_the_order_asked_for_and_as_often(tmp_path: Path, reopened: bool) -> None:
    cache = filled(tmp_path)
    cache = RowCache(tmp_path) if reopened else cache
    assert cache.take("dab").tolist() == rows()[[3, 0, 1]].tolist()
    assert cache.take(["a", "a"]).tolist() == rows()[[0, 0]].tolist()
    assert cache.take([]).shape == (0,)
    assert "e" in cache and "f" not in cache


@pytest.mark.parametrize(
    "given", [np.zeros((2, 0)), np.ones(2, np.uint8), np.ones((2, 3, 4, 5), np.int16)[:, ::-1], np.ones((2, 2), bool)]
)
def test_rows_of_any_shape_and_type_are_kept_as_they_are(tmp_path: Path, given: np.ndarray) -> None:
    RowCache(tmp_path).add(IDS[:2], given)
    found = RowCache(tmp_path).take(IDS[:2])
    assert (found.dtype, found.shape) == (given.dtype, given.shape)
    np.testing.assert_array_equal(found, given)


def test_what_is_taken_is_the_callers_own(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.take(IDS)[:] = 0
    np.testing.assert_array_equal(cache.take(IDS), rows())


def test_what_is_missing_is_told_once_and_in_order(tmp_path: Path) -> None:
    assert filled(tmp_path).missing("xaycxa") == ["x", "y"]


def test_what_is_not_here_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        filled(tmp_path).take("af")


def test_ids_and_rows_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 ids and 3 rows"):
        RowCache(tmp_path).add("ab", rows(3))


def test_of_nothing_nothing_is_written(tmp_path: Path) -> None:
    RowCache(tmp_path).add([], np.empty((0, 3)))
    assert list(tmp_path.iterdir()) == []


def test_shards_are_of_so_many_and_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "SHARD", 2)
    assert list(in_shards(IDS)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(in_shards([])) == []


def test_damage_is_found_by_who_asks_for_rows_and_by_who_asks_what_is_missing(tmp_path: Path) -> None:
    filled(tmp_path)
    for path in tmp_path.glob("*.npy"):
        flip(path)
    with pytest.raises(KeyError):
        RowCache(tmp_path).take("a")
    assert RowCache(tmp_path).missing(IDS) == IDS
    assert list(tmp_path.iterdir()) == []


def test_only_shards_that_are_asked_for_are_looked_at(tmp_path: Path) -> None:
    filled(tmp_path)
    for path in tmp_path.glob("*.npy"):
        if len(np.load(path)) == 3:
            flip(path)
    assert RowCache(tmp_path).missing("ab") == []
    assert RowCache(tmp_path).missing("abc") == ["c"]


def test_any_part_can_be_deleted_and_what_is_open_goes_on(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    for path in sorted(tmp_path.iterdir())[::2]:
        path.unlink()
    np.testing.assert_array_equal(cache.take(IDS), rows())
    assert sorted(RowCache(tmp_path).missing(IDS)) == IDS


def test_two_that_computed_other_rows_of_the_same_images_are_never_mixed(tmp_path: Path) -> None:
    """Whoever's file comes last: the rows are one's or the other's, or count as missing."""
    one, other = RowCache(tmp_path), RowCache(tmp_path)
    one.add(IDS, rows())
    (index,) = tmp_path.glob("*.json")
    first = index.read_bytes()
    other.add(IDS, -rows())
    np.testing.assert_array_equal(one.take(IDS), rows())
    np.testing.assert_array_equal(RowCache(tmp_path).take(IDS), -rows())
    index.write_bytes(first)  # the first's index after the second's array
    assert RowCache(tmp_path).missing(IDS) == IDS


@pytest.mark.parametrize(
    "changes",
    [{"dtype": "<i4"}, {"dtype": ">f4"}, {"shape": [1, 3]}, {"shape": "3"}, {"shape": None}, {"ids": IDS[:3]}],
    ids=str,
)
def test_an_index_that_promises_something_else_is_not_believed(tmp_path: Path, changes: dict[str, Any]) -> None:
    filled(tmp_path)
    for index in tmp_path.glob("*.json"):
        index.write_text(json.dumps(json.loads(index.read_bytes()) | changes))
    assert RowCache(tmp_path).missing(IDS) == IDS


def test_no_pickled_object_is_loaded(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "mark").touch()

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return os.unlink, (str(tmp_path / "mark"),)

    for path in tmp_path.glob("*.npy"):
        np.save(path, np.array([Evil()] * 3), allow_pickle=True)
    assert RowCache(tmp_path).missing(IDS) == IDS
    assert (tmp_path / "mark").exists()


def test_merged_shards_are_one_and_keep_what_else_they_held(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.merge("abc")
    assert sorted(len(np.load(path)) for path in tmp_path.glob("*.npy")) == [3, 3]  # d and e stay where they were
    for each in (cache, RowCache(tmp_path)):
        np.testing.assert_array_equal(each.take(IDS), rows())
    cache.merge(IDS)
    assert [len(np.load(path)) for path in tmp_path.glob("*.npy")] == [5]
    np.testing.assert_array_equal(RowCache(tmp_path).take(IDS), rows())
    cache.merge(IDS)
    cache.merge([])
    np.testing.assert_array_equal(cache.take(IDS), rows())


WRITER = """
import sys
from pathlib import Path
import numpy as np
from curate.foundation.cache import RowCache

cache = RowCache(Path(sys.argv[1]))
for number in range(100_000):
    ids = [f"{number}-{row}" for row in range(20)]
    cache.add(ids, np.full((20, 1000), number))
    print(number, flush=True)
"""


@pytest.mark.slow
def test_killed_while_it_writes_nothing_that_was_confirmed_is_lost(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            confirmed = [int(process.stdout.readline()) for _line in range(10)]
            process.send_signal(signal.SIGKILL)
        cache = RowCache(tmp_path)
        for number in confirmed:
            ids = [f"{number}-{row}" for row in range(20)]
            assert cache.missing(ids) == []
            assert (cache.take(ids) == number).all()
