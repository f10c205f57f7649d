"""How alike the copies within a group are, which curate/collection/groups.py found: their correlation, and which are mirrored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.collection import groups
from curate.images.signatures import Signatures


@dataclass(frozen=True)
class Match:
    """Of a picture with the nearest of those that it was compared to."""

    score: float  # correlation, groups.FINE to 1
    mirrored: bool


@dataclass(frozen=True)
class Question:
    """How does this picture match the nearest of `to`, of the same `group`? All are content ids."""

    id: str
    to: Sequence[str]
    group: Sequence[str]


def matches(signatures: Signatures, questions: Sequence[Question]) -> list[Match]:
    """The answers, in order; of a picture that is no direct copy of any of `to`, how it matches the rest of its group.

    Where signatures were lost, what is known is that they are copies, which takes groups.FINE.
    """
    answers = _nearest(signatures, [(q.id, q.to) for q in questions])
    chained = [n for n, match in enumerate(answers) if match.score < groups.FINE]
    again = _nearest(signatures, [(questions[n].id, questions[n].group) for n in chained])
    for n, match in zip(chained, again, strict=True):
        answers[n] = Match(max(match.score, groups.FINE), match.mirrored)
    return answers


def _nearest(signatures: Signatures, questions: Sequence[tuple[str, Sequence[str]]]) -> list[Match]:
    """How each picture matches the nearest of some others; -1 where there is nothing to compare."""
    asked = [(n, id, other) for n, (id, to) in enumerate(questions) for other in to if id != other]
    asked = [(n, id, other) for n, id, other in asked if id in signatures and other in signatures]
    ids = sorted({i for _, *pair in asked for i in pair})  # as where groups are found, so correlations are the same
    place = {content_id: n for n, content_id in enumerate(ids)}
    pairs = np.array([sorted((place[a], place[b])) for _, a, b in asked], np.int64).reshape(-1, 2)
    correlation, mirrored = groups.compare(signatures.thumbnails(ids), pairs[:, 0], pairs[:, 1])
    found = [Match(-1, False)] * len(questions)
    for (n, _, _), score, flipped in zip(asked, correlation.tolist(), mirrored.tolist(), strict=True):
        if score > found[n].score:
            found[n] = Match(min(score, 1), flipped)
    return found
