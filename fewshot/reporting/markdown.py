"""report.md: the page's sentences and tables as Markdown, for a README or an issue. Text from outside is escaped."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from fewshot.measuring import tables
from fewshot.reporting import fitted_curve, reliability, wording
from fewshot.reporting.content import Content
from fewshot.reporting.page import MOST_PAIRS, MOST_WRONG
from fewshot.reporting.wording import count, interval, percent, points

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def escape(text: object) -> str:
    """Text that Markdown shows as it is: nothing becomes a link, a tag, emphasis, or a new line."""
    flat = " ".join(str(text).split())
    return _SPECIAL.sub(r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def render(content: Content) -> str:
    """The whole report as Markdown text."""
    parts = [
        *_opening(content),
        *_results(content.results),
        *_needed(content),
        *_differences(content),
        *_mistakes(content),
        *_classes(content),
        *_calibration(content),
        *_failed(content.measured.failed),
        "## What the intervals cover",
        _INTERVALS,
    ]
    return "\n\n".join(parts) + "\n"


_INTERVALS = (
    "*Over splits*: mean ± t · SD / √n over the splits that were run. It covers the choice of splits of this one "
    "collection, and says nothing of other images.\n\n"
    "*For new images*: the same, allowing for the test images that splits share (Nadeau and Bengio, 2003). It covers "
    "the accuracy to expect on new images of the same kind.\n\n"
    "*Other test images*: a bootstrap over the test images, each with all that its splits said of it. It covers which "
    "images there happened to be to test on, with the classifiers as they were trained here; copies of a picture count "
    "as independent images."
)


def _opening(content: Content) -> list[str]:
    summary = content.summary
    parts = [f"# {escape(summary.title)}"]
    if summary.progress:
        parts.append(f"**{escape(summary.progress)}**")
    parts.append(escape(summary.opening))
    lines = []
    for best in summary.best:
        where = f"{wording.counted(best.shots, 'image')} a class" if best.shots else "no training image"
        lead = f"; {escape(best.lead)}" if best.lead else ""
        who = f"{escape(best.method)} on {escape(best.set)}"
        lines.append(f"* {where}: **{best.accuracy} %** {escape(best.interval)}, {who}{lead}")
    return [*parts, *(["\n".join(lines)] if lines else []), escape(f"{summary.setting} {summary.brackets}".strip())]


def _results(results: pd.DataFrame) -> list[str]:
    rows = [
        (
            *(row.set, row.shots, row.method, row.n, percent(row.mean), interval(row.ci_low, row.ci_high)),
            *(interval(row.ci_corrected_low, row.ci_corrected_high), interval(row.ci_images_low, row.ci_images_high)),
            *(percent(row.sd), percent(row.balanced_accuracy), percent(row.macro_f1)),
            *(percent(row.ece), percent(row.ece_calibrated), row.failed, row.unfinished),
        )
        for row in tables.rows_of(results)
    ]
    head = (
        *("set", "images a class", "method", "splits", "accuracy %", "95 % over splits", "95 % for new images"),
        *("95 % other test images", "SD", "balanced %", "macro-F1 %"),
        *("calibration error %", "with temperature", "failed", "to come"),
    )
    return ["## Results", _table(head, rows, numeric=(1, *range(3, 15)))]


def _needed(content: Content) -> list[str]:
    """How many images a class reach an accuracy, by the fitted curves."""
    rows = [
        (row["set"], row["method"], *row["needed"], f"{row['at_double']} {row['range']}", row["warning"] or "–")
        for row in fitted_curve.by_curve(content.curves)
    ]
    if not rows:
        return []
    targets = [f"{100 * target:g} %" for target in fitted_curve.TARGETS]
    head = ("set", "method", "a point below the most images", *targets, "twice as many would give %", "fit")
    said = fitted_curve.sentence(content.curves, content.focus)
    return [
        "## How many images are needed",
        *([escape(said)] if said else []),
        _table(head, rows, numeric=tuple(range(2, len(head) - 1))),
        _NEEDED,
    ]


_NEEDED = (
    "Images a class that reach an accuracy, by the power law accuracy = a − b · N^−c through the means; brackets are "
    "95 % intervals from resampling whole splits, and take the power law for granted. \\* lies beyond twice the "
    "largest number that was measured."
)


def _classes(content: Content) -> list[str]:
    if not content.class_warnings:
        return []
    return ["## Class by class", "\n".join(f"* {escape(sentence)}" for sentence in content.class_warnings)]


def _calibration(content: Content) -> list[str]:
    if content.calibration is None or content.focus is None:
        return []
    of = f"Of {escape(content.focus.method)} on {escape(content.focus.set)}."
    return ["## Calibration", f"{of} {escape(reliability.sentence(content.calibration))}"]


def _differences(content: Content) -> list[str]:
    outcomes = {"higher": "{a} is better", "lower": "{b} is better", "undecided": "not distinguishable"}
    rows = [
        (
            *(row.shots, row.set or row.method, f"{row.a} − {row.b}", points(row.mean)),
            *(interval(row.ci_low, row.ci_high, True), interval(row.ci_corrected_low, row.ci_corrected_high, True)),
            interval(row.ci_images_low, row.ci_images_high, True),
            *(row.n, outcomes.get(row.verdict, wording.UNKNOWN).format(a=row.a, b=row.b)),
        )
        for row in tables.rows_of(content.differences)
    ]
    head = (
        *("images a class", "on", "comparison", "points"),
        *("95 % over splits", "95 % for new images", "95 % other test images", "splits", "outcome"),
    )
    said = ["\n".join(f"* {escape(sentence)}" for sentence in content.summary.additions)]
    return (
        ["## Paired differences", *filter(None, said), _table(head, rows, numeric=(0, 3, 4, 5, 6, 7))] if rows else []
    )


def _mistakes(content: Content) -> list[str]:
    if content.focus is None or content.confusion is None:
        return []
    cell = content.focus
    shots = f" with {wording.counted(cell.shots, 'image')} a class" if cell.shots else ""
    parts = ["## Mistakes", f"Of the most accurate combination, {escape(cell.method)} on {escape(cell.set)}{shots}."]
    pairs = tables.confused_pairs(content.confusion, content.measured.sweep.classes).head(MOST_PAIRS)
    rows = [
        (row.a, row.b, _times(row.a_as_b, row.a_tested), _times(row.b_as_a, row.b_tested))
        for row in tables.rows_of(pairs)
    ]
    if rows:
        parts.append(_table(("class", "called", "times", "the other way round"), rows, numeric=(2, 3)))
    wrong = content.wrong.head(MOST_WRONG)
    rows = [(row.key, row.label, row.usual_wrong_class, _times(row.wrong, row.tested)) for row in tables.rows_of(wrong)]
    if rows:
        parts.append(_table(("most often wrong", "label", "usually called", "wrong"), rows, numeric=(3,)))
    return parts


def _failed(failed: pd.DataFrame) -> list[str]:
    rows = [(row.set, row.method, row.shots, row.split, row.cause, row.detail) for row in tables.rows_of(failed)]
    if not rows:
        return []
    head = ("set", "method", "images a class", "split", "cause", "what happened")
    return [f"## {wording.counted(len(rows), 'trial')} failed", _table(head, rows, numeric=(2, 3))]


def _times(part: int, whole: int) -> str:
    return f"{count(part)} of {count(whole)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int]) -> str:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    aligned = ["--:" if column in numeric else "---" for column in range(len(head))]
    body = [line(escape(cell) for cell in row) for row in rows]
    return "\n".join([line(head), line(aligned), *body])
