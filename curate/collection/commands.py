"""`curate drop`, `keep`, `relabel`, `undo`, `log`, `merge` and `sets`: options, and what they print."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.foundation import console, shared_options
from curate.foundation.console import count, say, table
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.options import option
from curate.foundation.text import command_line

if TYPE_CHECKING:
    from curate.collection.directory import Collection
    from curate.collection.ledger import Entry
    from curate.collection.merging import Disagreement, Merged
    from curate.collection.sets import Comparison

_NAMED = 3  # images named on the terminal

_Keys = Annotated[
    list[str],
    typer.Argument(help="Keys (Class/123.jpg), content ids or their beginnings; - reads them from stdin, one a line."),
]
_Reason = Annotated[str, option("Reason, for those who see the decision later.")]
_Who = Annotated[str, option("Name of who decides; your user name unless said.")]


def drop(collection: shared_options.CollectionPath, keys: _Keys, reason: _Reason = "", who: _Who = "") -> None:
    """Leave images out of the training set `filtered`, whatever the rules say. No file is touched.

    Example: curate drop runs/yoga tree/17.jpg --reason "two people"
    """
    from curate.collection.directory import Collection

    opened, names = Collection.open(collection), _names(keys)

    from curate.collection import decisions

    _print(opened, names, decisions.drop(opened, names, reason=reason, who=who), "dropped")


def keep(collection: shared_options.CollectionPath, keys: _Keys, reason: _Reason = "", who: _Who = "") -> None:
    """Have images in `filtered` although rules flag them, now and after every further check.

    Of the same bytes under several keys only one is in all the same; bytes under two labels need a relabel.

    Example: curate keep runs/yoga tree/17.jpg tree/18.jpg --reason "two frames, not copies"
    """
    from curate.collection.directory import Collection

    opened, names = Collection.open(collection), _names(keys)

    from curate.collection import decisions

    entries = decisions.keep(opened, names, reason=reason, who=who)
    _print(opened, names, entries, "kept")
    _print_still_left_out(opened, names)


def relabel(
    collection: shared_options.CollectionPath,
    keys: _Keys,
    to: Annotated[str, option("Label to give; the one that they have confirms it.")],
    new_label: Annotated[bool, option("Allow a label that no image has yet.")] = False,
    reason: _Reason = "",
    who: _Who = "",
) -> None:
    """Give images another label, in every command, without touching files. Rules no longer doubt their labels.

    Example: curate relabel runs/yoga tree/17.jpg --to plank
    """
    from curate.collection.directory import Collection

    opened, names = Collection.open(collection), _names(keys)

    from curate.collection import decisions

    entries = decisions.relabel(opened, names, to, new_label=new_label, reason=reason, who=who)
    _print(opened, names, entries, f"labelled {to}")


def undo(
    collection: shared_options.CollectionPath,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Entries of the log, or images, whose last decision is undone.", show_default=False),
    ] = None,
    last: Annotated[int | None, option("Number of the last decisions to undo.", ge=1)] = None,
    reason: _Reason = "",
    who: _Who = "",
) -> None:
    """Take decisions back; what held before them holds again. The log keeps both.

    Example: curate undo runs/yoga --last 1
    """
    from curate.collection.directory import Collection

    if bool(names) == bool(last):
        raise UsageError("say what to undo: entries of curate log, images, or --last 1")
    opened = Collection.open(collection)

    from curate.collection import decisions
    from curate.collection.ledger import Ledger

    entries = decisions.undo(opened, _names(names or []), last=last or 0, reason=reason, who=who)
    known = {entry.entry: entry for entry in Ledger(opened).entries}
    for entry in entries[:_NAMED]:
        of = known[entry.of]
        say(f"undone: {of.said} {of.key}, by {of.who or 'nobody named'}")
    if len(entries) > _NAMED:
        say(f"  and {len(entries) - _NAMED} more")
    if not entries:
        say("there is no decision to undo")


def log(
    collection: shared_options.CollectionPath,
    last: Annotated[int | None, option("Number of the last entries to show; all unless said.", ge=1)] = None,
    json: shared_options.Json = False,
) -> None:
    """Show the ledger: who decided what of which image, when and why. Undone decisions are marked.

    Example: curate log runs/yoga --last 20
    """
    from curate.collection.directory import Collection
    from curate.collection.ledger import Ledger

    opened = Collection.open(collection)
    ledger = Ledger(opened)
    state = ledger.state()
    undone = {entry.of: entry.entry for entry in ledger.entries}
    disputed = {entry.entry for entries in state.disputed.values() for entry in entries}
    shown = ledger.entries[-last:] if last else ledger.entries
    if json:
        console.say_json([_as_json(entry) | _standing(entry, undone, disputed) for entry in shown])
        return
    table(
        ("entry", "when", "who", "decision", "image", "reason"),
        (
            (
                entry.entry,
                entry.when[:16].replace("T", " "),
                entry.who,
                f"{_decision(entry)}{_mark(entry, undone, disputed)}",
                entry.key or entry.id[:12],
                entry.reason,
            )
            for entry in shown
        ),
        numbers=(),
    )
    absent = state.ids() - set(opened.images()["id"])
    say(f"{count(len(ledger.entries), 'entry', 'entries')}, {len(ledger.effective())} in force")
    if absent:
        say(f"{count(len(absent), 'image')} decided of that the collection doesn't hold; the decisions wait for them")


def merge(
    collection: shared_options.CollectionPath,
    others: Annotated[
        list[Path],
        typer.Argument(metavar="OTHER...", help="Ledgers of other people, or collections.", show_default=False),
    ],
    dry_run: Annotated[bool, option("Say what would come of it, and join nothing.")] = False,
    json: shared_options.Json = False,
) -> None:
    """Join other people's decisions into the ledger, and say where people disagree and how far they agree.

    It makes no difference who joins whose ledger, in which order, or how often. Where people disagree on an image,
    none of their words counts until somebody decides again: curate drop, keep or relabel.

    Example: curate merge runs/yoga ann/ledger.jsonl --dry-run
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection)

    from curate.collection.merging import merge as join

    done = join(opened, others, dry_run=dry_run)
    if json:
        console.say_json(_merged_as_json(done))
        return
    would = "would be " if dry_run else ""
    say(f"{collection}: {count(done.joined, 'entry', 'entries')} {would}joined, {done.known} known before")
    for agreement in done.agreements:
        say(agreement.sentence())
    _print_disagreements(done.disagreements, collection)


def sets(
    collection: shared_options.CollectionPath,
    json: shared_options.Json = False,
    why: Annotated[bool, option("Name every image that is out, or in by a person's word.")] = False,
) -> None:
    """Show the two training sets: sizes by class, digests, and what makes the difference.

    Example: curate sets runs/yoga --why
    """
    from dataclasses import asdict

    from curate.collection.directory import Collection

    opened = Collection.open(collection)

    from curate.collection.sets import compare, explain

    found = compare(opened)
    explained = explain(opened)
    explained = explained[explained["why"].ne("")]
    if json:
        listed = explained.drop(columns="verdict").to_dict("records") if why else []
        told = asdict(found) | ({"why": listed} if why else {})
        console.say_json(told)
        return
    _print_sets(found)
    if why:
        rows = explained[["key", "label", "filtered", "why"]].itertuples(index=False, name=None)
        table(
            ("image", "label", "", "why"),
            ((key, label, "in" if inside else "out", clause) for key, label, inside, clause in rows),
            numbers=(),
        )


def _names(keys: list[str]) -> list[str]:
    """The keys of the command line, with those of stdin where it says so."""
    if "-" not in keys:
        return keys
    lines = [line.rstrip("\r\n") for line in sys.stdin]
    named = [key for key in keys if key != "-"] + [line for line in lines if line.strip()]
    if not named:
        raise UsageError("stdin names no images; write one key a line")
    return named


def _print(collection: "Collection", names: list[str], entries: "list[Entry]", done: str) -> None:
    """What became of the images that were named."""
    from curate.collection import decisions

    named = decisions.resolve(collection, names)
    images = collection.images()
    keys = images[images["id"].isin([entry.id for entry in entries])]["key"]
    if entries:
        shown = ", ".join(entry.key for entry in entries[:_NAMED])
        more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
        say(f"{done}: {shown}{more}")
    if len(keys) > len(entries):
        say(f"  {len(keys)} keys, for some stand for the same bytes: a decision is about content")
    if len(entries) < len(named):
        say(f"  {count(len(named) - len(entries), 'image')} decided so already: nothing new")
    if entries:
        undo_them = command_line("curate", "undo", collection.root, "--last", len(entries))
        say(f"next: {command_line('curate', 'sets', collection.root)}; to take it back: {undo_them}")


def _print_still_left_out(collection: "Collection", names: list[str]) -> None:
    """Name images that were kept and are still not in `filtered`, because of rules that `keep` doesn't overrule."""
    from curate.collection import decisions
    from curate.collection.sets import explain

    with suppress(FewposeError):  # never checked: nothing to say
        explained = explain(collection)
        inside = set(explained["id"][explained["filtered"]])
        out = explained[explained["id"].isin(decisions.resolve(collection, names).keys() - inside)]
        for key, why in out[["key", "why"]].head(_NAMED).itertuples(index=False, name=None):
            say(f"  {key} stays out ({why}): say with curate relabel which label is right")


def _print_sets(found: "Comparison") -> None:
    rows: list[tuple[object, ...]] = [(label, *sizes.values()) for label, sizes in found.classes.items()]
    rows.append(("all", *found.images.values()))
    rows.append(("digest", *found.digests.values()))
    table(("class", *found.images), rows, numbers=(1, 2))
    table(("left out by", "images"), ((rule.replace("_", " "), number) for rule, number in found.rules.items()))
    people = {
        "dropped": found.dropped,
        "kept or relabelled against a rule": found.kept,
        "relabelled in all": found.relabelled,
        "disputed": found.disputed,
    }
    table(("by people", "images"), ((what, number) for what, number in people.items() if number))


def _print_disagreements(found: "list[Disagreement]", collection: Path) -> None:
    from curate.collection.ledger import who_said

    table(
        ("disputed", "content id", "who said what"),
        ((each.key, each.id[:12], who_said(each.decisions)) for each in found),
        numbers=(),
    )
    if found:
        say(f"{count(len(found), 'disagreement')}: none of these words counts until somebody decides again")
        decide, look = command_line("curate", "drop", collection, "KEY"), command_line("curate", "app", collection)
        say(f"next: {decide} (or keep, or relabel), or {look}")


def _decision(entry: "Entry") -> str:
    return f"{entry.action} {entry.of}" if entry.of else entry.said


def _mark(entry: "Entry", undone: dict[str, str], disputed: set[str]) -> str:
    return " (undone)" if entry.entry in undone else " (disputed)" if entry.entry in disputed else ""


def _standing(entry: "Entry", undone: dict[str, str], disputed: set[str]) -> dict[str, Any]:
    """What became of an entry."""
    return {"undone_by": undone.get(entry.entry, ""), "disputed": entry.entry in disputed}


def _merged_as_json(done: "Merged") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "joined": done.joined,
        "known": done.known,
        "agreement": [asdict(each) | {"share": each.share} for each in done.agreements],
        "disagreements": [
            {"id": each.id, "key": each.key, "decisions": [_as_json(entry) for entry in each.decisions]}
            for each in done.disagreements
        ],
    }


def _as_json(entry: "Entry") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)
