"""The tables of arXiv 2501.07221 on a collection of one's own: which sweeps they take, and their results.

Zero-shot (its Table 4), wordings (5), recipes (6), filtered and unfiltered (9), fewer images (11), the 82 classes of
its abstract, and a table of ours: its question, answered with the body. `data/paper.yaml` holds the grids and the
paper's numbers, as far as they are known.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.collection import synthetic
from curate.collection.directory import Collection
from curate.collection.sets import labelled
from curate.foundation import atomic, resources
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import command_line
from curate.sweeps.records import read_sweep
from fewshot.measuring.measure import Measured, measure
from fewshot.measuring.tables import differences, results, rows_of
from fewshot.reporting import paper as pages
from fewshot.reporting.elements.wording import count, counted, interval, listing, percent, points
from fewshot.reporting.paper import Pages, PaperTable, Row
from fewshot.studies import grid_search
from fewshot.studies.grid_search import GridPoint
from fewshot.sweeping.settings import SweepSettings
from fewshot.trials import additions

UNKNOWN = "not known here"
TUNING = ("lr", "weight_decay", "epochs")
BODY = ("pose-prior", "linear-probe", "pose", "pose+linear-probe")


@dataclass(frozen=True)
class PaperSettings:
    """`classes`: of the tables on six classes; those with most images if empty. `splits`: 0 is the grid's number."""

    collection: Path
    out: Path
    quick: bool = False
    classes: tuple[str, ...] = ()
    model: str = "lite0"
    checkpoint: Path | None = None
    device: str = "auto"
    splits: int = 0
    workers: int = 0
    retry_failed: bool = False
    cache: Path | None = None


@dataclass(frozen=True)
class Plan:
    """The sweeps, and what was found and decided before: `why_unfiltered` says why there is no filtered set, or "", and
    `why_no_body` why nobody can be looked for.
    """

    settings: PaperSettings
    grid: dict[str, Any]
    few: tuple[str, ...]
    all: tuple[str, ...]
    photographs: int
    why_unfiltered: str
    why_no_body: str
    grid_points: dict[str, GridPoint]


def run_paper(settings: PaperSettings) -> Pages:
    """Run what is missing, and write paper.md and paper.html into `settings.out`.

    Raises UsageError for classes that the collection hasn't, and what run_sweep raises.
    """
    plan = make(settings)
    grid_search.run(list(plan.grid_points.values()), settings.out, retry_failed=settings.retry_failed)
    return write(plan)


def make(settings: PaperSettings) -> Plan:
    """Which sweeps it takes."""
    collection = Collection.open(settings.collection, settings.cache)
    photographs = synthetic.real(labelled(collection))
    if photographs.empty:
        advice = command_line("curate", "import", "PHOTOS", settings.collection)
        raise FewposeError(f"{settings.collection} has no images yet; {advice}")
    sizes = photographs["label"].value_counts()
    facts = _facts()
    grid = facts["quick" if settings.quick else "full"]
    few = _few(settings.classes, sizes, facts["paper"]["subset"])
    why = _why_unfiltered(collection)
    every = tuple(sorted(sizes.index))
    plan = Plan(settings, grid, few, every, len(photographs), why, _why_no_body(collection), {})
    plan.grid_points.update((each.name, each) for each in _grid_points(plan, sizes))
    return plan


def _facts() -> dict[str, Any]:
    result: dict[str, Any] = resources.load("paper.yaml")
    return result


def _few(asked: tuple[str, ...], sizes: pd.Series, number: int) -> tuple[str, ...]:
    if unknown := sorted(set(asked) - set(sizes.index)):
        raise UsageError(
            f"--classes: the collection has no {', '.join(unknown)}; it has {', '.join(sorted(sizes.index))}"
        )
    largest = sorted(sizes.index, key=lambda name: (-sizes[name], name))
    chosen = tuple(sorted(asked or largest[:number]))
    if len(chosen) < 2:
        raise UsageError("a classifier needs at least two classes")
    return chosen


def _why_unfiltered(collection: Collection) -> str:
    try:
        additions.training_set(collection, "filtered")
    except FewposeError as error:
        return str(error)
    return ""


def _why_no_body(collection: Collection) -> str:
    from curate.pose import keypoints
    from curate.pose.settings import PoseSettings

    try:
        if keypoints.read(collection).table.empty:
            PoseSettings().load()
    except FewposeError as error:
        return str(error)
    return ""


def _of_body(classes: tuple[str, ...]) -> tuple[str, ...]:
    """BODY, without what knows none of these classes."""
    from fewshot.methods.pose_prior import known

    return BODY if known(classes, {}) else BODY[1:]


def _grid_points(plan: Plan, sizes: pd.Series) -> list[GridPoint]:
    grid, settings = plan.grid, plan.settings

    def grid_point(name: str, classes: tuple[str, ...], varied: dict[str, Any], **changes: Any) -> GridPoint:
        values: dict[str, Any] = {
            "model": settings.model,
            "checkpoint": settings.checkpoint,
            "device": settings.device,
            "cache": settings.cache,
            "workers": settings.workers,
            "short": "all",
            "classes": classes,
            "methods": ("finetune",),
            "shots": (grid["recipe_shots"] or int(sizes[list(classes)].max()),),
            "splits": grid["recipe_splits"],
        }
        asked = SweepSettings.of(settings.collection, settings.out, **values | changes)
        return grid_search.grid_point(name, settings.out, asked, varied)

    splits = settings.splits or grid["splits"]
    wording = _facts()["tables"]["4"]["prompt"]
    zero = {"methods": ("zero-shot",), "prompts": (wording,), "splits": splits}
    found = [grid_point("zero-shot", plan.few, {}, **zero)]
    if plan.all != plan.few:
        found.append(grid_point("zero-shot-all", plan.all, {}, **zero))
    found += [grid_point(f"prompt-{name}", plan.few, {"prompt": name}, prompts=(name,)) for name in grid["prompts"]]
    for values in itertools.product(*(grid[name] for name in TUNING)):
        varied = dict(zip(TUNING, values, strict=True))
        name = f"recipe-{grid_search.settings_name(varied)}"
        found.append(grid_point(name, plan.few, varied, recipes={"finetune": varied}))
    sets = ("unfiltered",) if plan.why_unfiltered else ("filtered", "unfiltered")
    found.append(grid_point("few-shot", plan.few, {}, sets=sets, shots=tuple(grid["shots"]), splits=splits))
    if not plan.why_no_body:
        found.append(
            grid_point("body", plan.few, {}, methods=_of_body(plan.few), shots=tuple(grid["shots"]), splits=splits)
        )
    if grid["all_classes"] and plan.all != plan.few:
        found.append(grid_point("all-classes", plan.all, {}))
    return found


def write(plan: Plan) -> Pages:
    """paper.md and paper.html, from the sweeps as they are on disk."""
    measured = {name: measure(read_sweep(each.settings.out)) for name, each in plan.grid_points.items()}
    facts = _facts()
    made = {
        "4": _zero_shot(plan, measured),
        "5": [
            _finetuned(f"“{name}”: {_wording(measured[f'prompt-{name}'])}", measured[f"prompt-{name}"])
            for name in plan.grid["prompts"]
        ],
        "6": _recipes(plan, measured, facts["tables"]["6"]["known"]),
        "9": _filtered(plan, measured["few-shot"]),
        "11": _fewer(measured["few-shot"]),
        "abstract": _all_classes(measured),
        "body": _body(measured),
    }
    tables = [_table(number, about, made[number], plan) for number, about in facts["tables"].items()]
    content = pages.PaperContent(
        tables, _differs(plan, measured, facts["paper"]), f"{facts['paper']['name']} on {_name(plan)}"
    )
    files = Pages(plan.settings.out / "paper.md", plan.settings.out / "paper.html", content)
    atomic.write_text(files.markdown, pages.markdown(content))
    atomic.write_text(files.html, pages.html(content))
    return files


def _name(plan: Plan) -> str:
    return plan.settings.collection.resolve().name


def _known(number: str, **facts: Any) -> str:
    """The paper's number for what has all of a known row's settings."""
    for row in _facts()["tables"][number]["known"]:
        if all(facts.get(name) == value for name, value in row.items() if name != "paper"):
            return str(row["paper"])
    return UNKNOWN


def _row(what: str, measured: Measured, cell: Any, paper: str = UNKNOWN) -> Row:
    """A cell of a sweep beside the paper's number."""
    failed = measured.failed
    here = failed[(failed["set"] == cell.set) & (failed["method"] == cell.method) & (failed["shots"] == cell.shots)]
    notes = [
        f"{counted(number, 'split')} {cause}" for cause, number in here["cause"].value_counts().sort_index().items()
    ]
    if cell.unfinished:
        notes.append(f"{count(cell.unfinished)} to come")
    return Row(
        what=what,
        images=f"{cell.real_images / len(measured.sweep.classes):.0f}" if cell.n and cell.shots else "",
        splits=count(cell.n),
        ours=percent(cell.mean),
        interval=interval(cell.ci_low, cell.ci_high),
        paper=paper,
        note=", ".join(notes),
    )


def _cells(measured: Measured) -> list[Any]:
    return list(rows_of(results(measured)))


def _zero_shot(plan: Plan, measured: dict[str, Measured]) -> list[Row]:
    rows = []
    for name, classes in (("zero-shot", "six"), ("zero-shot-all", "all")):
        if name in measured:
            number = len(measured[name].sweep.classes)
            row = _row(f"{number} classes", measured[name], _cells(measured[name])[0], _known("4", classes=classes))
            rows.append(row.with_note(f"chance is {percent(1 / number)} %"))
    return rows


def _wording(measured: Measured) -> str:
    prompts = measured.sweep.settings["prompts"]
    return prompts[0] if len(prompts) == 1 else f"{len(prompts)} sentences, averaged"


def _finetuned(what: str, measured: Measured, paper: str = UNKNOWN) -> Row:
    return _row(what, measured, _cells(measured)[0], paper)


def _recipes(plan: Plan, measured: dict[str, Measured], known: list[dict[str, Any]]) -> list[Row]:
    found = [each for each in plan.grid_points.values() if each.name.startswith("recipe-")]
    rows = []
    for each in found:
        what = ", ".join(f"{words} {each.varied[name]:g}" for name, words in _TUNING_WORDS.items())
        rows.append(_finetuned(what, measured[each.name], _known("6", **each.varied)))
    return rows


_TUNING_WORDS = {"lr": "learning rate", "weight_decay": "weight decay", "epochs": "epochs"}


def _filtered(plan: Plan, measured: Measured) -> list[Row]:
    rows = []
    for shots in sorted({cell.shots for cell in _cells(measured)}, reverse=True):
        rows += [
            _row(f"{cell.set}, {shots} a class", measured, cell) for cell in _cells(measured) if cell.shots == shots
        ]
        for row in rows_of(differences(measured)):
            if (row.kind, row.shots) == ("set", shots):
                difference = Row(
                    what=f"{row.a} − {row.b}, {shots} a class, in points",
                    splits=count(row.n),
                    ours=points(row.mean),
                    interval=interval(row.ci_low, row.ci_high, True),
                    paper=_known("9", comparison="filtered"),
                )
                rows.append(difference)
    return rows


def _fewer(measured: Measured) -> list[Row]:
    cells = sorted(_cells(measured), key=lambda cell: (-cell.shots, cell.set))
    return [_row(f"{cell.shots} a class, {cell.set}", measured, cell, _known("11", shots=cell.shots)) for cell in cells]


def _all_classes(measured: dict[str, Measured]) -> list[Row]:
    if "all-classes" not in measured:
        return []
    each = measured["all-classes"]
    return [_finetuned(f"{len(each.sweep.classes)} classes", each, f"{_known('abstract', classes='all')} (its best)")]


def _body(measured: dict[str, Measured]) -> list[Row]:
    """From no image on, the methods beside each other."""
    if "body" not in measured:
        return []
    cells = sorted(_cells(measured["body"]), key=lambda cell: (cell.shots, BODY.index(cell.method)))
    return [
        _row(
            f"{cell.shots} a class, {cell.method}" if cell.shots else f"no image, {cell.method}",
            measured["body"],
            cell,
            _known("body", shots=cell.shots),
        )
        for cell in cells
    ]


def _table(number: str, about: dict[str, Any], rows: list[Row], plan: Plan) -> PaperTable:
    notes = []
    if number == "9" and plan.why_unfiltered:
        notes.append(f"There is no filtered set here: {plan.why_unfiltered}.")
    if number == "abstract" and not rows:
        notes.append("Not run with --quick." if plan.settings.quick else "The collection has no other classes.")
    if number in ("5", "6"):
        shots = plan.grid["recipe_shots"]
        what = f"{shots} images a class" if shots else "all images that a split leaves"
        notes.append(f"Trained on {what}, {counted(plan.grid['recipe_splits'], 'split')} each.")
    if number == "body" and plan.why_no_body:
        notes.append(f"Nobody could be looked for: {plan.why_no_body}.")
    title = about["title"] if number in ("abstract", "body") else f"Table {number}: {about['title'].lower()}"
    if number in ("9", "11"):
        notes.append("A class with fewer images than asked for gives all that a split leaves of it.")
    return PaperTable(title, f"The paper: {about['says']}", rows, notes)


def _differs(plan: Plan, measured: dict[str, Measured], paper: dict[str, Any]) -> list[str]:
    """What isn't as in the paper, in sentences."""
    sweep = measured["few-shot"].sweep.settings
    said = [f"Weights: {sweep['model']} here, {paper['model']} in the paper."]
    if sweep["weights"]["text"] == "untrained":
        said.append(
            "The text tower here is untrained: zero-shot accuracy is chance, and the wording of a prompt means nothing."
        )
    recipe = sweep["method_settings"]["finetune"]
    if recipe.get("start") == "probe":
        said.append(
            "Recipe: as the texts say nothing, fine-tuning starts from a linear probe and trains the image tower; the "
            "paper trains both towers from the texts."
        )
    said += [
        f"Images alive: {count(plan.photographs)} photographs in {counted(len(plan.all), 'class', 'classes')} here, "
        f"{count(paper['images'])} images, real and synthetic, in {paper['classes']} classes in the paper.",
        f"Classes of the small tables: {listing(plan.few)}"
        f"{'' if plan.settings.classes else ', those with most images, a choice of ours'}. Which "
        f"{paper['subset']} the paper took is {UNKNOWN}.",
        "Splits: here they follow from the images' content, a fifth of each class is tested, and copies of a picture "
        "are never on both sides; how the paper drew its random splits is not known in detail.",
        "Filtered: what curate check and the ledger leave here; the paper's own filtering is another.",
    ]
    if plan.settings.quick:
        said.append("This is the quick grid (--quick): too few splits and images to hold against the paper.")
    return said
