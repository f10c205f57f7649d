"""Claims, on real photographs with `lite0` (an ImageNet image tower; no text tower to speak of).

1. photos18, the 11 classes with at least 60 images, 78 splits: the linear probe reaches a mean accuracy of at least
   0.72 / 0.85 / 0.90 with 6 / 20 / 43 training images a class.
2. photos18, 20 images a class: fine-tuning with the recipe `lite0` is at least as good as the linear probe on the
   same splits. The recipe was chosen on photos5_noisy.
3. photos5_noisy, filtered (as `curate check` leaves it, nobody having decided anything) against unfiltered: measured,
   no claim.

The sweeps are kept in runs/benchmarks and go on where they were interrupted. The tables are written to
results/fewshot_{photos18,photos5_noisy}.json and the CSV files beside them.

    python -m benchmarks.fewshot_photos                the whole (half an hour on 2 cores)
    python -m benchmarks.fewshot_photos --quick        linear probe, 5 splits, 6 and 20 images: under a minute
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import PHOTOS, RESULTS, write_result
from curate.checks.check import check
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from fewshot.reporting import write_report
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings

RUNS = Path(__file__).resolve().parents[1] / "runs" / "benchmarks"
TARGETS = {6: 0.72, 20: 0.85, 43: 0.90}


def collection_of(name: str) -> Path:
    import_folder(PHOTOS / name, RUNS / name, link=True)
    return RUNS / name


def large_classes(collection: Path) -> tuple[str, ...]:
    sizes = Collection.open(collection).images()["label"].value_counts()
    return tuple(sorted(sizes[sizes >= 60].index))


def photos18(splits: int, shots: tuple[int, ...], finetuned: int) -> Path:
    collection = collection_of("photos18")
    out = RUNS / f"photos18-sweep{splits}"
    settings = SweepSettings.of(
        collection,
        out,
        methods=("zero-shot", "linear-probe"),
        shots=shots,
        splits=splits,
        classes=large_classes(collection),
        workers=os.cpu_count() or 1,
    )
    run_sweep(settings)
    if finetuned:
        run_sweep(settings.replaced(methods=("finetune",), splits=finetuned))
    return out


def photos5_noisy(splits: int, shots: tuple[int, ...], finetuned: int) -> Path:
    collection = collection_of("photos5_noisy")
    check(Collection.open(collection))
    out = RUNS / f"photos5_noisy-sweep{splits}"
    settings = SweepSettings.of(
        collection,
        out,
        sets=("unfiltered", "filtered"),
        methods=("zero-shot", "linear-probe"),
        shots=shots,
        splits=splits,
        workers=os.cpu_count() or 1,
    )
    run_sweep(settings)
    if finetuned:
        run_sweep(settings.replaced(methods=("finetune",), splits=finetuned, shots=(20,)))
    return out


def tables(sweep: Path, name: str, *, quick: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    files = write_report(sweep)
    if not quick:
        for file in (files.csv["results"], files.csv["differences"]):
            shutil.copy(file, RESULTS / f"fewshot_{name}_{file.name}")
    return pd.read_csv(files.csv["results"]), pd.read_csv(files.csv["differences"])


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which has null and no NaN."""
    result: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return result


def probe_claim(results: pd.DataFrame) -> bool:
    """Whether the linear probe reaches its targets at every N that was measured."""
    probe = results[results["method"] == "linear-probe"].set_index("shots")["mean"]
    for shots, target in TARGETS.items():
        if shots in probe.index:
            print(f"photos18, linear probe, {shots} a class: {probe[shots]:.3f} (target {target})")
    return all(probe[shots] >= target for shots, target in TARGETS.items() if shots in probe.index)


def finetune_claim(differences: pd.DataFrame) -> bool:
    """Whether fine-tuning is at least as good as the probe at N = 20, on the splits that both have."""
    pairs = differences[(differences["kind"] == "method") & (differences["shots"] == 20)]
    pair = pairs[(pairs["a"] == "finetune") & (pairs["b"] == "linear-probe")]
    flipped = pairs[(pairs["b"] == "finetune") & (pairs["a"] == "linear-probe")]
    row, sign = (pair.iloc[0], 1) if len(pair) else (flipped.iloc[0], -1)
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    print(
        f"photos18, finetune minus probe, 20 a class: {sign * row['mean']:+.3f} [{low:+.3f}, {high:+.3f}], n={row['n']}"
    )
    result: bool = sign * row["mean"] >= 0
    return result


def photos18_result(splits: int, shots: tuple[int, ...], finetuned: int, *, quick: bool) -> dict[str, Any]:
    clean, differences = tables(photos18(splits, shots, finetuned), "photos18", quick=quick)
    holds = probe_claim(clean)
    if finetuned:
        holds &= finetune_claim(differences)
    return {"photos18": rows(clean), "photos18_differences": rows(differences), "holds": bool(holds)}


def photos5_noisy_result(splits: int, shots: tuple[int, ...], finetuned: int, *, quick: bool) -> dict[str, Any]:
    noisy, filtering = tables(photos5_noisy(splits, shots, finetuned), "photos5_noisy", quick=quick)
    return {"photos5_noisy": rows(noisy), "photos5_noisy_differences": rows(filtering), "holds": True}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--finetuned", type=int, default=10, help="splits to fine-tune on (the probe runs on 78)")
    parser.add_argument("--only", choices=("photos18", "photos5_noisy"), help="one of the two")
    options = parser.parse_args()
    splits, finetuned = (5, 0) if options.quick else (78, options.finetuned)
    shots = (6, 20) if options.quick else (6, 20, 43)
    measured = {"photos18": photos18_result, "photos5_noisy": photos5_noisy_result}
    names = [options.only] if options.only else ["photos18"] if options.quick else list(measured)
    holds = True
    for name in names:
        result = measured[name](splits, shots, finetuned, quick=options.quick)
        path = write_result(f"fewshot_{name}", {"claim": __doc__} | result, quick=options.quick)
        print(f"{path.name}: claims {'hold' if result['holds'] else 'DO NOT HOLD'}")
        holds &= result["holds"]
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
