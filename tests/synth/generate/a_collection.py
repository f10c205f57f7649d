"""What tests of runs share: a small collection, and what lies in it afterwards."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from curate.importing.importer import import_folder

LABELS = ("plank", "tree")
PHOTOS = 4  # of each label


def collection(folder: Path) -> Path:
    """A collection of photographs of noise, no two alike."""
    random = np.random.default_rng(0)
    for label in LABELS:
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(PHOTOS):
            coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
            coarse.resize((72, 72), Image.Resampling.BICUBIC).save(folder / "photos" / label / f"{number}.png")
    import_folder(folder / "photos", folder / "collection", workers=1)
    return folder / "collection"


def files(root: Path) -> dict[str, str]:
    """Digest of everything in a collection but its cache, by path."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "cache" not in path.relative_to(root).parts
    }
