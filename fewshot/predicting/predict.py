"""`fewshot predict`: answers, one for each picture and some for each second of a video, in the order of the inputs."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from curate.images.decoding import Unreadable, read_file
from fewshot.predicting import video
from fewshot.predicting.answers import Answer, answer
from fewshot.predicting.links import fetched
from fewshot.predicting.settings import PredictSettings
from fewshot.predicting.sources import Kind, Source
from fewshot.trained.looking import Looking, Seen
from fewshot.trained.model import TrainedModel

AT_ONCE = 32  # pictures


Looked = tuple[str, Seen | str]  # at a picture by its name, or why it can't be


class Predictor:
    def __init__(self, model: TrainedModel, settings: PredictSettings) -> None:
        self.model, self.settings, self.looking = model, settings, Looking(model)
        self.threshold = model.about.threshold if settings.threshold is None else settings.threshold

    def sources(self, given: Iterable[Source]) -> Iterator[list[Answer]]:
        """Each picture's and each link's answer, each video's answers; a failure is an answer with an error."""
        with ThreadPoolExecutor() as pool:
            for kind, run in groupby(given, key=lambda each: each.kind):
                if kind is Kind.VIDEO:
                    yield from (self._video(Path(each.name)) for each in run)
                elif kind is Kind.LINK:
                    yield from self._links(each.name for each in run)
                elif kind is Kind.UNUSABLE:
                    yield from ([Answer(each.name, error=each.error)] for each in run)
                else:
                    while part := [Path(each.name) for each in islice(run, AT_ONCE)]:
                        yield from ([each] for each in self._pictures(pool.map(self._file, part)))

    def _links(self, links: Iterable[str]) -> Iterator[list[Answer]]:
        named = ((link, self._seen(found) if isinstance(found, bytes) else found) for link, found in fetched(links))
        while part := list(islice(named, AT_ONCE)):
            yield from ([each] for each in self._pictures(part))

    def _file(self, path: Path) -> Looked:
        try:
            return str(path), self._seen(read_file(path))
        except Unreadable as error:
            return str(path), str(error)

    def _seen(self, content: bytes) -> Seen | str:
        try:
            return self.looking.of_file(content)
        except Unreadable as error:
            return str(error)

    def _pictures(self, given: Iterable[Looked]) -> list[Answer]:
        given = list(given)
        whole = [seen for _, seen in given if not isinstance(seen, str)]
        probabilities = iter(self.looking.probabilities(whole) if whole else ())
        return [
            Answer(name, error=seen) if isinstance(seen, str) else self._answer(name, next(probabilities))
            for name, seen in given
        ]

    def _video(self, path: Path) -> list[Answer]:
        times: list[float] = []
        found: list[np.ndarray] = []
        frames = video.frames(path, self.settings.fps)
        try:
            while part := list(islice(frames, AT_ONCE)):
                found.append(self.looking.probabilities([self.looking.of_image(each.image) for each in part]))
                times += [each.time for each in part]
        except Unreadable as error:
            return [Answer(str(path), error=str(error))]
        smooth = video.smoothed(np.array(times), np.concatenate(found), self.settings.smooth)
        return [
            replace(self._answer(str(path), each), time=round(time, 3))
            for time, each in zip(times, smooth, strict=True)
        ]

    def _answer(self, name: str, probabilities: np.ndarray) -> Answer:
        return answer(name, probabilities, self.model.classes, top=self.settings.top, threshold=self.threshold)
