"""The tables of a collection as a function of its lists, its journal and its files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from curate.collection import COLUMNS, REJECT_COLUMNS, Collection
from curate.download import archive, placeholders
from curate.download.journal import Row
from curate.download.lists import Problem
from curate.download.outcome import Outcome
from curate.download.store import Store
from curate.signatures import Signatures
from curate.tables import frame, with_groups

Rows = Mapping[tuple[str, str], Row]
_LIST = "in the list "  # how the detail of a reject begins that is no link, but a line of a list


def imported(collection: Collection) -> set[str]:
    """The keys that a link can't have, because an image that was not downloaded has it."""
    images = collection.images()
    return set(images.loc[images["source"] != "download", "key"])


def write(
    collection: Collection,
    listed: pd.DataFrame,
    rows: Rows,
    problems: Sequence[Problem],
    store: Store,
    signatures: Signatures,
) -> list[str]:
    """Write both tables; the URLs whose picture is a placeholder.

    listed: `wanted.listed`, every link that counts.  rows: of the journal.  problems: of all lists.
    """
    before = collection.images()
    others = before[before["source"] != "download"]
    links = listed[~listed["key"].isin(others["key"])]
    kept, dropped = _sorted_out(links, rows, store)
    images = pd.concat([others, frame(kept, COLUMNS)], ignore_index=True)
    seen = pd.concat([images, frame(_replaced(links, rows), COLUMNS)], ignore_index=True)
    seen = with_groups(collection, seen, signatures, os.cpu_count() or 1)
    images, why = seen[: len(images)], _placeholders(seen, rows)[: len(images)]
    marked = images.assign(why=why)[why != ""]
    dropped += [
        _reject(key, Outcome.PLACEHOLDER, said, file)
        for key, said, file in marked[["key", "why", "file"]].itertuples(index=False)
    ]
    rejects = pd.concat([_not_of_links(collection, listed), frame(dropped, REJECT_COLUMNS)], ignore_index=True)
    images = images[why == ""]
    # A placeholder names no group.
    images = images.assign(group=images.groupby("group")["id"].transform("min"))
    os.sync()  # the tables must not outlive, in a power cut, the files that they name
    collection.write(images, _with_problems(rejects, problems))
    return sorted(set(marked["url"]))


def _sorted_out(links: pd.DataFrame, rows: Rows, store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the image table, and of the rejects, for the links that have an answer."""
    kept, dropped = [], []
    for key, label, url, split in links[["key", "label", "url", "official_split"]].itertuples(index=False):
        row = best(url, rows)
        if row is None:
            continue
        file = store.find(key, row.id, row.bytes) if row.outcome == Outcome.KEPT else None
        if file:
            kept.append(_image(key, label, split, file, row))
        elif row.outcome != Outcome.KEPT:
            dropped.append(_reject(key, row.outcome, row.detail, url))
        else:
            dropped.append(_reject(key, Outcome.CANNOT_STORE, "there is no file of this name; ask again", url))
    return kept, dropped


def _replaced(links: pd.DataFrame, rows: Rows) -> list[dict[str, Any]]:
    """The pictures that an archive's took the place of: placeholders, and what tells the others of their kind."""
    found = []
    for key, label, url, split in links[["key", "label", "url", "official_split"]].itertuples(index=False):
        counts, direct = best(url, rows), rows.get((url, ""))
        if counts and direct and direct.outcome == Outcome.KEPT and direct.id != counts.id:
            found.append(_image(key, label, split, f"images/{key}", direct))
    return found


def best(url: str, rows: Rows) -> Row | None:
    """The row that counts for a link: what the archive had is better than nothing, and better than a placeholder."""
    copy = rows.get((url, archive.VIA))
    return copy if copy is not None and copy.outcome == Outcome.KEPT else rows.get((url, ""))


def _image(key: str, label: str, split: str, file: str, row: Row) -> dict[str, Any]:
    """A row of the image table; its group is empty."""
    return {
        "key": key,
        "id": row.id,
        "label": label,
        "file": file,
        "source": "download",
        "url": row.url,
        "width": row.width,
        "height": row.height,
        "format": row.format,
        "mode": row.mode,
        "frames": row.frames,
        "bytes": row.bytes,
        "official_split": split,
        "group": "",
    }


def _reject(key: str, cause: str, detail: str, file: str) -> dict[str, str]:
    return {"key": key, "cause": str(cause), "detail": detail, "file": file}


def _placeholders(images: pd.DataFrame, rows: Rows) -> pd.Series:
    """Why each image is a placeholder, "" where it is none. Only what was downloaded can be one."""
    links = images.loc[images["source"] == "download", ["url", "label", "id", "group"]]
    links = links.assign(final_url=[_found_at(*link, rows) for link in zip(links["url"], links["id"], strict=True)])
    return placeholders.find(links).reindex(images.index, fill_value="")


def _found_at(url: str, content_id: str, rows: Rows) -> str:
    found = filter(None, (rows.get((url, via)) for via in (archive.VIA, "")))
    return next((row.final_url for row in found if row.id == content_id), "")


def _not_of_links(collection: Collection, listed: pd.DataFrame) -> pd.DataFrame:
    """The rejects of other commands."""
    rejects = collection.rejects()
    return rejects[~rejects["key"].isin(listed["key"]) & ~rejects["detail"].str.startswith(_LIST)]


def _with_problems(rejects: pd.DataFrame, problems: Sequence[Problem]) -> pd.DataFrame:
    """Lines of lists have no key, or one that another line has; where they stand names them just as well."""
    rows = [_reject(_place(problem), problem.cause, f"{_LIST}{problem}", problem.file) for problem in problems]
    return pd.concat([rejects, frame(rows, REJECT_COLUMNS)], ignore_index=True)


def _place(problem: Problem) -> str:
    name = Path(problem.file).name
    return f"{name}:{problem.line}" if problem.line else name
