"""Running batches of trials: draw, fit, predict, record. A trial that fails leaves a record, too."""

import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

from curate.collection import synthetic
from curate.collection.splits import Split, draw_digest, trial_seed
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.models.clip_models import ClipModel
from curate.models.embeddings import embed
from curate.pose.keypoints import Keypoints
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial
from fewshot import methods
from fewshot.sweeping import bodies, prompts
from fewshot.sweeping.activations import ActivationCache
from fewshot.sweeping.batched_trials import SPLITS_PER_BATCH, TrialBatch
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import options
from fewshot.task import BatchedMethod, Diverged, Draw, Fitted, Images, ImageStore, Method, Task
from fewshot.training.loop import is_out_of_memory
from fewshot.training.resident import pixels_for


class Runner:
    """Runs batches of a plan in this process, with one model and one image store for all of them."""

    def __init__(self, plan: Plan, clip: ClipModel) -> None:
        self.plan = plan
        self.clip = clip
        self.texts = prompts.of_sweep(plan.classes, plan.settings)
        self.keypoints = bodies.keypoints(plan)
        self.store = _store(plan, clip, self.keypoints)
        self._split = lru_cache(maxsize=SPLITS_PER_BATCH)(plan.split)  # the next batch often has the same splits

    def run(self, batch: TrialBatch) -> None:
        """Run a batch, and write the records of its missing trials."""
        if self._run_within_memory(batch):
            return
        parts = batch.halves()
        if parts == [batch]:
            for trial in batch.missing:
                self._fail(trial, "out of memory", "a smaller --batch-size may do")
            return
        for part in parts:
            self.run(part)

    def _run_within_memory(self, batch: TrialBatch) -> bool:
        """Run a batch; False where memory runs out. The error is dropped here, with the memory that its frames hold."""
        try:
            self._run(batch)
            return True
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        if self.clip.device.type == "cuda":
            torch.cuda.empty_cache()
        return False

    def _run(self, batch: TrialBatch) -> None:
        """Fit the splits that are needed, then predict and write each missing trial, averaged as its name says."""
        first = batch.trials[0]
        own, chosen = options(self.plan.settings.method_settings(first.method))
        method = methods.build(methods.parse(first.method).training, own)
        batched = isinstance(method, BatchedMethod)
        splits = [number for number in batch.splits if batched or number in {each.split for each in batch.missing}]
        rows = [self.plan.draw(self._split(number), replace(first, split=number)) for number in splits]
        tasks = [self.task(replace(first, split=number), chosen) for number in splits]
        begun = time.perf_counter()
        fitted = fit_each(method, [self.draw(drawn) for drawn in rows], tasks)
        seconds = (time.perf_counter() - begun) / len(splits)
        for number, drawn, outcome in zip(splits, rows, fitted, strict=True):
            trials = [trial for trial in batch.missing if trial.split == number]
            for place, trial in enumerate(trials):
                self._finish(trial, drawn, outcome, seconds if place == 0 else 0.0)  # trained once for all of them

    def task(self, trial: Trial, chosen: dict[str, str]) -> Task:
        """`chosen`: the OPTIONS of the method's settings."""
        trained = replace(trial, method=methods.parse(trial.method).training)
        seed = trial_seed(self.plan.settings.splitting.seed, trained.path)
        return Task(self.clip, self.plan.classes, self.texts, seed, **chosen)

    def _finish(self, trial: Trial, drawn: pd.DataFrame, fitted: Fitted | Exception, seconds: float) -> None:
        """Predict, and write the record."""
        if isinstance(fitted, Exception):
            self._fail(trial, "diverged" if isinstance(fitted, Diverged) else "singular", str(fitted))
            return
        parts = self._split(trial.split)
        if fitted.averaged and (alpha := methods.parse(trial.method).alpha) < 1:
            fitted = fitted.averaged(alpha)
        begun = time.perf_counter()
        logits = fitted.logits(self.images(parts.test)).astype(np.float32)
        predicting = time.perf_counter() - begun
        if not np.isfinite(logits).all():
            self._fail(trial, "diverged", "the scores of test images are not numbers")
            return
        keys, train = (table["key"].to_numpy(dtype=str) for table in (parts.test, drawn))
        record = Record(
            **self._about(trial),
            status="done",
            train_images=len(drawn),
            synthetic_images=len(synthetic.synthetic(drawn)),
            test_images=len(parts.test),
            chosen=fitted.chosen,
            digests=self._digests(trial, parts, drawn),
            seconds={"fit": round(seconds, 4), "predict": round(predicting, 4)},
        )
        records.write(self.plan.settings.out, record, Predictions(logits, self.labels(parts.test), keys, train))

    def _fail(self, trial: Trial, cause: str, detail: str) -> None:
        record = Record(**self._about(trial), status="failed", cause=cause, detail=detail)
        records.write(self.plan.settings.out, record, None)

    def _about(self, trial: Trial) -> dict[str, Any]:
        return {
            "trial": trial,
            "model": self.clip.name,
            **self.plan.settings.resolved(trial.method).fields(),
            "versions": versions(),
            "device": device_name(self.clip.device),
        }

    def _digests(self, trial: Trial, parts: Split, drawn: pd.DataFrame) -> dict[str, str]:
        return {
            "set": self.plan.sets[trial.set].digest,
            "split": parts.digest,
            "draw": draw_digest(drawn),
            "image_weights": self.clip.image_digest,
            **(bodies.digest(self.keypoints) if methods.needs(trial.method, "keypoints") else {}),
        }

    def images(self, rows: pd.DataFrame) -> Images:
        return Images.of(self.store, rows["id"])

    def labels(self, rows: pd.DataFrame) -> np.ndarray:
        return np.searchsorted(self.plan.classes, rows["label"].to_numpy(dtype=str)).astype(np.int64)

    def draw(self, rows: pd.DataFrame) -> Draw:
        """Rows of the image table as training images."""
        groups = np.unique(rows["group"].to_numpy(dtype=str), return_inverse=True)[1]
        return Draw(self.images(rows), self.labels(rows), groups)


def _store(plan: Plan, clip: ClipModel, keypoints: Keypoints | None) -> ImageStore:
    """The frozen features of every image of the plan's classes, and where methods need them, pixels, activations and
    joints.
    """
    collection = plan.settings.opened()
    transform = Transform(clip.image_size, plan.settings.data.fit)
    features: dict[str, np.ndarray] = {}
    caches = {key: ActivationCache(collection, clip, transform, key[0], mirrored=key[1]) for key in _activations(plan)}
    # Two parts: a photograph is computed in the same batches, whether or not there are synthetic images.
    parts = [images[images["label"].isin(plan.classes)] for images in (plan.images, _synthetic_images(plan))]
    for chosen in filter(len, parts):
        features |= zip(chosen["id"], embed(collection, chosen, clip, fit=plan.settings.data.fit), strict=True)
    pixels = PixelCache(collection, transform)  # opened now, so that it has the pixels that embedding decoded
    with_pixels = any(methods.needs(name, "pixels") for name in plan.settings.grid.methods)
    for chosen in filter(len, parts):
        if with_pixels:
            pixels.fill(chosen)
        for cache in caches.values():
            cache.fill(chosen, pixels)

    def activations(ids: Iterable[str], blocks: int, mirrored: bool) -> torch.Tensor | None:
        return caches[blocks, mirrored].take(ids) if (blocks, mirrored) in caches else None

    chosen_pixels = pixels_for(clip.device, pixels, features if with_pixels else ())
    if keypoints is None:
        return ImageStore(chosen_pixels, features, activations)
    return ImageStore(chosen_pixels, features, activations, lambda ids: keypoints.joints(list(ids)))


def _activations(plan: Plan) -> list[tuple[int, bool]]:
    """Of how many last blocks a method of the plan needs what goes into them, and whether of the mirrored images."""
    needed: set[tuple[int, bool]] = set()
    for name in plan.settings.grid.methods:
        augment = plan.settings.method_settings(name).get("augment", "none")
        needed |= methods.describe(name).activations(methods.parse(name).number, augment)
    return sorted(needed)


def _synthetic_images(plan: Plan) -> pd.DataFrame:
    """The synthetic images of all sets."""
    return pd.concat([synthetic.synthetic(each.images) for each in plan.sets.values()]).drop_duplicates("key")


def fit_each(method: Method, draws: Sequence[Draw], tasks: Sequence[Task]) -> list[Fitted | Exception]:
    """What a method fits to each draw; for one that failed, the error (Diverged or LinAlgError)."""
    if isinstance(method, BatchedMethod):
        return method.fit_batch(draws, tasks)
    return [_fit(method, draw, task) for draw, task in zip(draws, tasks, strict=True)]


def _fit(method: Method, draw: Draw, task: Task) -> Fitted | Exception:
    try:
        return method.fit(draw, task)
    except (Diverged, np.linalg.LinAlgError) as error:
        return error


def device_name(device: torch.device) -> str:
    """What a record calls a device: the card's name, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache
def versions() -> dict[str, str]:
    """The versions that a record names: of Python, of ours, and of what computes."""
    packages = ("fewpose", "torch", "open_clip_torch", "scikit-learn", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
