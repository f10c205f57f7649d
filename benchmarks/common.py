"""What every benchmark shares: where its result goes, and what machine, versions and commit it was measured on."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the maintainers' checkouts only
PACKAGES = ("torch", "open_clip_torch", "timm", "numpy", "pillow", "scikit-learn", "pandas")


def environment() -> dict[str, Any]:
    """Machine, versions and commit: absolute times mean nothing without them."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def write_result(name: str, result: dict[str, Any], *, quick: bool = False) -> Path:
    """Write `results/NAME.json`; a quick run is for looking at, and goes to NAME.quick.json, which git ignores."""
    path = _path(name, quick)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"environment": environment()} | result, indent=1, sort_keys=True) + "\n")
    return path


def earlier(name: str, key: str, *, quick: bool) -> dict[str, Any]:
    """The parts that were measured before, for `--only` to keep."""
    path = _path(name, quick)
    return dict(json.loads(path.read_text()).get(key, {})) if path.exists() else {}


def chosen(parser: ArgumentParser, only: str, known: Sequence[str]) -> list[str]:
    """What `--only` names, with commas; all of `known` where it is empty. Another name ends the program."""
    names = [name for name in only.split(",") if name] or [*known]
    if unknown := set(names) - set(known):
        parser.error(f"--only {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    return names


def conclude(
    name: str,
    said: str | None,
    result: dict[str, Any],
    *,
    figure: str,
    holds: bool = True,
    failures: Sequence[str] = (),
    quick: bool = False,
) -> int:
    """Write a result beside its claim, the first paragraph of what a benchmark says of itself (`__doc__`), and print
    whether it holds, with its figure, last. `failures`: what of it does not. Returns the exit status.
    """
    claim, holds = " ".join((said or "").split("\n\n")[0].split()), holds and not failures
    path = write_result(name, {"claim": claim, "holds": holds, "failures": list(failures)} | result, quick=quick)
    for failure in failures:
        print(f"DOES NOT HOLD: {failure}")
    print(f"{path.name}: claim {'holds' if holds else 'DOES NOT HOLD'}; {figure}")
    return 0 if holds else 1


def few_photographs(source: Path, folder: Path, number: int, labels: Sequence[str] = ()) -> Path:
    """`folder`, with the first photographs of each class of `source` (of `labels`, if any), for quick runs."""
    for label in labels or sorted(each.name for each in source.iterdir() if each.is_dir()):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for file in sorted((source / label).iterdir())[:number]:
            shutil.copy(file, folder / label)
    return folder


def venv(name: str) -> Path:
    """A virtual environment of the packages in NAME.txt, made on first use: benchmarks/.NAME, which git ignores."""
    folder, packages = RESULTS.parent / f".{name}", RESULTS.parent / f"{name}.txt"
    if not (folder / "made").exists():
        print(f"making {folder} (once)", flush=True)
        uv = Path(sys.executable).with_name("uv")
        python = folder / "bin" / "python"
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True
        )  # a .gitignore, too
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "-r", packages], check=True)
        (folder / "made").touch()
    return folder


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most: what a ratio of timings is quoted with."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def _path(name: str, quick: bool) -> Path:
    return RESULTS / (f"{name}.quick.json" if quick else f"{name}.json")


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=RESULTS.parent, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")


def _cpu() -> str:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    flags = Path("/proc/cpuinfo").read_text()
    return f"{names[0] if names else platform.machine()}{' with avx512_bf16' if 'avx512_bf16' in flags else ''}"


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` takes, with what it left the GPU to do, and what it returns."""
    import torch

    begun = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun, result
