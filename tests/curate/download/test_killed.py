"""Downloads that are killed, or stopped by hand: the same command goes on, and ends as if nothing had been."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import web
from benchmarks.web import Web

pytestmark = pytest.mark.whole

if TYPE_CHECKING:
    from tests.curate.download.conftest import Place

ROOT = Path(__file__).parents[3]
LINKS = 300
KILLS = 4
OPTIONS = ("--allow-private", "--spacing", "0", "--per-site", "2", "--connections", "16")
# A process that was started in the background ignores Ctrl-C; a person's doesn't.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from curate.cli import app
app()
"""

Process = subprocess.Popen[str]


def start(source: Path, collection: Path, *options: str) -> Process:
    command: list[str | Path] = [sys.executable, "-c", PROGRAM, "download", source, collection, *OPTIONS, *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_rows(process: Process, journal: Path, number: int) -> None:
    """Until the journal has so many."""
    end = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < number:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.002)


def wait_for_word(process: Process, word: str) -> None:
    assert process.stdout
    assert any(word in line for line in process.stdout)


def mixed(site: Web) -> dict[str, str]:
    """Every outcome here is final, so no link needs to be asked twice. No two have the same number."""
    names = ["good"] * 5 + ["404", "html", "redirect", "500-then-good", "png"]
    links = {}
    for n in range(LINKS):
        name = names[n % len(names)]
        links[f"{name}/{n}.jpg"] = site.url(name, n, f"127.4.0.{n % 20 + 1}")
    for n in range(LINKS, LINKS + 5):
        links[f"removed-{n % 2}/{n}.jpg"] = site.url("placeholder", n, "127.4.1.1")
    return links


def number(place: str) -> str:
    return place.partition("?")[0].rpartition("/")[2]


def answered(journal: Path) -> set[str]:
    """The numbers of the links whose rows are whole."""
    lines = journal.read_bytes().splitlines(keepends=True)
    return {number(json.loads(line)["url"]) for line in lines if line.endswith(b"\n")}


def requests(site: Web) -> Counter[str]:
    """How often each number was asked for, redirects included."""
    found: Counter[str] = Counter()
    for path, times in site.counts()["paths"].items():
        found[number(path)] += times
    return found


def test_killed_at_any_moment_it_ends_with_the_tables_of_an_undisturbed_run(
    slow_site: Web, place: "Place", make_place: Callable[[], "Place"]
) -> None:
    links = mixed(slow_site)
    undisturbed = make_place()
    process = start(undisturbed.write(links), undisturbed.root)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    slow_site.reset()  # it forgets what it has answered, too

    source, journal = place.write(links), place.root / "downloads.jsonl"
    seed = random.randrange(1 << 32)
    moments: list[Callable[[Process], None]] = [
        partial(wait_for_rows, journal=journal, number=rows)
        for rows in sorted(random.Random(seed).sample(range(1, LINKS), KILLS))
    ]
    moments.append(partial(wait_for_word, word="looking for copies"))  # all is answered, no table is written
    finished: dict[str, int] = {}
    killed = 0
    for moment in moments:
        process = start(source, place.root)
        moment(process)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        counts = requests(slow_site)
        finished = {one: counts[one] for one in answered(journal)} | finished
        for key, content in place.files.items():
            behaviour, file = links[key].split("/")[3:]
            assert content == web.content(behaviour, int(file.removesuffix(".jpg"))), (
                f"{key} is not whole (seed {seed})"
            )

    assert killed >= KILLS  # the last one may have come to its end
    process = start(source, place.root)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert place.tables == undisturbed.tables, f"seed {seed}"
    assert place.files == undisturbed.files, f"seed {seed}"
    counts = requests(slow_site)
    assert {one: counts[one] for one in finished} == finished, f"asked again, seed {seed}"
    assert len(finished) == len(links)
    assert [path.name for path in place.root.iterdir() if path.name.startswith((".copying", ".writing"))] == []


def test_stopped_by_hand_it_ends_at_once_says_how_to_go_on_and_does(site: Web, place: "Place") -> None:
    links = {f"good/{n}.jpg": site.url("good", n, f"127.5.0.{n}") for n in range(10)}
    links |= {f"late/{n}.jpg": site.url("stall-then-good", n, f"127.5.1.{n}") for n in range(10, 20)}
    source, journal = place.write(links), place.root / "downloads.jsonl"
    # So many connections that those that hang leave some to the others, whichever worker owns their hosts.
    process = start(source, place.root, "--read-timeout", "60", "--deadline", "120", "--connections", "48")
    wait_for_rows(process, journal, 10)
    hanging = sum(times for path, times in site.counts()["paths"].items() if "stall" in path)
    assert hanging > 0
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said = process.communicate()[0]
    assert time.monotonic() - began < 8
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said

    process = start(source, place.root, "--read-timeout", "2", "--deadline", "20")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert set(place.causes.values()) == {"kept"}
    assert {path: times for path, times in site.counts()["paths"].items() if "good/" in path and times > 1} == {
        f"127.5.1.{n}/stall-then-good/{n}.jpg": 2 for n in range(10, 20)
    }


def test_only_one_download_at_a_time_changes_a_collection(site: Web, place: "Place") -> None:
    source = place.write({"good/1.jpg": site.url("good", 1), "stall/2.jpg": site.url("stall", 2)})
    first = start(source, place.root, "--read-timeout", "60", "--deadline", "120")
    wait_for_rows(first, place.root / "downloads.jsonl", 1)
    second = start(source, place.root)
    said = second.communicate()[0]
    assert (second.returncode, "another command is changing" in said) == (1, True)
    first.kill()
    first.communicate()
