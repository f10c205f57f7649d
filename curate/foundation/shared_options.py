"""Arguments and options that several commands have: one meaning and one sentence of help each."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import AfterValidator

from curate.foundation import model_names
from curate.foundation.options import option

CollectionPath = Annotated[Path, typer.Argument(help="The collection.", show_default=False)]
Model = Annotated[
    str,
    AfterValidator(model_names.model),
    option("CLIP model: lite0, or open_clip's NAME/TAG such as ViT-B-32/openai."),
]
# NO_MODEL stands for none.
RulesModel = Annotated[
    str,
    AfterValidator(model_names.model_or_none),
    option("CLIP model whose features the rules use (as for curate embed), or none."),
]
Checkpoint = Annotated[
    Path | None,
    AfterValidator(model_names.checkpoint),
    option("File of local weights for a --model without a tag (.safetensors, .pt)."),
]
Device = Annotated[
    str, AfterValidator(model_names.device), option("Device that computes: auto, cpu, cuda, cuda:1, ...")
]
Cache = Annotated[
    Path | None,
    option("Folder for caches of all collections; FEWPOSE_CACHE, or COLLECTION/cache, unless said.", metavar="<dir>"),
]
Fit = Annotated[Literal["crop", "pad"], option("How an image is made square: crop (CLIP's centre crop), or pad.")]
Threads = Annotated[int | None, option("Number of threads; one for each CPU unless said.", ge=1)]
Json = Annotated[bool, option("Print JSON, for scripts.")]

NO_MODEL = model_names.NONE
