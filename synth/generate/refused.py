"""What a safety checker refused: kept, so that no later run makes it again and again."""

import json
import os
from collections.abc import Iterable

from curate.collection.directory import Collection
from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.foundation.inside import NO_FOLLOW

FILE = "synthetic_refused.jsonl"  # in the collection; a line each: key, settings


def read(collection: Collection) -> set[str]:
    """The keys that were refused. A last line that a kill cut off does not count."""
    path = collection.file(FILE)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return set()
    keys = set()
    for number, line in enumerate(lines, 1):
        try:
            keys.add(json_files.entry(json_files.parse_object(line), "key", str))
        except json_files.NotJson as error:
            if number == len(lines):
                break
            raise FewposeError(f"{path}, line {number}: not a line of ours; remove it") from error
    return keys


def add(collection: Collection, keys: Iterable[str], settings: str) -> None:
    """Note them on the disk. settings: their digest, as in the keys. Raises OSError where that fails."""
    lines = "".join(json.dumps({"key": key, "settings": settings}, ensure_ascii=False) + "\n" for key in keys)
    if not lines:
        return
    descriptor = os.open(collection.file(FILE), os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_FOLLOW, 0o666)
    with os.fdopen(descriptor, "a+b") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)  # half a line of a run that was killed
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())
