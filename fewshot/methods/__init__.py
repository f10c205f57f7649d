"""The methods by name. A method is one file; it is imported when it is asked for.

A name may say more than the method: `finetune-last2` trains the last two blocks, and `finetune@0.5` is the mean of what
`finetune` ends with and what it began with (see `averaging`). All names that differ after the @ alone share a training.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from curate.foundation.errors import UsageError
from fewshot.task import Method

_WHERE = {
    "zero-shot": "fewshot.methods.zero_shot:ZeroShot",
    "nearest-class-mean": "fewshot.methods.nearest_class_mean:NearestClassMean",
    "tip-adapter": "fewshot.methods.tip_adapter:TipAdapter",
    "tip-adapter-f": "fewshot.methods.tip_adapter:TipAdapterF",
    "linear-probe": "fewshot.methods.linear_probe:LinearProbe",
    "proj": "fewshot.methods.projection:Projection",
    "lora": "fewshot.methods.lora:Lora",
    "finetune-last": "fewshot.methods.finetune_last:FinetuneLast",
    "finetune": "fewshot.methods.finetune:Finetune",
}
NAMES = tuple(_WHERE)
TUNED = ("proj", "lora", "finetune-last", "finetune")  # change the model itself; they see pixels, and can be averaged
_NAME = re.compile(r"(?P<base>[a-z-]*[a-z])(?P<blocks>\d+)?(?:@(?P<alpha>\d*\.?\d+))?")


@dataclass(frozen=True)
class Named:
    """A method's name taken apart: of `finetune-last2@0.5` the method, 2 blocks (else 0), and alpha 0.5 (else 1)."""

    base: str
    blocks: int = 0
    alpha: float = 1.0

    @property
    def training(self) -> str:
        """The name of what is trained, whatever is averaged afterwards."""
        return f"{self.base}{self.blocks or ''}"


def parse(name: str) -> Named:
    """Raises UsageError for a name that makes no sense."""
    found = _NAME.fullmatch(name)
    if not found or found["base"] not in _WHERE:
        raise UsageError(f"there is no method {name!r}; there are {', '.join(NAMES)}")
    base, blocks = found["base"], int(found["blocks"] or 0)
    if base == "finetune-last" and not blocks:
        raise UsageError(f"{name}: say how many of the last blocks it trains, from 1 on: finetune-last2")
    if blocks and base != "finetune-last":
        raise UsageError(f"{name}: only finetune-last has a number behind its name, that of the blocks it trains")
    alpha = 1.0 if found["alpha"] is None else float(found["alpha"])
    if alpha > 1 or (found["alpha"] is not None and base not in TUNED):
        raise UsageError(
            f"{name}: @ averages what {', '.join(TUNED)} trained with its starting point, by a weight from 0 to 1: "
            "finetune@0.5"
        )
    return Named(base, blocks, alpha)


def trains(name: str) -> bool:
    """Whether a method learns from training images, and so has one trial for each number of shots."""
    return parse(name).base != "zero-shot"


def needs_pixels(name: str) -> bool:
    """Whether frozen features are not enough for it."""
    return parse(name).base in TUNED


def build(name: str, settings: dict[str, Any]) -> Method:
    """The method `name` with `settings` (fields of its dataclass). Raises UsageError for what it doesn't know."""
    named = parse(name)
    module, attribute = _WHERE[named.base].split(":")
    blocks = {"blocks": named.blocks} if named.blocks else {}
    try:
        return getattr(import_module(module), attribute)(**settings | blocks)
    except TypeError as error:
        raise UsageError(f"settings of {name}: {error}") from error
