"""`fewshot predict`: answers, one for a picture and some for each second of a video, in the order of what is given."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from curate.foundation.errors import UsageError
from curate.images.decoding import Unreadable, open_image, read_file
from fewshot.predicting import video
from fewshot.predicting.answers import Answer, answer
from fewshot.predicting.links import fetched
from fewshot.predicting.sources import Source
from fewshot.trained.model import TrainedModel

AT_ONCE = 32  # pictures


@dataclass(frozen=True)
class PredictSettings:
    """`top`: classes that an answer names. `threshold`: a probability; None is the model's own. `rate`: frames of a
    second of video that are looked at; `smooth`: seconds, see video.smoothed."""

    top: int = 3
    threshold: float | None = None
    rate: float = 2.0
    smooth: float = 0.5

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UsageError("--top must be at least 1")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g}: a probability, from 0 to 1")
        if not 0 < self.rate <= 1000:
            raise UsageError(f"--fps {self.rate:g}: frames of a second, more than 0")
        if not 0 <= self.smooth < float("inf"):
            raise UsageError(f"--smooth {self.smooth:g}: seconds, 0 or more")


Pixels = tuple[str, np.ndarray | str]  # of a picture by its name, or why there are none


class Predictor:
    def __init__(self, model: TrainedModel, how: PredictSettings) -> None:
        self.model, self.how = model, how
        self.threshold = model.about.threshold if how.threshold is None else how.threshold

    def sources(self, given: Iterable[Source]) -> Iterator[list[Answer]]:
        """Each picture's answer, each video's answers; a failure is an answer with an error."""
        with ThreadPoolExecutor() as pool:
            for part in _parts(given):
                if part[0].video:
                    yield self._video(part[0].path)
                else:
                    yield from ([each] for each in self._pictures(pool.map(self._file, [each.path for each in part])))

    def links(self, links: Iterable[str]) -> Iterator[list[Answer]]:
        """Each link's answer."""
        named = ((link, self._pixels(found) if isinstance(found, bytes) else found) for link, found in fetched(links))
        while part := list(islice(named, AT_ONCE)):
            yield from ([each] for each in self._pictures(part))

    def _file(self, path: Path) -> Pixels:
        try:
            return str(path), self._pixels(read_file(path))
        except Unreadable as error:
            return str(path), str(error)

    def _pixels(self, content: bytes) -> np.ndarray | str:
        transform = self.model.about.transform
        try:
            return transform.apply(open_image(content, draft=transform.draft_size()).image)
        except Unreadable as error:
            return str(error)

    def _pictures(self, given: Iterable[Pixels]) -> list[Answer]:
        given = list(given)
        whole = [pixels for _, pixels in given if not isinstance(pixels, str)]
        probabilities = iter(self.model.probabilities(np.stack(whole)) if whole else ())
        return [
            Answer(name, error=pixels) if isinstance(pixels, str) else self._answer(name, next(probabilities))
            for name, pixels in given
        ]

    def _video(self, path: Path) -> list[Answer]:
        times: list[float] = []
        found: list[np.ndarray] = []
        frames = video.frames(path, self.how.rate)
        try:
            while part := list(islice(frames, AT_ONCE)):
                pixels = [self.model.about.transform.apply(each.image) for each in part]
                found.append(self.model.probabilities(np.stack(pixels)))
                times += [each.time for each in part]
        except Unreadable as error:
            return [Answer(str(path), error=str(error))]
        even = video.smoothed(np.array(times), np.concatenate(found), self.how.smooth)
        return [
            replace(self._answer(str(path), each), time=round(time, 3)) for time, each in zip(times, even, strict=True)
        ]

    def _answer(self, name: str, probabilities: np.ndarray) -> Answer:
        return answer(name, probabilities, self.model.classes, top=self.how.top, threshold=self.threshold)


def _parts(given: Iterable[Source]) -> Iterator[list[Source]]:
    """Pictures that follow each other together, AT_ONCE at most; videos alone."""
    part: list[Source] = []
    for each in given:
        if part and (each.video or len(part) == AT_ONCE):
            yield part
            part = []
        if each.video:
            yield [each]
        else:
            part.append(each)
    if part:
        yield part
