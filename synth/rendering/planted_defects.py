"""Known defects, planted on purpose: for the demo, and to measure what finds them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from curate.body.poses import Pose
from curate.foundation import atomic, csv_files
from curate.foundation.errors import UsageError
from synth.rendering.render import jpeg, render

COPY, MIRRORED, RECOMPRESSED, WRONG_LABEL, TRUNCATED = "copy", "mirrored", "recompressed", "wrong-label", "truncated"
SHARE = 0.02  # of all images, for each kind but the truncated one
# Wrongly labelled images are further ones of their pose, so that they are no copies as well.
_BEYOND = 1_000_000


@dataclass(frozen=True)
class Plant:
    """One defect: its kind, the file that shows it, and the file that it was made from.

    For a wrong label `original` is the pose that the image shows.
    """

    kind: str
    file: str
    original: str


def listing(out: Path) -> Path:
    """Where the defects of a folder are listed: beside it."""
    return out.with_name(out.name + ".planted-defects.csv")


def plan(out: Path, poses: list[str], per_class: int, seed: int) -> tuple[Plant, ...]:
    """Which defects to plant; depends on the poses, their number and the seed alone.

    UsageError if there are too few images for one of each kind, or if other defects were planted before.
    """
    total = len(poses) * per_class
    each = max(1, round(SHARE * total))
    if len(poses) < 2 or total < 3 * each + 1:
        raise UsageError(
            "--planted-defects needs at least two poses and four images; name more poses or a larger --per-class"
        )
    # The old word stays in what is hashed, so that a seed plants the defects that it always planted.
    digest = blake2b(f"fewpose trouble\0{seed}\0{per_class}\0{','.join(poses)}".encode(), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    kinds = [COPY] * each + [MIRRORED] * each + [RECOMPRESSED] * each + [TRUNCATED]
    numbers: dict[str, int] = {}
    plants = []

    def place(pose: str) -> str:
        numbers[pose] = numbers.get(pose, 0) + 1
        return f"{pose}/{pose}_extra_{numbers[pose]:03d}.jpg"

    for kind, chosen in zip(kinds, rng.permutation(total), strict=False):
        pose, index = poses[int(chosen) // per_class], int(chosen) % per_class
        plants.append(Plant(kind, place(pose), f"{pose}/{pose}_{index:04d}.jpg"))
    for _ in range(each):
        shown, label = rng.choice(len(poses), 2, replace=False)
        plants.append(Plant(WRONG_LABEL, place(poses[int(label)]), poses[int(shown)]))
    path = listing(out)
    if path.exists() and path.read_text(encoding="utf-8") != _table(plants):
        raise UsageError(f"{path.name} lists other defects, planted with other poses or numbers; use another folder")
    return tuple(plants)


def plant(out: Path, plants: tuple[Plant, ...], poses: Mapping[str, Pose], size: int, seed: int) -> None:
    """Write the list, then the files of the defects; those that are there stay. poses: by name."""
    if not plants:
        return
    atomic.write_text(listing(out), _table(list(plants)))
    for number, one in enumerate(plants):
        if not (out / one.file).exists():
            atomic.write_bytes(out / one.file, _content(out, one, number, poses, size, seed))


def _content(out: Path, one: Plant, number: int, poses: Mapping[str, Pose], size: int, seed: int) -> bytes:
    if one.kind == WRONG_LABEL:
        return jpeg(render(poses[one.original], seed=seed, size=size, index=_BEYOND + number).image)
    content = (out / one.original).read_bytes()
    if one.kind == COPY:
        return content
    if one.kind == TRUNCATED:
        return content[: len(content) * 2 // 5]
    with Image.open(io.BytesIO(content)) as image:
        if one.kind == MIRRORED:
            return jpeg(ImageOps.mirror(image))
        smaller = round(size * (0.7 + 0.05 * (number % 5)))
        return jpeg(image.resize((smaller, smaller), Image.Resampling.LANCZOS), quality=50 + 8 * (number % 4))


def _table(plants: list[Plant]) -> str:
    return csv_files.text([("kind", "file", "original"), *((one.kind, one.file, one.original) for one in plants)])
