"""What synthetic images add to N photographs a class, on real photographs (photos18, the 13 classes that
data/poses.yaml can show), with `lite0` and the linear probe, on the same 78 splits: nothing, rendered mannequins,
augmented photographs of the draw (both of `synth generate`, without weights), or as many more photographs. N is 6 and
20, and 20 or 50 images a class are added (50 to 20 on 21 of the splits: such a probe takes seconds).

Claims:
1. Every set is tested on the same images in every split, and what was measured before there were synthetic images holds
   afterwards: the sweep goes on, and not one trial is run again.
2. Photographs are worth more: at equal N and amount, adding photographs beats adding synthetic images, the interval for
   new images being above 0 in every comparison.
What synthetic images add to nothing is measured, no claim.

`--short all`: a class that runs out of photographs, or of augmented ones of its draw, uses what it has; how many there
were on average is in the result. So the photographs of claim 2 are sometimes fewer than the synthetic images, never
more. Acceptance judges each image without features (`synth accept --model none`): with features it would compare them
with all photographs under their labels, those that are tested on among them.

    python -m benchmarks.synthetic_gain             the whole (three quarters of an hour on 2 cores)
    python -m benchmarks.synthetic_gain --quick     3 classes, 6 splits, N = 6, 10 images: a minute; it
                                                    asks that photographs are better on average
"""

import argparse
import itertools
import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import PHOTOS, write_result
from curate.collection import sets, synthetic
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.sweeps.records import read_sweep
from fewshot.reporting import write_report
from fewshot.reporting.sections.additions import sentences
from fewshot.sweeping.run import SweepSummary, run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.trials.additions import REAL, composition
from synth.accept.accept import accept
from synth.generate.control import poses_of
from synth.generate.run import generate
from synth.generate.settings import AUGMENT, MANNEQUIN, Resources, Settings, Wanted

RUNS = Path(__file__).resolve().parents[1] / "runs" / "benchmarks"
BASE = "unfiltered"


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    name: str
    classes: tuple[str, ...]  # (): all that have a pose
    splits: int
    shots: tuple[int, ...]
    amounts: tuple[int, ...]
    around: int  # augmented images of each photograph: a quarter is rejected
    finetuned: int = 0  # splits
    fewer: dict[tuple[int, int], int] = field(default_factory=dict)  # splits, by shots and amount: where they are slow


WHOLE = Scale("synthetic_gain", (), 78, (6, 20), (20, 50), around=5, fewer={(20, 50): 21})
QUICK = Scale("synthetic_gain.quick", ("bound_angle", "bridge", "camel"), 6, (6,), (10,), around=2)


def photographs(scale: Scale) -> tuple[Collection, pd.Series]:
    """The collection, and the number of photographs of each class that is used."""
    root = RUNS / scale.name
    import_folder(_source(scale), root, link=True)
    collection = Collection.open(root)
    sizes = synthetic.real(collection.images())["label"].value_counts()
    return collection, sizes[[label for label in sorted(sizes.index) if poses_of(label)]]


def _source(scale: Scale) -> Path:
    """The folder of photographs, or one of links to the classes that are asked for."""
    photos, chosen = PHOTOS / "photos18", RUNS / f"{scale.name}-photographs"
    if not scale.classes:
        return photos
    chosen.mkdir(parents=True, exist_ok=True)
    for label in scale.classes:
        if not (chosen / label).exists():
            (chosen / label).symlink_to(photos / label)
    return chosen


def add_synthetic(collection: Collection, sizes: pd.Series, scale: Scale) -> None:
    """Through `synth generate` and `synth accept`; what is there is not made again."""
    classes = tuple(sizes.index)
    generate(collection.root, Settings(MANNEQUIN), Wanted(classes, max(scale.amounts)), Resources())
    for label in classes:
        wanted = Wanted((label,), scale.around * int(sizes[label]), from_draw="pool")
        generate(collection.root, Settings(AUGMENT, format="jpeg"), wanted, Resources())
    accept(collection, model=None)


def sweep(collection: Collection, sizes: pd.Series, scale: Scale) -> tuple[Path, SweepSummary]:
    """The directory of the sweep, and what came of going on with it once there were synthetic images."""
    settings = SweepSettings.of(
        collection.root,
        RUNS / f"{scale.name}-sweep",
        sets=(BASE,),
        methods=("linear-probe",),
        shots=scale.shots,
        splits=scale.splits,
        classes=tuple(sizes.index),
        short="all",
        workers=os.cpu_count() or 1,
    )
    run_sweep(settings)
    add_synthetic(collection, sizes, scale)
    again = run_sweep(settings)
    for amount, shots in itertools.product(scale.amounts, scale.shots):
        names = (BASE, *added(scale, shots, amount))
        splits = scale.fewer.get((shots, amount), scale.splits)
        run_sweep(settings.replaced(sets=names, shots=(shots,), splits=splits))
        if scale.finetuned:
            run_sweep(settings.replaced(sets=names, shots=(shots,), methods=("finetune",), splits=scale.finetuned))
    return settings.out, again


def added(scale: Scale, shots: int, amount: int) -> tuple[str, ...]:
    """The sets with so many images added. Augmented ones are left out where the draw has not given so many."""
    enough = scale.around * shots * 0.7 >= amount
    kinds = ("rendered", "augmented", REAL) if enough else ("rendered", REAL)
    return tuple(f"{BASE}+{kind}{amount}" for kind in kinds)


def same_tests(directory: Path) -> bool:
    """Whether all trials on a split were tested on the same images."""
    tested: dict[int, set[str]] = {}
    for record in read_sweep(directory).records:
        tested.setdefault(record.trial.split, set()).add(record.digests["split"])
    return all(len(digests) == 1 for digests in tested.values())


def photographs_win(differences: pd.DataFrame, *, on_average: bool) -> bool:
    """Whether, wherever synthetic images were compared with as many photographs, these are told to be better.

    on_average: whether it suffices that they are better on these splits.
    """
    against = differences[differences["b"].map(lambda name: composition(name).kind) == REAL]
    for row in against.itertuples():
        interval = f"[{row.ci_corrected_low:+.3f}, {row.ci_corrected_high:+.3f}]"
        print(f"N = {row.shots}, {row.method}: {row.a} minus {row.b}: {row.mean:+.3f} {interval} {row.verdict}")
    lower = against["mean"] < 0 if on_average else against["verdict"] == "lower"
    return len(against) > 0 and bool(lower.all())


def acceptance(collection: Collection, sizes: pd.Series) -> dict[str, dict[str, int]]:
    """Of each kind: how many were made, how many accepted."""
    made = synthetic.synthetic(collection.images())
    made, good = (part[part["label"].isin(sizes.index)] for part in (made, sets.accepted(collection).images))
    counts = synthetic.kind(made).value_counts(), synthetic.kind(good).value_counts()
    return {
        str(kind): {"made": int(counts[0][kind]), "accepted": int(counts[1].get(kind, 0))} for kind in counts[0].index
    }


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which has null and no NaN."""
    return list(json.loads(table.to_json(orient="records")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--finetuned", type=int, default=0, help="splits to fine-tune on, too")
    options = parser.parse_args()
    if not (PHOTOS / "photos18").is_dir():
        print("skipped: it needs ../shared/data/photos18, which lies beside the maintainers' checkouts only")
        return 0
    scale = replace(QUICK if options.quick else WHOLE, finetuned=options.finetuned)
    collection, sizes = photographs(scale)
    directory, again = sweep(collection, sizes, scale)
    files = write_report(directory)
    results, differences = pd.read_csv(files.csv["results"]), pd.read_csv(files.csv["differences"])
    said = sentences(differences.fillna({"verdict": ""}))
    claims = {
        "same tests": same_tests(directory) and again.found == again.done == scale.splits * len(scale.shots),
        "photographs are worth more": photographs_win(differences, on_average=options.quick),
    }
    measured = {
        "claims": claims,
        "photographs": {str(label): int(size) for label, size in sizes.items()},
        "acceptance": acceptance(collection, sizes),
        "sentences": said,
        "results": rows(results),
        "differences": rows(differences),
    }
    path = write_result("synthetic_gain", {"claim": __doc__} | measured, quick=options.quick)
    print("\n".join(said))
    print(
        f"{path.name}: "
        + "; ".join(f"{claim}: {'holds' if holds else 'DOES NOT HOLD'}" for claim, holds in claims.items())
    )
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
