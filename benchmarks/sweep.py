"""Claim: `fewshot sweep` runs a grid of 468 trials (78 splits x 6, 20 and 43 images a class x unfiltered and filtered;
photos18's 11 classes of at least 60 images, lite0, on the CPU) with `linear-probe` at least 10 times as fast as the
loop that a user writes after the public scripts (benchmarks/plain_loop.py); `finetune-last1` is 10 times, `finetune`
1.5 times as fast; and the accuracy is no lower: the 95 % interval of ours less theirs, paired on splits, holds 0 or
lies above it.

On a GPU: `finetune` of ViT-B/32 (untrained: speed only), six classes, at least 10 times, and the 468 trials in less
than 5 minutes; the floor is the FLOPs of training and prediction over the card's measured bf16 matmul rate. Without a
GPU the result says that it was not measured.

Both sides work on the same splits and draws, in turn, round by round, in one process tree and with the same cores: the
plain loop with all of them in torch and as many DataLoader workers, ours with as many processes. The plain loop runs a
sample of the grid (one split after the other, with every set and number of images), and its rate is that sample's mean;
ours runs a whole grid each time, into an empty directory. What ours computes once for all trials (decoding, frozen
features, the frozen trunk of finetune-last) is timed apart, from empty caches, and counts in the ratio as it would in
468 trials.

    python -m benchmarks.sweep                       all of it; --only linear-probe is one part, kept beside the others
    python -m benchmarks.sweep --quick               three small classes, few trials: a minute, and says little
    python -m benchmarks.sweep --rehearse            the GPU's part on the CPU with a tiny model: that it runs, no more
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import common, plain_loop
from benchmarks.common import PHOTOS, environment, spread, timed
from benchmarks.plain_loop import Cell, Recipe
from curate.checks.check import check
from curate.collection.directory import Collection
from curate.importing.importer import import_folder
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from curate.sweeps import records
from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.bench.roofline import flops, matmul_rate
from fewshot.measuring.statistics import paired
from fewshot.sweeping import plan as planning
from fewshot.sweeping import prompts
from fewshot.sweeping.plan import Plan
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings

GRID = 468  # trials of arXiv 2501.07221
LARGE = 60  # images that a class has at least: 43 to train on, and a fifth to test on
MINUTES_ON_GPU = 5.0
CORES = os.cpu_count() or 1
WORK = Path(__file__).resolve().parents[1] / "runs" / "benchmarks" / "sweep"


@dataclass(frozen=True)
class Run:
    """One method. Each round ours runs the whole grid, and the plain loop the next `sampled` of its splits."""

    name: str
    method: str
    target: float  # ratio of trials an hour
    splits: int
    sets: tuple[str, ...] = ("unfiltered",)
    shots: tuple[int, ...] = (6, 20, 43)
    sampled: int = 1
    rounds: int = 3
    model: str = "lite0"
    device: str = "cpu"
    workers: int = CORES

    def __post_init__(self) -> None:
        if self.rounds * self.sampled > self.splits:
            raise ValueError(f"{self.name}: {self.splits} splits are not enough for {self.rounds} rounds")

    @property
    def trials(self) -> int:
        return self.splits * len(self.sets) * len(self.shots)


BOTH = ("unfiltered", "filtered")
RUNS = (
    Run("linear-probe", "linear-probe", 10.0, 78, BOTH),
    Run("finetune-last", "finetune-last1", 10.0, 26),
    Run("finetune", "finetune", 1.5, 3),
)
QUICK = (  # one trial of finetune-last's plain loop takes as long as both of these
    Run("linear-probe", "linear-probe", 10.0, 13, shots=(6,), rounds=1, workers=1),
    Run("finetune", "finetune", 1.5, 1, shots=(6,), rounds=1, workers=1),
)
ON_GPU = Run("gpu", "finetune", 10.0, 78, BOTH, sampled=1, rounds=2, model="ViT-B-32/random", device="cuda", workers=1)
REHEARSED = replace(ON_GPU, splits=1, shots=(2,), rounds=1, model="tiny/random", device="cpu")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="linear-probe, finetune-last, finetune, gpu; several with commas")
    parser.add_argument("--rehearse", action="store_true", help="the GPU's part on the CPU; nothing is written")
    parser.add_argument("--photos", type=Path, default=PHOTOS / "photos18", help="a folder per class")
    options = parser.parse_args()
    if options.rehearse:
        print(json.dumps(on_gpu(REHEARSED), indent=1))
        return 0
    runs = QUICK if options.quick else RUNS
    wanted = common.chosen(parser, options.only, [run.name for run in (*runs, ON_GPU)])
    measured = common.earlier("sweep", "runs", quick=options.quick)
    chosen = [run for run in runs if run.name in wanted]
    if chosen:
        collection, classes = prepared(
            options.photos, quick=options.quick, filtered=any(r.sets == BOTH for r in chosen)
        )
        measured |= {run.name: measure(run, collection, classes) for run in chosen}
    if "gpu" in wanted:
        absent = measured.get("gpu", {"not_measured": "no GPU"})  # what a machine with one measured stays
        measured["gpu"] = on_gpu(ON_GPU) if torch.cuda.is_available() else absent
    return report(measured, quick=options.quick)


def report(measured: dict[str, Any], *, quick: bool) -> int:
    known = {name: each for name, each in measured.items() if "not_measured" not in each}
    holds = all(each["holds"] for each in known.values())
    for name in measured.keys() - known.keys():
        print(f"{name}: not measured: {measured[name]['not_measured']}")
    ratios = ", ".join(f"{name} {each['ratio']['median']:.1f}x" for name, each in known.items())
    figure = ratios or "nothing measured"
    return common.conclude("sweep", __doc__, {"runs": measured}, holds=holds, figure=figure, quick=quick)


def prepared(photos: Path, *, quick: bool, filtered: bool) -> tuple[Path, tuple[str, ...]]:
    """The collection of a folder's large classes (of the three smallest, quick), checked where a run filters it."""
    sizes = {folder.name: len(list(folder.glob("*"))) for folder in photos.iterdir()}
    large = sorted((name for name, size in sizes.items() if size >= LARGE), key=lambda name: sizes[name])
    classes = tuple(sorted(large[:3] if quick else large))
    links, collection = WORK / f"photos{len(classes)}", WORK / f"collection{len(classes)}"
    links.mkdir(parents=True, exist_ok=True)
    for name in classes:
        with contextlib.suppress(FileExistsError):
            (links / name).symlink_to((photos / name).resolve())
    import_folder(links, collection, link=True)
    if filtered:
        check(Collection.open(collection))
    return collection, classes


def measure(run: Run, collection: Path, classes: tuple[str, ...]) -> dict[str, Any]:
    """Both sides in turn, `run.rounds` times."""
    print(f"\n{run.name}: {run.method} of {run.model} on {run.device}, {run.trials} trials each round", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(run, collection, classes, Path(folder, "sweep"))
        sides = Sides(run, plan, clip_models.load(run.model, device=run.device))
        rounds = [sides.round(number) for number in range(run.rounds)]
        return summary(run, rounds, sides)


def planned(run: Run, collection: Path, classes: tuple[str, ...], out: Path) -> Plan:
    return planning.make(
        SweepSettings.of(
            collection,
            out,
            sets=run.sets,
            methods=(run.method,),
            shots=run.shots,
            splits=run.splits,
            classes=classes,
            short="all",  # filtered, a class may have fewer than 43 left
            model=run.model,
            device=run.device,
            workers=run.workers,
        )
    )


class Sides:
    """Both sides of a run; what they guessed right, by trial."""

    def __init__(self, run: Run, plan: Plan, clip: ClipModel) -> None:
        self.run, self.plan, self.clip = run, plan, clip
        self.collection = Collection.open(plan.settings.collection)
        self.texts = prompts.of_sweep(plan.classes, plan.settings)
        self.theirs: dict[Trial, float] = {}
        self.own: dict[Trial, float] = {}
        self.failed = 0

    def round(self, number: int) -> dict[str, Any]:
        """Seconds: of the plain loop by trial, of ours for its grid and for what it computes once."""
        first = number * self.run.sampled
        chosen = [trial for trial in self.plan.trials if first <= trial.split < first + self.run.sampled]
        plain = {trial: self._plain(trial) for trial in chosen}
        once = self._once()
        grid = self._ours(self.plan.settings)
        for trial in self.plan.trials:
            self._read(trial)
        by_shots = {
            str(shots): round(statistics.mean(plain[trial] for trial in chosen if trial.shots == shots), 2)
            for shots in self.run.shots
        }
        found = {
            "plain_seconds_a_trial": statistics.mean(plain.values()),
            "plain_by_shots": by_shots,
            "once": once,
            "ours_seconds": grid,
        }
        print(f"  round {number + 1}: plain {by_shots} s a trial, ours {grid:.1f} s for {self.run.trials}", flush=True)
        return found

    def _plain(self, trial: Trial) -> float:
        cell = self._cell(trial)
        named = methods.parse(trial.method)

        def guess() -> np.ndarray:
            if not methods.describe(trial.method).tuned:
                return plain_loop.probe(self.clip, cell, CORES)
            recipe = Recipe.of(self.plan.settings.method_settings(trial.method), named.number)
            return plain_loop.finetune(self.clip, cell, recipe, trial.split, CORES)

        torch.set_num_threads(CORES)
        seconds, guessed = timed(guess)
        self.theirs[trial] = float((guessed == cell.test_labels).mean())
        return seconds

    def _cell(self, trial: Trial) -> Cell:
        parts = self.plan.split(trial.split)
        drawn = self.plan.draw(parts, trial)
        files = [[self.collection.path(file) for file in rows["file"]] for rows in (drawn, parts.test)]
        labels = [np.searchsorted(self.plan.classes, rows["label"].to_numpy(dtype=str)) for rows in (drawn, parts.test)]
        return Cell(files[0], labels[0], files[1], labels[1], self.texts)

    def _once(self) -> float:
        """Seconds that empty caches cost, whatever the number of trials: a sweep of one trial without and with them."""
        one = self.plan.settings.replaced(splits=1, sets=self.run.sets[:1], shots=self.run.shots[:1], workers=1)
        shutil.rmtree(self.collection.cache("pixels").parent, ignore_errors=True)
        return max(0.0, self._ours(one) - self._ours(one))

    def _ours(self, settings: SweepSettings) -> float:
        """Seconds of a whole sweep, its planning, its model and its processes included."""
        shutil.rmtree(settings.out, ignore_errors=True)
        with contextlib.redirect_stderr(io.StringIO()):
            seconds, done = timed(lambda: run_sweep(settings))
        self.failed += sum(done.failed.values())
        return seconds

    def _read(self, trial: Trial) -> None:
        record = records.read(self.plan.settings.out, trial)
        if record is not None and record.status == "done":
            said = records.read_predictions(self.plan.settings.out, trial)
            self.own[trial] = float((said.logits.argmax(axis=1) == said.labels).mean())


def summary(run: Run, rounds: list[dict[str, Any]], sides: Sides) -> dict[str, Any]:
    plain = [each["plain_seconds_a_trial"] for each in rounds]
    warm = [each["ours_seconds"] / run.trials for each in rounds]
    whole = [each + found["once"] / GRID for each, found in zip(warm, rounds, strict=True)]
    ratios = [theirs / ours for theirs, ours in zip(plain, whole, strict=True)]
    both = sides.theirs.keys() & sides.own.keys()
    difference = paired(by_split(sides.own, both), by_split(sides.theirs, both))
    no_worse = not difference.known or difference.high >= 0
    interval = f" [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]" if difference.known else ""
    rates = {name: round(3600 / statistics.median(s)) for name, s in (("plain", plain), ("ours", whole))}
    once = spread([each["once"] for each in rounds])
    result: dict[str, Any] = {
        "environment": environment(),
        "load": os.getloadavg()[0],
        "method": run.method,
        "model": run.model,
        "device": run.device,
        "classes": len(sides.plan.classes),
        "grid": {"sets": run.sets, "shots": run.shots, "splits": run.splits, "trials": run.trials},
        "plain_trials": len(sides.theirs),
        "settings": sides.plan.settings.method_settings(run.method),
        "rounds": rounds,
        "trials_an_hour": rates,
        "once_seconds": once,
        "ratio": spread(ratios),
        "ratio_warm": spread([theirs / ours for theirs, ours in zip(plain, warm, strict=True)]),
        "target": run.target,
        "accuracy": {"plain": mean(sides.theirs, both), "ours": mean(sides.own, both)},
        "difference": {name: none_if_nan(getattr(difference, name)) for name in ("n", "mean", "low", "high")},
        "failed": sides.failed,
        "holds": statistics.median(ratios) >= run.target and no_worse and sides.failed == 0,
    }
    print(
        f"  trials an hour: plain {rates['plain']}, ours {rates['ours']}; "
        f"ratio {min(ratios):.1f} to {max(ratios):.1f}, median {statistics.median(ratios):.1f} (target {run.target:g})"
    )
    print(
        f"  once {once['median']:.1f} s; accuracy {result['accuracy']}, ours less plain "
        f"{100 * difference.mean:+.1f} points{interval}, {difference.n} splits; {sides.failed} failed",
        flush=True,
    )
    return result


def by_split(accuracies: dict[Trial, float], chosen: set[Trial]) -> dict[int, float]:
    """The mean accuracy of each split over its chosen trials, so that splits stay the units of the interval."""
    numbers = {trial.split for trial in chosen}
    return {n: statistics.mean(accuracies[trial] for trial in chosen if trial.split == n) for n in sorted(numbers)}


def mean(accuracies: dict[Trial, float], chosen: set[Trial]) -> float:
    return round(statistics.mean(accuracies[trial] for trial in chosen), 4)


def none_if_nan(value: float) -> float | None:
    return None if value != value else round(value, 5)


def on_gpu(run: Run) -> dict[str, Any]:
    """The run on pictures that we draw, since GPU machines have no photographs and untrained weights learn nothing."""
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(Path(folder, "drawn"), classes=6, count=LARGE)
        collection = Path(folder, "collection")
        import_folder(Path(folder, "drawn"), collection, link=True)
        check(Collection.open(collection), model=None)
        result = measure(run, collection, ())
        lower = floor(run, planned(run, collection, (), Path(folder, "none")))
    minutes = [(each["ours_seconds"] + each["once"]) / 60 for each in result["rounds"]]
    result |= {"minutes": spread(minutes), "floor": lower, "times_the_floor": None}
    if seconds := lower["seconds"]:
        result["times_the_floor"] = round(60 * statistics.median(minutes) / seconds, 1)
    result["holds"] &= statistics.median(minutes) <= MINUTES_ON_GPU
    print(f"  {run.trials} trials in {statistics.median(minutes):.1f} minutes; floor {lower['seconds']:.0f} s")
    return result


def draw_pictures(folder: Path, classes: int, count: int) -> None:
    """JPEGs of the photographs' size: stripes whose direction and width tell the class, over coloured patches."""
    y, x = np.mgrid[:288, :384]
    for kind in range(classes):
        (folder / f"kind {kind}").mkdir(parents=True)
        stripes = np.sin((x * np.cos(0.5 * kind) + y * np.sin(0.5 * kind)) / (8 + 4 * kind))
        for number in range(count):
            random = np.random.default_rng([kind, number])
            # Patches, in no two alike: nothing else would tell the pictures of a class from copies of one.
            patches = Image.fromarray(random.integers(0, 255, (6, 8, 3), np.uint8)).resize(
                (384, 288), Image.Resampling.BICUBIC
            )
            picture = 0.7 * np.asarray(patches) + 38 * (1 + stripes[..., None]) + random.normal(0, 8, (288, 384, 3))
            file = folder / f"kind {kind}" / f"{number}.jpg"
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, quality=90)


def floor(run: Run, plan: Plan) -> dict[str, float]:
    """The seconds that the grid's arithmetic alone would take at the device's measured bf16 matmul rate.

    Counted are a forward and a backward pass for each training image and epoch, the same of all prompts (cut to the
    longest) in each step, and a forward pass for each test image; neither decoding nor checks for divergence.
    """
    clip = clip_models.load(run.model, device=run.device)
    recipe = Recipe.of(plan.settings.method_settings(run.method), 0)
    tokens = clip.tokenize([text for texts in prompts.class_texts(plan.classes, ()) for text in texts])
    used = float((tokens != 0).sum(dim=1).max()) / tokens.shape[1]
    image = torch.zeros(1, 3, clip.image_size, clip.image_size, device=clip.device)
    seen = flops(lambda: clip.model.encode_image(image).sum(), backward=True)
    tested = flops(lambda: clip.model.encode_image(image).sum(), backward=False)
    read = used * flops(lambda: clip.model.encode_text(tokens).sum(), backward=True)
    total = 0.0
    for trial in plan.trials:
        parts = plan.split(trial.split)
        images = len(plan.draw(parts, trial))
        steps = recipe.epochs * max(1, round(images / (recipe.batch_size or len(plan.classes))))
        total += recipe.epochs * images * seen + steps * read + len(parts.test) * tested
    rate = matmul_rate(clip.device)
    return {"flops": total, "matmul_tflops": round(rate / 1e12, 2), "seconds": total / rate}


if __name__ == "__main__":
    sys.exit(main())
