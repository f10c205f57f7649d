"""Training sets: pure functions of image table, findings and ledger, each with a digest of what it holds."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from curate.collection import findings, synthetic
from curate.collection.directory import Collection
from curate.collection.findings import Findings, Kind
from curate.collection.ledger import Ledger, State
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.text import command_line

NAMES = ("unfiltered", "filtered")


@dataclass(frozen=True)
class TrainingSet:
    """`images`: rows of the image table. `digest`: 16 hex digits over the ids and labels, whatever the files' names."""

    name: str
    images: pd.DataFrame
    digest: str


@dataclass(frozen=True)
class Comparison:
    """The two training sets of a collection beside each other, and where their difference comes from."""

    digests: dict[str, str]  # name: digest
    images: dict[str, int]  # name: size
    classes: dict[str, dict[str, int]]  # label: name: size, by label
    rules: dict[str, int]  # rule: images that it leaves out; one that two rules leave out counts twice
    dropped: int  # images that a person left out, whatever the rules say of them
    kept: int  # images that rules alone would leave out, and a person has kept or relabelled
    relabelled: int  # images of the collection whose label is a person's
    disputed: int  # images that people disagree on; nobody's word counts until somebody decides again


def compare(collection: Collection) -> Comparison:
    """Both training sets. Raises FewposeError where the images were not checked."""
    images, state = _real(collection)
    found = _findings(collection, images)
    table, by_rules = explained(images, found, state), explained(images, found, State())
    filtered = images[table["filtered"].to_numpy()]
    sizes = {name: part["label"].value_counts() for name, part in zip(NAMES, (images, filtered), strict=True)}
    named = table["rules"].str.split().explode().value_counts()
    return Comparison(
        digests={name: digest(part) for name, part in zip(NAMES, (images, filtered), strict=True)},
        images={"unfiltered": len(images), "filtered": len(filtered)},
        classes={
            str(label): {name: int(size.get(label, 0)) for name, size in sizes.items()}
            for label in sorted(sizes["unfiltered"].index)
        },
        rules={rule: int(named[rule]) for rule in found.rules if rule in named},
        dropped=int(table["verdict"].eq("drop").sum()),
        kept=int((table["filtered"] & ~by_rules["filtered"]).sum()),
        relabelled=int(images["id"].isin(state.label).sum()),
        disputed=int(images["id"].isin(state.disputed).sum()),
    )


def training_set(collection: Collection, name: str) -> TrainingSet:
    """The training set `name` of a collection, with the labels that the ledger gives.

    unfiltered: every readable photograph. filtered: what `explain` says. Synthetic images are in neither.
    Raises UsageError for an unknown name, FewposeError where `filtered` is asked for before the images were checked.
    """
    if name not in NAMES:
        raise UsageError(f"there is no training set {name!r}; there are {' and '.join(NAMES)}")
    images, state = _real(collection)
    if name == "filtered":
        images = images[explained(images, _findings(collection, images), state)["filtered"].to_numpy()]
    return TrainingSet(name, images, digest(images))


def accepted(collection: Collection) -> TrainingSet:
    """The synthetic images that may be trained on, as a training set named "synthetic".

    Raises FewposeError where there are some that were not looked at by `synth accept`.
    """
    images, state = _synthetic(collection)
    if len(images):
        images = images[explained(images, _acceptance(collection, images), state)["filtered"].to_numpy()]
    return TrainingSet(synthetic.SOURCE, images, digest(images))


def labelled(collection: Collection) -> pd.DataFrame:
    """The image table with the labels that the ledger gives. Files and the table on disk stay as they are."""
    return _with_state(collection)[0]


def explain(collection: Collection) -> pd.DataFrame:
    """What of a collection is `filtered`, and why; one row a photograph, in the order of the image table.

    Columns: key, id, label (by the ledger), filtered (bool), verdict ("", keep, drop or disputed), rules (names of the
    rules that leave it out, separated by spaces, as far as no person overruled them), why (a clause for people: the
    person, or else the rules; "" where there is nothing to say).
    Raises FewposeError where the images were not checked.
    """
    images, state = _real(collection)
    return explained(images, _findings(collection, images), state)


def explain_synthetic(collection: Collection) -> pd.DataFrame:
    """As `explain`, of the synthetic images: `filtered` are those that were accepted. Raises FewposeError likewise."""
    images, state = _synthetic(collection)
    return explained(images, _acceptance(collection, images), state)


def explained(images: pd.DataFrame, found: Findings, state: State) -> pd.DataFrame:
    """As `explain`, from the image table with the ledger's labels, the findings and the ledger's state alone.

    A person's word beats a rule's. drop leaves an image out. keep overrules every rule but two: the same bytes twice
    teach nothing, and of bytes under two labels keep doesn't say which is right. relabel overrules what doubts labels.
    Where people disagree, no word of theirs counts; an image whose label they disagree on is out until it is settled.
    """
    table = images[["key", "id", "label"]].reset_index(drop=True)
    holding = _holding(table, found, state)
    table["verdict"] = _column(state.verdict_of(id) for id in table["id"])
    table["rules"] = _column(holding.get(key, "") for key in table["key"])
    left_out = table["verdict"].eq("drop") | table["rules"].ne("") | table["id"].isin(state.label_disputed())
    if _drops(found, "exact_duplicate"):  # bytes that stood under two labels before a person gave them one
        twice = ~left_out & table["id"].where(~left_out).duplicated() & table["id"].isin(state.label)
        table.loc[twice, "rules"] = "exact_duplicate"
        left_out |= twice
    table["filtered"] = ~left_out
    rows = zip(table["id"], table["verdict"], table["rules"], strict=True)
    table["why"] = _column(_why(id, verdict, rules, state) for id, verdict, rules in rows)
    return table[["key", "id", "label", "filtered", "verdict", "rules", "why"]]


def digest(images: pd.DataFrame) -> str:
    """16 hex digits over what a set holds: content ids with their labels, in no order."""
    lines = sorted(images["id"] + " " + images["label"])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _with_state(collection: Collection) -> tuple[pd.DataFrame, State]:
    images, state = collection.images(), Ledger(collection).state()
    labels = [state.label.get(id, label) for id, label in zip(images["id"], images["label"], strict=True)]
    return images.assign(label=pd.Series(labels, index=images.index, dtype="str")), state


def _real(collection: Collection) -> tuple[pd.DataFrame, State]:
    images, state = _with_state(collection)
    return synthetic.real(images), state


def _synthetic(collection: Collection) -> tuple[pd.DataFrame, State]:
    images, state = _with_state(collection)
    return synthetic.synthetic(images), state


def _acceptance(collection: Collection, images: pd.DataFrame) -> Findings:
    found = findings.read(collection, findings.ACCEPTANCE)
    if found is None or found.images != findings.digest(images):
        raise FewposeError(
            f"{collection.root} has synthetic images that nobody has looked at; "
            f"first: {command_line('synth', 'accept', collection.root)}"
        )
    return found


def _findings(collection: Collection, images: pd.DataFrame) -> Findings:
    found = findings.read(collection)
    if found is None:
        raise FewposeError(
            f"{collection.root} was never checked, so nothing is filtered; "
            f"first: {command_line('curate', 'check', collection.root)}"
        )
    if found.images != findings.digest(images):
        raise FewposeError(
            f"{collection.root} has other images than when it was last checked; "
            f"first: {command_line('curate', 'check', collection.root)}"
        )
    return found


def _drops(found: Findings, rule: str) -> bool:
    return rule in found.rules and found.rules[rule].drops and not found.rules[rule].not_run


def _holding(table: pd.DataFrame, found: Findings, state: State) -> dict[str, str]:
    """By key: the names of the rules that leave it out, in reading order."""
    flagged = found.flagged()
    disputed = set(table["id"][table.groupby("id")["label"].transform("nunique") > 1])
    kept = {id for id, verdict in state.verdict.items() if verdict == "keep"}
    holding: dict[str, list[str]] = {}
    for rule in (rule for rule in found.rules if _drops(found, rule)):
        overruled = set() if rule == "exact_duplicate" else kept - disputed if rule == "two_labels" else kept
        if found.rules[rule].kind == Kind.LABEL:
            overruled = overruled | state.label.keys()
        rows = flagged[(flagged["rule"] == rule) & ~flagged["id"].isin(overruled)]
        for key in rows["key"]:
            holding.setdefault(key, []).append(rule)
    return {key: " ".join(rules) for key, rules in holding.items()}


def _column(values: Iterable[str]) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def _why(id: str, verdict: str, rules: str, state: State) -> str:
    if verdict == "disputed":
        return "; ".join([state.dispute(id), *rules.replace("_", " ").split(" ")]) if rules else state.dispute(id)
    reason = f": {state.reason[id]}" if state.reason.get(id) else ""
    if verdict == "drop":
        return f"dropped by {state.who[id]}{reason}"
    if rules:
        return ", ".join(rules.split()).replace("_", " ")
    if verdict == "keep":
        return f"kept by {state.who[id]}{reason}"
    return f"relabelled by {state.who[id]}{reason}" if id in state.label else ""
