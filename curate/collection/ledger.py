"""The ledger: what people decided of images, one line of JSON each, in COLLECTION/ledger.jsonl.

It only grows; an undo is a line, too. Lines are keyed by content id, so a ledger holds for every collection of the same
pictures.

What holds does not depend on the order of the lines, so two people's ledgers can be joined in either order. A decision
replaces the earlier ones of the same person on the image, and those of others that it names, because it was made in
view of them (`over`). Where what is left of a picture's decisions differs, the people disagree: none of them holds, the
image is disputed, and whoever decides next, in view of all, settles it.

Entries of before `over` was noted replace all earlier ones of their kind, as they did: the later line of one ledger
was written in view of the earlier. `curate merge` notes which of them were made apart.
"""

import errno
import getpass
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from datetime import MAXYEAR, UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from curate.collection.directory import Collection
from curate.foundation import console, json_files, locks
from curate.foundation.errors import FewposeError
from curate.foundation.inside import NO_FOLLOW


class Action(StrEnum):
    DROP = "drop"
    KEEP = "keep"
    RELABEL = "relabel"
    UNDO = "undo"
    APART = "apart"  # no decision: that two of them, which don't say what they replace, come from two ledgers


DECISIONS = (Action.DROP, Action.KEEP, Action.RELABEL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision, or the undoing of one."""

    action: Action
    id: str = ""  # content id; "" for undo
    key: str = ""  # as the person named the image: for reading only
    label: str = ""  # of relabel
    of: str = ""  # of undo: the entry that does not count any more; of apart: two entries, with a space between
    reason: str = ""
    who: str = field(default_factory=lambda: user())
    by: str = "command"  # or app, sync, ...: where it was decided
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds"))
    # Decisions of others on the image that this one was made in view of, and replaces. None: it does not say.
    over: tuple[str, ...] | None = None
    entry: str = field(default_factory=lambda: uuid.uuid4().hex[:12])  # its own name

    def __post_init__(self) -> None:
        """Raises ValueError where it could not mean anything."""
        if (self.action in DECISIONS) == bool(self.of) or (self.action is Action.UNDO) == bool(self.id):
            raise ValueError("an undo names an entry, everything else an image")
        if (self.action is Action.RELABEL) != bool(self.label):
            raise ValueError("a relabel, and nothing else, has a label")
        if self.over and self.action not in DECISIONS:
            raise ValueError("only decisions replace others")

    @property
    def said(self) -> str:
        """Of a decision: drop, keep, or relabel to LABEL."""
        return f"relabel to {self.label}" if self.label else str(self.action)

    @property
    def moment(self) -> datetime:
        """`when`, as a time. Raises ValueError where it is none."""
        read = datetime.fromisoformat(self.when)
        return read if read.tzinfo else read.replace(tzinfo=UTC)


@dataclass(frozen=True)
class State:
    """What holds by a ledger, by content id. `reason`: of the verdict, or else of the label.

    What people disagree on is neither in `verdict` nor in `label`.
    """

    verdict: dict[str, str] = field(default_factory=dict)  # "keep" or "drop"
    label: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    who: dict[str, str] = field(default_factory=dict)  # whose reason that is
    disputed: dict[str, tuple[Entry, ...]] = field(default_factory=dict)  # the decisions that differ, in order

    def ids(self) -> set[str]:
        return self.verdict.keys() | self.label.keys() | self.disputed.keys()

    def verdict_of(self, id: str) -> str:
        """keep, drop, disputed (also where it is the label), or "" where nothing holds."""
        return "disputed" if id in self.disputed else self.verdict.get(id, "")

    def dispute(self, id: str) -> str:
        """For people: who said what of an image that they disagree on; "" of others."""
        return f"disputed: {who_said(self.disputed[id])}" if id in self.disputed else ""

    def label_disputed(self) -> set[str]:
        """The images whose label people disagree on."""
        return {id for id, entries in self.disputed.items() if any(entry.label for entry in entries)}


class Ledger:
    """The entries of a collection's ledger, as they were when it was opened, and what is appended since."""

    entries: list[Entry]  # as `in_order` has them; an entry that stands there twice is here once

    def __init__(self, collection: Collection) -> None:
        """Raises FewposeError where a line is damaged: which decision it was, nobody could know.

        Says where the last line is cut off (a kill does that, and damage), or where nothing is left of the file.
        """
        self.path = collection.file("ledger.jsonl")
        self._lock = collection.file(".ledger.lock")
        self.entries = in_order(read(self.path))
        self._latest = self.entries[-1].moment if self.entries else datetime.min.replace(tzinfo=UTC)

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
        self.entries = in_order([*self.entries, *entries])

    def decided(
        self, action: Action, images: Mapping[str, str], *, label: str = "", reason: str = "", who: str, by: str
    ) -> list[Entry]:
        """Decisions on images (content id -> key), to be appended: in view of all that stand here."""
        standing = by_image(self.effective())
        return [
            Entry(
                action,
                id=id,
                key=key,
                label=label,
                reason=reason,
                who=who,
                by=by,
                when=self.now(),
                over=tuple(entry.entry for entry in standing.get((id, bool(label)), ()) if entry.who != who),
            )
            for id, key in images.items()
        ]

    def undone(self, entry: Entry, *, reason: str = "", who: str, by: str) -> Entry:
        """The undoing of an entry, to be appended."""
        return Entry(Action.UNDO, of=entry.entry, key=entry.key, reason=reason, who=who, by=by, when=self.now())

    def now(self) -> str:
        """The `when` of a new entry: later than of all that stand here, also where a clock was or is wrong."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
        return self._latest.isoformat(timespec="microseconds")

    def effective(self) -> list[Entry]:
        """The decisions that were not undone. An undo itself can't be undone: the decision is made again."""
        undone = {entry.of for entry in self.entries if entry.action is Action.UNDO}
        return [entry for entry in self.entries if entry.action in DECISIONS and entry.entry not in undone]

    def apart(self) -> set[str]:
        """The pairs of entries that were made apart (see Action.APART)."""
        return {entry.of for entry in self.entries if entry.action is Action.APART}

    def state(self) -> State:
        """What holds: the last keep or drop of each image, and its last label, as far as people agree."""
        return folded(self.effective(), self.apart())


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By time, then by person, whatever the order of the lines.

    Of what one person wrote at one time, entries that don't say what they replace stay in the order of their lines:
    those of earlier versions have whole seconds.
    """

    def place(numbered: tuple[int, Entry]) -> tuple[datetime, str, int, str]:
        number, entry = numbered
        return entry.moment, entry.who, number if entry.over is None else -1, entry.entry

    return [entry for _, entry in sorted(enumerate(entries), key=place)]


def folded(entries: Iterable[Entry], apart: Set[str] = frozenset()) -> State:
    """What holds after these decisions, which are in order.  apart: as `Ledger.apart`."""
    verdicts: dict[str, Entry] = {}
    labels: dict[str, Entry] = {}
    disputed: dict[str, tuple[Entry, ...]] = {}
    for (id, of_label), made in by_image(entries).items():
        standing = _standing(made, apart)
        if len({entry.said for entry in standing}) > 1:
            disputed[id] = (*disputed.get(id, ()), *standing)
        else:
            (labels if of_label else verdicts)[id] = standing[-1]
    told = labels | verdicts
    return State(
        verdict={id: str(entry.action) for id, entry in verdicts.items()},
        label={id: entry.label for id, entry in labels.items()},
        reason={id: entry.reason for id, entry in told.items()},
        who={id: entry.who for id, entry in told.items()},
        disputed={id: tuple(in_order(made)) for id, made in disputed.items()},
    )


def seen(later: Entry, earlier: Entry, apart: Set[str] = frozenset()) -> bool:
    """Whether a decision was made in view of another one, of another person on the same image."""
    if later.over is None and earlier.over is None:  # one ledger's lines, unless it is said that they were apart
        return earlier.moment < later.moment and pair(later, earlier) not in apart
    return earlier.entry in (later.over or ())


def who_said(entries: Iterable[Entry]) -> str:
    """For people: what each decision is, and whose."""
    return ", ".join(f"{entry.said} by {entry.who or 'nobody named'}" for entry in entries)


def pair(one: Entry, other: Entry) -> str:
    """The `of` of an entry that says that two were made apart."""
    return " ".join(sorted((one.entry, other.entry)))


def _standing(made: Sequence[Entry], apart: Set[str]) -> list[Entry]:
    """Of the decisions of one kind on one image, in order, those that no later one replaces."""
    return [
        entry
        for place, entry in enumerate(made)
        if not any(later.who == entry.who or seen(later, entry, apart) for later in made[place + 1 :])
    ]


def by_image(entries: Iterable[Entry]) -> dict[tuple[str, bool], list[Entry]]:
    """Decisions by content id, verdicts (False) and labels (True) apart: these don't touch each other."""
    found: dict[tuple[str, bool], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.id, bool(entry.label)), []).append(entry)
    return found


def read(path: Path, *, whole: bool = False) -> list[Entry]:
    """The entries of a ledger, in the order of its lines; none where there is no such file.

    whole: whether half a last line is damage, too, and not what a kill has left. Raises FewposeError.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FewposeError(f"{path} cannot be read ({error.strerror}); it holds the decisions") from error
    if not content:
        console.warn(f"{path} is empty; if there were decisions in it, put a copy of it back")
    *lines, tail = content.split(b"\n")
    torn = _is_torn(tail) and not whole
    if torn:
        console.warn(f"{path}: its last line is cut off, and the decision there does not count")
    found: dict[str, Entry] = {}
    for number, line in enumerate(lines if torn else [*lines, tail], start=1):
        if not line.strip():
            continue
        try:
            entry = _entry(line)
        except json_files.NotJson as why:
            raise _damaged(path, number, str(why)) from why
        if found.setdefault(entry.entry, entry) != entry:  # one of them would be lost
            raise _damaged(path, number, f"an earlier line with another decision is called {entry.entry}, too")
    return list(found.values())


def _damaged(path: Path, number: int, why: str) -> FewposeError:
    return FewposeError(
        f"{path}, line {number} is damaged: the decision there cannot be read ({why}); "
        "mend the line, or delete it and decide again"
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
    if not _is_torn(tail):
        return size, b"\n" + lines
    os.ftruncate(descriptor, size - len(tail))
    return size - len(tail), lines


_NAMES = [field.name for field in fields(Entry)]


def _line(entry: Entry) -> bytes:
    told = {name: getattr(entry, name) for name in _NAMES}
    filled = {name: value for name, value in told.items() if value or value == ()}  # over nothing is said, too
    return json_files.line(filled)


def _is_torn(tail: bytes) -> bool:
    """Whether what stands behind the last newline is a part of a line."""
    try:
        return bool(tail.strip()) and json_files.parse(tail) is None
    except json_files.NotJson:
        return True


def _entry(line: bytes) -> Entry:
    """The entry of a line. Fields that a newer version added are passed over. Raises NotJson where it makes none."""
    told = {name: value for name, value in json_files.parse_line(line).items() if name in _NAMES}
    over = told.pop("over", None)
    for name in {"entry", "when", "action"} | told.keys():
        if not json_files.entry(told, name, str) and name in ("entry", "when"):
            raise json_files.NotJson(f"its {name} is empty")
    if over is not None and not (isinstance(over, list) and all(isinstance(name, str) for name in over)):
        raise json_files.NotJson("its over is not a list of names")
    told["over"] = over if over is None else tuple(over)
    try:
        entry = Entry(**({"who": "", "by": ""} | told | {"action": Action(told["action"])}))
        last = entry.moment.year == MAXYEAR
    except ValueError as error:
        raise json_files.NotJson(str(error)) from error
    if last:  # no decision could be later
        raise json_files.NotJson(f"its when is in the year {MAXYEAR}")
    return entry
