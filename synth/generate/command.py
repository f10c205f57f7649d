"""`synth generate`: its options, and what it prints."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.foundation import console, shared_options
from curate.foundation.errors import UsageError
from curate.foundation.options import option
from curate.foundation.text import command_line
from curate.workers.settings import WorkerSettings
from synth.generate.settings import Resources, Settings, Wanted

if TYPE_CHECKING:
    from synth.generate.run import Planned, Summary

_NAMED = 3  # files named on the terminal


def _size(text: str) -> tuple[int | None, int | None]:
    """Width and height of "512" or "768x512"; None for "". Raises UsageError."""
    if not text:
        return None, None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UsageError(f"--size must be such as 512 or 768x512 (width x height), not {text!r}")
    return int(sides[0]), int(sides[-1])


def generate(
    collection: shared_options.CollectionPath,
    wanted: Wanted,
    settings: Settings,
    resources: Resources,
    workers: WorkerSettings,
    *,
    size: Annotated[str, option("Width and height: 512, or 768x512; the model's own unless said.")] = "",
    dry_run: Annotated[bool, option("Say what would be made, and make nothing.")] = False,
    cache: shared_options.Cache = None,
) -> None:
    """Make synthetic images of a collection's classes, with a record of how each was made.

    Run again, it makes what is missing; nothing that is there is changed. Image 7 is the same alone, in any batch, and
    on any number of workers. The record is in the image table, in the file, and beside it as JSON. Synthetic images
    never enter a test set. A model is read from safetensors alone. With --engine ray the workers write into COLLECTION:
    it must be the same path on all machines.

    Example: synth generate runs/yoga --model stabilityai/sdxl-turbo --classes tree,plank --per-class 50

    Example: synth generate runs/yoga --model augment --from-draw split=0,shots=6
    """
    from curate.collection.directory import Collection

    width, height = _size(size)
    settings = replace(settings, width=width, height=height)
    resources = replace(resources, workers=workers)
    Collection.open(collection)  # says what is wrong, before anything is loaded

    from synth.generate import run

    if dry_run:
        _print_plan(run.foresee(collection, settings, wanted, resources, cache))
    else:
        summary = run.generate(collection, settings, wanted, resources, cache)
        _print(summary, collection)
        if summary.lost:
            raise typer.Exit(1)


def _print_plan(plan: "Planned") -> None:
    console.say(f"{plan.collection.root}: {console.count(len(plan.missing), 'image')} to make, of {len(plan.jobs)}")
    missing = [job.label for job in plan.missing]
    labels = sorted({job.label for job in plan.jobs})
    rows = ((label, sum(job.label == label for job in plan.jobs), missing.count(label)) for label in labels)
    console.table(("class", "images", "to make"), rows, numbers=(1, 2))
    if plan.refused:
        console.say(f"refused by the safety checker before, and not made again: {len(plan.refused)}")
    for job in [job for job in plan.jobs if job.prompt][:_NAMED]:
        console.say(f"  {job.key}: {job.prompt}")


def _print(summary: "Summary", collection: Path) -> None:
    made, there = sum(summary.made.values()), sum(summary.there.values())
    rate = f" in {summary.seconds:.0f} s ({made / summary.seconds:.2g} images/s, loading included)" if made else ""
    before = f"; {console.count(there, 'was', 'were')} there already" if there else ""
    console.say(f"{collection}: {console.count(made, 'image')} made{rate}{before}")
    labels = sorted({*summary.made, *summary.there, *summary.refused, *summary.refused_before})
    rows = (
        (
            x,
            summary.made.get(x, 0),
            summary.there.get(x, 0),
            summary.refused.get(x, 0) + summary.refused_before.get(x, 0),
        )
        for x in labels
    )
    console.table(("class", "made", "there before", "refused"), rows, numbers=(1, 2, 3))
    _print_warnings(summary, collection)
    console.say(f"next: {command_line('synth', 'accept', collection)}")


def _print_warnings(summary: "Summary", collection: Path) -> None:
    refused = sum(summary.refused.values()) + sum(summary.refused_before.values())
    if refused:
        console.say(f"refused by the safety checker: {refused}; these are not made again")
    if summary.lost:
        such = f"such as {summary.lost[0]}; a smaller --batch or fewer --workers may do"
        console.say(f"every worker died that tried to make them: {console.count(len(summary.lost), 'image')}, {such}")
    for key in summary.in_the_way[:_NAMED]:
        console.say(f"another program put a file there meanwhile, which stays: {key}")
    rejects = summary.adopted.rejects
    for reject in rejects[:_NAMED]:
        console.say(f"not in the image table: {reject['key']}: {reject['cause']}: {reject['detail']}")
    if len(rejects) > _NAMED:
        console.say(f"  and {len(rejects) - _NAMED} more; see {collection / 'rejects.parquet'}")
