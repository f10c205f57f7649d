"""Answers as lines: for people, as JSON lines, as CSV. Each is written as soon as it is known."""

from collections.abc import Iterator
from typing import Any, Protocol

from curate.foundation import csv_files
from curate.foundation.text import json_text, shown
from fewshot.predicting import video
from fewshot.predicting.answers import NONE, Answer


class Writer(Protocol):
    def head(self) -> Iterator[str]:
        """The lines before all others."""
        ...

    def lines(self, answers: list[Answer]) -> Iterator[str]:
        """Of one picture, or of one video."""
        ...


class Text:
    """A line a picture, and a line for each stretch of a video; errors go to standard error."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def head(self) -> Iterator[str]:
        return iter(())

    def lines(self, answers: list[Answer]) -> Iterator[str]:
        if answers[0].error:
            return
        if answers[0].time is None:
            yield shown(f"{answers[0].file}  {_likeliest(answers[0])}")
            return
        for each in video.segments(answers, self.rate):
            answer = f"{each.label} {_percent(each.probability)}" if each.label else NONE
            yield shown(f"{answers[0].file}  {_clock(each.begin)} to {_clock(each.end)}  {answer}")


class Json:
    def head(self) -> Iterator[str]:
        return iter(())

    def lines(self, answers: list[Answer]) -> Iterator[str]:
        for each in answers:
            time = {} if each.time is None else {"time": each.time}
            top = [{"class": name, "probability": round(share, 4)} for name, share in each.top]
            result: dict[str, Any] = {"error": each.error} if each.error else time | {"answer": each.label, "top": top}
            yield json_text({"file": each.file} | result)


class Csv:
    """Columns: file, time (seconds; of videos), answer ("" is none of these), class_1, probability_1, ..., error."""

    def __init__(self, top: int) -> None:
        self.top = top

    def head(self) -> Iterator[str]:
        pairs = [f"{name}_{place}" for place in range(1, self.top + 1) for name in ("class", "probability")]
        yield _row(["file", "time", "answer", *pairs, "error"])

    def lines(self, answers: list[Answer]) -> Iterator[str]:
        for each in answers:
            pairs = [cell for name, share in each.top for cell in (name, f"{share:.4f}")]
            pairs += [""] * (2 * self.top - len(pairs))
            time = "" if each.time is None else f"{each.time:g}"
            yield _row([each.file, time, each.label or "", *pairs, each.error])


def _row(cells: list[str]) -> str:
    return csv_files.text([cells]).removesuffix("\n")


def _likeliest(answer: Answer) -> str:
    named = "  ".join(f"{name} {_percent(share)}" for name, share in answer.top)
    return named if answer.known else f"{NONE} ({named})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"
