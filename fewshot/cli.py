"""The command `fewshot`: it parses, calls one function, and prints."""

from pathlib import Path
from typing import Annotated

import typer

from curate import console
from curate.errors import FewposeError, UsageError

commands = console.application(
    "Measure, honestly, how few images a CLIP model needs to tell postures apart.\n\n"
    "Example: fewshot sweep runs/yoga --out runs/sweep1 && fewshot report runs/sweep1"
)


def app() -> None:
    console.run(commands)


@commands.callback()
def _commands() -> None:
    """Keeps `sweep` a command of its own even where it is the only one."""


@commands.command()
def sweep(
    collection: Annotated[Path, typer.Argument(help="made by curate import")],
    out: Annotated[Path, typer.Option(help="directory of the results; the same one goes on where it stopped")],
    shots: Annotated[str, typer.Option(help="training images a class")] = "43,20,6",
    splits: Annotated[int, typer.Option(help="number of train/test splits")] = 10,
    method: Annotated[
        str, typer.Option("--methods", help="zero-shot, nearest-class-mean, linear-probe, tip-adapter(-f), finetune")
    ] = "zero-shot,linear-probe",
    sets: Annotated[
        str,
        typer.Option(
            help="unfiltered, filtered, each also +synthetic, +rendered, +augmented, +generated, or +real (as many "
            "more photographs, to compare with); and synthetic, rendered, generated alone"
        ),
    ] = "unfiltered",
    synthetic_per_class: Annotated[
        str, typer.Option(help="images a class that are added, several numbers for several sets")
    ] = "",
    model: Annotated[str, typer.Option(help="lite0, or open_clip's NAME/TAG such as ViT-B-32/openai")] = "lite0",
    checkpoint: Annotated[Path | None, typer.Option(help="local weights for --model NAME (.safetensors, .pt)")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    fit: Annotated[str, typer.Option(help="crop (CLIP's centre crop) or pad (to a square)")] = "crop",
    classes: Annotated[str, typer.Option(help="labels, separated by commas; all if empty")] = "",
    short: Annotated[
        str, typer.Option(help="a class with too few images: error, all (use what it has), drop")
    ] = "error",
    split: Annotated[str, typer.Option(help="random (by content) or official (the collection's own)")] = "random",
    test_fraction: Annotated[float, typer.Option(help="of each class, held back in every split")] = 0.2,
    seed: Annotated[int, typer.Option(help="another seed, another family of splits")] = 0,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="a sentence with {} for the class, or paper, short, photo, ensemble; repeatable"),
    ] = None,
    recipe: Annotated[str, typer.Option(help="of finetune: paper or lite0; the model's own if empty")] = "",
    lr: Annotated[float | None, typer.Option(help="of finetune")] = None,
    epochs: Annotated[int | None, typer.Option(help="of finetune")] = None,
    batch_size: Annotated[int | None, typer.Option(help="of finetune; 0 is the number of classes")] = None,
    augment: Annotated[str | None, typer.Option(help="of finetune: none, flip, crop, flip+crop")] = None,
    image_only: Annotated[bool, typer.Option("--image-only", help="finetune the image tower, keep the texts")] = False,
    workers: Annotated[int, typer.Option(help="processes that share the trials")] = 1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="run failed trials again")] = False,
) -> None:
    """Run a grid of trials: sets x methods x shots x splits. Interrupted, the same command goes on.

    Example: fewshot sweep runs/yoga --out runs/sweep1 --splits 78 --methods zero-shot,linear-probe,finetune

    What do synthetic images add? --sets filtered,filtered+synthetic,filtered+real --synthetic-per-class 20,50
    """
    from curate.splits import Splitting
    from fewshot.additions import expanded
    from fewshot.settings import SweepSettings
    from fewshot.sweep import run_sweep

    flags = {"lr": lr, "epochs": epochs, "batch_size": batch_size}
    finetune = {name: value for name, value in flags.items() if value is not None}
    settings = SweepSettings(
        collection=collection,
        out=out,
        sets=expanded(_names(sets), _numbers("--synthetic-per-class", synthetic_per_class)),
        methods=_names(method),
        shots=_numbers("--shots", shots),
        splits=splits,
        splitting=Splitting(split, test_fraction, seed),
        classes=_names(classes),
        short=short,
        model=model,
        checkpoint=checkpoint,
        device=device,
        fit=fit,
        prompts=tuple(prompt or ()),
        recipe=recipe,
        recipes={"finetune": finetune | ({"towers": "image"} if image_only else {})},
        augment=augment or "",
        workers=workers,
    )
    summary = run_sweep(settings, retry_failed=retry_failed)
    console.out.print(
        f"{summary.done} trials done ({summary.found} were there already) in {summary.out}",
        markup=False,
        soft_wrap=True,
    )
    if summary.dropped_classes:
        console.out.print(
            f"left out, too few images: {', '.join(summary.dropped_classes)}", markup=False, soft_wrap=True
        )
    for cause, count in summary.failed.items():
        console.err.print(f"{count} trials failed: {cause}; fewshot report names them", style="yellow", markup=False)
    console.out.print(f"next: fewshot report {summary.out}", markup=False, soft_wrap=True)
    if summary.failed:
        raise typer.Exit(1)


@commands.command()
def report(
    sweep: Annotated[Path, typer.Argument(help="directory of a sweep, finished or not")],
    out: Annotated[Path | None, typer.Option(help="where to write; the sweep's own directory if left out")] = None,
) -> None:
    """Write results.csv, report.md and a self-contained report.html from a sweep's records, and print the table.

    Example: fewshot report runs/sweep1
    """
    from fewshot.report import terminal_table, write_report

    try:
        files = write_report(sweep, out)
    except OSError as error:
        raise FewposeError(f"{out or sweep} can't be written to ({error.strerror}); choose another --out") from error
    console.out.print(terminal_table(files))
    console.out.print(f"page: {files.html}", markup=False, soft_wrap=True)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in _names(text)))
    except ValueError as error:
        raise UsageError(f"{option} {text}: expected whole numbers separated by commas, such as 43,20,6") from error
