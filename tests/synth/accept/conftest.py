"""A small collection of photographs, to which a test adds synthetic images."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.images.signatures import signature_of
from curate.importing.importer import import_folder


def picture(seed: int, size: int = 128) -> Image.Image:
    """Large and small patches, sharp, and different for every seed."""
    random = np.random.default_rng(seed)
    coarse, fine = (random.integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (6, 32))
    large, small = (Image.fromarray(values).resize((size, size), Image.Resampling.NEAREST) for values in (coarse, fine))
    return Image.blend(large, small, 0.4)


def add_synthetic(
    collection: Collection, images: Mapping[str, Image.Image], facts: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Rows and files as `synth generate` makes them. images: by key. facts: of provenance, by key."""
    rows = []
    for key, image in images.items():
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        content = buffer.getvalue()
        path = collection.root / "images" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        known, id = signature_of(content), hashlib.sha256(content).hexdigest()
        told = {"key": key, "generator": "mannequin"} | dict((facts or {}).get(key, {}))
        rows.append(
            {
                "key": key, "id": id, "label": key.split("/")[0], "file": f"images/{key}", "source": "synthetic",
                "url": "", "width": known.width, "height": known.height, "format": known.format, "mode": known.mode,
                "frames": 1, "bytes": len(content), "official_split": "", "provenance": json.dumps(told), "group": id,
            }
        )  # fmt: skip
    collection.write(pd.concat([collection.images(), pd.DataFrame(rows)]), collection.rejects())


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Two classes of three photographs."""
    for seed in range(6):
        path = tmp_path / "photos" / ("tree" if seed % 2 else "plank") / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    import_folder(tmp_path / "photos", tmp_path / "yoga", workers=1)
    return Collection.open(tmp_path / "yoga")
