"""A small collection, what commands make beside it, and whether all of that is as it should be."""

import hashlib
import shutil
from pathlib import Path

from tests.commands import words
from tests.synth.generate import a_collection


class Place:
    """A folder that can be put back, always at the same path: that stands in a model's description."""

    def __init__(self, folder: Path) -> None:
        self.here, self._kept = folder / "here", folder / "kept"
        a_collection.collection(self._kept)
        shutil.rmtree(self._kept / "collection/cache")
        self.put_back()

    def keep(self) -> None:
        """What is here now is what it is put back to."""
        shutil.rmtree(self._kept)
        shutil.copytree(self.here, self._kept)

    def put_back(self) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self._kept, self.here)

    def words(self, command: str) -> list[object]:
        return words(command, self.here)

    def files(self) -> dict[str, str]:
        """Digests by path, of what is the same each time: a ledger says when it was decided, a trial's record how long
        it took (its predictions are here), a lock whose it was; and caches may be cut into other parts.
        """
        return {
            str(path.relative_to(self.here)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.here.rglob("*"))
            if path.is_file() and not _differs(path.relative_to(self.here))
        }

    def left_lying(self) -> list[str]:
        """What was being written, and counts for nothing."""
        names = (".writing-*", ".copying*", ".generating*", ".folds*")
        return [str(path.relative_to(self.here)) for name in names for path in self.here.rglob(name)]


def _differs(path: Path) -> bool:
    record = "trials" in path.parts and path.suffix == ".json"
    return record or "cache" in path.parts or path.name == "ledger.jsonl" or path.name.endswith(".lock")
