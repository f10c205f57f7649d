"""Every image is decoded once, and no damage to the cache ever reaches who asks for pixels."""

import io
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation import cache as caching
from curate.foundation.errors import FewposeError
from curate.images import pixels
from curate.images.decoding import Limits, open_image
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.importing.importer import import_folder

SMALL = Transform(32)


def photo(seed: int, width: int = 60, height: int = 45) -> Image.Image:
    walk = np.random.default_rng(seed).normal(size=(height, width, 3)).cumsum(0).cumsum(1)
    return Image.fromarray((128 + 4 * walk).clip(0, 255).astype(np.uint8))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Collection]:
    """Makes a collection of pictures, each given as an image (then a PNG) or as a file's bytes."""

    def made(*pictures: Image.Image | bytes, **options: Any) -> Collection:
        folder = tmp_path / "photos" / "class"
        folder.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            if isinstance(picture, bytes):
                (folder / f"{number:02}.jpg").write_bytes(picture)
            else:
                picture.save(folder / f"{number:02}.png")
        import_folder(tmp_path / "photos", tmp_path / "collection", **options)
        return Collection.open(tmp_path / "collection")

    return made


@pytest.fixture
def collection(make: Callable[..., Collection]) -> Collection:
    return make(*(photo(seed) for seed in range(6)))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each image that is decoded from now on."""
    calls: list[int] = []

    def counted(content: bytes, **options: Any) -> object:
        calls.append(len(content))
        return open_image(content, **options)

    monkeypatch.setattr(pixels, "open_image", counted)
    return calls


def expected(collection: Collection, transform: Transform = SMALL) -> np.ndarray:
    """What the cache must hold, decoded without it, in the order of the table."""
    files = collection.images()["file"]
    return np.stack([transform.apply(open_image(collection.path(file).read_bytes()).image) for file in files])


def filled(collection: Collection, transform: Transform = SMALL) -> PixelCache:
    cache = PixelCache(collection, transform)
    cache.fill(collection.images())
    return cache


def shards(collection: Collection, suffix: str) -> list[Path]:
    return sorted(collection.cache("pixels", SMALL.name).glob(f"[!.]*{suffix}"))


def assert_right(cache: PixelCache) -> None:
    images = cache.collection.images()
    np.testing.assert_array_equal(cache.take(images["id"]), expected(cache.collection))


def test_the_pixels_are_those_of_the_decoded_picture(collection: Collection) -> None:
    assert_right(filled(collection))


def test_every_transform_has_pixels_of_its_own(collection: Collection) -> None:
    for transform in (Transform(32), Transform(32, "pad"), Transform(48)):
        found = filled(collection, transform).take(collection.images()["id"])
        np.testing.assert_array_equal(found, expected(collection, transform))


def test_pixels_come_in_the_order_asked_for_and_as_often(collection: Collection) -> None:
    ids = list(collection.images()["id"])
    asked = [4, 0, 0, 5, 1, 4]
    found = filled(collection).take([ids[number] for number in asked])
    np.testing.assert_array_equal(found, expected(collection)[asked])


def test_no_ids_are_no_pixels(collection: Collection) -> None:
    assert filled(collection).take([]).shape == (0, 32, 32, 3)


def test_what_is_taken_can_be_changed_without_changing_the_cache(collection: Collection) -> None:
    cache = filled(collection)
    cache.take(collection.images()["id"])[:] = 0
    assert_right(cache)


def test_an_image_that_was_never_filled_is_a_key_error(collection: Collection) -> None:
    cache = PixelCache(collection, SMALL)
    cache.fill(collection.images().head(2))
    with pytest.raises(KeyError):
        cache.take([collection.images()["id"].iloc[3]])


def test_each_image_is_decoded_once(collection: Collection, decoded: list[int]) -> None:
    cache = filled(collection)
    cache.fill(collection.images())
    assert_right(filled(collection))
    assert len(decoded) == 6


def test_copies_are_decoded_once(make: Callable[..., Collection], decoded: list[int]) -> None:
    collection = make(photo(1), photo(2), photo(1))
    assert_right(filled(collection))
    assert len(decoded) == 2


def test_only_what_is_new_is_decoded(collection: Collection, decoded: list[int]) -> None:
    PixelCache(collection, SMALL).fill(collection.images().iloc[[1, 4]])
    assert len(decoded) == 2
    assert_right(filled(collection))
    assert len(decoded) == 6


def test_a_fill_in_several_shards_is_the_same(
    collection: Collection, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "SHARD", 4)
    assert_right(filled(collection))
    assert_right(filled(collection))
    assert len(shards(collection, ".npy")) == 2
    assert len(decoded) == 6


def test_an_empty_table_fills_nothing(collection: Collection) -> None:
    PixelCache(collection, SMALL).fill(collection.images().head(0))
    assert shards(collection, "") == []


# JPEG drafts


@pytest.fixture(scope="module")
def large_jpeg() -> bytes:
    """2400 x 1800, as smooth as a photograph of that size is from pixel to pixel."""
    down, right = np.mgrid[:1800, :2400] / 300
    waves = [np.sin(down * a + right * b) for a, b in ((3, 1), (1, -4), (-2, 5))]
    file = io.BytesIO()
    Image.fromarray((127 + 100 * np.stack(waves, axis=2)).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_large_jpeg_decoded_small_has_nearly_the_same_pixels(
    make: Callable[..., Collection], large_jpeg: bytes, fit: str
) -> None:
    """On average within half a grey level of 255 of a full decode, and nowhere more than six away."""
    collection = make(large_jpeg)
    transform = Transform(224, fit)
    found = filled(collection, transform).take(collection.images()["id"])
    difference = np.abs(found.astype(int) - expected(collection, transform).astype(int))
    assert difference.mean() < 0.5
    assert difference.max() <= 6


@pytest.mark.slow
def test_a_large_jpeg_is_decoded_smaller_than_it_is(
    make: Callable[..., Collection], large_jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    really = Transform.apply

    def apply(transform: Transform, image: Image.Image) -> np.ndarray:
        sizes.append(image.size)
        return really(transform, image)

    collection = make(large_jpeg)
    monkeypatch.setattr(Transform, "apply", apply)
    filled(collection, Transform(224))
    assert sizes == [(600, 450)]


def test_a_jpeg_on_its_side_is_upright_when_decoded_small(make: Callable[..., Collection]) -> None:
    picture = np.zeros((1600, 1200, 3), np.uint8)
    picture[:800] = 255  # white above, once turned by a quarter: the file's top is the right side
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", exif=exif)
    collection = make(file.getvalue())
    found = filled(collection).take(collection.images()["id"])[0]
    np.testing.assert_allclose(found, expected(collection)[0], atol=6)
    assert found[:, 20:].mean() > 250 > 5 > found[:, :12].mean()


def test_what_a_raised_limit_let_in_is_decoded(make: Callable[..., Collection]) -> None:
    file = io.BytesIO()
    Image.new("L", (8000, 8001), 77).save(file, "JPEG")
    collection = make(file.getvalue(), limits=Limits(max_pixels=70_000_000))
    assert (filled(collection).take(collection.images()["id"]) == 77).all()


# Damage to the cache


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def exchange_ids(path: Path) -> None:
    ids = json.loads(path.read_bytes())["ids"]
    edit(path, ids=[ids[1], ids[0], *ids[2:]])


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "npy empty": lambda shard: truncate(shard, 0),
    "npy cut in its header": lambda shard: truncate(shard, 40),
    "npy cut after its header": lambda shard: truncate(shard, 128),
    "npy cut by a byte": lambda shard: truncate(shard, -1),
    "npy garbage": lambda shard: shard.write_bytes(os.urandom(5000)),
    "npy a zip file": lambda shard: shard.write_bytes(b"PK\x03\x04" + os.urandom(5000)),
    "npy an empty zip file": lambda shard: shard.write_bytes(b"PK\x05\x06" + bytes(18)),
    "npy of objects": lambda shard: shard.write_bytes(npy(np.array([{}])[:0])),
    "npy of other numbers": lambda shard: shard.write_bytes(npy(np.zeros((6, 32, 32, 3), np.int8))),
    "npy of another order": lambda shard: shard.write_bytes(npy(np.zeros((6, 32, 32, 3), np.uint8, order="F"))),
    "npy too long": lambda shard: shard.write_bytes(npy(np.zeros((7, 32, 32, 3), np.uint8))),
    "npy first pixel": lambda shard: flip(shard, 128),
    "npy middle pixel": lambda shard: flip(shard, 9000),
    "npy last pixel": lambda shard: flip(shard, -1),
    "npy all black": lambda shard: shard.write_bytes(npy(np.zeros((6, 32, 32, 3), np.uint8))),
    "npy missing": lambda shard: shard.unlink(),
    "json missing": lambda shard: shard.with_suffix(".json").unlink(),
    "json empty": lambda shard: truncate(shard.with_suffix(".json"), 0),
    "json cut": lambda shard: truncate(shard.with_suffix(".json"), 100),
    "json garbage": lambda shard: shard.with_suffix(".json").write_bytes(os.urandom(200)),
    "json nested without end": lambda shard: shard.with_suffix(".json").write_text("[" * 100_000),
    "json a list": lambda shard: shard.with_suffix(".json").write_text("[1, 2]"),
    "json null": lambda shard: shard.with_suffix(".json").write_text("null"),
    "json without ids": lambda shard: shard.with_suffix(".json").write_text('{"crc32": 1}'),
    "json without a checksum": lambda shard: shard.with_suffix(".json").write_text('{"ids": []}'),
    "json ids a number": lambda shard: edit(shard.with_suffix(".json"), ids=6),
    "json ids a text": lambda shard: edit(shard.with_suffix(".json"), ids="abcdef"),
    "json ids lists": lambda shard: edit(shard.with_suffix(".json"), ids=[["a"]] * 6),
    "json fewer ids": lambda shard: edit(shard.with_suffix(".json"), ids=["a"]),
    "json ids exchanged": lambda shard: exchange_ids(shard.with_suffix(".json")),
    "json another checksum": lambda shard: edit(shard.with_suffix(".json"), crc32=1),
    "json another type": lambda shard: edit(shard.with_suffix(".json"), dtype="|i1"),
    "json another shape": lambda shard: edit(shard.with_suffix(".json"), shape=[32, 3, 32]),
    "json shape a number": lambda shard: edit(shard.with_suffix(".json"), shape=3072),
    "json checksum a text": lambda shard: edit(shard.with_suffix(".json"), crc32="x"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_shard_is_made_again(
    collection: Collection, decoded: list[int], damage: Callable[[Path], object]
) -> None:
    filled(collection)
    damage(shards(collection, ".npy")[0])
    decoded.clear()
    assert_right(filled(collection))
    assert len(decoded) == 6
    # And it was written again: the next one finds all of it.
    assert_right(filled(collection))
    assert len(decoded) == 6


@pytest.mark.slow
def test_no_flipped_bit_in_the_header_of_an_array_gets_through(collection: Collection) -> None:
    images, right = collection.images(), expected(collection)
    filled(collection)
    shard = shards(collection, ".npy")[0]
    for place in range(128):
        damaged = bytearray(shard.read_bytes())
        damaged[place] ^= 1 << 3 * place % 8
        shard.write_bytes(damaged)
        cache = PixelCache(collection, SMALL)
        cache.fill(images)
        np.testing.assert_array_equal(cache.take(images["id"]), right)


def test_only_the_damaged_shard_is_made_again(
    collection: Collection, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "SHARD", 2)
    filled(collection)
    flip(shards(collection, ".npy")[1], -1)
    decoded.clear()
    assert_right(filled(collection))
    assert len(decoded) == 2


def test_damage_to_an_open_cache_is_found_by_its_next_fill(collection: Collection, decoded: list[int]) -> None:
    cache = filled(collection)
    taken = cache.take(collection.images()["id"])
    with shards(collection, ".npy")[0].open("r+b") as file:  # in place: the cache has this very file mapped
        file.seek(5000)
        file.write(bytes(100))
    decoded.clear()
    cache.fill(collection.images())
    assert_right(cache)
    np.testing.assert_array_equal(taken, expected(collection))
    assert len(decoded) == 6


def test_a_cache_that_is_deleted_while_open_goes_on(collection: Collection) -> None:
    cache = filled(collection)
    for path in shards(collection, ""):
        path.unlink()
    cache.fill(collection.images())
    assert_right(cache)
    assert_right(filled(collection))


def test_two_open_caches_that_find_the_same_damage_both_mend_it(collection: Collection) -> None:
    filled(collection)
    flip(shards(collection, ".npy")[0], -1)
    one, other = PixelCache(collection, SMALL), PixelCache(collection, SMALL)
    one.fill(collection.images())
    other.fill(collection.images())
    for cache in (one, other, filled(collection)):
        assert_right(cache)


def test_shards_that_share_images_stay_right_whichever_is_damaged(collection: Collection) -> None:
    images = collection.images()
    open_before = PixelCache(collection, SMALL)
    PixelCache(collection, SMALL).fill(images.iloc[:4])
    open_before.fill(images.iloc[2:])  # it has not seen the other's: images 2 and 3 are in both
    assert len(shards(collection, ".npy")) == 2
    for number in range(2):
        flip(shards(collection, ".npy")[number], -1)
        assert_right(filled(collection))


def test_a_damaged_shard_and_then_more_images(collection: Collection) -> None:
    images = collection.images()
    PixelCache(collection, SMALL).fill(images.iloc[:3])
    flip(shards(collection, ".npy")[0], -1)
    assert_right(filled(collection))
    assert_right(filled(collection))
    assert [len(json.loads(index.read_bytes())["ids"]) for index in shards(collection, ".json")] == [6]


def test_what_another_process_is_writing_is_left_alone(collection: Collection) -> None:
    filled(collection)
    folder = collection.cache("pixels", SMALL.name)
    unfinished = [folder / ".writing-abc.npy", folder / ".writing-def.json"]
    for path in unfinished:
        path.write_bytes(b"half")
    assert_right(filled(collection))
    assert [path.read_bytes() for path in unfinished] == [b"half", b"half"]


def test_the_checksum_is_that_of_the_pixels(collection: Collection) -> None:
    """In the documented format, so that another program can check it."""
    filled(collection)
    index = json.loads(shards(collection, ".json")[0].read_bytes())
    assert index["ids"] == list(collection.images()["id"])
    assert index["crc32"] == zlib.crc32(expected(collection).tobytes())
    assert (index["dtype"], index["shape"]) == ("|u1", [32, 32, 3])


# The files under the cache


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_is_gone_is_named(make: Callable[..., Collection], link: bool) -> None:
    collection = make(photo(1), photo(2), link=link)
    collection.path(collection.images()["file"].iloc[1]).unlink()
    with pytest.raises(FewposeError, match=r"^class/01\.png: .*01\.png can't be read .*No such file.*put the old file"):
        filled(collection)


def test_a_file_that_has_changed_is_named(make: Callable[..., Collection]) -> None:
    collection = make(photo(1), photo(2), link=True)
    photo(3).save(collection.path(collection.images()["file"].iloc[0]))
    with pytest.raises(
        FewposeError, match=r"^class/00\.png: .*00\.png can't be read \(changed since import: .*put the old file"
    ):
        filled(collection)


def test_a_pipe_in_a_files_place_is_named_and_not_waited_for(make: Callable[..., Collection]) -> None:
    collection = make(photo(1), link=True)
    path = collection.path(collection.images()["file"].iloc[0])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FewposeError, match=r"^class/00\.png: .*not a regular file"):
        filled(collection)


def test_what_was_filled_before_a_file_was_lost_is_kept(make: Callable[..., Collection], decoded: list[int]) -> None:
    collection = make(photo(1), photo(2))
    filled(collection)
    collection.path(collection.images()["file"].iloc[0]).unlink()
    assert filled(collection).take(collection.images()["id"]).shape == (2, 32, 32, 3)
    assert len(decoded) == 2


# Several processes, and those that are killed. One interpreter forks the others, before it has threads.

PROCESSES = """
import os, random, signal, sys, time
from pathlib import Path
from curate.images import pixels
from curate.collection.directory import Collection
from curate.foundation import cache as caching
from curate.images.transform import Transform

caching.SHARD = 3
root, what = Path(sys.argv[1]), sys.argv[2]
decode = pixels.PixelCache._decode

def slow(self, *image):
    time.sleep(0.005)
    return decode(self, *image)

def fill(part=slice(None)):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        pixels.PixelCache._decode = slow
        collection = Collection.open(root)
        images = collection.images()
        cache = pixels.PixelCache(collection, Transform(32))
        cache.fill(images.iloc[part])
        cache.take(images["id"].iloc[part])
        code = 0
    finally:
        os._exit(code)

if what == "kill":
    for seconds in map(float, sys.argv[3:]):
        child = fill()
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    children = [fill(), fill(), fill(slice(5, 15)), fill(slice(None, None, -1))]
    for child in children:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def in_processes(collection: Collection, what: str, *words: str) -> list[int]:
    command = [sys.executable, "-c", PROCESSES, str(collection.root), what, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.slow
def test_a_fill_that_is_killed_again_and_again_ends_with_the_same_pixels(make: Callable[..., Collection]) -> None:
    collection = make(*(photo(seed) for seed in range(24)))
    # The earliest first: a fill that was left alone leaves nothing to be killed in.
    moments = [f"{seconds:.3f}" for seconds in sorted([0.005, *np.random.default_rng(0).uniform(0.02, 0.3, size=7)])]
    codes = in_processes(collection, "kill", *moments)
    assert -9 in codes, f"none of {moments} was early enough to kill anything"
    assert_right(filled(collection))


@pytest.mark.slow
def test_several_processes_fill_one_cache_at_once(make: Callable[..., Collection]) -> None:
    collection = make(*(photo(seed) for seed in range(20)))
    assert in_processes(collection, "together") == [0, 0, 0, 0]
    assert_right(filled(collection))
    for number, shard in enumerate(shards(collection, ".npy")):
        flip(shard, -1) if number % 2 else truncate(shard, 1000)
    assert in_processes(collection, "together") == [0, 0, 0, 0]
    assert_right(filled(collection))
