"""The inputs of `fewshot predict`: pictures, videos, and those in folders, in a fixed order."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from curate.foundation.errors import UsageError

PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
VIDEOS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"}


class Source(NamedTuple):
    path: Path
    video: bool


def sources(paths: Iterable[Path]) -> tuple[list[Source], int]:
    """The pictures and videos of files and folders, those of a folder sorted by path; and how many other files folders
    hold, which are not looked at. A file that is named itself is opened, whatever its name ends with.

    Raises UsageError for a path that does not exist, or that is neither file nor folder.
    """
    found: list[Source] = []
    others = 0
    for path in paths:
        if path.is_dir():
            inside = sorted(_files(path))
            chosen = [each for each in inside if each.suffix.lower() in PICTURES | VIDEOS]
            found += [_source(each) for each in chosen]
            others += len(inside) - len(chosen)
        elif path.is_file():
            found.append(_source(path))
        else:
            raise UsageError(f"{path} does not exist, or is neither a file nor a folder")
    return list(dict.fromkeys(found)), others


def _source(path: Path) -> Source:
    return Source(path, path.suffix.lower() in VIDEOS)


def _files(folder: Path) -> Iterator[Path]:
    """All files below, without what is hidden. Links to folders are not followed: they may lead in a circle."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():
                yield from _files(path)
        else:
            yield path
