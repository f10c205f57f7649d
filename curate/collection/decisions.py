"""Decisions: what the command line, the App and scripts call to drop, keep, relabel and undo. All end in the ledger.

A decision is about content: one on a picture that stands under several keys holds for all of them.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from curate.collection import sets
from curate.collection.directory import Collection
from curate.collection.ledger import Action, Entry, Ledger, State, user
from curate.foundation.errors import UsageError

_PREFIX = re.compile(r"[0-9a-f]{6,64}")  # the start of a content id
_NAMED = 3  # keys in a message


def drop(
    collection: Collection, keys: Iterable[str], *, reason: str = "", who: str = "", by: str = "command"
) -> list[Entry]:
    """Leave images out of `filtered`, whatever the rules say.

    keys: keys of the image table, content ids, or beginnings of such that are unique (6 hex digits at least).
    reason: what those should know who see the decision later; may be empty.
    who: the user's name from the environment unless said. by: where it was decided.
    Returns the new entries, one a content; none for what is dropped already. Where people disagree on an image, this
    settles it.
    Raises UsageError for keys that the collection doesn't have, FewposeError where the ledger can't be read or written.
    """
    return _decide(collection, keys, Action.DROP, "", reason=reason, who=who, by=by)


def keep(
    collection: Collection, keys: Iterable[str], *, reason: str = "", who: str = "", by: str = "command"
) -> list[Entry]:
    """Have images in `filtered` although rules flag them, now and after every further check. As `drop`.

    Of the same bytes twice, still only one is in, and bytes under two labels need a relabel.
    """
    return _decide(collection, keys, Action.KEEP, "", reason=reason, who=who, by=by)


def relabel(
    collection: Collection,
    keys: Iterable[str],
    label: str,
    *,
    new_label: bool = False,
    reason: str = "",
    who: str = "",
    by: str = "command",
) -> list[Entry]:
    """Give images another label, everywhere and without touching files. As `drop`.

    The label that an image has already confirms it: rules that doubt labels don't leave the image out any more.
    new_label: whether `label` may be one that no image has so far.
    Raises UsageError for a new label without that, and for one that is empty or not printable.
    """
    if not can_be_label(label):
        raise UsageError(f"{label!r} can't be a label: give printable text without spaces around it")
    if not new_label:
        known = set(collection.images()["label"]) | set(sets.labelled(collection)["label"])
        if label not in known:
            raise UsageError(
                f"no image has the label {label!r}; there are {_some(sorted(known))}; if it is meant, say --new-label"
            )
    return _decide(collection, keys, Action.RELABEL, label, reason=reason, who=who, by=by)


def undo(
    collection: Collection,
    names: Iterable[str] = (),
    *,
    last: int = 0,
    reason: str = "",
    who: str = "",
    by: str = "command",
) -> list[Entry]:
    """Take decisions back; what held before them holds again.

    names: entries of the ledger (12 hex digits, as `curate log` shows them), or images as for `drop`, of which the
        last decision that was not undone is.
    last: as well, so many of the last decisions that were not undone.
    Returns the new entries. Raises UsageError for what is no decision, or was undone already.
    """
    ledger = Ledger(collection)
    known = {entry.entry: entry for entry in ledger.entries}
    effective = {entry.entry: entry for entry in ledger.effective()}
    last_of = {entry.id: entry.entry for entry in effective.values()}
    undone = list(effective)[-last:] if last > 0 else []
    of_images = []
    for name in names:
        if name in effective:
            undone.append(name)
        elif name in known:
            raise UsageError(_not_undoable(known[name]))
        else:
            of_images.append(name)
    hint = "name entries as curate log shows them, keys (Class/123.jpg) or content ids"
    for id, key in resolve(collection, of_images, hint).items():
        if id not in last_of:
            raise UsageError(f"nothing was decided of {key}, or it was undone already")
        undone.append(last_of[id])
    entries = [ledger.undone(known[entry], reason=reason, who=who or user(), by=by) for entry in dict.fromkeys(undone)]
    ledger.append(entries)
    return entries


def can_be_label(text: str) -> bool:
    """Whether it is printable, and has no spaces around it."""
    return bool(text) and text == text.strip() and text.isprintable()


def resolve(
    collection: Collection, names: Iterable[str], hint: str = "name keys of its table (Class/123.jpg) or content ids"
) -> dict[str, str]:
    """Content id -> the first of `names` that names it, in the order of the names.

    names: as for `drop`. Raises UsageError that names the first few that are unknown, and a beginning that is not
    unique. hint: what to do about the unknown.
    """
    wanted = list(dict.fromkeys(names))
    found = _found(collection, wanted)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise UsageError(f"{collection.root} has no image {_some(unknown)}; {hint}")
    first: dict[str, str] = {}
    for name in wanted:
        first.setdefault(found[name], name)
    return first


def _found(collection: Collection, names: Sequence[str]) -> dict[str, str]:
    """Name -> content id, of those that name an image."""
    images = collection.images()
    by_key = dict(zip(images["key"], images["id"], strict=True))
    ids = sorted(set(images["id"]))
    found = {}
    for name in names:
        if name in by_key:
            found[name] = by_key[name]
        elif _PREFIX.fullmatch(name):
            start = bisect_left(ids, name)
            matching = [id for id in ids[start : start + 2] if id.startswith(name)]
            if len(matching) > 1:
                raise UsageError(
                    f"{name} begins several content ids ({matching[0]}, {matching[1]}, ...); give more of it"
                )
            if matching:
                found[name] = matching[0]
    return found


def _decide(
    collection: Collection, keys: Iterable[str], action: Action, label: str, *, reason: str, who: str, by: str
) -> list[Entry]:
    named = resolve(collection, keys)
    ledger = Ledger(collection)
    state = ledger.state()
    new = {id: key for id, key in named.items() if not _holds(state, id, action, label)}
    entries = ledger.decided(action, new, label=label, reason=reason, who=who or user(), by=by)
    ledger.append(entries)
    return entries


def _holds(state: State, id: str, action: Action, label: str) -> bool:
    return state.label.get(id) == label if action is Action.RELABEL else state.verdict.get(id) == action


def _not_undoable(entry: Entry) -> str:
    if entry.action is Action.UNDO:
        return f"{entry.entry} is an undo itself; make the decision again instead"
    if entry.action is Action.APART:
        return f"{entry.entry} is no decision: it says that two were made apart"
    return f"{entry.entry} ({entry.action} {entry.key}) was undone already"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
