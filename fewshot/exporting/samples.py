"""Labelled images by which int8 is calibrated and measured: of a collection, or of a folder per class."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.collection import sets, synthetic
from curate.collection.directory import Collection
from curate.foundation import console
from curate.foundation.errors import FewposeError
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Cause, Unreadable, open_image, read_file
from curate.images.transform import Transform
from curate.importing.listing import listed
from fewshot.exporting.names import require_images

MOST = 2000  # images that are looked at: 300 MB of pixels, and an accuracy to a point or two


@dataclass(frozen=True)
class Samples:
    """`pixels` (n, size, size, 3) uint8, `labels` (n,) places in the classes, in the order of their content ids.

    `left_out`: how many images are not among them, by the reason. `source`: where they are from, as a whole path.
    """

    pixels: np.ndarray
    labels: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)
    source: str = ""

    def __len__(self) -> int:
        return len(self.labels)


class _Photograph(NamedTuple):
    id: str  # sha256 of the file's bytes
    label: str
    path: Path


def read(source: Path, classes: Sequence[str], transform: Transform, most: int = MOST) -> Samples:
    """At most so many images of `source`, chosen by content alone; each content counts once.

    Raises UsageError where `source` is neither collection nor folder, FewposeError where none of its images has one of
    `classes` as its label, or can be read.
    """
    found, left_out = _of_collection(source) if (source / "collection.json").exists() else _of_folder(source)
    known = [each for each in found if each.label in classes]
    left_out.update(f"of {each.label}, no class of the model" for each in found if each.label not in classes)
    if not known:
        raise FewposeError(
            f"none of the {len(found)} images in {source} has a class of the model as its label; it knows "
            f"{', '.join(sorted(classes)[:5])}{' and others' if len(classes) > 5 else ''}"
        )
    chosen = sorted({each.id: each for each in known}.values())[:most]
    with console.progress("decoding", len(chosen)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels, labels = [], []
        for each, outcome in zip(chosen, pool.map(lambda one: _pixels(one, transform), chosen), strict=True):
            advance(1)
            if isinstance(outcome, Unreadable):
                left_out[str(outcome.cause)] += 1
            else:
                pixels.append(outcome)
                labels.append(list(classes).index(each.label))
    if not pixels:
        raise FewposeError(f"none of the {len(chosen)} images in {source} can be read")
    return Samples(np.stack(pixels), np.array(labels), dict(left_out), str(source.resolve()))


def _of_collection(source: Path) -> tuple[list[_Photograph], Counter[str]]:
    """Photographs alone: what synthetic images are called says nothing of the model's accuracy."""
    collection = Collection.open(source)
    images = synthetic.real(sets.labelled(collection))
    found, left_out = [], Counter[str]()
    for id, label, file in zip(images["id"], images["label"], images["file"], strict=True):
        try:
            found.append(_Photograph(id, label, collection.path(file)))
        except FewposeError:
            left_out[str(Cause.NO_ACCESS)] += 1
    return found, left_out


def _of_folder(source: Path) -> tuple[list[_Photograph], Counter[str]]:
    require_images(source)
    entries, rejects = listed(source)
    found, left_out = [], Counter(reject.cause for reject in rejects)
    for entry in entries:
        try:
            found.append(_Photograph(hashlib.sha256(read_file(entry.path)).hexdigest(), entry.label, entry.path))
        except Unreadable as error:
            left_out[str(error.cause)] += 1
    return found, left_out


def _pixels(photograph: _Photograph, transform: Transform) -> np.ndarray | Unreadable:
    try:
        content = originals.read_at(photograph.path, photograph.id)
        return transform.apply(open_image(content, limits=NO_LIMITS, draft=transform.draft_size()).image)
    except Unreadable as error:
        return error
