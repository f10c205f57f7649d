"""Rules on copies that stand in two places where they cannot both stand: under two labels, in train and in test."""

from collections.abc import Mapping

import pandas as pd

from curate.checks.rules.copies import FOUND, several
from curate.checks.rules.matches import Question, matches
from curate.checks.rules.rule import Inputs, Kind, Rule
from curate.collection import groups
from curate.images.signatures import Signatures

_NAMED = 3  # other keys in a detail


def two_labels(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """Copies of one picture under several labels, all of them; 1 for the same bytes, or else their correlation."""
    sides = []
    for rows in several(inputs.images, ["group"]):
        labels = rows["label"].unique()
        sides += [(rows[rows["label"] == label], rows[rows["label"] != label]) for label in labels if len(labels) > 1]
    return _against(inputs.signatures, sides)


def official_leak(inputs: Inputs, _: Mapping[str, float]) -> pd.DataFrame:
    """A training image that copies one of the official test set; 1 for the same bytes, or else their correlation."""
    sides = []
    for rows in several(inputs.images[inputs.images["official_split"] != ""], ["group"]):
        test = rows["official_split"] == "test"
        if test.any() and not test.all():
            sides.append((rows[~test], rows[test]))
    return _against(inputs.signatures, sides)


def _against(signatures: Signatures, sides: list[tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """A finding for each image on the one side of a group, that names those on the other side."""
    found, questions = [], []
    for mine, others in sides:
        ids = list(others["id"].unique())
        everyone = [*mine["id"].unique(), *ids]
        for key, id in zip(mine["key"], mine["id"], strict=True):
            same = others[others["id"] == id]
            what = f"the same bytes as {_names(same)}" if len(same) else f"copy of {_names(others)}"
            found.append((key, len(same) > 0, what, id if len(same) else ids[0]))
            questions.append(Question(id, ids, everyone))
    rows = [
        (key, 1.0 if same else match.score, what, other)
        for (key, same, what, other), match in zip(found, matches(signatures, questions), strict=True)
    ]
    return pd.DataFrame(rows, columns=FOUND)


def _names(images: pd.DataFrame) -> str:
    """Keys and labels; some, where there are many."""
    named = [f"{key} ({label})" for key, label in zip(images["key"], images["label"], strict=True)]
    return ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")


TWO_LABELS = Rule("two_labels", "one picture, two labels", 1, Kind.LABEL, True, {"threshold": groups.FINE}, two_labels)
OFFICIAL_LEAK = Rule(
    "official_leak", "official test image in train", 1, Kind.COPY, True, {"threshold": groups.FINE}, official_leak
)
