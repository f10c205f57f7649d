"""What goes into the tables of a collection, for the commands that find pictures (import, download).

Groups are a function of the pictures: copies are looked for again only where the pictures are others than before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from curate.collection import groups, synthetic
from curate.collection.directory import Collection
from curate.foundation import atomic, console, parquet
from curate.foundation.cache import explaining_cache_errors
from curate.foundation.errors import FewposeError
from curate.images import originals
from curate.images.decoding import NO_LIMITS, Unreadable
from curate.images.signatures import VERSION as SIGNATURES
from curate.images.signatures import Signatures

_T = TypeVar("_T")
_R = TypeVar("_R")
_GROUPS = {"id": "str", "group": "str"}


def frame(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """Rows as a table of these columns (COLUMNS, REJECT_COLUMNS), also where there are none."""
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def with_groups(collection: Collection, images: pd.DataFrame, signatures: Signatures, workers: int) -> pd.DataFrame:
    """The image table `images` with its groups, whatever they are now. See `find_groups`."""
    files = dict(zip(images["id"], images["file"], strict=True))
    group = find_groups(collection, files, synthetic.made_from(images), signatures, workers)
    return images.assign(group=images["id"].map(group).astype("str"))


def find_groups(
    collection: Collection,
    files: Mapping[str, str],
    made_from: Mapping[str, str],
    signatures: Signatures,
    workers: int,
) -> dict[str, str]:
    """The group of each picture, by content id.

    Synthetic pictures move no real one: these are grouped among themselves. A synthetic picture's group is that of the
    real one that it was made from, else of a real one that it is a copy of, else of its synthetic copies.

    files: of each picture, by content id, as in the image table.
    made_from: as `synthetic.made_from` gives it, of the synthetic ones among them.
    workers: threads, for those whose signature was lost.
    Raises cache.CannotWrite.
    """
    real = {content_id: file for content_id, file in files.items() if content_id not in made_from}
    group = _cached("groups", collection, real, signatures, workers)
    if not made_from:
        return group
    together = _cached("groups-synthetic", collection, files, signatures, workers)
    copied = {together[content_id]: group[content_id] for content_id in sorted(real, reverse=True)}
    for content_id, source in made_from.items():
        if content_id in files:
            group[content_id] = group.get(source) or copied.get(together[content_id], together[content_id])
    return group


def _cached(
    name: str, collection: Collection, files: Mapping[str, str], signatures: Signatures, workers: int
) -> dict[str, str]:
    """The groups of the last time hold for the same pictures; for others, all are looked for anew."""
    cache = collection.cache(name, f"{groups.VERSION}-{SIGNATURES}.parquet")
    group = _known_groups(cache)
    if group.keys() != files.keys():
        group = _groups(collection, files, signatures, workers)
        with explaining_cache_errors(cache.parent):
            atomic.remove_unfinished(cache.parent)
            parquet.write(cache, pd.DataFrame(sorted(group.items()), columns=list(_GROUPS), dtype="str"))
    return group


def _known_groups(cache: Path) -> dict[str, str]:
    """Of the pictures that were grouped the last time; none where the file is damaged."""
    try:
        known = parquet.read(cache, _GROUPS, "it is made again")
        return dict(zip(known["id"], known["group"], strict=True))
    except (FileNotFoundError, FewposeError):
        return {}


def _groups(collection: Collection, files: Mapping[str, str], signatures: Signatures, workers: int) -> dict[str, str]:
    ids = sorted(files)
    _restore_signatures(collection, [(i, files[i]) for i in ids if i not in signatures], signatures, workers)
    found = [i for i in ids if i in signatures]
    if found:
        console.note(f"looking for copies among {len(found)} images")
    alone = dict(zip(ids, ids, strict=True))
    return alone | dict(zip(found, groups.assign(found, signatures.thumbnails(found)), strict=True))


def _restore_signatures(
    collection: Collection, lost: Sequence[tuple[str, str]], signatures: Signatures, workers: int
) -> None:
    """Compute signatures that were deleted. A file that is gone or has changed has none: of it only exact copies are
    known.
    """
    if not lost:
        return

    def restore(content_id: str, file: str) -> None:
        with suppress(Unreadable):
            signatures.of(content_id, originals.read(collection, file, content_id), NO_LIMITS)

    with console.progress("looking again", len(lost)) as advance:
        for _ in in_threads(lambda row: restore(*row), lost, workers):
            advance(1)


def in_threads(function: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """Results in the order of the items. What has not begun is dropped when something fails."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
