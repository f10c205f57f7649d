"""The methods by name. A method is one file; it is imported when it is asked for."""

from importlib import import_module
from typing import Any

from curate.errors import UsageError
from fewshot.task import Method

_WHERE = {
    "zero-shot": "fewshot.methods.zero_shot:ZeroShot",
    "nearest-class-mean": "fewshot.methods.nearest_class_mean:NearestClassMean",
    "tip-adapter": "fewshot.methods.tip_adapter:TipAdapter",
    "tip-adapter-f": "fewshot.methods.tip_adapter:TipAdapterF",
    "linear-probe": "fewshot.methods.linear_probe:LinearProbe",
    "finetune": "fewshot.methods.finetune:Finetune",
}
NAMES = tuple(_WHERE)


def trains(name: str) -> bool:
    """Whether a method learns from training images, and so has one trial for each number of shots."""
    return name != "zero-shot"


def build(name: str, settings: dict[str, Any]) -> Method:
    """The method `name` with `settings` (fields of its dataclass). Raises UsageError for what it doesn't know."""
    if name not in _WHERE:
        raise UsageError(f"there is no method {name!r}; there are {', '.join(NAMES)}")
    module, attribute = _WHERE[name].split(":")
    try:
        return getattr(import_module(module), attribute)(**settings)
    except TypeError as error:
        raise UsageError(f"settings of {name}: {error}") from error
