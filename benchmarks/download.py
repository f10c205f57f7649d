"""Claim: a well-behaved web is asked at least as fast as img2dataset that checks its pictures, too, asks it. On
a web of which a sixth misbehaves it ends within twice that time, a deadline and a read timeout, keeps nothing that is
wrong and loses nothing that is good, where img2dataset does not end. 100,000 links take less than 500 MB.

Both sides ask the same loopback web (benchmarks/web.py, another process), in turn, each with 64 connections, for the
same job: the bytes as they came, no resizing, no hashes or EXIF. img2dataset is measured in three ways: checking that
what it keeps is a picture by decoding it (skip_reencode), and storing whatever came (disable_all_reencoding) in one
process and in two. The first is the one that the claim is about: to tell a picture from what only says that it is one
is most of our work, and who leaves it out does another job; the others are beside it to tell what it costs. Neither
side's start is counted: of img2dataset, it is the time from the first to the last of its shards; of ours, from the
first question until every picture and every row of the journal is in its place. The whole of `run.download` is beside
it: it reads the list, searches all pictures for copies and writes the tables, which img2dataset does not do. Nothing
spaces our requests out, as img2dataset doesn't, but for the runs called polite, which have our defaults.

    python -m benchmarks.download            about 15 minutes, half of them waiting for img2dataset
    python -m benchmarks.download --quick    about a minute; it asks for 0.8 of img2dataset's rate
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import web as hostile_web
from benchmarks.common import spread, write_result
from benchmarks.web import Web, serving
from curate.collection.directory import Collection
from curate.download import run
from curate.download.web.outcome import Outcome
from curate.download.web.settings import Settings

HERE = Path(__file__).parent
VENV = HERE / ".img2dataset"
HOSTS = 64
CONNECTIONS = 64
MOST_MEGABYTES = 500
LEAST_IN_HASTE = 0.8  # of img2dataset's rate, when it is measured for a second
THEIR_MEMORY = 4 << 30  # bytes: an answer without an end would take the machine's

FAST = Settings(allow_private=True, connections=CONNECTIONS, spacing=0.0)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    links: int
    rounds: int
    hostile_links: int
    settings: Settings  # on the hostile web: its timeouts are what a benchmark waits for
    patience: float  # seconds that img2dataset is given there
    many_links: int
    ways: tuple[str, ...]  # of img2dataset


THEIRS = {  # what each way of img2dataset is told, and its processes
    "checking": (["--skip_reencode=True"], 1),
    "unchecked": (["--disable_all_reencoding=True"], 1),
    "unchecked, two processes": (["--disable_all_reencoding=True"], 2),
}

# By default, too, a deadline is four times as long as what is waited for a byte.
WHOLE = Size(
    3_000, 3, 3_000, replace(FAST, connect_timeout=2.5, read_timeout=2.5, deadline=10.0), 60, 100_000, tuple(THEIRS)
)
QUICK = Size(400, 3, 600, replace(FAST, connect_timeout=1.0, read_timeout=1.0, deadline=4.0), 8, 2_000, ("checking",))

# Hosts that do nothing else, and how many links there are to each. All behaviours stand on good hosts, too.
OWN_HOSTS = {
    "stall": 40,
    "stall-in-body": 40,
    "tls-hang": 24,
    "drip-body": 24,
    "drip-headers": 24,
    "endless-body": 8,
    "429": 24,
    "404": 40,
    "refused": 24,
    "placeholder": 12,
}
SCATTERED = 3  # links of each behaviour among the good hosts


class Link(NamedTuple):
    url: str
    content: str  # the SHA-256 of what is to be kept, "" where nothing is


@dataclass(frozen=True)
class Kept:
    """What a side made of the links."""

    right: int
    lost: int  # good ones that were not kept
    wrong: int  # kept, and no picture or a placeholder
    altered: int  # good ones that were kept with other bytes


# The webs


def good_links(web: Web, count: int) -> list[Link]:
    return [_link(web, "good", number, _good_host(number)) for number in range(count)]


def hostile_links(web: Web, count: int) -> list[Link]:
    """As many links, some of which are replaced, in random order."""
    bad = [(name, _good_host(7 * n + i)) for i, name in enumerate(web.behaviours()) for n in range(SCATTERED)]
    bad += [(name, f"127.1.{i + 1}.1") for i, name in enumerate(OWN_HOSTS) for _ in range(OWN_HOSTS[name])]
    links = [_link(web, name, number, host) for number, (name, host) in enumerate(bad)]
    links += [_link(web, "good", number, _good_host(number)) for number in range(len(links), count)]
    random.Random(0).shuffle(links)
    return links


def _good_host(number: int) -> str:
    return f"127.0.{number % HOSTS + 1}.1"


def _link(web: Web, name: str, number: int, host: str) -> Link:
    kept = hostile_web.BEHAVIOURS[name].last is Outcome.KEPT
    content = hashlib.sha256(hostile_web.content(name, number)).hexdigest() if kept else ""
    return Link(web.url(name, number, host), content)


def write_list(links: list[Link], folder: Path) -> Path:
    path = folder / "links.txt"
    path.write_text("".join(f"{link.url}\n" for link in links))
    return path


def judged(links: list[Link], kept: dict[str, str]) -> Kept:
    """kept: the SHA-256 of what lies there, by URL."""
    counts = Counter(_judgement(link.content, kept.get(link.url, "")) for link in links)
    return Kept(counts["right"], counts["lost"], counts["wrong"], counts["altered"])


def _judgement(wanted: str, found: str) -> str:
    if found == wanted:
        return "right" if wanted else "rightly dropped"
    if not wanted:
        return "wrong"
    return "altered" if found else "lost"


def _fresh(folder: Path) -> Path:
    """Nothing is deleted between runs: for minutes, ext4 searches long for a free inode where thousands were freed."""
    folder.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# Ours


@dataclass(frozen=True)
class Ours:
    seconds: float
    asking: float  # seconds of it
    left: int  # links that had no answer when `minutes` were over
    kept: dict[str, str]


def ours(links: Path, folder: Path, settings: Settings, minutes: float | None = None) -> Ours:
    times: list[float] = []

    def timed_engine(settings: Settings) -> run.Engine:
        engine = run.on_processes(settings)
        stop = engine.stop

        def timed_stop() -> None:
            times.append(time.perf_counter())
            stop()

        engine.stop = timed_stop  # type: ignore[method-assign]
        times.append(time.perf_counter())
        return engine

    folder = _fresh(folder)
    os.sync()  # the tables are written after a sync of the whole machine: not of what the other side wrote
    begun = time.perf_counter()
    summary = run.download(links, folder, settings=settings, minutes=minutes, make_engine=timed_engine)
    seconds = time.perf_counter() - begun
    collection = Collection.open(folder)
    images = collection.images()
    kept = {url: _sha256(collection.path(file)) for url, file in zip(images["url"], images["file"], strict=True)}
    return Ours(seconds, times[1] - times[0], summary.left, kept)


# Theirs


def img2dataset() -> Path:
    """The program, in a venv that is made where there is none."""
    program = VENV / "bin" / "img2dataset"
    if not program.exists():
        print(f"making {VENV} for img2dataset (once)", flush=True)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", VENV], check=True)
        command = [str(uv), "pip", "install", "--quiet", "--python", str(VENV), "-r", str(HERE / "img2dataset.txt")]
        subprocess.run(command, check=True)
    return program


@dataclass(frozen=True)
class Theirs:
    seconds: float  # of the shards, or until it was stopped
    ended: bool
    kept: dict[str, str]


def theirs(links: Path, count: int, folder: Path, way: str, settings: Settings, most_seconds: float) -> Theirs:
    """One run, stopped with all its processes after `most_seconds`."""
    words, processes = THEIRS[way]
    folder = _fresh(folder)
    command = [
        str(img2dataset()),
        f"--url_list={links}",
        f"--output_folder={folder}",
        f"--processes_count={processes}",
        f"--thread_count={CONNECTIONS // processes}",
        f"--number_sample_per_shard={-(-count // processes)}",
        f"--timeout={settings.read_timeout}",
        f"--retries={settings.attempts - 1}",
        "--resize_mode=no",
        "--extract_exif=False",
        "--compute_hash=None",
        *words,
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_limit_memory
    ) as process:
        try:
            said, _ = process.communicate(timeout=most_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Theirs(most_seconds, False, _their_files(folder))
    if process.returncode:
        raise RuntimeError(f"img2dataset failed: {said.decode(errors='replace')[-2000:]}")
    stats = [json.loads(file.read_text()) for file in folder.glob("*_stats.json")]
    seconds = max(each["end_time"] for each in stats) - min(each["start_time"] for each in stats)
    return Theirs(seconds, True, _their_files(folder))


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (THEIR_MEMORY, THEIR_MEMORY))


def _their_files(folder: Path) -> dict[str, str]:
    """Beside each picture lies a JSON file; the one that was just being written when it was stopped may be cut off."""
    kept = {}
    for file in folder.glob("*/*.json"):
        with contextlib.suppress(ValueError):
            kept[json.loads(file.read_text())["url"]] = _sha256(file.with_suffix(".jpg"))
    return kept


# (a) and (b)


def well_behaved(web: Web, size: Size, folder: Path) -> dict[str, Any]:
    """Links a second of both sides in turn."""
    count = size.links
    links = good_links(web, count)
    listed = write_list(links, folder)
    rates: dict[str, list[float]] = {way: [] for way in ("ours", "ours, the whole", *size.ways)}
    if size.rounds > 1:  # one alone is no measurement anyway
        theirs(listed, count, folder / "theirs", size.ways[0], FAST, 600)  # the page cache warm for both sides
        ours(listed, folder / "ours", FAST)
    for _ in range(size.rounds):
        mine = ours(listed, folder / "ours", FAST)
        _all_right(links, mine.kept)
        rates["ours"].append(count / mine.asking)
        rates["ours, the whole"].append(count / mine.seconds)
        for way in size.ways:
            them = theirs(listed, count, folder / "theirs", way, FAST, 600)
            _all_right(links, them.kept)
            rates[way].append(count / them.seconds)
        print("  " + ", ".join(f"{way} {rate[-1]:.0f}" for way, rate in rates.items()), flush=True)
    polite = ours(listed, folder / "ours", Settings(allow_private=True))
    ratios = {way: [a / b for a, b in zip(rates["ours"], rates[way], strict=True)] for way in size.ways}
    return {
        "links": count,
        "hosts": HOSTS,
        "links_per_second": {way: spread(rate) for way, rate in rates.items()},
        "polite_links_per_second": count / polite.seconds,
        "ratio": {way: spread(ratio) for way, ratio in ratios.items()},
    }


def _all_right(links: list[Link], kept: dict[str, str]) -> None:
    if judged(links, kept) != Kept(len(links), 0, 0, 0):
        raise RuntimeError(f"on a web without faults: {judged(links, kept)}")


def hostile(web: Web, size: Size, rate: float, folder: Path) -> dict[str, Any]:
    """Both sides on the hostile web. rate: our links a second on the well-behaved one."""
    links = hostile_links(web, size.hostile_links)
    listed = write_list(links, folder)
    # A host that hangs is tried once more when all else is done, so that no good link is lost: a read timeout more.
    bound = 2 * len(links) / rate + size.settings.deadline + size.settings.read_timeout
    web.reset()  # some of its answers depend on what was asked before
    mine = ours(listed, folder / "ours", size.settings, minutes=3 * bound / 60)
    result: dict[str, Any] = {
        "links": len(links),
        "good": sum(link.content != "" for link in links),
        "deadline_seconds": size.settings.deadline,
        "bound_seconds": bound,
        "ours": _account(mine.seconds, not mine.left, links, mine.kept),
    }
    for way in _hostile_ways(size):
        web.reset()
        them = theirs(listed, len(links), folder / "theirs", way, size.settings, size.patience)
        result[way] = _account(them.seconds, them.ended, links, them.kept)
    return result


def _hostile_ways(size: Size) -> list[str]:
    """Two processes hang as one does."""
    return [way for way in size.ways if THEIRS[way][1] == 1]


def _account(seconds: float, ended: bool, links: list[Link], kept: dict[str, str]) -> dict[str, Any]:
    return {"seconds": round(seconds, 1), "ended": ended, **asdict(judged(links, kept))}


# Memory


def memory(web: Web, count: int, folder: Path) -> dict[str, Any]:
    """Megabytes of the whole command, at its most and as it goes on: of all its processes, what they share once."""
    listed = write_list(good_links(web, count), folder)
    collection = _fresh(folder / "ours")
    command = [str(Path(sys.executable).with_name("curate")), "download", str(listed), str(collection)]
    command += ["--allow-private", "--spacing", "0", "--connections", str(CONNECTIONS)]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        samples = [(time.perf_counter() - begun, *sample) for sample in _samples(process, collection)]
    if process.returncode:
        raise RuntimeError(f"curate download ended with {process.returncode}")
    asking = [(answered, now) for _, answered, now, _ in samples if 0.2 * count <= answered < count]
    return {
        "links": count,
        "seconds": round(time.perf_counter() - begun, 1),
        "most_megabytes": max(most for *_, most in samples),
        "most_megabytes_asking": max(now for _, now in asking),
        "megabytes_by_links": asking[:: max(1, len(asking) // 20)],
        "kilobytes_a_link": round((asking[-1][1] - asking[0][1]) * 1000 / (asking[-1][0] - asking[0][0]), 2),
    }


def _samples(process: subprocess.Popen[bytes], collection: Path) -> Iterator[tuple[int, float, float]]:
    """Links that were answered, megabytes now, and the most so far; ten times a second."""
    journal, read, answered, most = collection / "downloads.jsonl", 0, 0, 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError):  # not there yet
            with journal.open("rb") as file:
                file.seek(read)
                new = file.read()
            read, answered = read + len(new), answered + new.count(b"\n")
        now = _megabytes(process.pid)
        most = max(most, now)
        yield answered, round(now, 1), round(most, 1)
        time.sleep(0.1)


def _megabytes(root: int) -> float:
    """Proportional set sizes of a process and all that it started, added up."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):  # it just ended
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            sizes[pid] = folder / "smaps_rollup"
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(map(_proportional, (sizes[pid] for pid in family if pid in sizes)))


def _proportional(rollup: Path) -> float:
    with contextlib.suppress(OSError):
        told = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
        return int(told.split()[1]) * 1024 / 1e6
    return 0.0


# The figure


def claims(result: dict[str, Any], least: float) -> dict[str, bool]:
    """least: times img2dataset's rate."""
    good, bad, mega = result["well_behaved"], result["hostile"], result["memory"]
    mine = bad["ours"]
    return {
        f"at least {least:g} times img2dataset's rate": good["ratio"]["checking"]["median"] >= least,
        "ends in time": mine["ended"] and mine["seconds"] <= bad["bound_seconds"],
        "nothing wrong, nothing lost": mine["wrong"] == mine["lost"] == mine["altered"] == 0,
        "img2dataset does not end": not any(bad[way]["ended"] for way in THEIRS if way in bad),
        f"less than {MOST_MEGABYTES} MB": mega["most_megabytes"] < MOST_MEGABYTES,
    }


def tell(result: dict[str, Any]) -> None:
    good, bad, mega = result["well_behaved"], result["hostile"], result["memory"]
    print(f"(a) {good['links']} links of {good['hosts']} hosts that behave, links/s (and ours to it):")
    for way, rate in good["links_per_second"].items():
        ratio = good["ratio"].get(way)
        times = f"  {ratio['median']:.2f}x ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else ""
        print(f"  {way:26} {rate['median']:6.0f} ({rate['min']:.0f} to {rate['max']:.0f}){times}")
    print(f"  {'ours, polite':26} {good['polite_links_per_second']:6.0f}")
    print(f"(b) {bad['links']} links, {bad['good']} of them good, in {bad['bound_seconds']:.1f} s at most:")
    for side in filter(bad.__contains__, ("ours", *THEIRS)):
        told = bad[side]
        how = "ended after" if told["ended"] else "had not ended after"
        counts = ", ".join(f"{name} {told[name]}" for name in ("right", "lost", "wrong", "altered"))
        print(f"  {side:10} {how} {told['seconds']} s: {counts}")
    print(
        f"(c) {mega['links']} links: {mega['most_megabytes']} MB at most, {mega['most_megabytes_asking']} asking, "
        f"{mega['kilobytes_a_link']} kB a link more; {mega['seconds']} s"
    )


def measured(size: Size, folder: Path) -> dict[str, Any]:
    with serving() as web:
        print(f"well-behaved: {size.links} links, {size.rounds} rounds, links/s", flush=True)
        good = well_behaved(web, size, folder)
        print(f"hostile: {size.hostile_links} links", flush=True)
        bad = hostile(web, size, good["links_per_second"]["ours, the whole"]["median"], folder)
        print(f"memory: {size.many_links} links", flush=True)
        return {"well_behaved": good, "hostile": bad, "memory": memory(web, size.many_links, folder)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measured(QUICK if options.quick else WHOLE, Path(folder))
    tell(result)
    held = claims(result, LEAST_IN_HASTE if options.quick else 1.0)
    told = {"claim": __doc__.split("\n\n")[0], "holds": all(held.values()), "claims": held}
    path = write_result("download", told | result, quick=options.quick)
    missed = [name for name, holds in held.items() if not holds]
    print(f"{path.name}: " + (f"DOES NOT HOLD: {', '.join(missed)}" if missed else "all claims hold"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
