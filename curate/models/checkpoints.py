"""The one reader of torchvision's detectors: weights from a file that may be anything, never as a pickle."""

from pathlib import Path
from typing import Any

from curate.foundation.quiet import quiet


class NotItsWeights(ValueError):
    """A file does not hold the weights of this module."""


def fill(module: Any, file: Path) -> None:
    """Load a state dict into a module. Raises NotItsWeights for a damaged or a foreign file."""
    import torch

    try:
        with quiet():
            module.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever a foreign file makes torch raise
        raise NotItsWeights(str(error)) from error
    if not all(torch.isfinite(tensor).all() for tensor in module.state_dict().values()):
        raise NotItsWeights("it holds values that are not numbers")
