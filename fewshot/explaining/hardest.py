"""What a sweep's best classifier went by in its mistakes: images of the pairs of classes that it mixes up most."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from curate.foundation import json_files
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.inside import inside
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable, open_image
from curate.images.transform import Transform
from curate.models import clip_models
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Sweep, Trial, read_predictions
from fewshot.classifier import Classifier
from fewshot.explaining import palette
from fewshot.explaining.explainer import Explainer
from fewshot.explaining.photos import write
from fewshot.explaining.sheet import sheet
from fewshot.logits import softmax
from fewshot.measuring import tables
from fewshot.measuring.measure import measure
from fewshot.sweeping import plan as planning
from fewshot.sweeping.trial import Runner
from fewshot.trained.fitting import Fitting
from fewshot.trained.looking import Seen
from fewshot.trained.model import images_of
from fewshot.trained.source import settings_of
from fewshot.trials.explained import FILE, FOLDER, Mistake, Shown

PAIRS = 3  # of classes
OF_A_PAIR = 4  # images


@dataclass(frozen=True)
class HardestMistakes:
    """A trial, and the positions among its test images that are to be shown, the hardest pair's first."""

    record: Record
    predictions: Predictions
    places: tuple[int, ...]


def explain_sweep(
    sweep: Path, checkpoint: Path | None = None, device: str = "auto", cache: Path | None = None
) -> Shown:
    """Train again the trial that has most of the hardest mistakes, and write SWEEP/explained.

    checkpoint, device, cache: as of a sweep's settings.
    Raises UsageError and FewposeError, in one sentence, where that can't be done.
    """
    palette.matplotlib()  # before any work
    found = records.read_sweep(sweep)
    mistaken = hardest(found)
    trial = mistaken.record.trial
    runner = _runner(found, mistaken.record, checkpoint, device, cache)
    fitting = Fitting(runner, trial)
    (fitted,) = fitting.fit([fitting.everything()], [""])
    test = runner.plan.split(trial.split).test
    now = dict(zip(test["key"], fitted.logits(runner.images(test)).argmax(axis=1).tolist(), strict=True))
    before = mistaken.predictions.logits.argmax(axis=1).tolist()
    agreed = [now[key] == answer for key, answer in zip(mistaken.predictions.keys.tolist(), before, strict=True)]
    places = [place for place in mistaken.places if agreed[place]]
    with records.explaining_write_errors(sweep):
        folder = inside(sweep, FOLDER)
        mistakes = _show(runner, _explainer(runner, fitted.classifier()), mistaken.predictions, places, folder)
        shown = Shown(
            trial,
            mistaken.record.predictions_sha256,
            tuple(mistakes),
            agreed=sum(agreed),
            tested=len(agreed),
            unread=len(places) - len(mistakes),
        )
        json_files.write(folder / FILE, shown.to_json())
    return shown


def hardest(sweep: Sweep) -> HardestMistakes:
    """Of the cell whose mistakes the report shows, the trial with most of those of the hardest pairs; the first of
    equals. Raises FewposeError where there is none.
    """
    measured = measure(sweep)
    cell = tables.focus(tables.results(measured))
    if cell is None:
        raise FewposeError(f"{sweep.directory} has no finished trial yet; go on with fewshot sweep")
    confused = tables.confused_pairs(measured.confusions[cell], sweep.classes).head(PAIRS)
    pairs = [tuple(map(sweep.classes.index, pair)) for pair in zip(confused["a"], confused["b"], strict=True)]
    if not pairs:
        raise FewposeError(f"{cell.method} on {cell.set} has made no mistake that could be shown")
    scored = [Trial(*cell, int(split)) for split in sorted(tables.of_cell(measured, cell)["split"])]
    predictions = [read_predictions(sweep.directory, trial) for trial in scored]
    most = max(range(len(scored)), key=lambda number: len(_of_pairs(predictions[number], pairs)))
    (record,) = [each for each in sweep.records if each.trial == scored[most]]
    return HardestMistakes(record, predictions[most], tuple(_of_pairs(predictions[most], pairs, OF_A_PAIR)))


def _of_pairs(predictions: Predictions, pairs: Sequence[tuple[int, ...]], most: int | None = None) -> list[int]:
    """Places of the images that were taken for the other class of a pair, pair by pair, the surest answers first; at
    most so many of a pair.
    """
    answers, chances = predictions.logits.argmax(axis=1), softmax(predictions.logits).max(axis=1)
    places: list[int] = []
    for a, b in pairs:
        there = ((predictions.labels == a) & (answers == b)) | ((predictions.labels == b) & (answers == a))
        places += sorted(np.flatnonzero(there).tolist(), key=lambda place: -chances[place])[:most]
    return places


def _runner(sweep: Sweep, record: Record, checkpoint: Path | None, device: str, cache: Path | None) -> Runner:
    """What runs this one trial as the sweep did."""
    trial = record.trial
    settings = settings_of(sweep.directory).replaced(
        sets=(trial.set,),
        methods=(trial.method,),
        shots=(trial.shots or 1,),
        splits=trial.split + 1,
        checkpoint=checkpoint,
        device=device,
        cache=cache,
    )
    plan = planning.make(settings)
    if plan.split(trial.split).digest != record.digests.get("split"):
        raise FewposeError(
            f"{settings.collection} is not what it was when {sweep.directory} was run; run another sweep"
        )
    clip = clip_models.load(settings.clip.model, checkpoint=checkpoint, device=device)
    if clip.image_digest != record.digests.get("image_weights"):
        raise UsageError(f"the sweep began with other weights of {clip.name}; give them by --checkpoint FILE")
    return Runner(plan, clip)


def _explainer(runner: Runner, classifier: Classifier) -> Explainer:
    for each in images_of(classifier):
        each.tower.eval().to(runner.clip.device)
        each.head.to(runner.clip.device)
    transform = Transform(runner.clip.image_size, runner.plan.settings.data.fit)
    return Explainer(classifier, runner.clip.normalise, transform)


def _show(
    runner: Runner, explainer: Explainer, predictions: Predictions, places: Sequence[int], folder: Path
) -> list[Mistake]:
    """Write a picture for each of `places`; what can't be read is left out."""
    (folder / FILE).unlink(missing_ok=True)  # it must not describe pictures that are being replaced
    for old in folder.glob("[0-9][0-9].png"):
        old.unlink()
    collection = runner.plan.settings.opened()
    images = runner.plan.images.set_index("key")
    shown: list[Mistake] = []
    for place in places:
        mistake = _mistake(runner.plan.classes, predictions, place, f"{len(shown):02}.png")
        try:
            content = originals.read(collection, images["file"][mistake.key], images["id"][mistake.key])
            page = _page(runner, explainer, content, mistake)
        except Unreadable:
            continue
        write(folder / mistake.file, page)
        shown.append(mistake)
    return shown


def _mistake(classes: Sequence[str], predictions: Predictions, place: int, file: str) -> Mistake:
    chances = softmax(predictions.logits[place : place + 1])[0]
    truth, answer = classes[predictions.labels[place]], classes[int(chances.argmax())]
    return Mistake(str(predictions.keys[place]), truth, answer, round(float(chances.max()), 4), file)


def _page(runner: Runner, explainer: Explainer, content: bytes, mistake: Mistake) -> Image.Image:
    """The picture, and what spoke for what it was called and for what it is. Raises Unreadable."""
    images, classes, transform = runner.plan.images, runner.plan.classes, explainer.transform
    decoded = open_image(content, limits=NO_LIMITS, draft=transform.draft_size())
    joints = runner.images(images[images["key"] == mistake.key]).joints()[0]
    words = {
        classes.index(mistake.answer): (f"called {mistake.answer}", f"{100 * mistake.probability:.1f} %"),
        classes.index(mistake.truth): (f"is {mistake.truth}", ""),
    }
    seen = Seen(transform.apply(decoded.image), joints)
    return sheet(decoded.image, mistake.key, explainer.panels(seen, (decoded.width, decoded.height), words))
