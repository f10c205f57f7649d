"""`curate check`: its options, and what it prints."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curate.foundation import console, shared_options
from curate.foundation.errors import FewposeError
from curate.foundation.options import option
from curate.foundation.text import command_line
from curate.workers.settings import WorkerSettings

if TYPE_CHECKING:
    import pandas as pd

    from curate.collection.directory import Collection
    from curate.collection.findings import Findings

_CLASSES = 4  # classes named for each rule


def check(
    collection: shared_options.CollectionPath,
    workers: WorkerSettings,
    *,
    model: shared_options.RulesModel = "lite0",
    checkpoint: shared_options.Checkpoint = None,
    device: shared_options.Device = "auto",
    rules: Annotated[
        tuple[str, ...],
        option("Rules to run alone, such as blurry,dark; what others found stays.", such_as="blurry,dark"),
    ] = (),
    sheets: Annotated[
        Path | None, option("Folder to write to, for each rule, a picture of the 50 worst images.")
    ] = None,
    cache: shared_options.Cache = None,
    json: shared_options.Json = False,
) -> None:
    """Say which images look suspicious, by rules whose settings are in COLLECTION/curation.yaml.

    Nothing is changed or deleted. What a rule flags is left out of the training set `filtered` where its settings say
    so, unless a person keeps it (curate keep). All findings are in COLLECTION/findings.parquet.

    Example: curate check runs/yoga
    """
    from curate.collection.directory import Collection

    opened = Collection.open(collection, cache)

    from curate.checks.check import check as run_check
    from curate.collection import sets

    found = run_check(
        opened,
        model=None if model == shared_options.NO_MODEL else model,
        checkpoint=checkpoint,
        device=device,
        rules=rules or None,
        workers=workers,
    )
    if sheets:
        _draw(opened, found, sheets)
    said = summary(found, sets.labelled(opened))
    if json:
        console.say_json(said)
    else:
        _print(said, collection)


def _draw(collection: "Collection", found: "Findings", folder: Path) -> None:
    """RULE.png for each rule that flagged something."""
    from curate.checks.sheet import sheet

    flagged = found.flagged()
    try:
        for rule, rows in flagged.groupby("rule"):
            sheet(collection, rows, folder / f"{rule}.png")
    except OSError as error:
        raise FewposeError(f"cannot write {error.filename or folder}: {error.strerror}") from error


def summary(found: "Findings", images: "pd.DataFrame") -> dict[str, Any]:
    """What was found, in plain types: of each rule how it ran, the keys that it flagged (the worst first), and how
    many of each class.

    images: rows of the image table, with the labels that count.
    """
    flagged = found.flagged().merge(images[["key", "label"]], on="key")
    flagged = flagged.sort_values(["score", "key"], ascending=[False, True])
    rules = {}
    for name, ran in found.rules.items():
        those = flagged[flagged["rule"] == name]
        counted = sorted(Counter(those["label"]).items(), key=lambda item: (-item[1], item[0]))
        rules[name] = asdict(ran) | {"keys": list(those["key"]), "classes": dict(counted)}
    return {
        "digest": found.images,
        "model": found.model,
        "images": len(images),
        "flagged": flagged["key"].nunique(),
        "rules": rules,
    }


def _print(said: dict[str, Any], collection: Path) -> None:
    ran = {name: rule for name, rule in said["rules"].items() if not rule["not_run"]}
    console.table(
        ("rule", "flagged", "of", "left out of filtered", "such as"),
        (
            (name, r["flagged"], said["images"], r["flagged"] if r["drops"] else 0, *r["keys"][:1])
            for name, r in ran.items()
        ),
        numbers=(1, 2, 3),
    )
    console.table(
        ("rule", "flagged by class"),
        ((name, _classes(rule["classes"])) for name, rule in ran.items() if rule["flagged"]),
        numbers=(),
    )
    for name, rule in said["rules"].items():
        if rule["not_run"]:
            console.say(f"not run: {name}: {rule['not_run']}")
    console.say(f"{collection}: {console.count(said['flagged'], 'image')} flagged by at least one rule")
    console.say(f"settings: {collection / 'curation.yaml'}")
    app, sets = (command_line("curate", name, collection) for name in ("app", "sets"))
    console.say(f"next: {app}, or {sets}")


def _classes(counts: dict[str, int]) -> str:
    """Those with most, and how many more there are."""
    named = [f"{label} {count}" for label, count in list(counts.items())[:_CLASSES]]
    more = [f"{len(counts) - _CLASSES} more"] if len(counts) > _CLASSES else []
    return ", ".join(named + more)
