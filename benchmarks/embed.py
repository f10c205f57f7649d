"""Claim: from image files, cache cold, `curate embed` computes CLIP image features at least twice as fast as the loop
that everybody writes (open_clip's preprocessing with Pillow in the loop, fp32, batches of 64), on the same machine.

Both sides run in turn in one process, on the same photographs, each side's repetition from nothing: decoding,
resizing, model. The features must agree (mean cosine >= 0.995).
The limit is told from the measured parts: decoding alone, and the model alone.

    python -m benchmarks.embed            half of photos18 with lite0, a part with ViT-B-32 (untrained: speed only)
    python -m benchmarks.embed --quick    128 images, under a minute
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import open_clip
import pandas as pd
import torch
from PIL import Image

from benchmarks.common import PHOTOS, conclude, spread
from curate.collection.directory import Collection
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.importing.importer import import_folder
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from curate.models.embeddings import embed

TARGET = 2.0
T = TypeVar("T")


def plain_loop(clip: ClipModel, files: list[Path]) -> np.ndarray:
    """The public scripts' way: open_clip's transform on each picture, one stack of 64 at a time."""
    preprocess = open_clip.image_transform(clip.image_size, is_train=False, mean=clip.mean, std=clip.std)
    parts = []
    with torch.no_grad():
        for start in range(0, len(files), 64):
            batch = torch.stack([preprocess(Image.open(file)) for file in files[start : start + 64]])
            parts.append(clip.model.encode_image(batch.to(clip.device)).cpu())
    return torch.cat(parts).numpy()


def ours(collection: Collection, clip: ClipModel, images: pd.DataFrame) -> np.ndarray:
    shutil.rmtree(collection.cache(), ignore_errors=True)
    return embed(collection, images, clip)


def measure(name: str, photos: Path, count: int, rounds: int) -> dict[str, Any]:
    clip = clip_models.load(name)
    with tempfile.TemporaryDirectory() as folder:
        import_folder(photos, Path(folder) / "collection", link=True)
        collection = Collection.open(Path(folder) / "collection")
        table = collection.images()
        images = table.iloc[:: max(1, len(table) // count)].head(count)
        files = [collection.path(file) for file in images["file"]]
        plain_loop(clip, files[:64])  # threads and caches of both sides warm
        clip.encode_images(np.zeros((16, clip.image_size, clip.image_size, 3), np.uint8))
        rounds_done = [one_round(clip, collection, images, files) for _ in range(rounds)]
    times = {side: [each[0][side] for each in rounds_done] for side in ("plain", "ours", "decoding", "model")}
    return summary(name, clip, len(images), times, rounds_done[-1][1])


def one_round(
    clip: ClipModel, collection: Collection, images: pd.DataFrame, files: list[Path]
) -> tuple[dict[str, float], float]:
    """Both sides once, and the parts of ours: seconds by side, and the mean cosine between the two sides' features."""
    plain, theirs = timed(lambda: plain_loop(clip, files))
    whole, features = timed(lambda: ours(collection, clip, images))
    shutil.rmtree(collection.cache())
    pixels = PixelCache(collection, Transform(clip.image_size))
    decoding, _ = timed(lambda: pixels.fill(images))
    decoded = pixels.take(images["id"])
    model, _ = timed(lambda: clip.encode_images(decoded))
    return {"plain": plain, "ours": whole, "decoding": decoding, "model": model}, cosine(theirs, features)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result of a piece of work."""
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


def summary(name: str, clip: ClipModel, count: int, times: dict[str, list[float]], agreement: float) -> dict[str, Any]:
    ratios = [plain / our for plain, our in zip(times["plain"], times["ours"], strict=True)]
    rates = {side: round(count / float(np.median(seconds)), 1) for side, seconds in times.items()}
    share = float(np.median(times["decoding"])) / float(np.median(times["ours"]))
    result = {
        "model": name,
        "device": str(clip.device),
        "precision": clip.precision,
        "images": count,
        "images_per_second": rates,
        "ratio": spread(ratios),
        "limit": "decoding" if share > 0.5 else "model",
        "decoding_share": round(share, 2),
        "mean_cosine": round(agreement, 5),
    }
    print(f"{name} on {clip.device} in {clip.precision}, {count} images, {len(ratios)} rounds")
    print("  images/s: " + ", ".join(f"{side} {rate}" for side, rate in rates.items()))
    print(f"  the limit is the {result['limit']}: decoding is {share:.0%} of our time; mean cosine {agreement:.4f}")
    print(f"  ratio {min(ratios):.2f} to {max(ratios):.2f}, median {np.median(ratios):.2f}")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--photos", type=Path, default=PHOTOS / "photos18", help="a folder per class")
    options = parser.parse_args()
    runs = [("lite0", 128, 2)] if options.quick else [("lite0", 871, 3), ("ViT-B-32/random", 192, 3)]
    results = [measure(name, options.photos, count, rounds) for name, count, rounds in runs]
    holds = results[0]["ratio"]["median"] >= TARGET and all(each["mean_cosine"] >= 0.995 for each in results)
    figure = f"lite0 ratio {results[0]['ratio']['median']:.2f}x"
    return conclude("embed", __doc__, {"runs": results}, holds=holds, figure=figure, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
