"""Where the bytes of a link lie: images/KEY, whole or not at all, and never in the place of other bytes."""

from pathlib import Path

from curate.collection.directory import Collection
from curate.collection.file_writer import BadName, FileWriter


class Store:
    """The images/ of one collection, for the process that holds it locked."""

    def __init__(self, collection: Collection, writer: FileWriter) -> None:
        self._collection = collection
        self._writer = writer

    def find(self, key: str, content_id: str, size: int) -> str | None:
        """The file, relative to the collection, that holds these bytes of this key; None where none does."""
        # The one beside first: its name tells whose bytes it holds, and others may be as many.
        places = _beside(key, content_id), f"images/{key}"
        return next((file for file in places if self._writer.size(file) == size), None)

    def put(self, key: str, content_id: str, content: bytes) -> str | None:
        """Have these bytes under this key; the file, or None where this file system can't hold its name.

        Raises FewposeError where a link would have it written elsewhere.

        Where other bytes lie (a placeholder, and now an archive has the picture) they stay, and these go beside them.
        """
        file = f"images/{key}"
        # An empty file is what a power cut may leave.
        if self._writer.size(file) and not self._writer.holds(file, content):
            file = _beside(key, content_id)
        try:
            self._writer.write(file, content)
        except BadName:
            return None
        return file

    def read(self, file: str) -> bytes:
        return self._collection.path(file).read_bytes()


def _beside(key: str, content_id: str) -> str:
    path = Path("images", key)
    return path.with_name(f"{path.stem}~{content_id[:12]}{path.suffix}").as_posix()
