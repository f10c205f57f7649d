"""All rules of acceptance, in the order in which people should read why an image was rejected.

Those that look at a picture alone are `curate check`'s.
"""

from dataclasses import replace
from typing import Any

from curate.checks.rules import copies as known_copies
from curate.checks.rules import people, quality, text
from curate.checks.rules.rule import Rule
from synth.accept import belonging, copies, distance, pose

# A photograph of two people, or of half a body, may be what somebody wants; of an image that was to show one person it
# is a mistake. (That it shows nobody rejects an image with a skeleton already, by `synthetic_pose`.)
_MISTAKES = ("several_people", "cropped_body")
_PEOPLE = tuple(replace(rule, drops=rule.name in _MISTAKES) for rule in people.PEOPLE)

RULES: tuple[Rule[Any], ...] = (
    known_copies.EXACT_DUPLICATE,
    copies.SYNTHETIC_COPY,
    copies.SYNTHETIC_DUPLICATE,
    pose.SYNTHETIC_POSE,
    belonging.SYNTHETIC_CLASS,
    distance.SYNTHETIC_FAR,
    *_PEOPLE,
    text.TEXT,
    quality.TOO_SMALL,
    quality.ODD_ASPECT,
    quality.BLURRY,
    quality.DARK,
    quality.BRIGHT,
    quality.LOW_INFORMATION,
)
