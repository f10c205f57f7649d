"""Labels and keys as names of folders and files, which every file system and `curate import` take."""

import posixpath
import re
from typing import Any

_LONGEST = 255  # bytes of a file's name
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg"}  # the other formats' names will do


def folder_name(label: str) -> str:
    """A label as the name of a folder: what file systems or `curate import` would not take is spelt %2F.

    Different labels have different names.
    """
    return _spelt(label, '%/\\<>:"|?*')


def file_name(key: str) -> str:
    """The last part of a key as the name of a file, in the same spelling; most are as they are."""
    return _spelt(posixpath.basename(key), '\\<>:"|?*')


def numbered(number: int, row: dict[Any, Any]) -> str:
    """The name of the file of image `number`, whose row of the image table is `row`: 00000012.jpg."""
    return f"{number:08}.{extension(row)}"


def extension(row: dict[Any, Any]) -> str:
    """Without the dot. Of a table from elsewhere the format may be any text, and this becomes a part of a path."""
    return _EXTENSIONS.get(row["format"]) or re.sub("[^a-z0-9]", "", str(row["format"]).lower()) or "image"


def free(folder: str, name: str, content_id: str, taken: set[str]) -> str:
    """`name`, or one like it where it is too long or taken, and is added to `taken`.

    A file system may not tell Tree.jpg from tree.jpg.
    """
    stem, dot = posixpath.splitext(name)
    number, tried = 1, name
    while f"{folder}/{tried}".casefold() in taken or len(tried.encode()) > _LONGEST:
        ending = f"-{content_id[:12]}{f'-{number}' if number > 1 else ''}{dot}"
        tried = stem.encode()[: _LONGEST - len(ending.encode())].decode(errors="ignore") + ending
        number += 1
    taken.add(f"{folder}/{tried}".casefold())
    return tried


def _spelt(name: str, forbidden: str) -> str:
    special = {i for i, c in enumerate(name) if c in forbidden or not c.isprintable()}
    if name.startswith("."):  # hidden, or no name at all
        special.add(0)
    if name.endswith((".", " ")):
        special.add(len(name) - 1)
    return "".join(_as_bytes(c) if i in special else c for i, c in enumerate(name))


def _as_bytes(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
