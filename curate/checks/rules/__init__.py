"""All rules, in the order in which people should read what they found."""

from typing import Any

from curate.checks.rules import copies, drawing, labels, outlier, people, quality, text, wrong_label
from curate.checks.rules.rule import Rule

RULES: tuple[Rule[Any], ...] = (
    copies.EXACT_DUPLICATE,
    copies.NEAR_DUPLICATE,
    copies.MIRRORED_DUPLICATE,
    labels.TWO_LABELS,
    labels.OFFICIAL_LEAK,
    wrong_label.WRONG_LABEL,
    outlier.OUTLIER,
    *people.PEOPLE,
    drawing.DRAWING,
    text.TEXT,
    quality.TOO_SMALL,
    quality.ODD_ASPECT,
    quality.BLURRY,
    quality.DARK,
    quality.BRIGHT,
    quality.LOW_INFORMATION,
)
