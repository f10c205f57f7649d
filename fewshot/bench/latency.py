"""How long a trained model takes for an image: one by one and in batches, in torch and in onnxruntime.

Torch is what `fewshot predict` uses, in the precision that it uses; on CUDA also with its kernels captured as a graph.
Every call ends with probabilities in numpy, so on CUDA, too, all work is done when it returns.
"""

import dataclasses
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from curate.foundation import console
from curate.foundation.errors import FewposeError, UsageError
from curate.images.decoding import NO_LIMITS, Unreadable, open_image, read_file
from fewshot.bench import roofline
from fewshot.bench.cuda_graph import CapturedByBatchSize, has_the_same_output
from fewshot.bench.thread_affinity import fixed_affinity
from fewshot.exporting import export, library, onnx
from fewshot.exporting.onnx import drawn
from fewshot.trained.model import TrainedModel

_WARM_SECONDS, _WARM_CALLS = 0.5, 3
_FEWEST_CALLS = 20
_CALLS_OF_P99 = 100  # with fewer, the 99th percentile is the slowest call or nearly so
_PHOTOGRAPH = (1024, 768)  # pixels of the JPEG that is drawn where no photograph is named


@dataclass(frozen=True)
class Engine:
    """One way to run a model. `probabilities`: (n, size, size, 3) uint8 -> (n, classes)."""

    name: str
    precision: str
    probabilities: Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Timing:
    """Calls of one kind. `begins_with`: "pixels" (decoded) or "file". Percentiles in milliseconds a call; `p99` is None
    where there are too few calls to tell. `limit_share`: of the device's matmul rate, where it was measured. `part`: of
    a model that looks at the body, which part of the work it is (see bench.body); "" for others.
    """

    engine: str
    precision: str
    begins_with: str
    batch: int
    calls: int
    p50: float
    p95: float
    p99: float | None
    images_per_second: float
    limit_share: float | None = None
    part: str = ""


@dataclass(frozen=True)
class Bench:
    """`without`: why there are no figures of onnxruntime, or "". `load`: processes that wanted a CPU in the minute
    before it began, which make all figures worse; 0 where the system doesn't say.
    """

    device: str
    threads: int
    timings: tuple[Timing, ...]
    without: str = ""
    load: float = 0.0


def bench(
    model: TrainedModel,
    *,
    batches: Sequence[int] = (1, 8, 32),
    threads: int | None = None,
    seconds: float = 3.0,
    photograph: Path | None = None,
) -> Bench:
    """Measure `model`, of images alone: from pixels in each of `batches`, and one image from its file; so many seconds
    each.

    Raises UsageError for settings that make no sense or a photograph that can't be read.
    """
    check(batches, seconds)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    with tempfile.TemporaryDirectory() as folder, fixed_affinity(threads) as used:
        file = photograph or draw_photograph(Path(folder, "drawn.jpg"))
        decoded(model, file)  # raises for what can't be read, before anything is measured
        engines, without = _engines(model, Path(folder), used)
        timings = []
        with console.progress("measuring", len(engines) * (len(batches) + 1)) as advance:
            for engine in engines:
                for timing in _timings(engine, model, file, batches, seconds):
                    timings.append(timing)
                    advance(1)
    return Bench(str(model.device), used, _with_roofline_share(model, timings), without, load)


def check(batches: Sequence[int], seconds: float) -> None:
    """Raises UsageError for settings that make no sense."""
    if not batches or min(batches) < 1:
        raise UsageError("--batch takes whole numbers from 1 on, such as 1,8,32")
    if not seconds > 0:
        raise UsageError(f"--seconds {seconds:g}: measuring takes some time")


def measure(work: Callable[[], Any], seconds: float, least: int = _FEWEST_CALLS) -> np.ndarray:
    """Milliseconds of each call of `work`, for so many seconds and so many calls at least; warmed up before."""
    _calls(work, min(_WARM_SECONDS, seconds), _WARM_CALLS)
    collecting = gc.isenabled()
    gc.disable()
    try:
        return 1000 * np.array(_calls(work, seconds, least))
    finally:
        if collecting:
            gc.enable()


def timing(engine: Engine, begins_with: str, batch: int, calls: np.ndarray) -> Timing:
    """`calls` in milliseconds, as a Timing."""
    p50, p95, p99 = (float(each) for each in np.percentile(calls, (50, 95, 99)))
    return Timing(
        engine=engine.name,
        precision=engine.precision,
        begins_with=begins_with,
        batch=batch,
        calls=len(calls),
        p50=p50,
        p95=p95,
        p99=p99 if len(calls) >= _CALLS_OF_P99 else None,
        images_per_second=1000 * batch / p50,
    )


def decoded(model: TrainedModel, file: Path) -> np.ndarray:
    """(1, size, size, 3) uint8, as `predict` makes it. Raises UsageError for what is no picture."""
    transform = model.about.transform
    try:
        content = read_file(file, NO_LIMITS)
        image = open_image(content, limits=NO_LIMITS, draft=transform.draft_size()).image
        return np.stack([transform.apply(image)])  # a copy: torch takes no memory that only Pillow may write
    except Unreadable as error:
        raise UsageError(f"{file} can't be read as an image: {error}") from error


def draw_photograph(path: Path) -> Path:
    """A JPEG that decodes about as slowly as a photograph of a telephone, made small: soft patches under some noise."""
    width, height = _PHOTOGRAPH
    random = np.random.default_rng(0)
    patches = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
    soft = np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC))
    noisy = soft + random.normal(0, 6, (height, width, 3))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def _engines(model: TrainedModel, folder: Path, threads: int) -> tuple[list[Engine], str]:
    found = [Engine("torch", model.precision, model.probabilities)]
    if model.device.type == "cuda":
        captured = CapturedByBatchSize(model)
        if has_the_same_output(captured, model):
            found.append(Engine("torch, CUDA graph", model.precision, captured))
        else:
            console.note("the output of the CUDA graph differs from the model's: it is left out", style="yellow")
    try:
        onnx.write(export.graph_of(model), folder / "model.onnx", {})
    except FewposeError as error:
        return found, str(error)
    running = library.session(folder / "model.onnx", threads)
    return [*found, Engine("onnxruntime", "fp32", lambda pixels: onnx.probabilities(running, pixels))], ""


def _timings(
    engine: Engine, model: TrainedModel, file: Path, batches: Sequence[int], seconds: float
) -> Iterator[Timing]:
    calls = measure(lambda: engine.probabilities(decoded(model, file)), seconds)
    yield timing(engine, "file", 1, calls)
    for batch in batches:
        pixels = drawn(batch, model.about.transform.size)
        yield timing(engine, "pixels", batch, measure(partial(engine.probabilities, pixels), seconds))


def _with_roofline_share(model: TrainedModel, timings: Sequence[Timing]) -> tuple[Timing, ...]:
    """On CUDA, with the share of the card's matmul rate that the tower's FLOPs make of each."""
    if model.device.type != "cuda":
        return tuple(timings)
    size = model.about.transform.size
    image = torch.zeros(1, 3, size, size, device=model.device)
    needed = roofline.flops(lambda: model.tower(image).sum(), backward=False)
    most = roofline.matmul_rate(model.device) / needed  # images a second
    return tuple(
        each if each.engine == "onnxruntime" else dataclasses.replace(each, limit_share=each.images_per_second / most)
        for each in timings
    )


def _calls(work: Callable[[], Any], seconds: float, least: int) -> list[float]:
    """Seconds of each call, until `seconds` are over and there were `least`."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return taken
