"""What a safety checker refused: kept, so that no later run makes it again and again."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from curate.foundation import json_files
from curate.foundation.errors import FewposeError

FILE = "synthetic_refused.jsonl"  # in the collection; a line each: key, settings


def read(root: Path) -> set[str]:
    """The keys that were refused. A last line that a kill cut off does not count."""
    try:
        lines = (root / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return set()
    keys = set()
    for number, line in enumerate(lines, 1):
        try:
            keys.add(json_files.entry(json_files.parse_object(line), "key", str))
        except json_files.NotJson as error:
            if number == len(lines):
                break
            raise FewposeError(f"{root / FILE}, line {number}: not a line of ours; remove it") from error
    return keys


def add(root: Path, keys: Iterable[str], settings: str) -> None:
    """Note them on the disk. settings: their digest, as in the keys. Raises OSError where that fails."""
    lines = "".join(json.dumps({"key": key, "settings": settings}, ensure_ascii=False) + "\n" for key in keys)
    if not lines:
        return
    with (root / FILE).open("a+b") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)  # half a line of a run that was killed
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())
