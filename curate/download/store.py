"""Where the bytes of a link lie: images/KEY, whole or not at all, and never in the place of other bytes."""

from pathlib import Path

from curate.collection import Collection
from curate.placing import BadName, Placing


class Store:
    """The images/ of one collection, for the one process that holds it locked."""

    def __init__(self, collection: Collection, placing: Placing) -> None:
        self._collection = collection
        self._placing = placing

    def find(self, key: str, content_id: str, size: int) -> str | None:
        """The file, relative to the collection, that holds these bytes of this key; None where none does."""
        # The one beside first: its name tells whose bytes it holds, and others may be as many.
        return next((file for file in reversed(_places(key, content_id)) if self._size(file) == size), None)

    def put(self, key: str, content_id: str, content: bytes) -> str | None:
        """Have these bytes under this key; the file, or None where this file system can't hold its name.

        Where other bytes lie (a placeholder, and now an archive has the picture) they stay, and these go beside them.
        """
        plain, beside = _places(key, content_id)
        # An empty file is what a power cut may leave.
        file = beside if self._size(plain) and not self._placing.holds(plain, content) else plain
        try:
            self._placing.place(file, content)
        except BadName:
            return None
        return file

    def read(self, file: str) -> bytes:
        return self._collection.path(file).read_bytes()

    def _size(self, file: str) -> int | None:
        try:
            return self._collection.path(file).stat().st_size
        except OSError:
            return None


def _places(key: str, content_id: str) -> tuple[str, str]:
    path = Path("images", key)
    return path.as_posix(), path.with_name(f"{path.stem}~{content_id[:12]}{path.suffix}").as_posix()
