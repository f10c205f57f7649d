"""`synth accept`: its options, and what it prints."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curate.foundation import console, shared_options
from curate.foundation.options import option
from curate.foundation.text import command_line

if TYPE_CHECKING:
    import pandas as pd

    from curate.collection.findings import Findings

_BY_PEOPLE = {"drop": "dropped by a person", "disputed": "people disagree on its label"}
_REASONS = 3  # named for each class


def accept(
    collection: shared_options.CollectionPath,
    model: shared_options.RulesModel = "lite0",
    checkpoint: shared_options.Checkpoint = None,
    device: shared_options.Device = "auto",
    workers: shared_options.Threads = None,
    sheet: Annotated[Path | None, option("PNG file to write, of accepted and rejected images of each class.")] = None,
    cache: shared_options.Cache = None,
    json: shared_options.Json = False,
) -> None:
    """Say which synthetic images are worth training on, by rules whose settings are in COLLECTION/acceptance.yaml.

    An image is accepted unless a rule that drops flags it; curate drop and keep overrule. Nothing is deleted. All
    scores are in COLLECTION/acceptance.parquet.

    Example: synth accept runs/yoga --sheet accepted.png
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, cache)

    from synth.accept.sheet import check_name
    from synth.accept.sheet import sheet as draw

    if sheet:
        check_name(sheet)

    from curate.collection import sets
    from synth.accept.accept import NAME
    from synth.accept.accept import accept as run_accept

    found = run_accept(
        opened,
        model=None if model == shared_options.NO_MODEL else model,
        checkpoint=checkpoint,
        device=device,
        workers=workers,
    )
    verdicts = sets.explain_synthetic(opened)
    if sheet:
        draw(opened, verdicts, sheet)
    said = summary(found, verdicts)
    if json:
        console.say_json(said)
    else:
        _print(said, collection, collection / NAME)


def summary(found: "Findings", verdicts: "pd.DataFrame") -> dict[str, Any]:
    """What came out, in plain types: acceptance by class, by reason, and of each rule how it ran.

    verdicts: as curate.collection.sets.explain_synthetic gives them. An image that two rules reject counts for both.
    """
    return {
        "digest": found.images,
        "model": found.model,
        **_counted(verdicts),
        "classes": {
            str(label): _counted(rows) | {"reasons": _by_reason(rows)} for label, rows in verdicts.groupby("label")
        },
        "reasons": _by_reason(verdicts),
        "unjudged": {label: int(count) for label, count in _unjudged(found, verdicts).items()},
        "rules": {name: asdict(ran) for name, ran in found.rules.items()},
    }


def _counted(verdicts: "pd.DataFrame") -> dict[str, Any]:
    accepted = int(verdicts["filtered"].sum())
    return {"images": len(verdicts), "accepted": accepted, "rate": round(accepted / len(verdicts), 4)}


def _by_reason(verdicts: "pd.DataFrame") -> dict[str, int]:
    counted = Counter(reason for why in _reasons(verdicts) for reason in why)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _reasons(verdicts: "pd.DataFrame") -> list[list[str]]:
    """Of each rejected image, why."""
    rejected = verdicts[~verdicts["filtered"]]
    return [
        [_BY_PEOPLE["drop"]] if verdict == "drop" else rules.split() or [_BY_PEOPLE[verdict]]
        for verdict, rules in zip(rejected["verdict"], rejected["rules"], strict=True)
    ]


def _unjudged(found: "Findings", verdicts: "pd.DataFrame") -> "pd.Series":
    """How many images of each class were compared with no photograph of it, by no rule that did run."""
    judging = ("synthetic_class", "synthetic_far", "synthetic_pose")
    judged = found.table["key"][found.table["rule"].isin(judging)]
    return verdicts[~verdicts["key"].isin(judged)].groupby("label").size()


def _print(said: dict[str, Any], collection: Path, settings: Path) -> None:
    console.table(
        ("class", "images", "accepted", "rate", "rejected because"),
        (
            (label, row["images"], row["accepted"], f"{row['rate']:.0%}", _named(row["reasons"]))
            for label, row in [*said["classes"].items(), ("all", said | {"reasons": {}})]
        ),
        numbers=(1, 2, 3),
    )
    console.table(
        ("reason", "rejected", "what it means"),
        ((name, count, _title(said, name)) for name, count in said["reasons"].items()),
    )
    for name, rule in said["rules"].items():
        if rule["not_run"]:
            console.say(f"not run: {name}: {rule['not_run']}")
    if said["unjudged"]:
        console.say(f"nothing says whether these show their pose: {_named(said['unjudged'])}")
    console.say(f"{collection}: {said['accepted']} of {console.count(said['images'], 'synthetic image')} accepted")
    console.say(f"settings: {settings}")
    sets = ("--sets", "filtered,filtered+synthetic20")
    sweep = command_line("fewshot", "sweep", collection, "--out", "SWEEP", *sets)
    console.say(f"next: {command_line('curate', 'app', collection)}, or {sweep}")


def _title(said: dict[str, Any], reason: str) -> str:
    return said["rules"][reason]["title"] if reason in said["rules"] else reason


def _named(counts: dict[str, int]) -> str:
    """Those with most, and how many more there are."""
    named = [f"{name} {count}" for name, count in list(counts.items())[:_REASONS]]
    more = [f"{len(counts) - _REASONS} more"] if len(counts) > _REASONS else []
    return ", ".join(named + more)
