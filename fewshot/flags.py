"""Options that several commands have: one meaning and one sentence of help each."""

from pathlib import Path
from typing import Annotated

import typer

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
Recipe = Annotated[str, typer.Option(help="of finetune and finetune-last: paper or lite0; the model's own if empty")]
Rate = Annotated[float | None, typer.Option("--lr", help="of finetune and finetune-last")]
Epochs = Annotated[int | None, typer.Option(help="of finetune and finetune-last")]
BatchSize = Annotated[int | None, typer.Option(help="of finetune and finetune-last; 0 is the number of classes")]
ImageOnly = Annotated[bool, typer.Option("--image-only", help="finetune the image tower, keep the texts")]
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
