"""`fewshot train`: from a collection, or a sweep of it, to a classifier in a directory."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.collection.splits import draw_digest
from curate.foundation.errors import UsageError
from curate.foundation.inside import inside
from curate.foundation.locks import only_one
from curate.images.transform import Transform
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from curate.pose.keypoints import Keypoints
from curate.sweeps.records import explaining_write_errors
from fewshot import methods
from fewshot.logits import softmax
from fewshot.sweeping import bodies, prompts
from fewshot.sweeping import plan as planning
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.run import check_methods
from fewshot.sweeping.settings import plain
from fewshot.sweeping.trial import Runner, versions
from fewshot.task import Fitted
from fewshot.trained import directory, parts, place
from fewshot.trained.about import About
from fewshot.trained.fitting import Fitting
from fewshot.trained.held_back import HeldBack, held_back
from fewshot.trained.measured import measured
from fewshot.trained.settings import TrainSettings
from fewshot.training.deterministic import deterministic


@dataclass(frozen=True)
class Trained:
    """`found`: the directory held this very model already."""

    out: Path
    about: About
    found: bool


def train(settings: TrainSettings) -> Trained:
    """Train a classifier into `settings.sweep.out`; interrupted, the same call goes on with the next fold.

    Raises UsageError where the directory holds anything else, or for settings that make no sense; Busy where another
    process is working in it; FewposeError where training fails or the directory can't be written to.
    """
    out = settings.sweep.out
    place.require_free(out)
    plan = planning.make(settings.sweep)
    chosen, compute = settings.sweep.clip, settings.sweep.compute
    clip = clip_models.load(chosen.model, checkpoint=chosen.checkpoint, device=compute.device)
    if settings.weights and clip.image_digest != settings.weights:
        raise UsageError(f"the sweep began with other weights of {clip.name}; give them by --checkpoint FILE")
    check_methods(plan, clip)
    asked = settings.sweep.compute.deterministic
    with only_one(out, "fewshot train"), explaining_write_errors(out), deterministic(asked):
        place.remove_unfinished(out)
        if (out / place.JSON).exists():
            return _found(out, settings, plan, clip)
        return _train(settings, Runner(plan, clip))


def _found(out: Path, settings: TrainSettings, plan: Plan, clip: ClipModel) -> Trained:
    about = directory.read(out)
    if about.trained_on.get("recipe") != _recipe(settings, plan, clip, bodies.keypoints(plan)):
        raise UsageError(f"{out} holds another model already; choose another --out, or delete it first")
    directory.weights(out / place.WEIGHTS, about.weights_sha256)
    return Trained(out, about, found=True)


def _train(settings: TrainSettings, runner: Runner) -> Trained:
    out, recipe = settings.sweep.out, _recipe(settings, runner.plan, runner.clip, runner.keypoints)
    fitting = Fitting(runner, settings.trial)
    held = held_back(fitting, settings.folds, inside(out, place.FOLDS), recipe)
    learned = fitting.everything()
    (fitted,) = fitting.fit([learned], [""])
    temperature = held.temperature() if held else float(fitted.chosen.get("temperature", 1.0))
    threshold = held.threshold(temperature, settings.unknown) if held and settings.unknown else 0.0
    classifier = fitted.classifier()
    about = dataclasses.replace(
        _about(runner, settings),
        head=parts.described(classifier),
        chosen=fitted.chosen,
        temperature=temperature,
        threshold=threshold,
        trained_on=_trained_on(settings, runner.plan, learned) | {"recipe": recipe},
        measured=_measured(settings, runner, held, fitted, (temperature, threshold)),
    )
    about = directory.save(out, about, classifier)
    place.remove_unfinished(out)
    return Trained(out, about, found=False)


def _about(runner: Runner, settings: TrainSettings) -> About:
    """What is known before anything is trained."""
    clip, trial = runner.clip, settings.trial
    architecture, quick_gelu = clip_models.shape(clip)
    return About(
        classes=runner.plan.classes,
        texts=runner.texts,
        model=clip.name,
        architecture=architecture,
        quick_gelu=quick_gelu,
        starting_weights=clip.image_digest,
        transform=Transform(clip.image_size, settings.sweep.data.fit),
        mean=clip.mean,
        std=clip.std,
        head={},
        method=trial.method,
        settings=plain(settings.sweep.method_settings(trial.method)),
        chosen={},
        temperature=1.0,
        threshold=0.0,
        trained_on={},
        measured={},
        versions=versions(),
        keypoints=_estimator(runner),
    )


def _estimator(runner: Runner) -> dict[str, str]:
    found = runner.keypoints
    return {} if found is None else {"estimator": found.estimator, "digest": found.digest}


def _trained_on(settings: TrainSettings, plan: Plan, learned: pd.DataFrame) -> dict[str, Any]:
    trial = settings.trial
    if not methods.trains(trial.method):
        learned = learned.iloc[:0]  # such a method has learned from none of them
    counts = learned["label"].value_counts()
    return {
        "collection": str(settings.sweep.collection.resolve()),
        "set": trial.set,
        "set_digest": plan.sets[trial.set].digest,
        "shots": settings.shots or None,
        "split": settings.split if settings.shots else None,
        "seed": settings.sweep.splitting.seed,
        "draw_digest": draw_digest(learned),
        "images": len(learned),
        "classes": {name: int(counts.get(name, 0)) for name in plan.classes},
    }


def _measured(
    settings: TrainSettings,
    runner: Runner,
    held: HeldBack | None,
    fitted: Fitted,
    chosen: tuple[float, float],
) -> dict[str, Any]:
    """Of the images that were held back and, where it was a draw that was learned from, of its split's test images.

    chosen: the temperature and the threshold.
    """
    classes, (temperature, threshold) = runner.plan.classes, chosen
    found: dict[str, Any] = {}
    if held:
        scores = measured(held.probabilities(), held.labels, held.groups, classes, threshold)
        found["held_back"] = scores | {"folds": len(np.unique(held.fold))}
    if settings.shots:
        rows = runner.plan.split(settings.split).test
        test, logits = runner.draw(rows), fitted.logits(runner.images(rows))
        probabilities = softmax(logits / np.float32(temperature))
        found["test"] = measured(probabilities, test.labels, test.groups, classes, threshold)
    return found


def _recipe(settings: TrainSettings, plan: Plan, clip: ClipModel, keypoints: Keypoints | None) -> str:
    """16 hex digits over all that decides what is trained."""
    sweep, trial, splitting = settings.sweep, settings.trial, settings.sweep.splitting
    decides = {
        "trial": dataclasses.asdict(trial),
        "settings": sweep.method_settings(trial.method),
        "classes": plan.classes,
        "texts": prompts.of_sweep(plan.classes, sweep),
        "images": planning.set_digest(plan),
        "set": plan.sets[trial.set].digest,
        "weights": clip_models.digest(clip.model),
        "precision": clip.precision,
        "fit": sweep.data.fit,
        "splitting": {"kind": splitting.split, "test_fraction": splitting.test_fraction, "seed": splitting.seed},
        "folds": settings.folds,
        "unknown": settings.unknown,
        **bodies.digest(keypoints),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
