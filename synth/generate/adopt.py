"""From files that were generated to rows of the image table; everything else in the tables stays as it is."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.collection import synthetic
from curate.collection.directory import COLUMNS, REJECT_COLUMNS, Collection
from curate.foundation import console
from curate.images.decoding import Unreadable, read_file
from curate.images.signatures import Signature, Signatures
from curate.importing import tables
from synth.generate import provenance, writing
from synth.generate.image_job import ImageJob

_NOT_OURS = "not ours"


@dataclass(frozen=True)
class Adopted:
    """What became of the files of a plan. Rejects as in REJECT_COLUMNS: damaged, or not made by `synth generate`."""

    added: int
    rejects: list[dict[str, Any]]


def adopt(collection: Collection, jobs: Sequence[ImageJob], made: frozenset[str] = frozenset()) -> Adopted:
    """Give each image of these jobs that is there its row, or a reject with its cause; files stay as they are.

    A row that is there stays. made: the keys of files that are new, whose rows, if they have any, tell of files that
    had gone.
    Raises FewposeError where another command is changing the collection, OSError where it can't be written.
    """
    workers = os.cpu_count() or 1
    with collection.locked():
        images, rejects = collection.images(missing_ok=True), collection.rejects()
        known = set(images["key"]) - made
        new = [job for job in jobs if job.key not in known and writing.path(collection, job).exists()]
        refused = set(rejects["key"])
        if not new and not any(job.key in refused for job in jobs):
            return Adopted(0, [])
        with Signatures(collection) as signatures:
            outcomes = _outcomes(collection, new, signatures, workers)
            rows = tables.frame([row for row in outcomes if "id" in row], COLUMNS)
            images = pd.concat([images[~images["key"].isin(rows["key"])], rows], ignore_index=True)
            images = tables.with_groups(collection, images, signatures, workers)
        found = [row for row in outcomes if "cause" in row]
        rejects = rejects[~rejects["key"].isin({job.key for job in jobs})]
        _keep_names({writing.path(collection, job).parent for job in new})
        collection.write(images, pd.concat([rejects, tables.frame(found, REJECT_COLUMNS)], ignore_index=True))
    return Adopted(len(rows), found)


def _keep_names(folders: set[Path]) -> None:
    """In a power cut, the tables must not outlive the names of the files that they tell of."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _outcomes(
    collection: Collection, jobs: Sequence[ImageJob], signatures: Signatures, workers: int
) -> list[dict[str, Any]]:
    rows = []
    with console.progress("recording", len(jobs)) as advance:
        for row in tables.in_threads(lambda job: _outcome(collection, job, signatures), jobs, workers):
            rows.append(row)
            advance(1)
    return rows


def _outcome(collection: Collection, job: ImageJob, signatures: Signatures) -> dict[str, Any]:
    """A row of the image table, the group empty; or one of the rejects."""
    path = writing.path(collection, job)
    try:
        content = read_file(path)
        content_id = hashlib.sha256(content).hexdigest()
        signature = signatures.of(content_id, content)
    except Unreadable as problem:
        detail = f"{problem.detail}; move it away, and synth generate makes it again"
        return _reject(job, str(problem.cause), detail, path)
    try:
        told = provenance.read(path)
        text = provenance.text(told)
    except (OSError, ValueError, TypeError):
        told, text = {}, ""
    if told.get("key") != job.key:
        return _reject(job, _NOT_OURS, "another program put it in the place of a synthetic image; move it away", path)
    return _row(job, content_id, len(content), signature, text)


def _reject(job: ImageJob, cause: str, detail: str, path: Path) -> dict[str, Any]:
    return {"key": job.key, "cause": cause, "detail": detail, "file": str(path)}


def _row(job: ImageJob, content_id: str, size: int, signature: Signature, told: str) -> dict[str, Any]:
    return {
        "key": job.key,
        "id": content_id,
        "label": job.label,
        "file": f"images/{job.key}",
        "source": synthetic.SOURCE,
        "url": "",
        "width": signature.width,
        "height": signature.height,
        "format": signature.format,
        "mode": signature.mode,
        "frames": signature.frames,
        "bytes": size,
        "official_split": "",
        "provenance": told,
        "group": "",
    }
