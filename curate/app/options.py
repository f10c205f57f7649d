"""What `curate app` is asked for."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from curate.foundation import model_names, shared_options
from curate.foundation.errors import UsageError
from curate.foundation.options import option, settings


@settings
class Options:
    """Raises UsageError for what makes no sense."""

    model: Annotated[
        str,
        AfterValidator(model_names.model),
        option("CLIP model whose embeddings are shown; that of the last check unless said."),
    ] = ""
    checkpoint: shared_options.Checkpoint = None
    sweep: Annotated[
        Path | None,
        option("Sweep that says how often each image was wrong, and as what; with a report, what hurts training."),
    ] = None
    cache: shared_options.Cache = None
    port: Annotated[int | None, option("Port to listen on; 5151, or a free one, unless said.", ge=1, le=65535)] = None
    remote: Annotated[bool, option("Print how to reach the App from another machine.")] = False
    browser: Annotated[bool, option("Open the App in the browser, or don't.", flag="--browser/--no-browser")] = True

    def __post_init__(self) -> None:
        if self.checkpoint and not self.model:
            raise UsageError(f"--checkpoint {self.checkpoint} needs --model, the shape that its weights fit")
