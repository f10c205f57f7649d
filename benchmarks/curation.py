"""Claim: all exact, recompressed, resized and mirrored copies are found, with hardly a false one among the originals;
wrong labels are ranked far above chance, and above the nearest-neighbour baseline.

Into photos18 defects are planted (benchmarks/planted.py): copies, copies under other labels, 5 % wrong labels, spoiled
pictures, blank pages and rendered mannequins. Counted are, by rule, the planted pictures that are flagged (recall) and
the photographs that nothing was done to (false alarms). Some of the latter are no errors: photos18 has copies, wrong
labels and small pictures of its own.

A copy is found when findings link it to its original, directly or by way of other copies. Originals that findings link
to each other are wrong unless they are copies in photos18 as it is: these 54 pairs were all looked at
(docs/collection.md), and one is false. cleanvision and imagededup are given the same pictures; pairs that only they
find count as wrong here without having been looked at.

    python -m benchmarks.curation            about five minutes
    python -m benchmarks.curation --quick    less than a minute, of 300 photographs
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from benchmarks import common, groups, label_noise, planted
from benchmarks.planted import COPIES, LEAKED, ORIGINAL, OTHER_LABEL, WRONG_LABEL, Plant
from curate.checks.check import check
from curate.checks.rules.rule import Inputs
from curate.collection.directory import Collection
from curate.collection.findings import Findings
from curate.collection.groups import assign
from curate.images.signatures import Signatures
from curate.importing.importer import import_folder
from curate.models import clip_models, embeddings

ALL_FOUND = ("exact", LEAKED, "resized x0.5-2", "mirrored")
MOST_WRONG = 3  # originals that findings link wrongly
COPY_RULES = ("exact_duplicate", "near_duplicate", "mirrored_duplicate", "two_labels")

# What is planted for each rule, and what cleanvision calls it.
RULES: dict[str, tuple[tuple[str, ...], str]] = {
    "exact_duplicate": (("exact",), ""),
    "near_duplicate": (
        (LEAKED, "resized x0.5-2", "cropped 3 %", "watermark across the middle", "watermark all over"),
        "",
    ),
    "mirrored_duplicate": (("mirrored",), ""),
    "two_labels": ((OTHER_LABEL,), ""),
    "official_leak": ((LEAKED,), ""),
    "wrong_label": ((WRONG_LABEL,), ""),
    "outlier": ((WRONG_LABEL, "mannequin", "blank"), ""),
    "drawing": (("mannequin",), ""),
    "text": (("captioned", "watermark across the middle", "watermark all over"), ""),
    "too_small": (("64 pixels",), "odd_size"),
    "odd_aspect": (("strip of 4:1",), "odd_aspect_ratio"),
    "blurry": (("blurred",), "blurry"),
    "dark": (("dark x0.12",), "dark"),
    "bright": ((), "light"),
    "low_information": (("blank",), "low_information"),
}


class Planted:
    """What was planted, and which photographs are copies of each other anyway."""

    def __init__(self, plants: list[Plant], files: list[Path]) -> None:
        self.plants = plants
        keys = [f"{file.parent.name}/{file.name}" for file in files]
        group = dict(zip(keys, assign(keys, groups.thumbnails(files)), strict=True))
        self.picture = {plant.key: group.get(plant.original, plant.original or plant.kind) for plant in plants}

    def keys(self, kind: str) -> list[str]:
        return [plant.key for plant in self.plants if plant.kind == kind]

    def copies(self, kind: str) -> list[tuple[str, str]]:
        """Copy and original."""
        return [(plant.key, plant.original) for plant in self.plants if plant.kind == kind]


def found_pairs(found: Findings) -> list[tuple[str, str]]:
    """Keys of what the rules on copies say is one picture."""
    table = found.flagged()
    table = table[table["rule"].isin(COPY_RULES)]
    keys = found.table.drop_duplicates("key").groupby("id")["key"].agg(list)
    return [(key, same) for key, other in zip(table["key"], table["other"], strict=True) for same in keys[other]]


def joined(pairs: Iterable[tuple[str, str]], keys: Iterable[str]) -> dict[str, str]:
    """Of each key, the name of the component that the pairs put it into."""
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for one, other in pairs:
        parent[root(one)] = root(other)
    return {key: root(key) for key in parent}


def copies_found(planted_: Planted, pairs: list[tuple[str, str]]) -> dict[str, float]:
    """By kind, the part of copies that are found; and how many originals are linked wrongly."""
    component = joined(pairs, planted_.picture)
    found = {
        kind: float(np.mean([component[copy] == component[original] for copy, original in planted_.copies(kind)]))
        for kind in (*COPIES, OTHER_LABEL)
    }
    return found | {"wrongly linked": sum(len(keys) - 1 for keys in wrongly_linked(planted_, pairs))}


def wrongly_linked(planted_: Planted, pairs: list[tuple[str, str]]) -> list[list[str]]:
    """The components that hold several pictures; a key of each of these."""
    pictures: dict[str, dict[str, str]] = defaultdict(dict)
    for key, name in joined(pairs, planted_.picture).items():
        pictures[name].setdefault(planted_.picture[key], key)
    return [list(keys.values()) for keys in pictures.values() if len(keys) > 1]


def by_rule(planted_: Planted, flagged: dict[str, set[str]]) -> dict[str, dict[str, float]]:
    """For each rule: recall by kind, and the part of untouched photographs that it flags. A copy counts where its
    original is flagged in its stead, which is the smaller one, or the one in train.
    """
    originals = {plant.key: plant.original for plant in planted_.plants if plant.kind in (*COPIES, OTHER_LABEL)}
    rows = {}
    for rule, keys in flagged.items():
        row = {}
        for kind in RULES[rule][0]:
            hits = [key in keys or (rule in COPY_RULES and originals[key] in keys) for key in planted_.keys(kind)]
            row[kind] = float(np.mean(hits))
        untouched = planted_.keys(ORIGINAL)
        rows[rule] = row | {"false alarms": sum(key in keys for key in untouched) / len(untouched)}
    return rows


def ranked(planted_: Planted, found: Findings, collection: Collection) -> dict[str, float]:
    """Average precisions of finding the wrong labels among them and the untouched photographs."""
    keys = planted_.keys(WRONG_LABEL) + planted_.keys(ORIGINAL)
    truth = np.arange(len(keys)) < len(planted_.keys(WRONG_LABEL))
    images = collection.images()
    features = embeddings.embed(collection, images, clip_models.load("lite0"))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    with closing(Signatures(collection)) as signatures:
        baseline = label_noise.baseline(Inputs(collection, images, signatures, features, "lite0", 1))
    rule = found.table[found.table["rule"] == "wrong_label"].set_index("key")["score"]
    scores = {
        "wrong_label": rule.reindex(keys).fillna(0),
        "nearest neighbours": pd.Series(baseline, index=images["key"]).reindex(keys),
        "chance": pd.Series(0, index=keys),
    }
    return {name: float(average_precision_score(truth, score)) for name, score in scores.items()}


def peers(root: Path, keys: list[str]) -> dict[str, Any]:
    """What the other two find, by name: seconds, issues (keys by name) and pairs."""
    python = common.venv("curation_peers") / "bin" / "python"
    given, answer = root / "keys.json", root / "answer.json"
    given.write_text(json.dumps(keys))
    program = Path(__file__).with_name("curation_peers.py")
    done = subprocess.run([python, program, root, given, answer], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the peers' program failed:\n{done.stderr}")
    return dict(json.loads(answer.read_text()))


def chosen(folder: Path, *, quick: bool) -> list[Path]:
    """All photographs, or 60 of each of five classes."""
    if not quick:
        return sorted(folder.glob("*/*.jpg"))
    return [file for label in planted.POSES[:5] for file in sorted((folder / label).glob("*.jpg"))[:60]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=common.PHOTOS, help="has photos18")
    parser.add_argument("--quick", action="store_true", help="300 photographs, and a fifth of the defects")
    options = parser.parse_args()
    if not (options.data / "photos18").is_dir():
        parser.error(f"{options.data} lacks photos18")
    files = chosen(options.data / "photos18", quick=options.quick)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, "photos")
        what = Planted(planted.plant(files, root, share=0.2 if options.quick else 1.0), files)
        summary = import_folder(root / "list.csv", Path(temporary, "collection"), link=True)
        if summary.rejects:
            sys.exit(f"not imported: {summary.rejects[0]}")
        collection = Collection.open(Path(temporary, "collection"))
        start = time.perf_counter()
        found = check(collection, model="lite0")
        seconds = {"check": time.perf_counter() - start}
        precision = ranked(what, found, collection)
        others = peers(root, list(what.picture))
    seconds |= {name: other["seconds"] for name, other in others.items()}
    pairs = {"ours": found_pairs(found)}
    pairs |= {name: [(one, two) for one, two in other["pairs"]] for name, other in others.items()}
    table = found.flagged()
    ran = [name for name, rule in found.rules.items() if not rule.not_run and name in RULES]
    flagged = {rule: set(table["key"][table["rule"] == rule]) for rule in ran}
    theirs = others["cleanvision"]["issues"]
    return report(
        {
            "photographs": len(files),
            "images": len(what.plants),
            "planted": pd.Series([plant.kind for plant in what.plants]).value_counts().to_dict(),
            "copies": {name: copies_found(what, linked) for name, linked in pairs.items()},
            "wrongly linked": wrongly_linked(what, pairs["ours"]),
            "rules": by_rule(what, flagged),
            "cleanvision": by_rule(
                what, {rule: set(theirs[name]) for rule, (_, name) in RULES.items() if name and rule in ran}
            ),
            "wrong labels, average precision": precision,
            "not run": {name: rule.not_run for name, rule in found.rules.items() if rule.not_run},
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        },
        quick=options.quick,
    )


def report(result: dict[str, Any], *, quick: bool) -> int:
    copies, precision = result["copies"], result["wrong labels, average precision"]
    print(pd.DataFrame(copies).round(3).to_string(), end="\n\n")
    rows = [
        (rule, kind, part, result["cleanvision"].get(rule, {}).get(kind))
        for rule, parts in result["rules"].items()
        for kind, part in parts.items()
    ]
    print(
        pd.DataFrame(rows, columns=["rule", "planted", "ours", "cleanvision"])
        .round(3)
        .to_string(index=False, na_rep="")
    )
    print("\nwrong labels, average precision: " + ", ".join(f"{name} {value:.3f}" for name, value in precision.items()))
    print("".join(f"wrongly linked: {' and '.join(keys)}\n" for keys in result["wrongly linked"]), end="")
    for rule, why in result["not run"].items():
        print(f"not run: {rule}: {why}")
    failures = [f"{kind}: {copies['ours'][kind]:.1%} found" for kind in ALL_FOUND if copies["ours"][kind] < 1]
    if copies["ours"]["wrongly linked"] > MOST_WRONG:
        failures.append(f"{copies['ours']['wrongly linked']} originals are linked wrongly")
    if not precision["wrong_label"] > precision["nearest neighbours"] > precision["chance"]:
        failures.append("wrong labels are ranked below the baseline")
    print()
    figure = f"wrong labels: average precision {precision['wrong_label']:.2f}"
    return common.conclude("curation", __doc__, result, failures=failures, figure=figure, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
