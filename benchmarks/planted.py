"""Defects planted among real photographs: copies, wrong labels, spoiled pictures, and pictures that are no photographs.

Every photograph has at most one thing done to it. What is made of it is known, so what a check finds can be counted.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from benchmarks import groups
from benchmarks.groups import Picture, Random
from curate.images.decoding import open_image
from synth.rendering.render import render

ORIGINAL = "original"  # a photograph as it was, that nothing was made of
SOURCE = "source"  # as it was, and a copy of it was planted
OTHER_LABEL, WRONG_LABEL = "exact copy under another label", "wrong label"
LEAKED = "recompressed"  # of these copies, the original is in the official test set and the copy in train

WRONG = 0.05  # of the photographs
COPIED, SPOILED, BLANK, MANNEQUINS = 80, 40, 40, 60  # of each kind

_TEXT = ("Inhale as you reach", "up and keep both feet", "firmly grounded for", "five slow breaths")


def tiled(image: Picture) -> Picture:
    """A faint word all over the picture along a slant, as stock photographs have it."""
    side = int(1.5 * max(image.size))
    layer = Image.new("L", (side, side))
    draw, size = ImageDraw.Draw(layer), max(10, max(image.size) // 16)
    for row, y in enumerate(range(0, side, 3 * size)):
        for x in range(-(row % 2) * 3 * size, side, 6 * size):
            draw.text((x, y), "yogastock", fill=77, font_size=size)  # 30 % opaque
    layer = layer.rotate(30)
    left, top = (side - image.width) // 2, (side - image.height) // 2
    image = image.copy()
    image.paste("white", mask=layer.crop((left, top, left + image.width, top + image.height)))
    return image


def captioned(image: Picture) -> Picture:
    """Four lines of writing below the picture, as on a poster."""
    width, size = image.width, max(9, image.width // 22)
    page = ImageOps.expand(image, (0, 0, 0, 6 * size), "white")
    for line, words in enumerate(_TEXT):
        place = (width * 0.05, image.height + (0.6 + 1.3 * line) * size)
        ImageDraw.Draw(page).text(place, words, fill="black", font_size=size)
    return page


def strip(image: Picture) -> Picture:
    """Its middle, four times as wide as high."""
    height = image.width / 4
    return image.crop((0, round((image.height - height) / 2), image.width, round((image.height + height) / 2)))


COPIES: dict[str, Callable[[Picture, Random], Picture]] = {
    "exact": lambda image, r: image,
    LEAKED: groups.KINDS["recompressed, JPEG 30-90"][1],
    "resized x0.5-2": groups.KINDS["resized x0.5-2"][1],
    "cropped 3 %": groups.KINDS["cropped 3 % on every side"][1],
    "mirrored": groups.KINDS["mirrored"][1],
    "watermark across the middle": lambda image, r: groups.watermarked(image),
    "watermark all over": lambda image, r: tiled(image),
}

SPOILS: dict[str, Callable[[Picture], Picture]] = {
    "dark x0.12": lambda image: ImageEnhance.Brightness(image).enhance(0.12),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(max(image.size) / 120)),
    "64 pixels": lambda image: ImageOps.contain(image, (64, 64)),
    "strip of 4:1": strip,
    "captioned": captioned,
}

# Poses that our renderer draws and photos18 shows.
POSES = (
    "tree",
    "triangle",
    "half_moon",
    "plank",
    "side_plank",
    "cobra",
    "bow",
    "camel",
    "bridge",
    "bound_angle",
    "plow",
)


@dataclass(frozen=True)
class Plant:
    """One picture of the planted folder."""

    key: str
    label: str  # the given one
    kind: str
    original: str  # key of the photograph that it was made of; its own, where it is one; "" of a blank page or drawing
    split: str = "train"


class _Folder:
    """Writes pictures and remembers what they are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plants: list[Plant] = []

    def add(self, plant: Plant, content: bytes) -> None:
        path = self.root / plant.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.plants.append(plant)


def jpeg(image: Picture) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def plant(files: list[Path], root: Path, *, share: float = 1.0, seed: int = 0) -> list[Plant]:
    """Make a folder of `files` (LABEL/NAME) with defects in it, and root/list.csv, which curate imports.

    share: of the number of each kind of defect; wrong labels are 5 % in any case.
    """
    random = np.random.default_rng(seed)
    labels = sorted({file.parent.name for file in files})
    folder = _Folder(root)
    left = [files[i] for i in random.permutation(len(files))]

    def take(count: float) -> list[Path]:
        taken, left[:] = left[: round(count)], left[round(count) :]
        return taken

    def other(label: str) -> str:
        return str(random.choice([name for name in labels if name != label]))

    for kind, make in COPIES.items():
        for file in take(COPIED * share):
            _copy(folder, file, kind, make, random)
    for file in take(COPIED * share):
        key = f"copies/{OTHER_LABEL}/{file.parent.name}-{file.name}"
        folder.add(_as_it_was(file, SOURCE), file.read_bytes())
        folder.add(Plant(key, other(file.parent.name), OTHER_LABEL, _key(file)), file.read_bytes())
    for kind, spoil in SPOILS.items():
        for file in take(SPOILED * share):
            picture = spoil(open_image(file.read_bytes()).image)
            folder.add(Plant(_key(file), file.parent.name, kind, _key(file)), jpeg(picture))
    for file in take(WRONG * len(files)):
        folder.add(Plant(_key(file), other(file.parent.name), WRONG_LABEL, _key(file)), file.read_bytes())
    for file in left:
        folder.add(_as_it_was(file, ORIGINAL), file.read_bytes())
    _no_photographs(folder, labels, share, random)
    _write_list(folder)
    return folder.plants


def _key(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _as_it_was(file: Path, kind: str, split: str = "train") -> Plant:
    return Plant(_key(file), file.parent.name, kind, _key(file), split)


def _copy(folder: _Folder, file: Path, kind: str, make: Callable[[Picture, Random], Picture], random: Random) -> None:
    content = file.read_bytes()
    folder.add(_as_it_was(file, SOURCE, "test" if kind == LEAKED else "train"), content)
    made = content if kind == "exact" else jpeg(make(open_image(content).image, random))
    folder.add(Plant(f"copies/{kind}/{file.parent.name}-{file.name}", file.parent.name, kind, _key(file)), made)


def _no_photographs(folder: _Folder, labels: list[str], share: float, random: Random) -> None:
    for number in range(round(BLANK * share)):
        values = random.uniform(0, 255, 3) + random.normal(0, 2, (240, 320, 3))
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        folder.add(Plant(f"blank/{number}.jpg", str(random.choice(labels)), "blank", ""), jpeg(image))
    poses = [pose for pose in POSES if pose in labels]
    for number in range(round(MANNEQUINS * share)):
        pose = poses[number % len(poses)]
        image = render(pose, seed=0, size=256, index=number).image
        folder.add(Plant(f"mannequin/{number}.jpg", pose, "mannequin", ""), jpeg(image))


def _write_list(folder: _Folder) -> None:
    with (folder.root / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows((plant.key, plant.label, plant.split) for plant in folder.plants)
