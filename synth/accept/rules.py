"""All rules of acceptance, in the order in which people should read why an image was rejected.

Those that look at a picture alone are `curate check`'s.
"""

from typing import Any

from curate.checks.rules import copies as known_copies
from curate.checks.rules import people, quality, text
from curate.checks.rules.rule import Rule
from synth.accept import belonging, copies, distance, pose

RULES: tuple[Rule[Any], ...] = (
    known_copies.EXACT_DUPLICATE,
    copies.SYNTHETIC_COPY,
    copies.SYNTHETIC_DUPLICATE,
    pose.SYNTHETIC_POSE,
    belonging.SYNTHETIC_CLASS,
    distance.SYNTHETIC_FAR,
    *people.PEOPLE,
    text.TEXT,
    quality.TOO_SMALL,
    quality.ODD_ASPECT,
    quality.BLURRY,
    quality.DARK,
    quality.BRIGHT,
    quality.LOW_INFORMATION,
)
