from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from curate.collection.file_writer import FileWriter
from curate.download.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    collection = Collection.create(tmp_path / "c")
    with FileWriter(collection) as writer:
        yield Store(collection, writer)


def name(content: bytes) -> str:
    return sha256(content).hexdigest()


def put(store: Store, key: str, content: bytes) -> str | None:
    return store.put(key, name(content), content)


def find(store: Store, key: str, content: bytes) -> str | None:
    return store.find(key, name(content), len(content))


def test_bytes_lie_under_their_key_and_are_found_there(store: Store) -> None:
    assert find(store, "tree/1.jpg", b"picture") is None
    assert put(store, "tree/1.jpg", b"picture") == "images/tree/1.jpg"
    assert find(store, "tree/1.jpg", b"picture") == "images/tree/1.jpg"
    assert store.read("images/tree/1.jpg") == b"picture"
    assert find(store, "tree/2.jpg", b"picture") is None


def test_other_bytes_stay_where_they_are_and_these_go_beside(store: Store) -> None:
    put(store, "tree/1.jpg", b"placeholder")
    beside = f"images/tree/1~{name(b'picture')[:12]}.jpg"
    assert put(store, "tree/1.jpg", b"picture") == beside
    assert (store.read("images/tree/1.jpg"), store.read(beside)) == (b"placeholder", b"picture")
    assert find(store, "tree/1.jpg", b"picture") == beside
    assert find(store, "tree/1.jpg", b"placeholder") == "images/tree/1.jpg"
    assert put(store, "tree/1.jpg", b"picture") == beside


def test_other_bytes_of_the_same_length_are_not_taken_for_these(store: Store) -> None:
    put(store, "tree/1.bmp", b"first.")
    beside = put(store, "tree/1.bmp", b"second")
    assert beside != "images/tree/1.bmp"
    assert find(store, "tree/1.bmp", b"second") == beside
    assert find(store, "tree/1.bmp", b"first.") == "images/tree/1.bmp"


def test_what_a_power_cut_left_of_a_file_is_replaced(store: Store, tmp_path: Path) -> None:
    put(store, "tree/1.jpg", b"picture")
    (tmp_path / "c/images/tree/1.jpg").write_bytes(b"")
    assert find(store, "tree/1.jpg", b"picture") is None
    assert put(store, "tree/1.jpg", b"picture") == "images/tree/1.jpg"
    assert store.read("images/tree/1.jpg") == b"picture"


def test_a_name_that_the_file_system_cannot_hold_is_told(store: Store) -> None:
    assert put(store, f"tree/{'x' * 300}.jpg", b"picture") is None
    put(store, "tree/1.jpg", b"picture")
    assert put(store, "tree/1.jpg/2.jpg", b"picture") is None  # a file is in the way of the folder
    assert find(store, "tree/1.jpg/2.jpg", b"picture") is None


def test_a_key_without_an_extension_has_a_place_beside_too(store: Store) -> None:
    put(store, "tree/1", b"placeholder")
    assert put(store, "tree/1", b"picture") == f"images/tree/1~{name(b'picture')[:12]}"
