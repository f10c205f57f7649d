"""Rules on how well a picture can be seen. They look at numbers alone: curate/checks/measures/measurements.py.

The thresholds were set by looking at the pictures around them, in photos18 and photos5_noisy (docs/curation.md).
"""

from collections.abc import Mapping

import pandas as pd

from curate.checks.rules.readable import readable
from curate.checks.rules.rule import Inputs, Kind, Rule


def too_small(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """The shorter side has few pixels; the score is 0.5 at `min_side` pixels, and 1 at none."""
    side = inputs.images[["width", "height"]].min(axis=1)
    least = parameters["min_side"]
    detail = [f"{w} x {h} pixels" for w, h in zip(inputs.images["width"], inputs.images["height"], strict=True)]
    return pd.DataFrame({"key": inputs.images["key"], "score": least / (least + side), "detail": detail})


def odd_aspect(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Much longer one way than the other; the score is 0.5 where one side is `max_ratio` times the other."""
    sides = inputs.images[["width", "height"]]
    ratio = sides.max(axis=1) / sides.min(axis=1)
    score = ratio / (ratio + parameters["max_ratio"])
    return pd.DataFrame({"key": inputs.images["key"], "score": score, "detail": [f"{r:.1f} to 1" for r in ratio]})


def blurry(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """Out of focus, moved, or enlarged; the score is 1 less the sharpness, which is about 0.7 in focus."""
    measured = readable(inputs)
    detail = [f"sharpness {s:.2f}, where about 0.7 is usual" for s in measured["sharpness"]]
    return pd.DataFrame({"key": measured["key"], "score": (1 - measured["sharpness"]).clip(0, 1), "detail": detail})


def dark(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """Hardly any light; the score is 1 less the grey value that 99 % of the picture stays below."""
    measured = readable(inputs)
    detail = [f"99 % is darker than {value:.0f} of 255" for value in measured["highlight"]]
    return pd.DataFrame({"key": measured["key"], "score": 1 - measured["highlight"] / 255, "detail": detail})


def bright(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """Hardly anything but light; the score is the grey value that only 5 % of the picture is darker than."""
    measured = readable(inputs)
    detail = [f"95 % is brighter than {value:.0f} of 255" for value in measured["shadow"]]
    return pd.DataFrame({"key": measured["key"], "score": measured["shadow"] / 255, "detail": detail})


def low_information(inputs: Inputs, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Blank or nearly so; the score is 0.5 where the structure's deviation is `min_structure` grey values of 255."""
    measured = readable(inputs)
    least = parameters["min_structure"]
    detail = [f"its structure deviates by {value:.1f} grey values" for value in measured["structure"]]
    score = least / (least + measured["structure"])
    return pd.DataFrame({"key": measured["key"], "score": score, "detail": detail})


# Around 100 pixels a figure can be recognised; below, at 80 x 80, folds and hands are guesses.
TOO_SMALL = Rule("too_small", "too small", 1, Kind.QUALITY, True, {"threshold": 0.5, "min_side": 100}, too_small)
# At 2.7 to 1 there is still one person, lying; from 3 to 1 on there were strips of a landscape, and two people.
ODD_ASPECT = Rule("odd_aspect", "odd aspect", 1, Kind.QUALITY, True, {"threshold": 0.5, "max_ratio": 3}, odd_aspect)
# The three above it were enlarged or blurred; below 0.46 most are sharp figures before a plain background.
BLURRY = Rule("blurry", "blurry", 1, Kind.QUALITY, True, {"threshold": 0.47}, blurry)
# Up to 0.51, figures on a black stage could all be seen well.
DARK = Rule("dark", "dark", 1, Kind.QUALITY, True, {"threshold": 0.6}, dark)
# Above it were five thin line drawings and one tiny figure; below, good photographs of white clothes before white.
BRIGHT = Rule("bright", "bright", 1, Kind.QUALITY, True, {"threshold": 0.9}, bright)
# The least was 7.5, of a tiny figure before white; blank pages with noise have 1 or 2.
LOW_INFORMATION = Rule(
    "low_information", "low information", 1, Kind.QUALITY, True, {"threshold": 0.5, "min_structure": 5}, low_information
)
