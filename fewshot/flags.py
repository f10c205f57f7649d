"""Options that several commands have: one meaning and one sentence of help each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot import methods
from fewshot.methods.listed import LISTED


def _and(names: Iterable[str]) -> str:
    """a, b and c"""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _taking(flag: str) -> str:
    return _and(each.name for each in LISTED if flag in each.flags)


Kept = Annotated[Path, typer.Argument(help="a model's directory, made by fewshot train")]
Model = Annotated[str, typer.Option(help="lite0, or open_clip's NAME/TAG such as ViT-B-32/openai")]
Checkpoint = Annotated[Path | None, typer.Option(help="local weights for --model NAME (.safetensors, .pt)")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Fit = Annotated[str, typer.Option(help="crop (CLIP's centre crop) or pad (to a square)")]
Classes = Annotated[str, typer.Option(help="labels, separated by commas; all if empty")]
Short = Annotated[str, typer.Option(help="a class with too few images: error, all (use what it has), drop")]
Prompt = Annotated[
    list[str] | None,
    typer.Option(help="a sentence with {} for the class, or paper, short, photo, ensemble, posture; repeatable"),
]
Descriptions = Annotated[
    Path | None, typer.Option(help="a file (YAML) of LABEL: WORDS, or a list of wordings; what {} stands for")
]
Methods = Annotated[
    str,
    typer.Option(
        "--methods",
        help=f"{'; '.join(f'{each.form} ({each.help})' for each in LISTED)}. "
        f"{_and(each.name for each in LISTED if each.tuned)} also @0.5 (weights averaged half and half with those "
        "before). Installed packages may add others",
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        help=f"of {_and(each.name for each in LISTED if each.recipe)}: paper or lite0; the model's own if empty"
    ),
]
Rate = Annotated[float | None, typer.Option("--lr", help=f"of {_taking('lr')}")]
Epochs = Annotated[int | None, typer.Option(help=f"of {_taking('epochs')}")]
BatchSize = Annotated[int | None, typer.Option(help=f"of {_taking('batch_size')}; 0 is the number of classes")]
ImageOnly = Annotated[
    bool, typer.Option("--image-only", help=f"of {_taking('image_only')}: tune the image tower, keep the texts")
]
Augment = Annotated[str, typer.Option(help="of every method that trains the image tower: none, flip, crop, flip+crop")]
ClassWeights = Annotated[str, typer.Option(help="none, or balanced: every class weighs the same in the loss")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="the same bits each time on the same machine, if slower")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="run failed trials again")]


def given(context: typer.Context, name: str) -> bool:
    """Whether an option was given, rather than left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


# What a flag sets of a method that takes it (Description.flags), by the flag's parameter.
_SETTINGS = {"lr": "lr", "epochs": "epochs", "batch_size": "batch_size", "image_only": "towers"}


def of_methods(names: Iterable[str], asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By method, whatever its form, the settings of its own that the flags in `asked` set. Raises UsageError for a
    method that there isn't."""
    given = {flag: asked[flag] for flag in _SETTINGS if asked[flag] is not None and asked[flag] is not False}
    given |= {"image_only": "image"} if "image_only" in given else {}
    described = [methods.describe(name) for name in names]
    return {
        each.name: {_SETTINGS[flag]: value for flag, value in given.items() if flag in each.flags} for each in described
    }
