"""Signatures lie on disk, one record after the other; what is damaged or cut off counts as absent."""

import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation.cache import CannotWrite
from curate.images import signatures
from curate.images.decoding import Cause, Limits, Unreadable
from curate.images.signatures import SIDE, Signature, Signatures, signature_of


def content_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def signature(number: int) -> Signature:
    thumbnail = np.random.default_rng(number).integers(0, 256, SIDE * SIDE, np.uint8)
    thumbnail[-9:] = 0  # a black corner is part of the picture
    return Signature(640 + number, 480, "JPEG", "RGB", 1 + number, thumbnail.tobytes())


def png(number: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def records(collection: Collection) -> Path:
    return collection.cache("signatures", signatures.VERSION, "records")


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection.create(tmp_path / "yoga")


@pytest.fixture
def ten(collection: Collection) -> Collection:
    with Signatures(collection) as known:
        for number in range(10):
            known.add(content_id(number), signature(number))
    return collection


def present(collection: Collection) -> set[int]:
    """Which of the first twenty are known, each of them as it was added."""
    with Signatures(collection) as known:
        found = {number for number in range(20) if content_id(number) in known}
        assert all(known[content_id(number)] == signature(number) for number in found)
    return found


def test_signatures_are_there_again_when_the_collection_is_opened_again(ten: Collection) -> None:
    assert present(ten) == set(range(10))


@pytest.mark.parametrize("mode", ["1", "RGB", "I;16B", "RGBA;16"])
def test_every_fact_is_kept(mode: str, collection: Collection) -> None:
    one = Signature(1, 178_956_970, "AVIF", mode, 100_000, b"\0" * (SIDE * SIDE))
    with Signatures(collection) as known:
        known.add(content_id(0), one)
        assert known[content_id(0)] == one


def test_one_that_is_known_stays_as_it_is(ten: Collection) -> None:
    size = records(ten).stat().st_size
    with Signatures(ten) as known:
        known.add(content_id(3), signature(4))
        assert known[content_id(3)] == signature(3)
    assert records(ten).stat().st_size == size


def test_an_unknown_one_is_a_key_error(ten: Collection) -> None:
    with Signatures(ten) as known:
        with pytest.raises(KeyError):
            known[content_id(99)]
        with pytest.raises(KeyError):
            known.thumbnails([content_id(1), content_id(99)])


def test_cut_at_any_record_or_within_it_the_whole_ones_stay_and_more_can_be_added(ten: Collection) -> None:
    content = records(ten).read_bytes()
    size = len(content) // 10
    for end in sorted({*range(0, len(content) + 1, 997), *range(0, len(content) + 1, size), len(content) - 1}):
        records(ten).write_bytes(content[:end])
        with Signatures(ten) as known:
            known.add(content_id(15), signature(15))
        assert present(ten) == {*range(end // size), 15}


@pytest.mark.parametrize("place", ["id", "facts", "thumbnail", "checksum"])
def test_a_damaged_record_counts_as_absent_and_can_be_added_again(place: str, ten: Collection) -> None:
    content = bytearray(records(ten).read_bytes())
    size = len(content) // 10
    content[4 * size + {"id": 5, "facts": 40, "thumbnail": 2000, "checksum": size - 1}[place]] ^= 1
    records(ten).write_bytes(content)
    assert present(ten) == set(range(10)) - {4}
    with Signatures(ten) as known:
        known.add(content_id(4), signature(4))
    assert present(ten) == set(range(10))


def test_what_a_power_cut_left_as_zeros_counts_as_absent(ten: Collection) -> None:
    with records(ten).open("ab") as file:
        file.write(bytes(20_000))
    assert present(ten) == set(range(10))


def test_records_that_somebody_else_wrote_count_as_absent(ten: Collection) -> None:
    records(ten).write_bytes(b"PAR1" + os.urandom(50_000))
    assert present(ten) == set()
    with Signatures(ten) as known:
        known.add(content_id(1), signature(1))
    assert present(ten) == {1}


def test_what_another_version_kept_is_left_alone(collection: Collection) -> None:
    old = collection.cache("signatures", "1", "1700000000.parquet")
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    assert present(collection) == set()
    assert old.read_bytes() == b"old"


def test_a_look_is_kept_and_not_taken_again(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    with Signatures(collection) as known:
        first = known.of(content_id(0), png(0))
        assert first == signature_of(png(0))
    monkeypatch.setattr("curate.images.signatures.open_image", None)
    with Signatures(collection) as known:
        assert known.of(content_id(0), png(0)) == first


def test_what_cannot_be_read_is_not_kept(collection: Collection) -> None:
    with Signatures(collection) as known:
        with pytest.raises(Unreadable):
            known.of(content_id(0), b"<html>")
        assert content_id(0) not in known


def test_a_known_picture_must_pass_the_limits_of_today(collection: Collection) -> None:
    with Signatures(collection) as known:
        known.of(content_id(0), png(0))
        with pytest.raises(Unreadable) as caught:
            known.of(content_id(0), png(0), Limits(max_pixels=1199))
    assert caught.value.cause == Cause.TOO_MANY_PIXELS


def test_threads_may_look_and_add_at_once(collection: Collection) -> None:
    numbers = [number % 20 for number in range(400)]
    with Signatures(collection) as known:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: known.of(content_id(number), png(number)), numbers))
        assert found == [signature_of(png(number)) for number in range(20)] * 20
    size = records(collection).stat().st_size
    with Signatures(collection) as known:
        assert all(known[content_id(number)] == found[number] for number in range(20))
        known.add(content_id(99), signature(99))
    assert records(collection).stat().st_size == size // 20 * 21  # each was written once


def test_thumbnails_are_read_in_the_order_that_is_asked_for(ten: Collection) -> None:
    order = [7, 0, 3, 3, 9]
    expected = np.stack([np.frombuffer(signature(n).thumbnail, np.uint8).reshape(SIDE, SIDE) for n in order])
    with Signatures(ten) as known:
        lazy = known.thumbnails(content_id(number) for number in order)
        assert len(lazy) == 5
        for which in (slice(None), slice(1, 4), slice(4, 99), slice(5, 9), np.array([4, 0, 0]), np.array([], np.int64)):
            assert np.array_equal(lazy[which], expected[which])
            assert lazy[which].dtype == np.uint8
        assert known.thumbnails([])[:].shape == (0, SIDE, SIDE)


def test_a_full_disk_is_an_error_and_what_was_written_before_stays(
    ten: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    with Signatures(ten) as known:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda descriptor, record, at: real(descriptor, record[:1000], at))
            with pytest.raises(CannotWrite, match=r"signatures/.* can't be written to \(No space left.*--cache DIR"):
                known.add(content_id(15), signature(15))
        assert content_id(15) not in known
        known.add(content_id(16), signature(16))
    assert present(ten) == {*range(10), 16}


@pytest.mark.slow
def test_what_a_killed_process_had_looked_at_is_known(collection: Collection) -> None:
    program = """
import sys
from pathlib import Path
from curate.collection.directory import Collection
from curate.images.signatures import SIDE, Signature, Signatures
known = Signatures(Collection(Path(sys.argv[1])))
for number in range(10**9):
    known.add(f"{number:064x}", Signature(number, 1, "JPEG", "RGB", 1, bytes(SIDE * SIDE)))
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(collection.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(200):
        last = process.stdout.readline()
    process.kill()
    process.communicate()
    with Signatures(collection) as known:
        assert all(known[f"{number:064x}"].width == number for number in range(int(last) + 1))


@pytest.mark.slow
def test_twenty_thousand_take_little_memory(collection: Collection) -> None:
    program = """
import sys, tracemalloc
from pathlib import Path
from curate.collection.directory import Collection
from curate.images.signatures import SIDE, Signature, Signatures
known = Signatures(Collection(Path(sys.argv[1])))
tracemalloc.start()
for number in range(20_000):
    known.add(f"{number:064x}", Signature(number, 1, "JPEG", "RGB", 1, bytes(SIDE * SIDE)))
print(tracemalloc.get_traced_memory()[0])
"""
    command = [sys.executable, "-c", program, str(collection.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 20_000
