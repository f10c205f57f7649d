"""Tags made in the App become entries of the ledger.

drop, drop:REASON, keep, keep:REASON, relabel:LABEL. A tag that was taken is removed, so that nothing is taken twice,
and an undo lasts. Entries are written first: a sync that is killed between the two finds its tags again, and that they
hold already. All other tags are the person's own.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pandas as pd

from curate.app import dataset as datasets
from curate.collection import decisions, sets
from curate.collection.directory import Collection
from curate.collection.ledger import Action, Entry, Ledger, State

_WORDS = {str(action): action for action in (Action.DROP, Action.KEEP, Action.RELABEL)}


@dataclass(frozen=True, order=True)
class Wish:
    """One thing that tags say of one picture. value: a reason, or of relabel the label."""

    key: str  # the first of the keys whose samples are tagged
    action: Action
    value: str
    holds: bool  # by the ledger already: the tag goes, and nothing is written


@dataclass(frozen=True)
class Refused:
    key: str
    tags: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Diff:
    """What a sync would do. tags: sample -> those of its tags that it would take and remove."""

    wishes: list[Wish]
    refused: list[Refused]
    tags: dict[str, list[str]]

    @property
    def new(self) -> list[Wish]:
        return [wish for wish in self.wishes if not wish.holds]


def diff(dataset: Any, collection: Collection) -> Diff:
    """What the tags of a dataset say that the ledger does not. Raises FewposeError where the ledger is damaged."""
    images, state = sets.labelled(collection), Ledger(collection).state()
    labels = set(images["label"]) | set(collection.images()["label"])
    wishes: list[Wish] = []
    refused: list[Refused] = []
    taken: dict[str, list[str]] = {}
    for content_id, rows in _tagged(dataset):
        tags = sorted({tag for tag_list in rows["tags"] for tag in tag_list})
        key = min(rows["key"])
        why = _doubt([_parsed(tag) for tag in tags], labels)
        if not why and content_id not in set(images["id"]):
            why = "the collection has no such image any more"
        if why:
            refused.append(Refused(key, tuple(tags), why))
            continue
        wishes += _wishes(key, content_id, [_parsed(tag) for tag in tags], state)
        taken |= dict(zip(rows["sample"], rows["tags"], strict=True))
    return Diff(sorted(wishes), sorted(refused, key=lambda each: each.key), taken)


def take(dataset: Any, collection: Collection, difference: Diff) -> list[Entry]:
    """Write what `diff` found to the ledger, remove its tags, and bring the dataset up to date; the new entries."""
    groups: dict[tuple[Action, str], list[str]] = defaultdict(list)
    for wish in difference.new:
        groups[wish.action, wish.value].append(wish.key)
    entries: list[Entry] = []
    for (action, value), keys in groups.items():
        entries += _decide(collection, action, value, keys)
    samples = defaultdict(list)
    for sample, tags in difference.tags.items():
        for tag in tags:
            samples[tag].append(sample)
    for tag, tagged in samples.items():
        dataset.select(tagged).untag_samples(tag)
    if difference.tags:
        datasets.refresh(dataset, collection)
    return entries


def _decide(collection: Collection, action: Action, value: str, keys: list[str]) -> list[Entry]:
    if action is Action.RELABEL:
        return decisions.relabel(collection, keys, value, by="sync")
    decide = decisions.drop if action is Action.DROP else decisions.keep
    return decide(collection, keys, reason=value, by="sync")


def _tagged(dataset: Any) -> list[tuple[str, pd.DataFrame]]:
    """By content id: the samples with tags that are meant for us, and those tags alone."""
    samples, keys, contents, tags = dataset.values(["id", "key", "content_id", "tags"])
    ours = [[tag for tag in tag_list or [] if _parsed(tag)] for tag_list in tags]
    table = pd.DataFrame({"sample": samples, "key": keys, "content_id": contents, "tags": ours})
    return [(str(content_id), rows) for content_id, rows in table[table["tags"].map(bool)].groupby("content_id")]


def _parsed(tag: str) -> tuple[Action, str] | None:
    word, _, value = tag.partition(":")
    action = _WORDS.get(word.strip().lower())
    return (action, value.strip()) if action else None


def _doubt(said: list[tuple[Action, str] | None], labels: set[str]) -> str:
    """Why these tags of one picture can't be taken, "" where they can."""
    wanted = [value for each in said if each and each[0] is Action.RELABEL for value in [each[1]]]
    actions = {each[0] for each in said if each}
    if {Action.DROP, Action.KEEP} <= actions:
        return "tagged drop and keep; remove one"
    if len(set(wanted)) > 1:
        return "tagged with several labels; leave one"
    if "" in wanted:
        return "relabel needs a label: relabel:LABEL"
    if set(wanted) - labels:
        return f"no image has the label {wanted[0]!r}; if it is meant: curate relabel ... --new-label"
    return ""


def _wishes(key: str, content_id: str, said: list[tuple[Action, str] | None], state: State) -> list[Wish]:
    """One for each action; several reasons are one."""
    values: dict[Action, list[str]] = defaultdict(list)
    for each in said:
        if each:
            values[each[0]].append(each[1])
    found = []
    for action, parts in values.items():
        value = "; ".join(filter(None, parts))
        has = state.label.get(content_id) == value if action is Action.RELABEL else None
        holds = state.verdict.get(content_id) == action if has is None else has
        found.append(Wish(key, action, value, holds))
    return found
