"""What a model answers: the likeliest classes of a picture, or none of these."""

from dataclasses import dataclass

import numpy as np

NONE = "none of these"


@dataclass(frozen=True)
class Answer:
    """Of the picture `file`, or of the frame of a video at `time` seconds (else None).

    `top`: the likeliest classes with their probabilities, the likeliest first. `known`: whether that one's reaches the
    threshold. `error`: why there is no answer, if there is none.
    """

    file: str
    time: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    known: bool = True
    error: str = ""

    @property
    def label(self) -> str | None:
        """The class; None below the threshold, and where there is no answer."""
        return self.top[0][0] if self.top and self.known else None


def answer(file: str, probabilities: np.ndarray, classes: tuple[str, ...], *, top: int, threshold: float) -> Answer:
    """From probabilities (classes,); of equal ones the first."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    likeliest = tuple((classes[place], float(probabilities[place])) for place in order)
    return Answer(file, top=likeliest, known=likeliest[0][1] >= threshold)
