"""How long a model that looks at the body takes for an image, from its file to probabilities, and for each part.

Each part is measured alone, on what the part before it left of the same photograph: together they are the whole, but
for what lies between them. Beside them batches, from joints and pixels on; and the same model as it is exported.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curate.foundation import console
from curate.foundation.errors import FewposeError, UsageError
from curate.images.decoding import NO_LIMITS, Unreadable, open_image, read_file
from curate.pose import classifier as postures
from fewshot.bench.drawn_person import draw_person
from fewshot.bench.latency import Bench, Engine, check, measure, timing
from fewshot.bench.thread_affinity import fixed_affinity
from fewshot.classifier import BodyClassifier, Classifier, Mixture
from fewshot.exporting import folder
from fewshot.exporting.alone import ExportedModel
from fewshot.trained.looking import Looking, Seen, estimator_of
from fewshot.trained.model import TrainedModel, images_of

WHOLE, ANSWER = "whole", "answer"


class Row(NamedTuple):
    """What is measured, and one call of it. `part`: WHOLE, ANSWER (from joints and pixels to probabilities), or a part
    of it. `engine`: for WHOLE and ANSWER "predict" (as `fewshot predict` does it) or "exported"; for others a library.
    """

    engine: str
    precision: str
    begins_with: str
    images: int
    part: str
    call: Callable[[], Any]


def bench(
    model: TrainedModel,
    *,
    batches: Sequence[int] = (1, 8, 32),
    threads: int | None = None,
    seconds: float = 3.0,
    photograph: Path | None = None,
) -> Bench:
    """Measure `model`: one image from its file, its parts, and answers to joints in each of `batches`; so many seconds
    each. People are found on one thread whatever `threads` says, as `fewshot predict` finds them.

    Raises UsageError for settings that make no sense, and for a photograph that can't be read or shows nobody; as
    Looking where the estimator can't be had.
    """
    check(batches, seconds)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    with tempfile.TemporaryDirectory() as place, fixed_affinity(threads) as used:
        file = photograph or draw_person(Path(place, "drawn.jpg"))
        looking = Looking(model)
        seen = _seen(looking, file)
        rows = [*_as_predicted(looking, file, seen, batches)]
        exported, without = _exported(model, Path(place, "exported"), used)
        if exported:
            rows += _as_exported(exported, file, seen, batches)
        timings = []
        with console.progress("measuring", len(rows)) as advance:
            for row in rows:
                engine = Engine(row.engine, row.precision, np.asarray)
                found = timing(engine, row.begins_with, row.images, measure(row.call, seconds))
                timings.append(replace(found, part=row.part))
                advance(1)
    return Bench(str(model.device), used, tuple(timings), without, load)


def _seen(looking: Looking, file: Path) -> Seen:
    """What the model looks at in a photograph. Raises UsageError."""
    try:
        seen = looking.of_file(read_file(file, NO_LIMITS))
    except Unreadable as error:
        raise UsageError(f"{file} can't be read as an image: {error}") from error
    if seen.joints is None or not np.isfinite(seen.joints[:, 0]).any():
        raise UsageError(f"nobody is found in {file}, and a posture is to be measured; name another --image")
    return seen


def _exported(model: TrainedModel, place: Path, threads: int) -> tuple[ExportedModel | None, str]:
    """The model as it is exported; or why it can't be."""
    try:
        return ExportedModel(folder.export(model, place).folder, threads), ""
    except FewposeError as error:
        return None, str(error)


def _as_predicted(looking: Looking, file: Path, seen: Seen, batches: Sequence[int]) -> Iterator[Row]:
    model = looking.model
    engine = "predict", model.precision if model.needs_pixels else "fp32"
    yield Row(*engine, "file", 1, WHOLE, lambda: looking.probabilities([looking.of_file(_read(file))]))
    yield from _parts(model, file, seen)
    yield from _answers(engine, model.probabilities, seen, batches)


def _as_exported(exported: ExportedModel, file: Path, seen: Seen, batches: Sequence[int]) -> Iterator[Row]:
    engine = "exported", "fp32"
    yield Row(*engine, "file", 1, WHOLE, lambda: exported.tell(_read(file)))
    yield from _answers(engine, exported.probabilities, seen, batches)


def _answers(
    engine: tuple[str, str], probabilities: Callable[..., Any], seen: Seen, batches: Sequence[int]
) -> Iterator[Row]:
    """From what the model looks at, so many times the same, to probabilities."""
    begins_with = "joints" if seen.pixels is None else "joints, pixels"
    for batch in batches:
        pixels, joints = (None if each is None else np.stack([each] * batch) for each in (seen.pixels, seen.joints))
        yield Row(*engine, begins_with, batch, ANSWER, partial(probabilities, pixels, joints))


def _parts(model: TrainedModel, file: Path, seen: Seen) -> Iterator[Row]:
    estimator = estimator_of(model.about.keypoints)
    bodies = _bodies(model.classifier)
    picture = open_image(_read(file), limits=NO_LIMITS, draft=(estimator.side, estimator.side)).image
    joints = np.asarray(seen.joints)[None]
    views = postures.views(joints)
    flat = views.reshape(-1, views.shape[-1])
    yield Row("Pillow", "", "file", 1, "decode", lambda: _decoded(model, file, estimator.side))
    yield Row("LiteRT", "fp32", "picture", 1, "find people", lambda: estimator.people(picture))
    yield Row("numpy", "fp32", "joints", 1, "features", lambda: [postures.views(joints) for _ in bodies])
    yield Row("numpy", "fp32", "features", 1, "trees", lambda: [each.shares(flat) for each in bodies])
    if seen.pixels is not None:
        pixels = np.stack([seen.pixels])  # a copy: torch takes no memory that only Pillow may write
        alone = [TrainedModel(model.about, each, model.device) for each in images_of(model.classifier)]
        for each in alone:
            each.precision = model.precision
        yield Row("torch", model.precision, "pixels", 1, "image tower", lambda: [each.logits(pixels) for each in alone])


def _decoded(model: TrainedModel, file: Path, side: int) -> None:
    """What `predict` decodes for the estimator, and for the image tower."""
    content, transform = _read(file), model.about.transform
    open_image(content, limits=NO_LIMITS, draft=(side, side))
    if model.needs_pixels:
        transform.apply(open_image(content, draft=transform.draft_size()).image)


def _bodies(classifier: Classifier) -> list[BodyClassifier]:
    if isinstance(classifier, Mixture):
        return [found for each in classifier.sides for found in _bodies(each)]
    return [classifier] if isinstance(classifier, BodyClassifier) else []


def _read(file: Path) -> bytes:
    return read_file(file, NO_LIMITS)
