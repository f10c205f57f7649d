"""One cell of the grid: draw, fit, score, record. A trial that fails is a record too."""

import platform
import time
from functools import lru_cache
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch

from curate import synthetic
from curate.collection import Collection
from curate.embeddings import embed
from curate.models import ClipModel
from curate.pixels import PixelCache
from curate.splits import Split, draw_digest, trial_seed
from curate.transform import Transform
from fewshot import methods, prompts, records
from fewshot.plan import Plan
from fewshot.records import Predictions, Record, Trial
from fewshot.task import Diverged, Draw, Images, ImageStore, Task


class Runner:
    """Runs the trials of a plan in this process, with one model and one image store for all of them."""

    def __init__(self, plan: Plan, clip: ClipModel) -> None:
        self.plan = plan
        self.clip = clip
        self.texts = prompts.class_texts(plan.classes, plan.settings.prompts)
        self.store = _store(plan, clip)
        self._split = lru_cache(maxsize=2)(plan.split)  # trials come split by split

    def run(self, trial: Trial) -> None:
        """Run a trial and write its record."""
        try:
            record, predictions = self._finish(trial)
        except Diverged as error:
            record, predictions = self._failed(trial, "diverged", str(error)), None
        except np.linalg.LinAlgError as error:
            record, predictions = self._failed(trial, "singular", str(error)), None
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            record, predictions = self._failed(trial, "out of memory", "a smaller --batch-size may do"), None
        records.write(self.plan.settings.out, record, predictions)

    def _finish(self, trial: Trial) -> tuple[Record, Predictions]:
        parts = self._split(trial.split)
        drawn = self.plan.draw(parts, trial)
        method = methods.build(trial.method, self.plan.settings.method_settings(trial.method))
        task = Task(self.clip, self.plan.classes, self.texts, trial_seed(self.plan.settings.splitting.seed, trial.path))
        begun = time.perf_counter()
        fitted = method.fit(self._labelled(drawn), task)
        trained = time.perf_counter()
        logits = fitted.logits(self._images(parts.test)).astype(np.float32)
        ended = time.perf_counter()
        if not np.isfinite(logits).all():
            raise Diverged("the scores of test images are not numbers")
        predictions = Predictions(logits, self._labels(parts.test), parts.test["key"].to_numpy(dtype=str))
        record = Record(
            **self._about(trial),
            status="done",
            train_images=len(drawn),
            synthetic_images=len(synthetic.synthetic(drawn)),
            test_images=len(parts.test),
            chosen=fitted.chosen,
            digests=self._digests(trial, parts, drawn),
            seconds={"fit": round(trained - begun, 4), "predict": round(ended - trained, 4)},
        )
        return record, predictions

    def _failed(self, trial: Trial, cause: str, detail: str) -> Record:
        return Record(**self._about(trial), status="failed", cause=cause, detail=detail)

    def _about(self, trial: Trial) -> dict:
        return {
            "trial": trial,
            "model": self.clip.name,
            "settings": self.plan.settings.method_settings(trial.method),
            "versions": versions(),
            "device": device_name(self.clip.device),
        }

    def _digests(self, trial: Trial, parts: Split, drawn: pd.DataFrame) -> dict[str, str]:
        return {
            "set": self.plan.sets[trial.set].digest,
            "split": parts.digest,
            "draw": draw_digest(drawn),
            "image_weights": self.clip.image_digest,
        }

    def _images(self, rows: pd.DataFrame) -> Images:
        return Images.of(self.store, rows["id"])

    def _labels(self, rows: pd.DataFrame) -> np.ndarray:
        return np.searchsorted(self.plan.classes, rows["label"].to_numpy(dtype=str)).astype(np.int64)

    def _labelled(self, rows: pd.DataFrame) -> Draw:
        groups = np.unique(rows["group"].to_numpy(dtype=str), return_inverse=True)[1]
        return Draw(self._images(rows), self._labels(rows), groups)


def _store(plan: Plan, clip: ClipModel) -> ImageStore:
    """The frozen features of every image of the plan's classes, and pixels where a method needs them."""
    collection = Collection.open(plan.settings.collection)
    pixels = PixelCache(collection, Transform(clip.image_size, plan.settings.fit))
    features: dict[str, np.ndarray] = {}
    # Apart: a photograph is computed in the same batches whether or not there are synthetic images.
    parts = (images[images["label"].isin(plan.classes)] for images in (plan.images, _added(plan)))
    for chosen in filter(len, parts):
        features |= zip(chosen["id"], embed(collection, chosen, clip, fit=plan.settings.fit), strict=True)
        if "finetune" in plan.settings.methods:
            pixels.fill(chosen)
    return ImageStore(pixels.take, features)


def _added(plan: Plan) -> pd.DataFrame:
    """The synthetic images of all sets."""
    return pd.concat([synthetic.synthetic(each.images) for each in plan.sets.values()]).drop_duplicates("key")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, of the GPU or, where torch raises a plain RuntimeError, of the machine."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache
def versions() -> dict[str, str]:
    packages = ("fewpose", "torch", "open_clip_torch", "scikit-learn", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
