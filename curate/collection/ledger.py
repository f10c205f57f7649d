"""The ledger: what people decided of images, one line of JSON each, in COLLECTION/ledger.jsonl.

It only grows; an undo is a line, too. Lines are keyed by content id, so a ledger holds for every collection of the same
pictures, and two people's ledgers are merged by writing one behind the other.
"""

import errno
import getpass
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum

from curate.collection.directory import Collection
from curate.foundation import console, json_files, locks
from curate.foundation.errors import FewposeError


class Action(StrEnum):
    DROP = "drop"
    KEEP = "keep"
    RELABEL = "relabel"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision, or the undoing of one."""

    action: Action
    id: str = ""  # content id; "" for undo
    key: str = ""  # as the person named the image: for reading only
    label: str = ""  # of relabel
    of: str = ""  # of undo: the entry that does not count any more
    reason: str = ""
    who: str = field(default_factory=lambda: user())
    by: str = "command"  # or app, sync, ...: where it was decided
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    entry: str = field(default_factory=lambda: uuid.uuid4().hex[:12])  # its own name

    def __post_init__(self) -> None:
        """Raises ValueError where it could not mean anything."""
        if (self.action is Action.UNDO) != bool(self.of) or (self.action is Action.UNDO) == bool(self.id):
            raise ValueError("an undo names an entry, everything else an image")
        if (self.action is Action.RELABEL) != bool(self.label):
            raise ValueError("a relabel, and nothing else, has a label")


@dataclass(frozen=True)
class State:
    """What holds by a ledger, by content id. `reason`: of the verdict, or else of the label."""

    verdict: dict[str, str] = field(default_factory=dict)  # "keep" or "drop"
    label: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    who: dict[str, str] = field(default_factory=dict)  # whose reason that is

    def ids(self) -> set[str]:
        return self.verdict.keys() | self.label.keys()


class Ledger:
    """The entries of a collection's ledger, as they were when it was opened, and what is appended since."""

    entries: list[Entry]  # in the order of the file; an entry that stands there twice is here once

    def __init__(self, collection: Collection) -> None:
        """Raises FewposeError where a line is damaged: which decision it was, nobody could know.

        Says where the last line is cut off (a kill does that, and damage), or where nothing is left of the file.
        """
        self.path = collection.root / "ledger.jsonl"
        try:
            content = self.path.read_bytes()
            if not content:
                console.warn(f"{self.path} is empty; if there were decisions in it, put a copy of it back")
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise FewposeError(f"{self.path} cannot be read ({error.strerror}); it holds the decisions") from error
        self.entries = self._read(content)

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries down, all in one go, behind what others have written in the meantime.

        They survive a kill and a power cut. Raises FewposeError where they cannot be written; the ledger is then as
        it was.
        """
        if not entries:
            return
        try:
            with locks.waited_for(self.path.with_name(".ledger.lock")):
                _append(os.fspath(self.path), b"".join(_line(entry) for entry in entries))
        except OSError as error:
            raise FewposeError(
                f"{self.path} cannot be written ({error.strerror}): nothing was decided; try again"
            ) from error
        self.entries.extend(entries)

    def effective(self) -> list[Entry]:
        """The decisions that were not undone. An undo itself can't be undone: the decision is made again."""
        undone = {entry.of for entry in self.entries}
        return [entry for entry in self.entries if entry.action is not Action.UNDO and entry.entry not in undone]

    def state(self) -> State:
        """What holds: the last keep or drop of each image, and its last label."""
        return folded(self.effective())

    def _read(self, content: bytes) -> list[Entry]:
        found: dict[str, Entry] = {}
        *lines, tail = content.split(b"\n")
        if _is_torn(tail):
            console.warn(f"{self.path}: its last line is cut off, and the decision there does not count")
        for number, line in enumerate(lines if _is_torn(tail) else [*lines, tail], start=1):
            if not line.strip():
                continue
            try:
                entry = _entry(line)
            except json_files.NotJson as why:
                raise self._damaged(number, str(why)) from why
            if found.setdefault(entry.entry, entry) != entry:  # one of them would be lost
                raise self._damaged(number, f"an earlier line with another decision is called {entry.entry}, too")
        return list(found.values())

    def _damaged(self, number: int, why: str) -> FewposeError:
        return FewposeError(
            f"{self.path}, line {number} is damaged: the decision there cannot be read ({why}); "
            "mend the line, or delete it and decide again"
        )


def folded(entries: Iterable[Entry]) -> State:
    """What holds after these decisions, in this order."""
    verdicts: dict[str, Entry] = {}
    labels: dict[str, Entry] = {}
    for entry in entries:
        (labels if entry.action is Action.RELABEL else verdicts)[entry.id] = entry
    told = labels | verdicts
    return State(
        verdict={id: str(entry.action) for id, entry in verdicts.items()},
        label={id: entry.label for id, entry in labels.items()},
        reason={id: entry.reason for id, entry in told.items()},
        who={id: entry.who for id, entry in told.items()},
    )


def user() -> str:
    """The name of who is at the keyboard, as the environment has it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"


def _append(path: str, lines: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size, lines = _mended(descriptor, lines)
        try:
            if os.write(descriptor, lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mended(descriptor: int, lines: bytes) -> tuple[int, bytes]:
    """The ledger's size, and what to write, once the line that a kill cut off is cut away.

    A last line that lacks nothing but its end, as editors leave them, is a decision and gets its end.
    """
    size = os.fstat(descriptor).st_size
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        tail = file.read().rpartition(b"\n")[2]
    if not tail:
        return size, lines
    if not _is_torn(tail):
        return size, b"\n" + lines
    os.ftruncate(descriptor, size - len(tail))
    return size - len(tail), lines


_NAMES = [field.name for field in fields(Entry)]


def _line(entry: Entry) -> bytes:
    told = {name: getattr(entry, name) for name in _NAMES}
    return json_files.line({name: value for name, value in told.items() if value})


def _is_torn(tail: bytes) -> bool:
    """Whether what stands behind the last newline is a part of a line."""
    try:
        return bool(tail.strip()) and json_files.parse(tail) is None
    except json_files.NotJson:
        return True


def _entry(line: bytes) -> Entry:
    """The entry of a line. Fields that a newer version added are passed over. Raises NotJson where it makes none."""
    told = {name: value for name, value in json_files.parse_line(line).items() if name in _NAMES}
    for name in {"entry", "when", "action"} | told.keys():
        if not json_files.entry(told, name, str) and name in ("entry", "when"):
            raise json_files.NotJson(f"its {name} is empty")
    try:
        return Entry(**({"who": "", "by": ""} | told | {"action": Action(told["action"])}))
    except ValueError as error:
        raise json_files.NotJson(str(error)) from error
