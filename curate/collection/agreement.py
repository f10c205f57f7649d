"""How far people agree: of the images that two of them decided on, neither in view of the other's decision."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import combinations

from curate.collection.ledger import Entry, by_image, seen
from curate.foundation.console import count


@dataclass(frozen=True)
class Agreement:
    """Of two people, on verdicts (drop or keep) or on labels."""

    people: tuple[str, str]
    on: str  # verdict, label
    images: int  # that both judged
    alike: int  # of these
    kappa: float | None  # Cohen's; None where both gave one and the same answer to all: chance would agree, too

    @property
    def share(self) -> float:
        return self.alike / self.images

    def sentence(self) -> str:
        one, other = (name or "nobody named" for name in self.people)
        what = "dropped or kept" if self.on == "verdict" else "gave a label"
        kappa = "is not defined, for all answers are the same" if self.kappa is None else f"{self.kappa:.2f}"
        return (
            f"agreement of {one} and {other}: of {count(self.images, 'image')} that both {what}, {self.alike} alike "
            f"({self.share:.0%}); Cohen's kappa {kappa} (n = {self.images})"
        )


def agreements(decisions: Iterable[Entry], apart: Set[str] = frozenset()) -> list[Agreement]:
    """Of each two people who judged a picture both, by name.

    decisions: those that were not undone, in order.  apart: as `Ledger.apart`.
    Of each person, the last decision counts that was made without having seen the other's: one that settles a
    disagreement does not make it unsaid.
    """
    answers: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for (_, of_label), made in by_image(decisions).items():
        people = sorted({entry.who for entry in made})
        for one, other in combinations(people, 2):
            first, second = (_judgement(made, *pair, apart) for pair in ((one, other), (other, one)))
            if first and second:
                what = "label" if of_label else "verdict"
                answers.setdefault((one, other, what), []).append((first.said, second.said))
    return [
        Agreement((one, other), what, len(given), sum(a == b for a, b in given), cohen_kappa(given))
        for (one, other, what), given in sorted(answers.items())
    ]


def cohen_kappa(answers: Sequence[tuple[str, str]]) -> float | None:
    """Agreement of two people beyond chance (Cohen 1960): (observed - expected) / (1 - expected).

    answers: what the one and the other said of each image. None where chance alone would agree on all.
    """
    n = len(answers)
    observed = sum(one == other for one, other in answers)
    first, second = Counter(one for one, _ in answers), Counter(other for _, other in answers)
    expected = sum(first[answer] * second[answer] for answer in first)  # times n * n
    return None if expected == n * n else (n * observed - expected) / (n * n - expected)


def _judgement(made: Sequence[Entry], who: str, other: str, apart: Set[str]) -> Entry | None:
    """The last of `who` that was not made in view of what `other` said."""
    others = [entry for entry in made if entry.who == other]
    own = [e for e in made if e.who == who and not any(seen(e, theirs, apart) for theirs in others)]
    return own[-1] if own else None
