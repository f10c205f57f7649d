"""The command `fewshot`: it parses, calls one function, and prints."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.foundation import console, shared_options
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.option_flags import Given, command
from curate.foundation.options import declared, option
from curate.foundation.text import command_line
from fewshot import flags
from fewshot.bench.command import bench
from fewshot.explaining.command import explain
from fewshot.exporting.command import export
from fewshot.predicting.command import predict
from fewshot.sweeping.settings import FILE
from fewshot.trained.command import train

if TYPE_CHECKING:
    from fewshot.sweeping.run import SweepSummary

commands = console.application(
    "Measure, honestly, how few images a CLIP model needs to tell postures apart.\n\n"
    "Example: fewshot sweep runs/yoga --out runs/sweep1 && fewshot report runs/sweep1"
)


def app() -> None:
    """Entry point of the console script."""
    console.run(commands)


@commands.callback()
def _commands() -> None:
    """Keeps `sweep` a command of its own even where it is the only one."""


def _print_template(asked: bool) -> None:
    if asked:
        from fewshot.studies.config import template

        for line in template().splitlines():
            console.say(line)
        raise typer.Exit


@commands.command()
@command
def sweep(
    collection: shared_options.CollectionPath,
    given: Annotated[dict[str, Any], Given(*FILE, flags.Tuning)],
    *,
    out: Annotated[Path, option("Directory of the results; the same one goes on where it stopped.")],
    config: Annotated[Path | None, option("File (YAML) with any of these settings; flags that are given win.")] = None,
    retry_failed: flags.RetryFailed = False,
    template: Annotated[
        bool,
        typer.Option(
            "--config-template",
            help="Print a file for --config with every key.",
            callback=_print_template,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Run a grid of trials: sets x methods x shots x splits. Interrupted, the same command goes on.

    Example: fewshot sweep runs/yoga --out runs/sweep1 --splits 78 --methods zero-shot,linear-probe,finetune

    What do synthetic images add? --sets filtered,filtered+synthetic,filtered+real --synthetic-per-class 20,50

    Which recipe? --config recipes.yaml, with "methods: {finetune: {lr: [1e-5, 1e-4]}}": a sweep for each, and a table.
    """
    from curate.collection.directory import Collection

    Collection.open(collection)  # says what is wrong, before anything is loaded

    from fewshot.studies import config as file
    from fewshot.sweeping import plan

    values = {name: value for name, value in given.items() if name in declared(*FILE)}
    asked = file.Asked(values).over(file.read(config) if config else file.Asked())
    asked = file.Asked(recipes=flags.of_methods(asked.methods, given)).over(asked)
    grid_points = file.grid_points(asked, collection, out)
    plan.asked(grid_points[0].settings)  # likewise: the collection is that of all of them, and so are the names

    from fewshot.studies import grid_search
    from fewshot.sweeping.run import run_sweep

    if len(grid_points) == 1 and not grid_points[0].name:
        _say_how_it_went([run_sweep(grid_points[0].settings, retry_failed=retry_failed)], out)
        return
    summaries = grid_search.run(grid_points, out, retry_failed=retry_failed)
    console.show(grid_search.terminal_table(grid_search.table(grid_points)))
    console.say(f"table: {out / grid_search.TABLE}")
    _say_how_it_went(summaries, out, out / grid_points[0].name)


def _say_how_it_went(summaries: "list[SweepSummary]", out: Path, reported: Path | None = None) -> None:
    """Say what was done; exit code 1 where trials failed."""
    done, found = sum(each.done for each in summaries), sum(each.found for each in summaries)
    console.say(f"{done} trials done ({found} were there already) in {out}")
    dropped = dict.fromkeys(name for each in summaries for name in each.dropped_classes)
    if dropped:
        console.say(f"left out, too few images: {', '.join(dropped)}")
    failed: Counter[str] = Counter()
    for each in summaries:
        failed.update(each.failed)
    for cause, count in failed.items():
        console.note(f"{count} trials failed: {cause}; fewshot report names them", style="yellow")
    for pace in filter(None, (each.pace for each in summaries)):
        console.say(pace)
    console.say(f"next: {command_line('fewshot', 'report', reported or out)}")
    if failed:
        raise typer.Exit(1)


@commands.command()
@command
def report(
    sweeps: Annotated[
        list[Path], typer.Argument(metavar="SWEEP [OTHER]", help="Directory of a sweep, finished or not; or of two.")
    ],
    *,
    out: Annotated[Path | None, option("Where to write; the first sweep's directory unless said.")] = None,
) -> None:
    """Write results.csv, report.md and a self-contained report.html from a sweep's records, and print the table.

    Of two sweeps, compare.csv and compare.md: the first one's accuracy minus the other's, split by split where both
    tested the same images.

    Example: fewshot report runs/sweep1

    Example: fewshot report runs/sweep2 runs/sweep1
    """
    if len(sweeps) > 2:
        raise UsageError(f"fewshot report takes one sweep, or two to compare, not {len(sweeps)}")
    try:
        if len(sweeps) == 2:
            _compare(sweeps[0], sweeps[1], out)
        else:
            _report(sweeps[0], out)
    except OSError as error:
        place = out or sweeps[0]
        raise FewposeError(f"{place} can't be written to ({error.strerror}); choose another --out") from error


def _report(sweep: Path, out: Path | None) -> None:
    from curate.sweeps.records import require

    require(sweep)

    from fewshot.reporting import terminal_table, write_report

    files = write_report(sweep, out)
    console.show(terminal_table(files))
    console.say(f"page: {files.html}")


def _compare(first: Path, other: Path, out: Path | None) -> None:
    from curate.sweeps.records import require

    require(first)
    require(other)

    from fewshot.reporting.compare import terminal_table, write_comparison

    files = write_comparison(first, other, out)
    console.show(terminal_table(files.comparison))
    for sentence in files.comparison.notes:
        console.say(sentence)
    console.say(f"table: {files.table}, text: {files.markdown}")


@commands.command()
@command
def paper(
    collection: shared_options.CollectionPath,
    *,
    out: Annotated[Path, option("Directory of the sweeps and of paper.html; the same one goes on.")],
    quick: Annotated[bool, option("Run a small grid, to see the whole in minutes.")] = False,
    classes: Annotated[
        tuple[str, ...], option("Labels of the six-class tables; those with most images if empty.")
    ] = (),
    model: shared_options.Model = "lite0",
    checkpoint: shared_options.Checkpoint = None,
    device: shared_options.Device = "auto",
    splits: Annotated[
        int, option("Number of splits of the tables over splits; 0: the paper's 78 (3 with --quick).", ge=0)
    ] = 0,
    workers: Annotated[int, option("Number of processes that share the trials; 0: one, or one a card.", ge=0)] = 0,
    retry_failed: flags.RetryFailed = False,
    cache: shared_options.Cache = None,
) -> None:
    """Make the tables of arXiv 2501.07221 on your images, each row beside the paper's number where it is known.

    Zero-shot, prompt wordings, recipes, filtered and unfiltered, 43/20/6 images a class. Interrupted, it goes on.

    Example: fewshot paper runs/yoga82 --out runs/paper --model ViT-B-32/openai
    """
    from curate.collection.directory import Collection

    Collection.open(collection)  # says what is wrong, before anything is loaded

    from fewshot.studies.paper import PaperSettings, run_paper

    settings = PaperSettings(
        collection, out, quick, classes, model, checkpoint, device, splits, workers, retry_failed, cache
    )
    try:
        made = run_paper(settings)
    except OSError as error:
        raise FewposeError(f"{out} can't be written to ({error.strerror}); choose another --out") from error
    for table in made.terminal_tables():
        console.show(table)
    console.say(f"page: {made.html}")


commands.command()(train)
commands.command()(predict)
commands.command()(explain)
commands.command()(export)
commands.command()(bench)
