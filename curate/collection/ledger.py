"""The ledger: what people decided of images, one line of JSON each, in COLLECTION/ledger.jsonl.

It only grows; an undo is a line, too. Lines are keyed by content id, so a ledger holds for every collection of the same
pictures, and two people's ledgers are merged by writing one behind the other.
"""

import errno
import getpass
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum

from curate.collection.directory import Collection
from curate.foundation import locks
from curate.foundation.errors import FewposeError
from curate.foundation.inside import NO_FOLLOW


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
        """Raises FewposeError where a line is damaged: which decision it was, nobody could know."""
        self.path = collection.file("ledger.jsonl")
        self._lock = collection.file(".ledger.lock")
        try:
            content = self.path.read_bytes()
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
            with locks.waited_for(self._lock):
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
        for number, line in enumerate([*lines, tail] if _entry(tail) else lines, start=1):
            if not line.strip():
                continue
            entry = _entry(line)
            # One name for two decisions: one of them would be lost.
            if entry is None or found.setdefault(entry.entry, entry) != entry:
                raise FewposeError(
                    f"{self.path}, line {number} is damaged: the decision there cannot be read; "
                    "mend the line, or delete it and decide again"
                )
        return list(found.values())


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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_FOLLOW, 0o666)
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
    if _entry(tail):
        return size, b"\n" + lines
    os.ftruncate(descriptor, size - len(tail))
    return size - len(tail), lines


_NAMES = [field.name for field in fields(Entry)]


def _line(entry: Entry) -> bytes:
    told = {name: getattr(entry, name) for name in _NAMES}
    return json.dumps({name: value for name, value in told.items() if value}, separators=(",", ":")).encode() + b"\n"


def _entry(line: bytes) -> Entry | None:
    """The entry of a line, or None where it makes none. Fields that a newer version added are passed over."""
    try:
        told = {name: value for name, value in json.loads(line).items() if name in _NAMES}
        if not told["entry"] or not told["when"] or not all(isinstance(value, str) for value in told.values()):
            return None
        return Entry(**({"who": "", "by": ""} | told | {"action": Action(told["action"])}))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
