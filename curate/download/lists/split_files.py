"""The official split: which keys are for training and which for testing, and of which class they are.

A line is `Class/123.jpg,label6,label20,label82`, as Yoga-82's authors give them (label82 is the id of a pose), or
`key,label`, or a key alone. Spaces around them, empty lines, a byte order mark and any line ends are accepted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from curate.collection import yoga82
from curate.download.lists.formats import Cause, Problem
from curate.foundation.errors import UsageError
from curate.lists.lines import NotAList, printable, read_lines

_SPLITS = ("train", "test")
_HOW = "write train=FILE,test=FILE"


class _Line(NamedTuple):
    file: str
    line: int
    text: str
    key: str
    label: str
    split: str

    def problem(self, cause: Cause, detail: str) -> Problem:
        return Problem(self.file, self.line, self.text[:200], cause, detail, self.key)


@dataclass(frozen=True)
class Splits:
    """What the split files say; nothing, where there are none."""

    said: dict[str, tuple[str, str]] = field(default_factory=dict)  # key -> label, official split
    problems: list[Problem] = field(default_factory=list)
    files: frozenset[Path] = frozenset()  # resolved: they are no link lists, wherever they lie

    def of(self, key: str) -> tuple[str, str]:
        """Label and official split (train or test) of a key, each "" where nothing is said of it."""
        return self.said.get(key, ("", ""))


def read(spec: str) -> Splits:
    """The files that `spec` names: `train=FILE,test=FILE`, or files whose names say train or test.

    A key that is in both counts as test, so that nothing is trained on that others test with. Each such key, and each
    line that can't be read as it stands, is a problem with file and line. Raises UsageError for a file that can't be
    read, holds nothing, or says neither train nor test.
    """
    files = [_named(item.strip()) for item in spec.split(",") if item.strip()]
    if not files:
        raise UsageError(f"no split file is named; {_HOW}")
    problems: list[Problem] = []
    counts: dict[str, _Line] = {}
    for split, path in files:
        for found in _read_lines(path, split):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                counts[found.key], contradiction = _merged(counts.get(found.key), found)
                problems += contradiction
    # One pair a class and split, not one a key.
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    said = {key: pairs.setdefault((line.label, line.split), (line.label, line.split)) for key, line in counts.items()}
    return Splits(said, problems, frozenset(path.resolve() for _, path in files))


def _named(item: str) -> tuple[str, Path]:
    """Split and file of one part of a spec."""
    split, equals, file = (part.strip() for part in item.partition("="))
    if equals and split.lower() in _SPLITS:
        return split.lower(), Path(file)
    said = [split for split in _SPLITS if split in Path(item).name.lower()]
    if len(said) != 1:
        what = "both train and test" if said else "neither train nor test"
        raise UsageError(f"the name of the split file {item} says {what}; {_HOW}")
    return said[0], Path(item)


def _merged(before: _Line | None, now: _Line) -> tuple[_Line, list[Problem]]:
    """Which of two lines about one key counts, and what is wrong with that."""
    if before is None or (before.split, before.label) == (now.split, now.label):
        return before or now, []
    if before.split != now.split:
        detail = f"{now.key} is in {before.split}, too ({before.file}, line {before.line}); it counts as test"
        return now if now.split == "test" else before, [now.problem(Cause.LISTED_TWICE, detail)]
    detail = f"{now.key} has another class in {before.file}, line {before.line}, which counts"
    return before, [now.problem(Cause.LISTED_TWICE, detail)]


def _read_lines(path: Path, split: str) -> Iterator[_Line | Problem]:
    try:
        text = read_lines(path)
    except NotAList as why:
        raise UsageError(
            f"the split file {printable(path)} {why}; it should hold lines like Class/123.jpg,0,1,2"
        ) from why
    folders = [pose.folder for pose in yoga82.poses()]
    for number, line in enumerate(text, start=1):
        if line.strip():
            yield from _read_line(_Line(printable(path), number, line, "", "", split), folders)


def _read_line(line: _Line, folders: list[str]) -> Iterator[_Line | Problem]:
    key, *labels = (part.strip() for part in line.text.split(","))
    if not key or len(labels) not in (0, 1, 3):
        yield line.problem(Cause.UNREADABLE, "it is neither key, nor key,label, nor key,label6,label20,label82")
        return
    label = labels[-1] if labels else ""
    if len(labels) == 3:
        known = label.isdecimal() and int(label) < len(folders)
        if not known:
            detail = f"{label!r} is no id of a Yoga-82 pose (0 to {len(folders) - 1}); the class is taken from the key"
            yield line._replace(key=key).problem(Cause.UNKNOWN_POSE, detail)
        label = folders[int(label)] if known else ""
    yield line._replace(key=key, label=label)
