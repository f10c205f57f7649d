"""Copies are found however they were made, and pictures that only resemble each other are not."""

import hashlib
import io
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from curate.collection import groups
from curate.collection.directory import Collection
from curate.images.signatures import SIDE, Signatures, signature_of


def photo(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A figure of some sticks before a soft background: the kind of picture that a collection is made of."""
    random = np.random.default_rng(seed)
    light = random.integers(60, 200, (4, 4, 3)).astype(np.uint8)
    image = Image.fromarray(light).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    joint = random.uniform(0.3, 0.7, 2)
    for _ in range(9):
        other = np.clip(joint + random.normal(scale=0.2, size=2), 0.08, 0.92)
        ends = [(float(x) * width, float(y) * height) for x, y in (joint, other)]
        draw.line(ends, fill=tuple(int(c) for c in random.integers(0, 256, 3)), width=int(random.integers(8, 24)))
        joint = other
    return image


def thumbnail(image: Image.Image, form: str = "PNG", **options: Any) -> np.ndarray:
    file = io.BytesIO()
    image.save(file, form, **options)
    return np.frombuffer(signature_of(file.getvalue()).thumbnail, np.uint8).reshape(SIDE, SIDE)


def are_copies(first: np.ndarray, second: np.ndarray) -> bool:
    return len(groups.copies(np.stack([first, second]))) == 1


def cropped(image: Image.Image, part: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(part * width), round(part * height), round((1 - part) * width), round((1 - part) * height))
    )


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "itself": lambda image: image,
    "mirrored": ImageOps.mirror,
    "a third": lambda image: image.resize((107, 80)),
    "twice": lambda image: image.resize((640, 480)),
    "squeezed": lambda image: image.resize((240, 240)),
    "cropped": lambda image: cropped(image, 0.03),
    "cropped on the left": lambda image: image.crop((16, 0, 320, 240)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "grey": lambda image: image.convert("L"),
    "framed": lambda image: ImageOps.expand(image, 8, "white"),
    "mirrored, cropped, small": lambda image: cropped(ImageOps.mirror(image), 0.03).resize((160, 120)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found(kind: str) -> None:
    for seed in range(8):
        copy = thumbnail(COPIES[kind](photo(seed)), "JPEG", quality=50)
        assert are_copies(thumbnail(photo(seed)), copy), seed
        assert are_copies(copy, thumbnail(photo(seed))), seed


@pytest.mark.slow
def test_other_pictures_are_no_copies() -> None:
    assert groups.copies(np.stack([thumbnail(photo(seed)) for seed in range(60)])).tolist() == []


def test_the_same_figure_in_another_pose_is_no_copy() -> None:
    first, second = photo(3), photo(3)
    ImageDraw.Draw(first).line((160, 30, 60, 200), fill="black", width=24)
    ImageDraw.Draw(second).line((160, 30, 260, 200), fill="black", width=24)
    assert not are_copies(thumbnail(first), thumbnail(second))


def test_pictures_without_structure_are_copies_of_nothing() -> None:
    random = np.random.default_rng(0)
    plain = [Image.new("RGB", (100, 100), colour) for colour in ("white", "white", "black", "grey")]
    ramps = [Image.linear_gradient("L").resize((100, 100)), Image.linear_gradient("L").rotate(180).resize((90, 90))]
    noisy = [Image.fromarray(np.uint8(250 + random.integers(0, 3, (80, 80)))) for _ in range(3)]
    assert groups.copies(np.stack([thumbnail(image) for image in plain + ramps + noisy])).tolist() == []


def test_a_group_is_named_after_its_smallest_content_id() -> None:
    thumbnails = np.stack([thumbnail(photo(1)), thumbnail(photo(2)), thumbnail(ImageOps.mirror(photo(1)))])
    assert groups.assign(["c", "b", "a"], thumbnails) == ["a", "b", "a"]


@pytest.mark.slow
def test_groups_do_not_depend_on_the_order() -> None:
    pictures = [thumbnail(make(photo(seed))) for seed in range(5) for make in list(COPIES.values())[:4]]
    ids = [hashlib.sha256(bytes([n])).hexdigest() for n in range(len(pictures))]
    expected = dict(zip(ids, groups.assign(ids, np.stack(pictures)), strict=True))
    assert sorted(Counter(expected.values()).values()) == [4] * 5
    order = np.random.default_rng(1).permutation(len(ids))
    shuffled = groups.assign([ids[i] for i in order], np.stack([pictures[i] for i in order]))
    assert {ids[i]: group for i, group in zip(order, shuffled, strict=True)} == expected


@pytest.mark.slow
def test_copies_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbnails = np.stack([thumbnail(photo(seed % 7)) for seed in range(20)])
    expected = groups.copies(thumbnails)
    monkeypatch.setattr(groups, "_BLOCK", 3)
    monkeypatch.setattr(groups, "_BLURRED", 4)
    monkeypatch.setattr(groups, "_PAIRS", 2)
    assert np.array_equal(groups.copies(thumbnails), expected)
    assert {(i % 7, j % 7) for i, j in expected} == {(n, n) for n in range(7)}


def test_thumbnails_on_disk_give_the_same_groups_as_an_array(tmp_path: Path) -> None:
    contents = []
    for make in (COPIES["itself"], COPIES["mirrored"], COPIES["cropped"]):
        for seed in range(6):
            file = io.BytesIO()
            make(photo(seed)).save(file, "JPEG")
            contents.append(file.getvalue())
    ids = [hashlib.sha256(content).hexdigest() for content in contents]
    thumbnails = np.stack([np.frombuffer(signature_of(content).thumbnail, np.uint8) for content in contents])
    expected = groups.assign(ids, thumbnails.reshape(-1, SIDE, SIDE))
    assert len(set(expected)) == 6
    with Signatures(Collection.create(tmp_path / "yoga")) as signatures:
        for content_id, content in reversed(list(zip(ids, contents, strict=True))):
            signatures.of(content_id, content)
        assert groups.assign(ids, signatures.thumbnails(ids)) == expected


@pytest.mark.slow
def test_little_memory_is_taken_for_each_picture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12_000, SIDE, SIDE), np.uint8)

    def peak(count: int) -> int:
        tracemalloc.start()
        groups.copies(noise[:count])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(12_000) - peak(6_000) < 800 * 6_000  # bytes: what is coarse, and no thumbnail


@pytest.mark.parametrize("count", [0, 1])
def test_there_may_be_nothing_to_compare(count: int) -> None:
    ids = ["a"][:count]
    assert groups.assign(ids, np.zeros((count, SIDE, SIDE), np.uint8)) == ids


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    scale=st.floats(0.96, 1.04),
    right=st.floats(-0.015, 0.015),
    down=st.floats(-0.015, 0.015),
    seed=st.integers(0, 1000),
)
def test_a_picture_moved_a_little_is_laid_back(scale: float, right: float, down: float, seed: int) -> None:
    image = photo(seed)
    width, height = image.size
    # Read from inside the picture, so that nothing has to be made up at its edge.
    inside = image.crop((32, 24, 288, 216))
    box = (
        *(width * (0.5 + right - 0.4 * scale), height * (0.5 + down - 0.4 * scale)),
        *(width * (0.5 + right + 0.4 * scale), height * (0.5 + down + 0.4 * scale)),
    )
    moved = image.resize(inside.size, box=box)
    assert are_copies(thumbnail(inside), thumbnail(moved))


@pytest.mark.slow
@pytest.mark.data
def test_no_giant_group_among_skeletons_on_black(shared_data: Path) -> None:
    files = sorted((shared_data / "skeletons82").glob("*/*.jpg"))[::8]
    thumbnails = np.stack([np.frombuffer(signature_of(f.read_bytes()).thumbnail, np.uint8) for f in files])
    found = Counter(groups.assign([str(f) for f in files], thumbnails.reshape(-1, SIDE, SIDE)))
    assert max(found.values()) <= 4


def test_the_first_alone_can_be_compared_with_the_rest() -> None:
    thumbnails = np.stack([thumbnail(photo(seed)) for seed in (1, 2, 1, 3, 2, 4, 3)])
    assert groups.copies(thumbnails).tolist() == [[0, 2], [1, 4], [3, 6]]
    assert groups.copies(thumbnails, among=3).tolist() == [[0, 2], [1, 4]]
    assert groups.copies(thumbnails, among=0).tolist() == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_within_a_box_only_what_is_there_is_compared(mirrored: bool) -> None:
    one, other = photo(1), photo(1)
    other.paste(photo(2).crop((160, 96, 208, 144)), (160, 96))
    other = ImageOps.mirror(other) if mirrored else other
    pair = np.stack([thumbnail(one), thumbnail(other, "JPEG", quality=80)])
    boxes = np.array([[0.5, 0.4, 0.65, 0.6], [0.1, 0.1, 0.45, 0.9], [0.9, 0.9, 0.9, 0.9]])
    inside, beside, nowhere = groups.compare_within(np.stack([pair] * 3), boxes)
    assert inside < 0.8
    assert beside > 0.9
    assert nowhere == -1
