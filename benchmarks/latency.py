"""Claim: with a model that `fewshot train` made, one image takes no more than half the time of the loop that a user
writes after open_clip's README (image and all prompts encoded for each image, fp32), from decoded pixels to
probabilities, with ViT-B/32 and with lite0, in torch and in onnxruntime. As int8, lite0 with a linear probe is at most
a third of the size, and loses less than 2 points of accuracy on photos18 (the lower end of the 95 % interval).

On a GPU: ViT-B/32, one image from decoded pixels to probabilities in less than 3 ms (the paper says 7 ms). Without a
GPU the result says that it was not measured.

All sides take turns, round by round, in one process with the same threads on as many CPUs. Weights are untrained,
which changes no speed. `plain, texts kept` encodes the prompts once: it tells how much of the ratio is the texts'.
int8's loss is that of a model that was trained on 20 images a class, on all other images.

    python -m benchmarks.latency            a quarter of an hour on 2 cores that have nothing else to do
    python -m benchmarks.latency --quick    lite0 alone and three classes, about a minute; says little
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import torch
from PIL import Image

from benchmarks import common
from benchmarks.common import PHOTOS, environment, spread
from curate.collection.directory import Collection
from curate.foundation import resources
from curate.foundation.quiet import quiet
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.importing.importer import import_folder
from curate.models import clip_models
from fewshot.bench import latency
from fewshot.bench.thread_affinity import fixed_affinity
from fewshot.classifier import ImageClassifier, LinearHead
from fewshot.exporting import export, int8, library, onnx
from fewshot.exporting.samples import Samples
from fewshot.sweeping import plan as planning
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained import directory
from fewshot.trained.about import About
from fewshot.trained.model import TrainedModel
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train

MOST_SHARE = 0.5  # of the plain loop's time
MOST_SIZE, MOST_LOSS = 1 / 3, 0.02
MOST_MS_ON_GPU = 3.0
CLASSES = tuple(f"pose {number}" for number in range(18))  # as many as photos18 has
SHOTS = 20
BATCHES = (1, 8, 32)
FEWEST = 10  # calls of one image a round
PLAIN = "plain"
OURS = ("torch", "onnxruntime")
MODELS = ("lite0", "ViT-B-32")
PARTS = (*MODELS, "int8", "gpu")


@dataclass(frozen=True)
class Side:
    """`prepare` makes of (n, size, size, 3) uint8 pixels what `pixels` takes; it is not timed."""

    name: str
    precision: str
    file: Callable[[Path], Any]
    pixels: Callable[[Any], Any]
    prepare: Callable[[np.ndarray], Any] = lambda pixels: pixels


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", default="", help=f"{', '.join(PARTS)}; several with commas; the others stay as they are"
    )
    parser.add_argument("--threads", type=int, help="as many as torch likes unless said")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=Path, default=PHOTOS / "photos18", help="a folder per class")
    options = parser.parse_args()
    parts = common.chosen(parser, options.only, PARTS)
    rounds, seconds = (1, 0.2) if options.quick else (options.rounds, 1.0)
    measured = common.earlier("latency", "parts", quick=options.quick)
    for name in [part for part in parts if part in MODELS and not (options.quick and part != MODELS[0])]:
        measured[name] = measure(name, rounds, seconds, options.threads)
    if "int8" in parts:
        measured["int8"] = int8_loss(options.photos, classes=3 if options.quick else None)
    if "gpu" in parts:
        absent = measured.get("gpu", {"not_measured": "no GPU"})  # what a machine with one measured stays
        measured["gpu"] = on_gpu(seconds) if torch.cuda.is_available() else absent
    return report(measured, quick=options.quick)


def report(measured: dict[str, Any], *, quick: bool) -> int:
    known = {name: each for name, each in measured.items() if "not_measured" not in each}
    holds = all(each["holds"] for each in known.values())
    for name in measured.keys() - known.keys():
        print(f"{name}: not measured: {measured[name]['not_measured']}")
    shares = [
        f"{name} {side} {measured[name]['share_of_plain'][side]['median']:.2f}"
        for name in MODELS
        if name in known
        for side in OURS
    ]
    figure = f"of the plain loop's time: {', '.join(shares) or 'not measured'}"
    return common.conclude("latency", __doc__, {"parts": measured}, holds=holds, figure=figure, quick=quick)


def measure(name: str, rounds: int, seconds: float, threads: int | None) -> dict[str, Any]:
    """All sides in turn, `rounds` times; each row of each side for so many seconds."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, fixed_affinity(threads) as used:
        photograph = latency.draw_photograph(Path(folder, "drawn.jpg"))
        model = untrained(name, "cpu")
        sides = [plain(name, kept=False), plain(name, kept=True), *our_sides(model, Path(folder), used)]
        print(f"\n{name}: {used} threads, {rounds} rounds", flush=True)
        found: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
        for number in range(rounds):
            for side in sides:
                found[side.name].append(dict(timed_rows(side, model, photograph, seconds)))
            p50s = ", ".join(f"{side} {each[-1]['pixels 1']['p50']:.1f}" for side, each in found.items())
            print(f"  round {number + 1}: one image from pixels, p50 in ms: {p50s}", flush=True)
    return summary(used, found) | {"load": {"before": before, "after": os.getloadavg()[0]}}


def timed_rows(
    side: Side, model: TrainedModel, photograph: Path, seconds: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was done ("file 1", "pixels 8", ...), and its Timing."""
    engine = latency.Engine(side.name, side.precision, side.pixels)
    calls = latency.measure(partial(side.file, photograph), seconds, least=FEWEST)
    yield "file 1", asdict(latency.timing(engine, "file", 1, calls))
    for batch in BATCHES:
        given = side.prepare(onnx.drawn(batch, model.about.transform.size))
        calls = latency.measure(partial(side.pixels, given), seconds, least=FEWEST if batch == 1 else 3)
        yield f"pixels {batch}", asdict(latency.timing(engine, "pixels", batch, calls))


def summary(threads: int, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of the rounds' percentiles, and ratios of p50 round by round, with their spread."""
    tables = {
        side: {what: middle([each[what] for each in rounds]) for what in rounds[0]} for side, rounds in found.items()
    }
    shares = {what: of_plain(found, what) for what in ("pixels 1", "file 1")}
    worst = max(shares["pixels 1"][side]["median"] for side in OURS)
    for side, table in tables.items():
        row, file = table["pixels 1"], table["file 1"]
        print(
            f"  {side} {row['precision']}: {row['p50']:.2f} ms (p95 {row['p95']:.2f}) from pixels, {file['p50']:.2f} "
            f"from a file; {max(each['images_per_second'] for each in table.values()):.0f} images/s in batches"
        )
    return {
        "environment": environment(),
        "threads": threads,
        "classes": len(CLASSES),
        "sides": tables,
        "share_of_plain": shares["pixels 1"],
        "share_of_plain_from_file": shares["file 1"],
        "most": MOST_SHARE,
        "holds": worst <= MOST_SHARE,
    }


def middle(timings: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the same row of all rounds: medians, the spread of p50, the calls of all."""
    known = {
        name: round(statistics.median(each[name] for each in timings), 3)
        for name in ("p50", "p95", "p99", "images_per_second")
        if all(each[name] is not None for each in timings)
    }
    p50s = spread([each["p50"] for each in timings])
    calls = sum(each["calls"] for each in timings)
    return known | {"precision": timings[0]["precision"], "calls": calls, "p50_of_rounds": p50s}


def of_plain(found: dict[str, list[dict[str, Any]]], what: str) -> dict[str, dict[str, float]]:
    return {
        side: spread([a[what]["p50"] / b[what]["p50"] for a, b in zip(rounds, found[PLAIN], strict=True)])
        for side, rounds in found.items()
    }


# The sides


def plain(name: str, *, kept: bool) -> Side:
    """The README's way: open_clip's transform, its model in fp32, cosines, their softmax. kept: texts encoded once."""
    open_clip.add_model_config(resources.path("open_clip"))
    with quiet():  # it remarks that weights are untrained
        model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokens = open_clip.get_tokenizer(name)([f"a photo of a person doing {each}" for each in CLASSES])

    def encoded_texts() -> torch.Tensor:
        texts = model.encode_text(tokens)
        result: torch.Tensor = texts / texts.norm(dim=-1, keepdim=True)
        return result

    with torch.no_grad():
        known = encoded_texts() if kept else None

    @torch.no_grad()
    def probabilities(pictures: Sequence[Image.Image]) -> np.ndarray:
        images = model.encode_image(torch.stack([preprocess(each) for each in pictures]))
        images /= images.norm(dim=-1, keepdim=True)
        texts = encoded_texts() if known is None else known
        result: np.ndarray = (100.0 * images @ texts.T).softmax(dim=-1).numpy()
        return result

    return Side(
        f"{PLAIN}, texts kept" if kept else PLAIN,
        "fp32",
        file=lambda path: probabilities([Image.open(path)]),
        pixels=probabilities,
        prepare=lambda pixels: [Image.fromarray(each) for each in pixels],
    )


def our_sides(model: TrainedModel, folder: Path, threads: int) -> Iterator[Side]:
    fp32, small = folder / "fp32.onnx", folder / "int8.onnx"
    onnx.write(export.graph_of(model), fp32, {})
    int8.quantise(fp32, small, onnx.drawn(32, model.about.transform.size))
    running, running8 = library.session(fp32, threads), library.session(small, threads)
    ways: list[tuple[str, str, Callable[[np.ndarray], np.ndarray]]] = [
        ("torch", model.precision, model.probabilities),
        ("onnxruntime", "fp32", partial(onnx.probabilities, running)),
        ("onnxruntime int8", "int8", partial(onnx.probabilities, running8)),
    ]
    for name, precision, say in ways:
        yield Side(name, precision, file=partial(from_file, model, say), pixels=say)


def from_file(model: TrainedModel, say: Callable[[np.ndarray], np.ndarray], path: Path) -> np.ndarray:
    return say(latency.decoded(model, path))


def untrained(name: str, device: str) -> TrainedModel:
    """As `fewshot train` would leave it after a linear probe, with weights that are good for timings alone."""
    clip = clip_models.load(f"{name}/random", device="cpu")
    size = clip.image_size
    width = clip.encode_images(np.zeros((1, size, size, 3), np.uint8)).shape[1]
    head = LinearHead(np.random.default_rng(0).normal(size=(len(CLASSES), width)))
    architecture, quick_gelu = clip_models.shape(clip)
    about = About(
        classes=CLASSES,
        texts=tuple((each,) for each in CLASSES),
        model=clip.name,
        architecture=architecture,
        quick_gelu=quick_gelu,
        starting_weights=clip.image_digest,
        transform=Transform(size),
        mean=clip.mean,
        std=clip.std,
        head={"kind": head.kind} | head.settings(),
        method="linear-probe",
        settings={},
        chosen={},
        temperature=1.0,
        threshold=0.0,
        trained_on={},
        measured={},
        versions={},
    )
    return TrainedModel(about, ImageClassifier(clip.model.visual, head), clip_models.choose_device(device))


# What int8 loses


def int8_loss(photos: Path, classes: int | None) -> dict[str, Any]:
    """Of lite0 with a linear probe on SHOTS images a class: calibrated on these, measured on all others."""
    if not photos.is_dir():
        return {"not_measured": f"no photographs in {photos}"}
    with tempfile.TemporaryDirectory() as folder:
        chosen = tuple(sorted(each.name for each in photos.iterdir() if each.is_dir()))[:classes]
        Path(folder, "photos").mkdir()
        for name in chosen:
            Path(folder, "photos", name).symlink_to((photos / name).resolve())
        import_folder(Path(folder, "photos"), Path(folder, "collection"), link=True)
        collection = Collection.open(Path(folder, "collection"))
        settings = SweepSettings.of(
            collection.root,
            Path(folder, "model"),
            methods=("linear-probe",),
            shots=(SHOTS,),
            splits=1,
            classes=chosen,
            device="cpu",
        )
        train(TrainSettings(settings, shots=SHOTS))
        model = directory.load(settings.out, "cpu")
        done = export.write(model, Path(folder, "lite0.onnx"), tried(collection, settings, model))
    found: dict[str, Any] = done.about["int8"]
    loss, size = found["loss"], found["bytes_int8"] / found["bytes_fp32"]
    print(
        f"\nint8 of lite0 with a linear probe, {SHOTS} images a class, {len(chosen)} classes: {size:.2f} of the size; "
        f"{100 * loss['accuracy_fp32']:.1f} % becomes {100 * loss['accuracy_int8']:.1f} % on {loss['images']} images: "
        f"{100 * loss['difference']:+.2f} points [{100 * loss['low']:+.2f}, {100 * loss['high']:+.2f}]",
        flush=True,
    )
    holds = size <= MOST_SIZE and (classes is not None or loss["low"] > -MOST_LOSS)  # of three classes too few to tell
    return found | {"environment": environment(), "classes": len(chosen), "shots": SHOTS, "holds": holds}


def tried(collection: Collection, settings: SweepSettings, model: TrainedModel) -> Samples:
    """What was drawn, in the order of content, to calibrate with; then all that is no copy of it, to measure on."""
    plan = planning.make(settings)
    (trial,) = plan.trials
    drawn = plan.draw(plan.split(trial.split), trial).sort_values("id").head(export.CALIBRATION)
    everything = collection.images()
    learned = plan.draw(plan.split(trial.split), trial)["group"]
    others = everything[everything["label"].isin(model.classes) & ~everything["group"].isin(learned)]
    rows = pd.concat([drawn, others.drop_duplicates("id")])
    cache = PixelCache(collection, model.about.transform)
    cache.fill(rows)
    return Samples(cache.take(rows["id"]), np.array([model.classes.index(label) for label in rows["label"]]))


# On a GPU


def on_gpu(seconds: float) -> dict[str, Any]:
    """ViT-B/32 as `fewshot bench` measures it: one by one, in batches, and their share of the card's matmul rate."""
    done = latency.bench(untrained("ViT-B-32", "cuda"), batches=(1, 64, 256, 1024), seconds=seconds)
    ours = [asdict(each) for each in done.timings if each.engine.startswith("torch")]
    fastest = min(each["p50"] for each in ours if each["begins_with"] == "pixels" and each["batch"] == 1)
    share = max(each["limit_share"] for each in ours)
    print(f"\nViT-B-32 on {environment()['gpu']}: {fastest:.2f} ms an image, {share:.0%} of the matmul rate in batches")
    return {"environment": environment(), "timings": ours, "p50": fastest, "holds": fastest < MOST_MS_ON_GPU}


if __name__ == "__main__":
    sys.exit(main())
