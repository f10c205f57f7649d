"""Drawings, silhouettes and posters rather than photographs: few colours, hard edges.

It needs no model, and finds not quite half: silhouettes, line drawings and flat figures. What has soft shading
(anatomical plates, water colours, rendered mannequins) it does not find. Prompts to a CLIP model with a trained text
tower would tell more; the default model's is untrained.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from curate.checks.rules.readable import readable
from curate.checks.rules.rule import Inputs, Kind, Rule

# A logistic regression (C = 1) of artwork.py's numbers, fitted once, on half of 1,227 scraped pictures of five yoga
# poses (photos5_noisy), in which 100 drawings had been marked by eye, and of 882 cleaned photographs (photos18).
_WEIGHTS = {"plain": 2.84, "colours": -0.91, "hard_steps": 1.03, "dark_tones": -1.0}
_INTERCEPT = -0.94


def drawing(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """The score is the probability of a drawing by that regression. Raises CannotRun where no file can be read."""
    numbers = readable(inputs)
    logit = sum(weight * numbers[name] for name, weight in _WEIGHTS.items()) + _INTERCEPT
    colours = np.expm1(numbers["colours"])
    detail = [f"{round(count)} colours make 90 % of the subject" for count in colours]
    return pd.DataFrame({"key": numbers["key"], "score": 1 / (1 + np.exp(-logit)), "detail": detail})


# Above it were 27 pictures of the other half, 22 of them drawings, of the 48 there: too few to drop them unseen.
DRAWING = Rule("drawing", "drawing", 1, Kind.CONTENT, False, {"threshold": 0.5}, drawing)
