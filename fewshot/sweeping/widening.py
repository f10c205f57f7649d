"""Whether a sweep that lies in a directory may go on, with a wider grid: all else that differs is refused by name."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.foundation import console
from curate.foundation.errors import UsageError
from curate.sweeps.records import Trial, tells_all_settings
from fewshot import methods
from fewshot.sweeping.settings import OPTIONS, Resolved, hashable, plain, unchosen

# What a later call may widen; anything else that differs makes another sweep.
_GRID = ("sets", "methods", "method_settings", "recipes", "method_versions", "assumed", "shots", "splits", "trials")
_MAY_JOIN = ("keypoints",)  # of which a sweep may say nothing before a method needs it
_MAY_DIFFER = (*_GRID, "format", "collection", "device", "versions")
KEYPOINTS = {"keypoints": "estimator of the keypoints"}
# How a person would call what differs, where the field's name doesn't say it.
_WORDS = {
    "images_digest": "content of the collection",
    "class_sizes": "content of the collection",
    "dropped_classes": "choice of classes",
    "classes": "choice of classes",
    "sets": "content of a training set",
    "weights": "weights of the model",
    "prompts": "--prompt",
    "texts": "wording of the classes",
    "split_kind": "--split",
    "test_fraction": "--test-fraction",
    "short": "--short",
    "seed": "--seed",
    "model": "--model",
    "fit": "--fit",
    **KEYPOINTS,
}
_NONE = "not there"


def resolved_from_json(content: Mapping[str, Any]) -> dict[str, Resolved]:
    """The settings of each method, from the content of a sweep.json.

    Sweeps of older formats hold only the settings that differed from the defaults of their fewpose: for all others
    the defaults of this one are assumed.
    """
    whole, recipes, versions = (
        tells_all_settings(content),
        content.get("recipes", {}),
        content.get("method_versions", {}),
    )
    return {
        name: Resolved(hashable(own if whole else _completed(name, own)), recipes.get(name, ""), versions.get(name, 0))
        for name, own in content["method_settings"].items()
    }


def _completed(method: str, differing: dict[str, Any]) -> dict[str, Any]:
    """All settings, without the options that the method doesn't use, which older sweeps hold, too."""
    every = unchosen(method)
    return every | {name: value for name, value in differing.items() if name in every or name not in OPTIONS}


def widened(old: dict[str, Any], new: dict[str, Any], out: Path) -> dict[str, Any]:
    """The description of the old sweep with the new one's grid added to its own.

    Raises UsageError for what makes another sweep of it. Where the old one doesn't hold the defaults of its methods,
    a warning says so, and the methods are listed as "assumed".
    """
    new = json.loads(json.dumps(new))
    compared = [name for name in new if name not in _MAY_DIFFER and not (name in _MAY_JOIN and name not in old)]
    different = [name for name in compared if old.get(name) != new[name]]
    if any(old["sets"].get(name, each) != each for name, each in new["sets"].items()):
        different.append("sets")
    if different:
        words = dict.fromkeys(_WORDS.get(name, name) for name in different)
        raise UsageError(f"{out} holds a sweep with another {' and another '.join(words)}; choose another --out")
    found = resolved_from_json(old)
    before = {name: plain(each.settings) for name, each in found.items()}
    shared = [name for name in new["methods"] if name in before]
    for name in shared:
        if found[name].version not in (0, new["method_versions"][name]):
            raise UsageError(
                f"{out} holds a sweep of {name} in its version {found[name].version}, not "
                f"{new['method_versions'][name]}, the version here; choose another --out"
            )
        _check_same(name, before[name], new["method_settings"][name], out)
    assumed = old.get("assumed", []) if tells_all_settings(old) else list(old["methods"])
    if not tells_all_settings(old) and shared:
        _warn_assumed(shared, out)
    trials = {Trial(**fields) for fields in [*old["trials"], *new["trials"]]}
    joined = {name: old[name] for name in _MAY_JOIN if name in old}
    return (
        joined
        | new
        | {
            "sets": old["sets"] | new["sets"],
            "methods": list(dict.fromkeys([*old["methods"], *new["methods"]])),
            "method_settings": before | new["method_settings"],
            "recipes": new["recipes"] | old.get("recipes", {}),
            "method_versions": old.get("method_versions", {}) | new["method_versions"],
            "shots": sorted({*old["shots"], *new["shots"]}),
            "splits": max(old["splits"], new["splits"]),
            "trials": [asdict(trial) for trial in sorted(trials)],
            **({"assumed": assumed} if assumed else {}),
        }
    )


def _warn_assumed(names: list[str], out: Path) -> None:
    console.note(
        f"{out} was begun by an older fewpose, which kept only settings that differed from its defaults: whether the "
        f"defaults of {' and '.join(names)} were the same then is not known, and it is taken for granted"
    )


def _check_same(method: str, old: dict[str, Any], new: dict[str, Any], out: Path) -> None:
    """Raises UsageError where two lists of a method's settings differ: names, both values, and what to do."""
    names = [name for name in new | old if old.get(name, _NONE) != new.get(name, _NONE)]
    if not names:
        return
    changes = " and ".join(
        f"{name} = {_text(old.get(name, _NONE))}, not {_text(new.get(name, _NONE))}" for name in names
    )
    keep = "" if any(name not in old or name not in new for name in names) else _keeping(method, names, old)
    raise UsageError(f"{out} holds a sweep of {method} with {changes}; choose another --out{keep}")


def _keeping(method: str, names: list[str], old: dict[str, Any]) -> str:
    """The end of the error: what to give on the command line to keep the old values."""
    about = methods.describe(method)
    by_flag = [name for name in names if name in (*about.flags, *about.options)]
    flags = [f"--{name.replace('_', '-')} {old[name]}" for name in by_flag]
    others = ", ".join(f"{name}: {_text(old[name])}" for name in names if name not in by_flag)
    if others:
        flags.append(f'--config FILE with "methods: {{{method}: {{{others}}}}}"')
    return f", or give {' '.join(flags)} to keep the old"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
