"""What goes into the tables of a collection, for the commands that find pictures (import, download).

Groups are a function of the pictures, so copies are looked for where these are others than before, and only there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from curate import atomic, console, groups
from curate.collection import Collection
from curate.images import NO_LIMITS, Unreadable, read_file
from curate.signatures import VERSION as SIGNATURES
from curate.signatures import Signatures

_T = TypeVar("_T")
_R = TypeVar("_R")


def frame(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """Rows as a table of these columns (COLUMNS, REJECT_COLUMNS), also where there are none."""
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def with_groups(collection: Collection, images: pd.DataFrame, signatures: Signatures, workers: int) -> pd.DataFrame:
    """The image table `images` with its groups, whatever they are now.

    The groups of the last time are kept in cache/groups and hold for the same pictures; for others, all are looked for
    anew.
    workers: threads, for pictures whose signature was lost.
    Raises OSError where the cache cannot be written.
    """
    cache = collection.cache("groups", f"{groups.VERSION}-{SIGNATURES}.parquet")
    group = _known_groups(cache)
    if group.keys() != set(images["id"]):
        group = _groups(collection, images, signatures, workers)
        with atomic.replacing(cache) as temporary:
            pd.DataFrame(sorted(group.items()), columns=["id", "group"]).to_parquet(temporary, index=False)
    return images.assign(group=images["id"].map(group).astype("str"))


def _known_groups(cache: Path) -> dict[str, str]:
    """Of the pictures that were grouped the last time; none where the file is damaged."""
    try:
        known = pd.read_parquet(cache)
        return dict(zip(known["id"], known["group"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}


def _groups(collection: Collection, images: pd.DataFrame, signatures: Signatures, workers: int) -> dict[str, str]:
    by_id = images.drop_duplicates("id").sort_values("id")
    _look_again(collection, by_id[[i not in signatures for i in by_id["id"]]], signatures, workers)
    found = [i for i in by_id["id"] if i in signatures]
    if found:
        console.err.print(f"looking for copies among {len(found)} images", soft_wrap=True)
    alone = dict(zip(by_id["id"], by_id["id"], strict=True))
    return alone | dict(zip(found, groups.assign(found, signatures.thumbnails(found)), strict=True))


def _look_again(collection: Collection, images: pd.DataFrame, signatures: Signatures, workers: int) -> None:
    """Signatures that were deleted. Of a linked file that is gone there is none, and only exact copies are known."""
    if images.empty:
        return

    def again(content_id: str, file: str) -> None:
        with suppress(Unreadable):
            signatures.of(content_id, read_file(collection.path(file), NO_LIMITS), NO_LIMITS)

    with console.progress("looking again", len(images)) as advance:
        for _ in in_threads(lambda row: again(*row), zip(images["id"], images["file"], strict=True), workers):
            advance(1)


def in_threads(function: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """Results in the order of the items. What has not begun is dropped when something fails."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
