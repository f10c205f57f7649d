"""How a report opens: what was measured, what came out, what can be told apart. Plain text, not yet escaped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from fewshot.measuring.measure import Measured
from fewshot.measuring.tables import contenders, decisive, rows_of, untrained
from fewshot.reporting.elements.wording import UNKNOWN, count, counted, interval, listing, percent, points
from fewshot.reporting.sections import additions
from fewshot.trials.additions import composition

OUTCOMES = {
    "higher": "distinguishable",
    "lower": "distinguishable",
    "undecided": "not distinguishable",
    "": "from a single split",
}


@dataclass(frozen=True)
class Best:
    """The best cell at one number of shots, and how far it leads the next best method on the same set."""

    shots: int
    set: str
    method: str
    accuracy: str  # "86.3"
    interval: str  # "[85.8, 86.8]" or "–"
    lead: str = ""  # the paired difference in words; "" where there is no other method
    verdict: str = ""  # whether the lead is distinguishable from zero, as in the table of differences


@dataclass(frozen=True)
class Summary:
    """`opening` is one paragraph: the task, the best result, what can be told apart. `setting` is how it was measured.

    `collection` is the name of what was swept, "" where that isn't known. `brackets` says which intervals the other
    texts give; `progress` what is missing, "" for a finished sweep.
    """

    title: str
    collection: str
    opening: str
    best: list[Best]
    setting: str
    brackets: str
    progress: str


def summarize(measured: Measured, results: pd.DataFrame, differences: pd.DataFrame) -> Summary:
    """The sentences with which a report opens."""
    best = best_by_shots(results, differences)
    return Summary(
        title=_title(measured),
        collection=_collection(measured.sweep.settings),
        opening=" ".join(filter(None, (_enough(best), _task(measured), _top(best), _leads(best), *_sets(differences)))),
        best=best,
        setting=" ".join(filter(None, (_scale(measured), _model(measured, results)))),
        brackets=_brackets(measured, best),
        progress=_progress(measured),
    )


# ---- what was measured ------------------------------------------------------------------------------------------


def _title(measured: Measured) -> str:
    shots = _shots(measured)
    classes = counted(len(measured.sweep.classes), "class", "classes")
    return f"{classes} from {listing(shots)} images each" if shots else f"{classes} without a training image"


def _task(measured: Measured) -> str:
    classes = counted(len(measured.sweep.classes), "class", "classes")
    shots = _shots(measured)
    if not shots:
        return (
            f"A classifier is given the names of {classes}, no example, and must name photographs that it hasn't seen."
        )
    images = "image" if shots == [1] else "images"
    return (
        f"A classifier is shown {listing(shots, 'or')} {images} of each of {classes}, "
        "and must then name images that it has not seen."
    )


def _scale(measured: Measured) -> str:
    settings = measured.sweep.settings
    images = sum(settings.get("class_sizes", {}).values()) or measured.tested
    where = f"{_collection(settings) or 'the collection'} ({counted(images, 'image')})"
    if measured.trials.empty:
        return f"No trial on {where} has been scored yet."
    tests = counted(round(float(measured.trials["test_images"].median())), "image")
    splits = measured.trials["split"].nunique()
    if settings.get("split_kind") == "official":
        repeated = f", averaged over {counted(splits, 'draw')} of training images" if splits > 1 else ""
        return f"Accuracy is the share named rightly of the official test set of {where}, {tests}{repeated}."
    if splits == 1:
        return f"Accuracy is the share named rightly of {tests} that were set aside from {where}, in a single split."
    return (
        f"Accuracy is the share named rightly of the {tests} or so that a split sets aside for testing, "
        f"averaged over {counted(splits, 'random split')} of {where}."
    )


def _model(measured: Measured, results: pd.DataFrame) -> str:
    settings = measured.sweep.settings
    model = settings.get("model") or listing(sorted(set(results["model"])))
    named = f"Every method starts from the model {model}." if model else ""
    levels = untrained(measured.cells)
    if not levels or settings.get("weights", {}).get("text") != "untrained":
        return named
    return (
        f"{named} The model's text tower is untrained, so {listing(levels)}, which has only the classes' names "
        f"to go by, can do no better than guess."
    )


def _shots(measured: Measured) -> list[int]:
    never = untrained(measured.cells)
    return sorted({cell.shots for cell in measured.cells if cell.method not in never})


def _collection(settings: dict[str, Any]) -> str:
    return PurePath(settings.get("collection") or "").name


def _brackets(measured: Measured, best: Sequence[Best]) -> str:
    if all(entry.interval == UNKNOWN for entry in best):
        return "One split gives no interval." if best else ""
    text = "Brackets after an accuracy are its 95 % interval over splits."
    if measured.overlap >= 1:
        return f"{text} So are those after a lead, which decide what is distinguishable."
    return f"{text} Brackets after a lead are its 95 % interval for new images, which decides what is distinguishable."


def _progress(measured: Measured) -> str:
    """What is missing, or "" for a finished sweep."""
    planned, missing = len(measured.sweep.planned), len(measured.unfinished)
    if not missing:
        return ""
    failed = f" ({count(len(measured.failed))} failed)" if len(measured.failed) else ""
    return (
        f"This sweep isn't finished: {count(planned - missing)} of {counted(planned, 'trial')} have run{failed}, "
        f"{count(missing)} {'is' if missing == 1 else 'are'} still to come. The numbers below will change."
    )


# ---- what came out ----------------------------------------------------------------------------------------------


def best_by_shots(results: pd.DataFrame, differences: pd.DataFrame) -> list[Best]:
    """The best set and method at each number of shots; one that is never trained takes part at every number.

    A set with more photographs than that takes no part.
    """
    scored = [row for row in rows_of(results) if row.n and not composition(row.set).more_real]
    never = untrained(scored)
    numbers = sorted({row.shots for row in scored if row.method not in never} or {row.shots for row in scored})
    best = []
    for shots in numbers:
        alone = [row for row in scored if composition(row.set).alone] if shots else []
        level = [row for row in scored if not row.shots and row.method in never]
        here = contenders(row for row in [*level, *scored] if (row in level or row.shots == shots) and row not in alone)
        first = max(here, key=lambda row: row.mean)
        others = [row for row in here if row.set == first.set and row.method != first.method]
        second = max(others, key=lambda row: row.mean, default=None)
        best.append(
            Best(
                shots=shots,
                set=first.set,
                method=first.method,
                accuracy=percent(first.mean),
                interval=interval(first.ci_low, first.ci_high),
                **_lead(_difference(differences, shots, first, second.method)) if second else {},
            )
        )
    return best


def _difference(differences: pd.DataFrame, shots: int, first: Any, second: str) -> dict[str, Any]:
    """The paired difference first - second, turned round where the table has second - first."""
    for row in rows_of(differences):
        if (row.kind, row.set, row.shots) != ("method", first.set, shots) or {row.a, row.b} != {first.method, second}:
            continue
        low, high = decisive(row)
        if row.a == first.method:
            found = {"mean": row.mean, "low": low, "high": high, "verdict": row.verdict}
        else:
            turned = {"higher": "lower", "lower": "higher"}.get(row.verdict, row.verdict)
            found = {"mean": -row.mean, "low": -high, "high": -low, "verdict": turned}
        return found | {"of": second}
    raise KeyError(f"{first.method} and {second} aren't among the differences")


def _lead(compared: dict[str, Any]) -> dict[str, str]:
    """Best's `lead` and `verdict`."""
    mean, low, high = compared["mean"], compared["low"], compared["high"]
    if math.isnan(mean):
        return {"lead": f"No split has both this and {compared['of']}.", "verdict": ""}
    spread = f" {interval(low, high, signed=True)}" if not math.isnan(low) else ""
    side = "ahead of" if mean >= 0 else "behind"  # means over different splits may rank otherwise than common ones
    size = points(abs(mean)).lstrip("+")
    text = f"{size} points{spread} {side} {compared['of']}, {OUTCOMES[compared['verdict']]}"
    return {"lead": text, "verdict": compared["verdict"]}


ENOUGH = 1.0  # point of accuracy below what the most images give


def _enough(best: Sequence[Best]) -> str:
    """The fewest images a class that come within a point of the most; "" where one number alone was measured."""
    if len(best) < 2:
        return ""
    most = best[-1]
    few = next(each for each in best if float(each.accuracy) >= float(most.accuracy) - ENOUGH)
    if few is most:
        return f"No fewer than {most.shots} images a class come within a point of what {most.shots} give."
    images = f"{counted(few.shots, 'image')} a class" if few.shots else "No image at all"
    are = "is" if few.shots <= 1 else "are"
    return (
        f"{images} {are} enough: {few.method} names {few.accuracy} % rightly, the best with {most.shots} images "
        f"a class {most.accuracy} %."
    )


def _leads(best: Sequence[Best]) -> str:
    """At which numbers of shots the best method can be told from the next best."""
    clear = [entry.shots for entry in best if entry.shots and entry.verdict in ("higher", "lower")]
    open_ = [entry.shots for entry in best if entry.shots and entry.verdict == "undecided"]
    told = "can be told from the next best"
    if not clear and not open_:
        return ""
    if not open_:
        return f"The best method {told} at {listing(clear)} images a class."
    if not clear:
        return f"The best method can't be told from the next best at {listing(open_, 'or')} images a class."
    return f"The best method {told} at {listing(clear)} images a class, but not at {listing(open_, 'or')}."


def _top(best: Sequence[Best]) -> str:
    """The best result of all, in words."""
    if not best:
        return ""
    top = best[-1]
    spread = f" {top.interval}" if top.interval != UNKNOWN else ""
    shots = f"With {counted(top.shots, 'image')} a class, " if top.shots else ""
    sentence = f"{shots}the best is {top.method} on {top.set}: {top.accuracy} %{spread} are named rightly."
    return sentence[0].upper() + sentence[1:]


def _sets(differences: pd.DataFrame) -> list[str]:
    """A sentence for each pair of training sets."""
    table = differences[(differences["kind"] == "set") & (differences["shots"] > 0) & (differences["verdict"] != "")]
    sentences = []
    for a, b in dict.fromkeys((row.a, row.b) for row in rows_of(table)):
        rows = [row for row in rows_of(table) if (row.a, row.b) == (a, b)]
        low, high = points(min(row.mean for row in rows)), points(max(row.mean for row in rows))
        reach = f"{low} to {high}" if low != high else low
        sentences.append(
            f"Training on {a} instead of {b} changes accuracy by {reach} points "
            f"({counted(len(rows), 'comparison')}); {additions.outcome(rows, a, b)}."
        )
    return sentences
