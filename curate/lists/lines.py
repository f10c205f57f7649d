"""The lines of a list that is text."""

from pathlib import Path

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")  # of files that are lists

_BOM = "\ufeff"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class NotAList(Exception):
    """A file that holds no list at all; the message says why, as a clause."""


def printable(path: Path) -> str:
    """The path for tables and messages; names that are no UTF-8 (Python has them with surrogates) are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def read_lines(path: Path, *, any_encoding: bool = True) -> list[str]:
    """The lines of a text file, whatever their ends. Raises NotAList, also where there is nothing in them.

    UTF-8, with or without a byte order mark. any_encoding: a line that is not UTF-8 is read as Windows-1252 or else
    Latin-1; otherwise it is no list.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotAList(f"cannot be opened ({error.strerror})") from error
    lines = content.splitlines()
    if lines and (b"\0" in lines[0] or content.startswith(_UTF_16)):  # one further down costs its own line
        raise NotAList("is not text, or UTF-16; save it as UTF-8")
    text = [decoded(line) for line in lines] if any_encoding else _utf8_only(lines)
    if not any(line.strip() for line in text):
        raise NotAList("is empty")
    return text


def _utf8_only(lines: list[bytes]) -> list[str]:
    text = []
    for number, line in enumerate(lines, start=1):
        try:
            text.append(_utf8(line))
        except UnicodeDecodeError as error:
            raise NotAList(f"is not UTF-8 text (line {number}); save it as UTF-8") from error
    return text


def decoded(line: bytes) -> str:
    """A line as UTF-8, or else Windows-1252, or else Latin-1; without a byte order mark."""
    try:
        return _utf8(line)
    except UnicodeDecodeError:
        pass
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _utf8(line: bytes) -> str:
    return line.decode().removeprefix(_BOM)  # in the middle, too, where files were joined
