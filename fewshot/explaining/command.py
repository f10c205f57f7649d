"""The command `fewshot explain`: it parses, calls one function, and prints."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import AfterValidator

from curate.foundation import console, model_names, shared_options
from curate.foundation.errors import UsageError
from curate.foundation.option_flags import command
from curate.foundation.options import option
from curate.foundation.text import command_line
from fewshot.trained import ready


@command
def explain(
    model: Annotated[
        Path,
        typer.Argument(
            parser=ready.model_path,
            help="A model, as of fewshot predict; or a sweep, to look at its hardest mistakes.",
            show_default=False,
        ),
    ],
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="Photographs; none of a sweep.", show_default=False)
    ] = None,
    *,
    out: Annotated[Path | None, option("Directory of the pictures; explained unless said.")] = None,
    named: Annotated[tuple[str, ...], option("Class that is shown, too.", flag="--class", repeated=True)] = (),
    checkpoint: Annotated[
        Path | None,
        AfterValidator(model_names.checkpoint),
        option("File of the local weights that a sweep began with, if it was given any."),
    ] = None,
    device: shared_options.Device = "auto",
    cache: shared_options.Cache = None,
    json: shared_options.Json = False,
) -> None:
    """Show what in a photograph spoke for the class that a model calls it, and for any other class.

    A heat map of a model that looks at the image; of one that looks at the body, which joints decide; of both, both.

    Of a sweep, it trains one trial again and shows images of the hardest pairs that it got wrong: for the class that
    they were called and for their own. fewshot report then has these pictures.

    Example: fewshot explain models/yoga PHOTO.jpg --class tree --out explained

    Example: fewshot explain runs/sweep1 && fewshot report runs/sweep1
    """
    if (model / "sweep.json").exists():
        _sweep(model, photos, out, named, checkpoint, device, cache, json)
        return
    if not photos:
        raise UsageError("name the photographs: fewshot explain MODEL PHOTO.jpg")
    if checkpoint:
        raise UsageError("--checkpoint is for sweeps; a trained model has its weights")
    ready.require(model)
    if not any(photo.exists() for photo in photos):  # one that is missing among others is an error of its own
        raise UsageError(f"{photos[0]} does not exist; name photographs")
    _photos(model, photos, out or Path("explained"), list(named), device, json)


def _photos(model: Path, photos: list[Path], out: Path, named: list[str], device: str, json: bool) -> None:
    from fewshot.explaining.photos import explain_photos
    from fewshot.trained.directory import load

    found, failed = [], False
    for each in explain_photos(load(ready.directory_of(model), device), photos, out, named):
        found.append(
            {"photo": str(each.photo), "file": str(each.file or ""), "note": each.note, "error": each.error}
            | {"called": next(iter(each.shown), "") if each.known else "", "probabilities": each.shown}
        )
        failed |= bool(each.error)
        if each.error:
            console.note(f"{each.photo}: {each.error}", style="yellow")
        elif not json:
            shown = ", ".join(f"{name} {100 * chance:.1f} %" for name, chance in each.shown.items())
            told = shown if each.known else f"none of these; {shown}"
            console.say(f"{each.photo}: {told}{f'; {each.note}' if each.note else ''} → {each.file}")
    if json:
        console.say_json(found)
    if failed:
        raise typer.Exit(1)


def _sweep(
    sweep: Path,
    photos: list[Path] | None,
    out: Path | None,
    named: tuple[str, ...],
    checkpoint: Path | None,
    device: str,
    cache: Path | None,
    json: bool,
) -> None:
    if photos or named:
        raise UsageError(
            f"{sweep} is a sweep, whose own mistakes are shown; for other photographs or classes, train a model with "
            f"{command_line('fewshot', 'train', sweep, '--out', 'MODEL')}"
        )
    if out:
        raise UsageError(f"a sweep's pictures go to {sweep / 'explained'}, where fewshot report looks for them")
    from fewshot.explaining.hardest import explain_sweep

    made = explain_sweep(sweep, checkpoint, device, cache)
    if json:
        console.say_json(made.to_json())
        return
    for sentence in made.sentences():
        console.say(sentence)
    console.say(f"next: {command_line('fewshot', 'report', sweep)}")
