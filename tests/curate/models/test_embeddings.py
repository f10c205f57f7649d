"""Features are computed once for each picture, and never taken for those of another model, picture or damage."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation import cache as caching
from curate.foundation.cache import RowCache
from curate.images import pixels
from curate.images.decoding import open_image
from curate.images.transform import Transform
from curate.importing.importer import import_folder
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from curate.models.embeddings import cache_folder, embed


def photo(seed: int) -> Image.Image:
    walk = np.random.default_rng(seed).normal(size=(80, 90, 3)).cumsum(0).cumsum(1)
    return Image.fromarray((128 + 4 * walk).clip(0, 255).astype(np.uint8))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Collection]:
    def made(*seeds: int) -> Collection:
        folder = tmp_path / "photos" / "class"
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            photo(seed).save(folder / f"{number:02}.png")
        import_folder(tmp_path / "photos", tmp_path / "collection")
        return Collection.open(tmp_path / "collection")

    return made


@pytest.fixture
def collection(make: Callable[..., Collection]) -> Collection:
    return make(*range(6))


@pytest.fixture
def tiny() -> ClipModel:
    return clip_models.load("tiny/random", device="cpu")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the encoder gets from now on."""
    calls: list[int] = []
    really = ClipModel.encode_images

    def counted(clip: ClipModel, values: np.ndarray) -> np.ndarray:
        calls.append(len(values))
        return really(clip, values)

    monkeypatch.setattr(ClipModel, "encode_images", counted)
    return calls


def decoded(collection: Collection, clip: ClipModel, fit: str = "crop") -> np.ndarray:
    transform = Transform(clip.image_size, fit)
    files = [collection.path(file) for file in collection.images()["file"]]
    return np.stack([transform.apply(open_image(file.read_bytes()).image) for file in files])


def assert_close(ours: np.ndarray, right: np.ndarray, clip: ClipModel) -> None:
    """Equal but for rounding, which differs between batches of other sizes: 1 part in 200 in bf16, in 10,000 in fp32.

    Two pictures' features are twenty times further apart (asserted by the tests that tell them apart).
    """
    tolerance = {"bf16": 5e-3, "fp32": 1e-4}[clip.precision]
    assert (ours.shape, ours.dtype) == (right.shape, np.dtype(np.float32))
    np.testing.assert_allclose(ours, right, rtol=0, atol=tolerance * np.abs(right).max())


def shards(collection: Collection) -> list[Path]:
    return sorted(collection.cache("embeddings").glob("*/*.npy"))


def test_the_features_are_the_models_of_the_decoded_pictures(collection: Collection, tiny: ClipModel) -> None:
    features = embed(collection, collection.images(), tiny)
    assert_close(features, tiny.encode_images(decoded(collection, tiny)), tiny)
    distances = np.abs(features[:, None] - features).max(axis=2)[~np.eye(6, dtype=bool)]
    assert distances.min() > 20 * 5e-3 * np.abs(features).max()


def test_the_second_time_nothing_is_computed(collection: Collection, tiny: ClipModel, encoded: list[int]) -> None:
    first = embed(collection, collection.images(), tiny)
    np.testing.assert_array_equal(embed(collection, collection.images(), tiny), first)
    assert encoded == [6]


def test_the_second_time_nothing_is_decoded(
    collection: Collection, tiny: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(collection, collection.images(), tiny)
    monkeypatch.setattr(pixels.PixelCache, "fill", lambda *_: pytest.fail("pixels were asked for"))
    embed(collection, collection.images(), tiny)


def test_another_process_finds_them(collection: Collection, tiny: ClipModel, encoded: list[int]) -> None:
    """Another process loads the model again."""
    first = embed(collection, collection.images(), tiny)
    again = clip_models.load("tiny/random", device="cpu")
    np.testing.assert_array_equal(embed(collection, collection.images(), again), first)
    assert encoded == [6]


def test_only_what_is_new_is_computed(collection: Collection, tiny: ClipModel, encoded: list[int]) -> None:
    images = collection.images()
    part = embed(collection, images.iloc[[4, 1]], tiny)
    everything = embed(collection, images, tiny)
    assert encoded == [2, 4]
    np.testing.assert_array_equal(everything[[4, 1]], part)
    assert_close(everything, tiny.encode_images(decoded(collection, tiny)), tiny)


def test_the_order_is_that_of_the_rows_asked_for(collection: Collection, tiny: ClipModel) -> None:
    images = collection.images()
    features = embed(collection, images, tiny)
    for order in ([5, 0, 3, 1, 2, 4], [2, 2, 0]):
        np.testing.assert_array_equal(embed(collection, images.iloc[order], tiny), features[order])


def test_copies_are_computed_once(make: Callable[..., Collection], tiny: ClipModel, encoded: list[int]) -> None:
    collection = make(1, 2, 1, 1)
    features = embed(collection, collection.images(), tiny)
    assert encoded == [2]
    np.testing.assert_array_equal(features[[0, 0]], features[[2, 3]])
    assert_close(features, tiny.encode_images(decoded(collection, tiny)), tiny)


def test_an_image_has_the_same_features_alone_as_among_others(make: Callable[..., Collection], tiny: ClipModel) -> None:
    collection = make(*range(19))  # more than a batch, and not a whole number of them
    images = collection.images()
    among = embed(collection, images, tiny)
    for shard in shards(collection):
        shard.unlink()
    alone = np.concatenate([embed(collection, images.iloc[[row]], tiny) for row in range(len(images))])
    assert_close(alone, among, tiny)


def test_several_shards_hold_the_same_as_one(
    collection: Collection, tiny: ClipModel, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = embed(collection, collection.images(), tiny)
    shards(collection)[0].unlink()
    monkeypatch.setattr(caching, "SHARD", 4)
    assert_close(embed(collection, collection.images(), tiny), one, tiny)
    assert len(shards(collection)) == 2
    assert encoded == [6, 4, 2]


def test_what_was_finished_before_an_interruption_is_kept(
    collection: Collection, tiny: ClipModel, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "SHARD", 2)
    counted = ClipModel.encode_images

    def interrupted(clip: ClipModel, values: np.ndarray) -> np.ndarray:
        if len(encoded) == 2:
            raise KeyboardInterrupt
        return counted(clip, values)

    with monkeypatch.context() as during:
        during.setattr(ClipModel, "encode_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embed(collection, collection.images(), tiny)
    features = embed(collection, collection.images(), tiny)
    assert encoded == [2, 2, 2]
    assert_close(features, tiny.encode_images(decoded(collection, tiny)), tiny)


# What the cache is keyed by


def test_other_weights_are_another_cache(collection: Collection, tiny: ClipModel, encoded: list[int]) -> None:
    embed(collection, collection.images(), tiny)
    other = clip_models.load("tiny/random", device="cpu")
    with torch.no_grad():
        next(other.model.visual.parameters())[0] += 1e-6
    assert cache_folder(collection, other, Transform(64)) != cache_folder(collection, tiny, Transform(64))
    embed(collection, collection.images(), other)
    assert encoded == [6, 6]


@pytest.mark.slow
def test_another_text_tower_is_the_same_cache(collection: Collection, tiny: ClipModel, encoded: list[int]) -> None:
    embed(collection, collection.images(), tiny)
    other = clip_models.load("tiny/random", device="cpu")
    with torch.no_grad():
        other.model.token_embedding.weight += 1
    embed(collection, collection.images(), other)
    assert encoded == [6]


def test_padding_is_another_cache_with_other_features(collection: Collection, tiny: ClipModel) -> None:
    cropped = embed(collection, collection.images(), tiny)
    padded = embed(collection, collection.images(), tiny, fit="pad")
    assert_close(padded, tiny.encode_images(decoded(collection, tiny, "pad")), tiny)
    assert np.abs(padded - cropped).max() > 0.05 * np.abs(cropped).max()
    np.testing.assert_array_equal(embed(collection, collection.images(), tiny), cropped)


@pytest.mark.slow
def test_another_precision_is_another_cache(collection: Collection, encoded: list[int]) -> None:
    for precision in ("bf16", "fp32", "bf16", "fp32"):
        clip = clip_models.load("tiny/random", device="cpu")
        clip.precision = precision
        embed(collection, collection.images(), clip)
    assert encoded == [6, 6]


def test_a_new_version_of_the_pixels_is_another_cache(
    collection: Collection, tiny: ClipModel, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(collection, collection.images(), tiny)
    monkeypatch.setattr("curate.images.transform.VERSION", 999)
    embed(collection, collection.images(), tiny)
    assert encoded == [6, 6]


def test_a_models_name_with_a_slash_is_one_folder(collection: Collection, tiny: ClipModel) -> None:
    embed(collection, collection.images(), tiny)
    assert len(shards(collection)) == 1
    assert shards(collection)[0].parent.name.startswith("tiny-random-")


# Damage


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(3000))


def rewritten(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, change(np.load(path)))


def with_index(path: Path, **changes: Any) -> None:
    index = path.with_suffix(".json")
    index.write_text(json.dumps(json.loads(index.read_bytes()) | changes))


def with_fewer_ids(path: Path) -> None:
    with_index(path, ids=json.loads(path.with_suffix(".json").read_bytes())["ids"][:-1])


def in_another_byte_order(path: Path) -> None:
    """One bit of the header: the bytes of the features, and so their checksum, stay what they are."""
    content = path.read_bytes()
    assert content.count(b"'<f4'") == 1
    path.write_bytes(content.replace(b"'<f4'", b"'>f4'"))


def of_another_shape(path: Path) -> None:
    """The same bytes again, as the header of a smaller number of longer rows has them."""
    rewritten(path, lambda features: features.reshape(3, -1))


def of_another_shape_promised(path: Path) -> None:
    of_another_shape(path)
    with_index(path, shape=[128])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: truncate(path, 0),
    "cut": lambda path: truncate(path, 700),
    "cut by a byte": lambda path: truncate(path, -1),
    "garbage": garbage,
    "a lone header": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + os.urandom(300)),
    "an empty zip file": lambda path: zipfile.ZipFile(path, "w").close(),
    "narrower": lambda path: rewritten(path, lambda features: features[:, :-1]),
    "fewer": lambda path: rewritten(path, lambda features: features[:-1]),
    "another row": lambda path: rewritten(path, lambda features: features[[1, 0, *range(2, 6)]]),
    "another byte order": in_another_byte_order,
    "another shape": of_another_shape,
    "another shape, promised, too": of_another_shape_promised,
    "index garbage": lambda path: garbage(path.with_suffix(".json")),
    "index without ids": lambda path: path.with_suffix(".json").write_text('{"crc32": 1}'),
    "index of fewer ids": with_fewer_ids,
    "index gone": lambda path: path.with_suffix(".json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_shard_is_computed_again(
    collection: Collection, tiny: ClipModel, encoded: list[int], damage: Callable[[Path], object]
) -> None:
    whole = embed(collection, collection.images(), tiny)
    damage(shards(collection)[0])
    np.testing.assert_array_equal(embed(collection, collection.images(), tiny), whole)
    assert encoded == [6, 6]
    embed(collection, collection.images(), tiny)
    assert encoded == [6, 6]


@pytest.mark.slow
def test_no_flipped_bit_gets_through(collection: Collection, tiny: ClipModel) -> None:
    images = collection.images()
    whole = embed(collection, images, tiny)
    shard = shards(collection)[0]
    content, index = shard.read_bytes(), shard.with_suffix(".json").read_bytes()
    random = np.random.default_rng(0)
    damaged_ones = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        shard.write_bytes(damaged)
        shard.with_suffix(".json").write_bytes(index)
        cache = RowCache(shard.parent)
        if cache.missing(images["id"]):
            damaged_ones += 1
        else:  # spaces that fill up the header, say
            np.testing.assert_array_equal(cache.take(images["id"]), whole)
    assert damaged_ones >= whole.nbytes


def test_what_another_process_is_writing_is_left_alone(collection: Collection, tiny: ClipModel) -> None:
    embed(collection, collection.images(), tiny)
    unfinished = shards(collection)[0].parent / ".writing-abc.json"
    unfinished.write_bytes(b"half")
    embed(collection, collection.images(), tiny)
    assert unfinished.read_bytes() == b"half"


def test_a_shard_that_another_process_removes_meanwhile_is_no_failure(
    collection: Collection, tiny: ClipModel, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed(collection, collection.images(), tiny)
    really = Path.read_bytes

    def gone(path: Path) -> bytes:
        if path.suffix == ".json" and "embeddings" in path.parts:
            path.unlink()
        return really(path)

    with monkeypatch.context() as during:
        during.setattr(Path, "read_bytes", gone)
        np.testing.assert_array_equal(embed(collection, collection.images(), tiny), whole)
    assert encoded == [6, 6]
