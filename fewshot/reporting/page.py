"""report.html: one self-contained page, without requests, readable without scripts, with all foreign text escaped."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from fewshot.measuring import tables
from fewshot.measuring.measure import Cell, Measured
from fewshot.reporting import fitted_curve, influence, per_class, reliability, wording
from fewshot.reporting.confusion_matrix import confusion_matrix
from fewshot.reporting.content import Content
from fewshot.reporting.difference_marks import difference_axis, difference_limit, difference_mark
from fewshot.reporting.learning_curve import learning_curve
from fewshot.reporting.summary import collection_name
from fewshot.reporting.thumbnails import thumbnail, thumbnails
from fewshot.trials.explained import FOLDER, read_shown

HERE = Path(__file__).parent
MOST_CLASSES = 20  # in the confusion matrix
MOST_PAIRS = 10
MOST_WRONG = 24
MOST_FAILED = 100
WIDEST = 1024  # px, of a picture with its maps


def render(content: Content) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    formats: tuple[Callable[..., str], ...] = (
        wording.percent,
        wording.points,
        wording.interval,
        wording.count,
        wording.counted,
        wording.listing,
    )
    environment.globals |= {form.__name__: form for form in formats}
    environment.filters["breakable"] = _breakable
    style, script = (HERE / "page.css").read_text(encoding="utf-8"), (HERE / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        content=content,
        summary=content.summary,
        settings=content.measured.sweep.settings,
        name=collection_name(content.measured.sweep.settings),
        style=Markup(style),  # noqa: S704  # ours
        script=Markup(script),  # noqa: S704  # ours
        policy=_policy(script),
        curves=_curves(content),
        needed=_needed(content),
        calibration=_calibration(content),
        class_curves=per_class.class_curves(content.classes, content.results, content.focus, MOST_CLASSES),
        calibrated=bool(content.results["ece_calibrated"].notna().any()),
        influence=_influence(content),
        results=_results(content),
        differences=_differences(content),
        mistakes=_mistakes(content),
        explained=_explained(content),
        wrong=_wrong(content),
        failed=content.measured.failed.head(MOST_FAILED).to_dict("records"),
        reproduce=_reproduce(content.measured),
        chance=1 / len(content.measured.sweep.classes),
        beyond=bool((content.results[["ci_high", "ci_corrected_high"]] > 1).any(axis=None)),
        all_settings=_all_settings(content.measured),
    )


def _policy(script: str) -> str:
    """A content security policy: nothing is fetched, and no script runs but ours, whatever a label may hold."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _curves(content: Content) -> list[dict[str, Any]]:
    """A learning curve for each set, drawn for a wide and for a narrow screen."""
    methods = list(dict.fromkeys(cell.method for cell in content.measured.cells))
    sets = list(dict.fromkeys(content.results["set"]))
    wide = 900 if len(sets) == 1 else 500
    pictures = []
    for name in sets:
        rows = content.results[content.results["set"] == name]
        if (rows["n"] > 0).sum() > 1:  # one point makes no picture
            laws = {each.method: each.curve for each in content.fitted if each.set == name}
            sizes = ((wide, 340), (350, 300))
            drawn = tuple(learning_curve(rows, content.results, methods, *size, laws) for size in sizes)
            pictures.append({"set": name, "wide": drawn[0], "narrow": drawn[1]})
    return pictures


def _needed(content: Content) -> dict[str, Any] | None:
    """The table of how many images a class a target needs; None where no curve was fitted."""
    if content.curves.empty:
        return None
    rows = fitted_curve.by_curve(content.curves)
    return {
        "rows": rows,
        "targets": [f"{100 * target:g} %" for target in fitted_curve.TARGETS],
        "sentence": fitted_curve.sentence(content.curves, content.focus),
        "extrapolated": bool(content.curves["extrapolated"].any()),
        "warned": any(row["warning"] for row in rows),
    }


def _calibration(content: Content) -> dict[str, Any] | None:
    """The reliability diagrams of the focus cell, as it says and with its temperature."""
    found = content.calibration
    if found is None:
        return None
    pictures = [("As the method states it", found.stated), ("Divided by the temperature", found.calibrated)]
    return {
        "sentence": reliability.sentence(found),
        "pictures": [
            {"title": title, "error": bins.error, "picture": reliability.reliability_diagram(bins, title)}
            for title, bins in pictures
            if bins
        ],
    }


def _results(content: Content) -> list[dict[str, Any]]:
    """The results table's rows as a person compares them: by set, then shots; the best of each such block marked."""
    rows: list[dict[str, Any]] = [row._asdict() for row in tables.rows_of(content.results)]
    sets = list(dict.fromkeys(content.results["set"]))
    rows.sort(key=lambda row: (sets.index(row["set"]), row["shots"]))
    best = {}
    for set_, shots in {(row["set"], row["shots"]) for row in rows}:
        here = [row for row in tables.rows_of(content.results) if (row.set, row.shots) == (set_, shots)]
        best[set_, shots] = max((row.mean for row in tables.contenders(here)), default=None)
    for before, row in zip([None, *rows], rows, strict=False):
        row["again"] = before is not None and before["set"] == row["set"]
        row["starts"] = before is not None and (before["set"], before["shots"]) != (row["set"], row["shots"])
        row["best"] = row["mean"] == best[row["set"], row["shots"]] and row["shots"] > 0
    return rows


def _differences(content: Content) -> list[dict[str, Any]]:
    """Tables of differences, each with marks on its own scale: those against no training would dwarf the others."""
    shown = []
    table = content.differences[content.differences["n"] > 0].sort_values("shots", kind="stable")
    levels = tables.untrained(content.measured.cells)
    untrained = (table["kind"] == "method") & (table["a"].isin(levels) | table["b"].isin(levels))
    for kind, title, rows in (
        ("method", "Method against method", table[(table["kind"] == "method") & ~untrained]),
        ("set", "Training set against training set", table[table["kind"] == "set"]),
        ("addition", "Images that are added", table[table["kind"] == "addition"]),
        ("method", f"Against {wording.listing(levels)}, without training images", table[untrained]),
    ):
        if rows.empty:
            continue
        limit = difference_limit(rows)
        marked = [row.to_dict() | {"mark": difference_mark(row, limit)} for _, row in rows.iterrows()]
        shown.append({"kind": kind, "title": title, "rows": marked, "axis": difference_axis(limit)})
    return shown


def _mistakes(content: Content) -> dict[str, Any] | None:
    """The confusion matrix of the focus cell with its hardest pairs, and every class's share of right answers."""
    confusion, classes = content.confusion, content.measured.sweep.classes
    if confusion is None:
        return None
    shown = tables.hardest_classes(confusion, MOST_CLASSES)
    pairs = tables.confused_pairs(confusion, classes)
    return {
        "matrix": confusion_matrix(confusion, classes, shown),
        "shown": len(shown),
        "classes": len(classes),
        "pairs": pairs.head(MOST_PAIRS).to_dict("records"),
        "more_pairs": max(0, len(pairs) - MOST_PAIRS),
        "by_class": _by_class(content, confusion),
    }


def _explained(content: Content) -> dict[str, Any] | None:
    """What the classifier in focus looked at where it was wrong; None where `fewshot explain` hasn't shown it."""
    sweep = content.measured.sweep
    shown = read_shown(sweep.directory)
    if shown is None or Cell(shown.trial.set, shown.trial.method, shown.trial.shots) != content.focus:
        return None
    rows = [
        vars(each) | {"picture": thumbnail(sweep.directory / FOLDER / each.file, WIDEST)} for each in shown.mistakes
    ]
    return {"split": shown.trial.split, "rows": [row for row in rows if row["picture"]]}


def _influence(content: Content) -> dict[str, Any] | None:
    """What is said of training images that help or hurt, and those of which it can be told."""
    sentences = influence.sentences(content.influence)
    if not sentences:
        return None
    told = content.influence[content.influence["q_value"] <= influence.FALSE]
    order = told["effect_points"].abs().sort_values(ascending=False, kind="stable").index[:MOST_PAIRS]
    return {"sentences": sentences, "rows": told.loc[order].to_dict("records"), "told": len(told)}


def _by_class(content: Content, confusion: np.ndarray) -> list[dict[str, Any]]:
    settings, classes = content.measured.sweep.settings, content.measured.sweep.classes
    texts = settings.get("texts") or [""] * len(classes)
    rows = []
    for index, name in enumerate(classes):
        tested = int(confusion[index].sum())
        elsewhere = confusion[index].copy()
        elsewhere[index] = 0
        usual = int(elsewhere.argmax())
        rows.append(
            {
                "name": name,
                "text": texts[index] if isinstance(texts[index], str) else "; ".join(texts[index]),
                "images": settings.get("class_sizes", {}).get(name),
                "right": confusion[index, index] / tested if tested else float("nan"),
                "usual": classes[usual] if elsewhere[usual] else "",
                "usual_share": elsewhere[usual] / tested if tested else float("nan"),
            }
        )
    return sorted(rows, key=lambda row: (row["right"] != row["right"], row["right"]))  # the hardest first, unknown last


def _wrong(content: Content) -> dict[str, Any]:
    rows = content.wrong.head(MOST_WRONG).to_dict("records")
    pictures = thumbnails(content.measured.sweep.settings.get("collection"), [row["key"] for row in rows])
    return {
        "rows": [row | {"picture": pictures.get(row["key"])} for row in rows],
        "pictures": bool(pictures),
        "total": len(content.wrong),
    }


def _breakable(name: str) -> Markup:
    """A name that a narrow column may break after its slashes and underscores."""
    return Markup("<wbr>").join(re.split("(?<=[/_])", name))


def _reproduce(measured: Measured) -> list[tuple[str, list[str]]]:
    """What it takes to get these numbers again: (what, lines)."""
    settings = measured.sweep.settings
    weights = settings.get("weights", {})
    sets = settings.get("sets", {})
    entries = [
        ("Collection", [str(settings.get("collection", ""))]),
        ("Training sets", [f"{name}: {_set_line(sets[name])}" for name in sets] if isinstance(sets, dict) else sets),
        ("Model", [f"{settings.get('model', '')}, weights {weights.get('image') or weights.get('digest', 'unknown')}"]),
        ("Text tower", [weights.get("text", "")]),
        ("Pixels", [settings.get("fit", "")]),
        ("Precision", [settings.get("precision", "")]),
        ("Splits", [_splits_line(settings)]),
        ("Images a class", [wording.listing(settings.get("shots", []))]),
        ("Methods", [_method_line(name, settings) for name in settings.get("methods", [])]),
        ("Prompts", [str(prompt) for prompt in settings.get("prompts", [])]),
        ("Classes left out", [str(name) for name in settings.get("dropped_classes", [])]),
        ("Versions", [wording.listing([f"{k} {v}" for k, v in sorted(settings.get("versions", {}).items())])]),
        ("Run on", sorted({record.device for record in measured.sweep.records})),
        ("Computing time", [_time_line(measured)]),
    ]
    return [(what, [line for line in lines if line]) for what, lines in entries if any(lines)]


def _set_line(fields: dict[str, Any]) -> str:
    added = f" and {wording.counted(fields['synthetic'], 'synthetic image')}" if "synthetic" in fields else ""
    return f"{wording.counted(fields.get('images', 0), 'image')}{added}, digest {fields.get('digest', 'unknown')}"


def _splits_line(settings: dict[str, Any]) -> str:
    number = wording.counted(settings.get("splits", 0), f"{settings.get('split_kind', 'random')} split")
    tested = f", {100 * settings['test_fraction']:g} % of each class for testing" if "test_fraction" in settings else ""
    return f"{number}{tested}, seed {settings.get('seed', 'unknown')}"


def _method_line(name: str, settings: dict[str, Any]) -> str:
    chosen = settings.get("method_settings", {}).get(name, {})
    return f"{name}: " + (", ".join(f"{key} = {value}" for key, value in sorted(chosen.items())) or "its defaults")


def _time_line(measured: Measured) -> str:
    total = sum(sum(record.seconds.values()) for record in measured.sweep.records)
    return f"{wording.duration(total)} in all trials together" if total else ""


def _all_settings(measured: Measured) -> str:
    """sweep.json without the list of its trials."""
    kept = {key: value for key, value in measured.sweep.settings.items() if key != "trials"}
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
