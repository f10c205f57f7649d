"""Other people's ledgers joined into a collection's: `curate merge`.

Lines are taken over as they are, so it does not matter who joins whose, or how often.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from curate.collection.agreement import Agreement, agreements
from curate.collection.decisions import can_be_label
from curate.collection.directory import Collection
from curate.collection.ledger import DECISIONS, Action, Entry, Ledger, by_image, in_order, pair, read
from curate.foundation.errors import FewposeError, UsageError

_NAME = re.compile(r"[0-9a-f]{12}( [0-9a-f]{12})?")
_AHEAD = timedelta(days=1)  # that another computer's clock may be


@dataclass(frozen=True)
class Disagreement:
    """Decisions on one image, of one kind, that differ; none was made in view of another."""

    id: str
    key: str  # as the last of them named the image
    decisions: tuple[Entry, ...]  # in order


@dataclass(frozen=True)
class Merged:
    joined: int  # decisions and undos that the collection did not have
    known: int  # those that it had
    disagreements: list[Disagreement]  # all that are open, also those that were before
    agreements: list[Agreement]


def merge(collection: Collection, others: Sequence[Path], *, dry_run: bool = False) -> Merged:
    """Join ledgers into the collection's: all of them, or nothing where one is damaged.

    others: ledgers, or collections. dry_run: only say what would come of it.
    What holds afterwards is the same whoever joins whose, in whichever order, and however often.
    Raises UsageError where there is no ledger, FewposeError where one is damaged or makes no sense.
    """
    ledger = Ledger(collection)
    known = {entry.entry: entry for entry in ledger.entries}
    new: dict[str, Entry] = {}
    before = 0
    for other in others:
        theirs = _read(other)
        held = known | new
        for name, entry in theirs.items():
            if held.get(name, entry) != entry:
                raise FewposeError(
                    f"{other}: the entry {name} is another one in {ledger.path}: one of the two was changed; "
                    "take the line from a copy that nobody edited"
                )
        before += sum(name in known for name, entry in theirs.items() if entry.action is not Action.APART)
        new |= {name: entry for name, entry in theirs.items() if name not in held}
        new |= {entry.entry: entry for entry in made_apart(held, theirs) if entry.entry not in held}
    if not dry_run:
        ledger.append(list(new.values()))
    else:
        ledger.entries = in_order([*ledger.entries, *new.values()])
    return Merged(
        joined=sum(entry.action is not Action.APART for entry in new.values()),
        known=before,
        disagreements=disagreements(ledger),
        agreements=agreements(ledger.effective(), ledger.apart()),
    )


def disagreements(ledger: Ledger) -> list[Disagreement]:
    """What people disagree on, by key; verdict and label of one image apart."""
    found = [
        Disagreement(id, decisions[-1].key, tuple(decisions))
        for entries in ledger.state().disputed.values()
        for (id, _), decisions in by_image(entries).items()
    ]
    return sorted(found, key=lambda each: (each.key, each.id, each.decisions[0].label))


def made_apart(mine: dict[str, Entry], theirs: dict[str, Entry]) -> Iterator[Entry]:
    """An entry for each two decisions of two people on one image that don't say what they replace, where one ledger
    has the one and the other the other: neither was made in view of the other.

    The same two give the same entry, whoever joins the ledgers.
    """
    ours, others = (
        by_image(entry for name, entry in one.items() if _says_nothing(entry) and name not in other)
        for one, other in ((mine, theirs), (theirs, mine))
    )
    for of, entries in ours.items():
        for entry in entries:
            for other in others.get(of, ()):
                if entry.who != other.who:
                    yield _apart(entry, other)


def _apart(one: Entry, other: Entry) -> Entry:
    names = pair(one, other)
    later = max(one, other, key=lambda entry: (entry.moment, entry.entry))
    name = hashlib.sha256(names.encode()).hexdigest()[:12]
    return Entry(Action.APART, id=one.id, of=names, who="", by="merge", when=later.when, entry=name)


def _says_nothing(entry: Entry) -> bool:
    return entry.action in DECISIONS and entry.over is None


def _read(path: Path) -> dict[str, Entry]:
    """By name, the entries of a ledger, or of a collection's. Raises UsageError, FewposeError."""
    file = Collection.open(path).file("ledger.jsonl") if path.is_dir() else path
    if not path.exists():
        raise UsageError(f"{path}: no such file; name a ledger.jsonl, or a collection")
    entries = read(file, whole=True)
    for entry in entries:
        if doubt := _doubt(entry):
            raise FewposeError(f"{file}: the entry {entry.entry!r} {doubt}; nothing was joined")
    return {entry.entry: entry for entry in entries}


def _doubt(entry: Entry) -> str:
    """Why nobody's ledger has such an entry; "" where one may."""
    if not all(_NAME.fullmatch(name) for name in _names(entry)):
        return "has or names an entry by what is no name of one (12 hex digits)"
    if entry.label and not can_be_label(entry.label):
        return f"gives a label that can't be one, {entry.label!r}"
    if entry.moment > datetime.now(UTC) + _AHEAD:
        return f"was made at {entry.when}, which is not yet: set that computer's clock, and mend the time"
    return ""


def _names(entry: Entry) -> Iterable[str]:
    return filter(None, (entry.entry, entry.of, *(entry.over or ())))
