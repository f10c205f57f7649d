"""A sweep: a grid of trials, each stored when whole, so that the same command goes on where it was stopped."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.collection import synthetic
from curate.collection.sets import TrainingSet
from curate.foundation import json_files
from curate.foundation.errors import UsageError
from curate.foundation.inside import inside
from curate.foundation.locks import only_one
from curate.models import clip_models
from curate.sweeps import records
from curate.sweeps.records import Record, Trial
from fewshot import methods
from fewshot.sweeping import bodies, engines, prompts
from fewshot.sweeping import plan as planning
from fewshot.sweeping.batched_trials import trial_batches
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.settings import SweepSettings, options
from fewshot.sweeping.trial import device_name, versions
from fewshot.sweeping.widening import KEYPOINTS, widened
from fewshot.task import ChecksClasses, ChecksModel


@dataclass(frozen=True)
class SweepSummary:
    """`found` trials had a record already; of all of them `done` have a result, and `failed` counts the causes.

    `ran` trials were run now, in `seconds`, with all that belongs to it: workers that start, images that are embedded.
    """

    out: Path
    found: int
    done: int
    failed: dict[str, int]
    dropped_classes: tuple[str, ...]
    ran: int = 0
    seconds: float = 0.0

    @property
    def pace(self) -> str:
        """Such as "12 trials in 0:01:05, 665 an hour"; "" where none was run."""
        if not self.ran:
            return ""
        whole = round(self.seconds)
        clock = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
        trials = "1 trial" if self.ran == 1 else f"{self.ran:,} trials"
        return f"{trials} in {clock}, {3600 * self.ran / max(self.seconds, 1e-3):,.0f} an hour"


def run_sweep(settings: SweepSettings, *, retry_failed: bool = False) -> SweepSummary:
    """Run what is missing of a sweep.

    `retry_failed` runs failed trials again. Raises UsageError where `settings.out` holds another sweep or another
    process is working on it, FewposeError where it can't be written to.
    """
    plan = planning.make(settings)
    clip = clip_models.load(settings.clip.model, checkpoint=settings.clip.checkpoint, device=settings.compute.device)
    check_methods(plan, clip)
    with only_one(settings.out, "fewshot sweep"):
        _clear_debris(settings.out)
        _write_settings(plan, clip, bodies.digest(bodies.keypoints(plan)))
        missing = [trial for trial in plan.trials if _is_missing(settings.out, trial, retry_failed)]
        begun = time.monotonic()
        if missing:
            engines.run(plan, clip, trial_batches(plan, missing, clip.device.type))
        seconds = time.monotonic() - begun
    return _summary(plan, len(missing), seconds)


def check_methods(plan: Plan, clip: clip_models.ClipModel) -> None:
    """Raises UsageError for a method that can't use this model, or can tell none of these classes."""
    for name in plan.settings.grid.methods:
        method = methods.build(name, options(plan.settings.method_settings(name))[0])
        if isinstance(method, ChecksModel):
            method.check(clip)
        if isinstance(method, ChecksClasses):
            method.check_classes(plan.classes)


def _clear_debris(out: Path) -> None:
    """Remove what a killed sweep was writing; a report may be writing its own files in `out` at this moment."""
    for path in [*out.glob(".writing-*.json"), *inside(out, "trials").rglob(".writing-*")]:
        path.unlink(missing_ok=True)


def _is_missing(out: Path, trial: Trial, retry_failed: bool) -> bool:
    record = records.read(out, trial)
    return record is None or (retry_failed and record.status == "failed")


def _summary(plan: Plan, ran: int, seconds: float) -> SweepSummary:
    finished = [records.read(plan.settings.out, trial) for trial in plan.trials]
    causes = [record.cause for record in finished if record is not None and record.status == "failed"]
    failed = {cause: causes.count(cause) for cause in sorted(set(causes))}
    done = sum(record is not None and record.status == "done" for record in finished)
    return SweepSummary(plan.settings.out, len(plan.trials) - ran, done, failed, plan.dropped, ran, seconds)


def _write_settings(plan: Plan, clip: clip_models.ClipModel, keypoints: dict[str, str]) -> None:
    """Write sweep.json, or check that the one that is there describes the same sweep and widen its grid."""
    path = inside(plan.settings.out, records.FILE)
    new = _describe(plan, clip) | keypoints
    if path.exists():
        new = widened(records.read_sweep(plan.settings.out).settings, new, plan.settings.out)
    else:
        _check_left(plan, clip, keypoints)
    with records.explaining_write_errors(plan.settings.out):
        json_files.write(path, new)


def _check_left(plan: Plan, clip: clip_models.ClipModel, keypoints: dict[str, str]) -> None:
    """Where sweep.json was deleted, its trials are there: those of another sweep would count as ours.

    Raises UsageError for one that tells of another model, other images or settings.
    """
    out = plan.settings.out
    for trial in plan.trials:
        record = records.read(out, trial)
        if record is not None and (name := _other(record, plan, clip, keypoints)):
            raise UsageError(
                f"{out} has no {records.FILE}, and holds a trial with another {name} ({trial.path}); "
                "choose another --out"
            )


def _other(record: Record, plan: Plan, clip: clip_models.ClipModel, keypoints: dict[str, str]) -> str:
    """What a record tells otherwise than this sweep would; "" where it tells nothing else."""
    trial = record.trial
    told: dict[str, Any] = {"model": record.model, **record.digests}
    ours: dict[str, Any] = {
        "model": clip.name,
        "image_weights": clip.image_digest,
        "set": plan.sets[trial.set].digest,
        "split": plan.split(trial.split).digest,
        **keypoints,
    }
    if record.method_version:  # older records don't tell all settings
        told["settings"] = record.settings
        ours["settings"] = json.loads(json.dumps(plan.settings.resolved(trial.method).fields()["settings"]))
    words = {"image_weights": "weights of the model", "set": "content of its training set", **KEYPOINTS}
    return next((words.get(name, name) for name in ours if told.get(name, ours[name]) != ours[name]), "")


def _describe(plan: Plan, clip: clip_models.ClipModel) -> dict[str, Any]:
    settings = plan.settings
    return {
        "format": records.FORMAT,
        "collection": str(settings.collection.resolve()),
        "classes": list(plan.classes),
        "texts": prompts.wordings_to_json(plan.classes, settings),
        "prompts": list(prompts.templates(settings.clip.prompts)),
        "class_sizes": plan.images["label"].value_counts().reindex(plan.classes).to_dict(),
        "dropped_classes": list(plan.dropped),
        "model": clip.name,
        "weights": {
            "image": clip.image_digest,
            "text": "trained" if clip.text_trained else "untrained",
            "all": clip_models.digest(clip.model),  # two checkpoints may differ in their text towers alone
        },
        "precision": clip.precision,
        "device": device_name(clip.device),
        "fit": settings.data.fit,
        "split_kind": settings.splitting.split,
        "test_fraction": settings.splitting.test_fraction,
        "seed": settings.splitting.seed,
        "short": settings.data.short,
        "images_digest": planning.set_digest(plan),
        "sets": {name: _describe_set(each) for name, each in plan.sets.items()},
        "methods": list(settings.grid.methods),
        "method_settings": {name: settings.method_settings(name) for name in settings.grid.methods},
        "recipes": {name: settings.resolved(name).recipe for name in settings.grid.methods},
        "method_versions": {name: settings.resolved(name).version for name in settings.grid.methods},
        "shots": sorted(settings.grid.shots),
        "splits": settings.grid.splits,
        "versions": versions(),
        "trials": [asdict(trial) for trial in plan.trials],
    }


def _describe_set(each: TrainingSet) -> dict[str, Any]:
    added = len(synthetic.synthetic(each.images))
    described = {"digest": each.digest, "images": len(each.images) - added}
    return described | ({"synthetic": added} if added else {})
