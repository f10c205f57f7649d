"""What one look at a picture tells: the facts for the image table, and a thumbnail that its copies are found by.

Signatures are kept by content id, so that a picture is decoded once however often it is imported, under however many
keys. They are saved while an import runs: what was looked at before a crash is not looked at again. The folder can be
deleted; a damaged file in it counts as absent.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curate import atomic
from curate.collection import Collection
from curate.images import DEFAULT_LIMITS, Limits, check_pixels, open_image

SIDE = 64  # of the thumbnail, pixels

VERSION = "1"  # of all below: another thumbnail or another decoding is another number, and the old ones are not read

_SECONDS_BETWEEN_SAVES = 5.0


@dataclass(frozen=True)
class Signature:
    width: int  # of the upright picture, pixels
    height: int
    format: str
    mode: str
    frames: int
    thumbnail: bytes  # SIDE x SIDE grey values, row by row: the whole picture, whatever its shape


def look(content: bytes, limits: Limits = DEFAULT_LIMITS) -> Signature:
    """Decode the whole of a picture, so that nothing damaged is accepted. Raises Unreadable."""
    # A JPEG at a fraction of its size is read to its end all the same, in a third of the time.
    decoded = open_image(content, limits=limits, draft=(2 * SIDE, 2 * SIDE))
    # Lanczos: a copy at another size gives the same thumbnail; a box filter's would be shifted by parts of a pixel.
    thumbnail = decoded.image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Signature(decoded.width, decoded.height, decoded.format, decoded.mode, decoded.frames, thumbnail.tobytes())


class Signatures:
    """The signatures of a collection by content id; new ones are saved every few seconds and on `close`."""

    def __init__(self, collection: Collection) -> None:
        self._folder = collection.cache("signatures", VERSION)
        self._files = sorted(self._folder.glob("[!.]*.parquet"))
        self._known: dict[str, Signature] = {}
        for file in self._files:
            self._known.update(_read(file))
        self._unsaved: dict[str, Signature] = {}
        self._saved = time.monotonic()

    def __contains__(self, content_id: object) -> bool:
        return content_id in self._known

    def __getitem__(self, content_id: str) -> Signature:
        return self._known[content_id]

    def of(self, content_id: str, content: bytes, limits: Limits = DEFAULT_LIMITS) -> Signature:
        """The signature of these bytes: the one that is known, or by a look at them. Safe in threads.

        Raises Unreadable; a picture that passed other limits before must pass these now.
        """
        known = self._known.get(content_id)
        if known is None:
            return look(content, limits)
        check_pixels(known.width, known.height, limits)
        return known

    def add(self, content_id: str, signature: Signature) -> None:
        if content_id in self._known:
            return
        self._known[content_id] = self._unsaved[content_id] = signature
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self._save(self._unsaved)

    def close(self) -> None:
        """Save everything in one file, and remove the ones before it."""
        if not self._unsaved and len(self._files) < 2:
            return
        before = self._files
        self._files = []
        self._save(self._known)
        for file in before:
            file.unlink(missing_ok=True)

    def thumbnails(self, content_ids: Iterable[str]) -> np.ndarray:
        """uint8 (n, SIDE, SIDE). Raises KeyError for an id without a signature."""
        rows = [np.frombuffer(self._known[i].thumbnail, np.uint8) for i in content_ids]
        return np.stack(rows).reshape(-1, SIDE, SIDE) if rows else np.zeros((0, SIDE, SIDE), np.uint8)

    def _save(self, signatures: dict[str, Signature]) -> None:
        rows = [{"id": content_id, **asdict(signature)} for content_id, signature in signatures.items()]
        file = self._folder / f"{time.time_ns()}.parquet"
        with atomic.replacing(file) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd", write_page_checksum=True)
        self._files.append(file)
        self._unsaved = {}
        self._saved = time.monotonic()


def _read(file: Path) -> dict[str, Signature]:
    try:
        rows = pq.read_table(file, page_checksum_verification=True).to_pylist()
        found = {row.pop("id"): Signature(**row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or somebody else's
        return {}
    return {i: s for i, s in found.items() if len(s.thumbnail) == SIDE * SIDE}
