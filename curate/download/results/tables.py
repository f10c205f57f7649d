"""The tables of a collection as a function of its lists, its journal and its files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import NamedTuple

import pandas as pd

from curate.collection import synthetic
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.download.lists.formats import Problem
from curate.download.results import pending, placeholders
from curate.download.results.journal import Row
from curate.download.results.store import Store
from curate.download.web import archive
from curate.download.web.outcome import Outcome
from curate.foundation.freed_memory import give_back_freed_memory
from curate.images.signatures import Signatures
from curate.importing.tables import find_groups

Rows = Mapping[tuple[str, str], Row]
_AT_ONCE = 10_000  # links
_LIST = "in the list "  # how the detail of a reject begins that is no link, but a line of a list


class _Kept(NamedTuple):
    """A link that has a picture."""

    key: str
    label: str
    split: str
    file: str
    row: Row


class _Reject(NamedTuple):
    """REJECT_COLUMNS."""

    key: str
    cause: str
    detail: str
    file: str


def imported(collection: Collection) -> set[str]:
    """The keys that a link can't have, because an image that was not downloaded has it."""
    images = collection.images(missing_ok=True)
    return set(images.loc[images["source"] != "download", "key"])


def write(
    collection: Collection,
    rows: Rows,
    problems: Sequence[Problem],
    store: Store,
    signatures: Signatures,
) -> list[str]:
    """Write both tables; the URLs whose picture is a placeholder.

    rows: of the journal.  problems: of all lists.
    """
    listed = pending.listed(collection)
    before = collection.images(missing_ok=True)
    others = before[before["source"] != "download"]
    links = listed[~listed["key"].isin(others["key"])]
    kept, dropped = _sorted_out(links, rows, store)
    replaced = _replaced(links, rows)
    files = {each.row.id: each.file for each in (*replaced, *kept)} | dict(
        zip(others["id"], others["file"], strict=True)
    )
    # Before there are tables: to look for copies takes much memory, too.
    group = find_groups(collection, files, synthetic.made_from(others), signatures, os.cpu_count() or 1)
    rejects = _not_of_links(collection, listed)
    del links, before, files, listed
    give_back_freed_memory()
    why = _placeholders([*kept, *replaced], group)[: len(kept)]
    images = _images(kept, group)
    if len(others):
        others = others.assign(group=others["id"].map(group).astype("str"))
        images = pd.concat([images, others], ignore_index=True)
    del kept, replaced, group
    why = why.reindex(images.index, fill_value="")  # only what was downloaded can be one
    marked = images.assign(why=why)[why != ""]
    if len(marked):
        images = images[why == ""]
        images = images.assign(group=images.groupby("group")["id"].transform("min"))  # a placeholder names no group
    dropped += [
        _Reject(key, Outcome.PLACEHOLDER.value, said, file)
        for key, said, file in marked[["key", "why", "file"]].itertuples(index=False)
    ]
    rejects = pd.concat([rejects, _rejects(dropped)], ignore_index=True)
    os.sync()  # the tables must not outlive, in a power cut, the files that they name
    collection.write(images, _with_problems(rejects, problems))
    return sorted(set(marked["url"]))


def _sorted_out(links: pd.DataFrame, rows: Rows, store: Store) -> tuple[list[_Kept], list[_Reject]]:
    """The links that have an answer."""
    kept, dropped = [], []
    for key, label, url, split in _each(links):
        row = best(url, rows)
        if row is None:
            continue
        file = store.find(key, row.id, row.bytes) if row.outcome == Outcome.KEPT else None
        if file:
            kept.append(_Kept(key, intern(label), intern(split), file, row))
        elif row.outcome != Outcome.KEPT:
            dropped.append(_Reject(key, row.outcome.value, row.detail, url))
        else:
            said = "there is no file of this name; ask again"
            dropped.append(_Reject(key, Outcome.CANNOT_STORE.value, said, url))
    return kept, dropped


def _replaced(links: pd.DataFrame, rows: Rows) -> list[_Kept]:
    """The pictures that an archive's copies replaced: placeholders, which help to recognise others of their kind."""
    found = []
    for key, label, url, split in _each(links):
        counts, direct = best(url, rows), rows.get((url, ""))
        if counts and direct and direct.outcome == Outcome.KEPT and direct.id != counts.id:
            found.append(_Kept(key, label, split, f"images/{key}", direct))
    return found


def _each(links: pd.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    """Key, label, URL and split. In blocks: one at a time is slow, and all at once is large."""
    for start in range(0, len(links), _AT_ONCE):
        block = links.iloc[start : start + _AT_ONCE]
        columns = (block[name].to_numpy(object) for name in ("key", "label", "url", "official_split"))
        yield from zip(*columns, strict=True)


def best(url: str, rows: Rows) -> Row | None:
    """The row that counts for a link: what the archive had is better than nothing, and better than a placeholder."""
    copy = rows.get((url, archive.VIA))
    return copy if copy is not None and copy.outcome == Outcome.KEPT else rows.get((url, ""))


def _images(kept: Sequence[_Kept], group: Mapping[str, str]) -> pd.DataFrame:
    """The image table of these. A column at a time: rows that are dicts would be far larger."""
    columns = {
        "key": [each.key for each in kept],
        "id": [each.row.id for each in kept],
        "label": [each.label for each in kept],
        "file": [each.file for each in kept],
        "source": "download",
        "url": [each.row.url for each in kept],
        "width": [each.row.width for each in kept],
        "height": [each.row.height for each in kept],
        "format": [each.row.format for each in kept],
        "mode": [each.row.mode for each in kept],
        "frames": [each.row.frames for each in kept],
        "bytes": [each.row.bytes for each in kept],
        "official_split": [each.split for each in kept],
        "provenance": "",
        "group": [group[each.row.id] for each in kept],
    }
    return pd.DataFrame(columns, index=range(len(kept))).astype(COLUMNS)


def _rejects(dropped: Sequence[_Reject]) -> pd.DataFrame:
    return pd.DataFrame(dropped, columns=list(REJECT_COLUMNS)).astype(REJECT_COLUMNS)


def _placeholders(kept: Sequence[_Kept], group: Mapping[str, str]) -> pd.Series:
    """Why each of these is a placeholder, "" where it is none."""
    columns = {
        "url": [each.row.url for each in kept],
        "label": [each.label for each in kept],
        "id": [each.row.id for each in kept],
        "group": [group[each.row.id] for each in kept],
        "final_url": [each.row.final_url for each in kept],
    }
    return placeholders.find(pd.DataFrame(columns, dtype=object))  # the strings that are there, not copies


def _not_of_links(collection: Collection, listed: pd.DataFrame) -> pd.DataFrame:
    """The rejects of other commands."""
    rejects = collection.rejects()
    return rejects[~rejects["key"].isin(listed["key"]) & ~rejects["detail"].str.startswith(_LIST)]


def _with_problems(rejects: pd.DataFrame, problems: Sequence[Problem]) -> pd.DataFrame:
    """Lines of lists have no key, or one that another line has; where they stand names them just as well."""
    found = [_Reject(_place(problem), str(problem.cause), f"{_LIST}{problem}", problem.file) for problem in problems]
    return pd.concat([rejects, _rejects(found)], ignore_index=True)


def _place(problem: Problem) -> str:
    name = Path(problem.file).name
    return f"{name}:{problem.line}" if problem.line else name
