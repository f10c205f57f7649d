"""Random damage to every file of a collection, a sweep and a model: each command that reads it gives the same answer,
says what is lost, or refuses it in one sentence; and what the sentence says to do leads back to the same answers.
"""

import contextlib
import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import curate.cli
import fewshot.cli
from benchmarks import web
from curate.app import predictions
from curate.foundation import console
from curate.foundation.errors import FewposeError

MODEL = ("--model", "tiny/random", "--device", "cpu")
ENTRIES = {"curate": curate.cli.app, "fewshot": fewshot.cli.app}
# What a person may take away: without it, a collection is one where nothing was decided, or people were not looked for.
MAY_BE_ABSENT = {"ledger.jsonl", "keypoints.parquet"}
# Written for people. The App shows the column of influence.csv as it stands there: a CSV has no place for a checksum.
UNREAD = {"README.md", "report.md", "report.html", "influence.csv"}


class Answer(NamedTuple):
    code: int
    said: str  # all that is told, apart from sizes and times
    errors: str


class Place:
    """COLLECTION, SWEEP and MODEL in one folder, and a copy to put them back from."""

    def __init__(self, root: Path) -> None:
        self.root, self.copy = root / "here", root / "copy"
        self.photos, self.links = root / "photos", root / "links.txt"
        self.c, self.s, self.m = (self.root / name for name in ("collection", "sweep", "model"))

    def make(self, site: web.Web) -> None:
        for kind, label in enumerate(("boat", "plank", "tree")):
            (self.photos / label).mkdir(parents=True)
            for number in range(6):
                noise = np.random.default_rng([kind, number]).integers(0, 120, (12, 12, 3))
                noise[..., kind] += 120
                picture = Image.fromarray(noise.astype(np.uint8)).resize((128, 128), Image.Resampling.NEAREST)
                picture.save(self.photos / label / f"{number}.png")
        (self.photos / "tree/broken.png").write_bytes(b"no picture")
        links = [*(f"tree/d{n}.jpg\t{site.url('good', n)}\n" for n in range(3)), f"boat/d9.jpg\t{site.url('404', 9)}\n"]
        self.links.write_text("".join(links))
        self.fill(minutes="5")
        for action, *what in (
            ("drop", "tree/1.png"),
            ("keep", "plank/2.png"),
            ("drop", "boat/0.png"),
            ("undo", "--last", 1),
        ):
            self.done("curate", action, self.c, *what)
        self.sweep()
        self.train()
        self.done("fewshot", "report", self.s)
        self.done("fewshot", "report", self.s, "--out", self.root / "page")
        shutil.rmtree(self.root / "page")
        shutil.copytree(self.root, self.copy)

    # What the sentences say to do

    def fill(self, minutes: str = "0") -> None:
        self.done("curate", "import", self.photos, self.c)
        self.done("curate", "download", self.links, self.c, "--allow-private", "--minutes", minutes)
        self.check()

    def check(self) -> None:
        self.done("curate", "check", self.c, *MODEL)

    def sweep(self) -> None:
        grid = ("--methods", "zero-shot,linear-probe", "--shots", "2", "--splits", "2", "--sets", "unfiltered")
        self.done("fewshot", "sweep", self.c, "--out", self.s, *grid, *MODEL)

    def train(self) -> None:
        self.done("fewshot", "train", self.c, "--out", self.m, "--set", "unfiltered", *MODEL)

    def done(self, command: str, *arguments: object) -> None:
        answer = ask(command, *arguments)
        assert answer.code == 0, (command, arguments, answer.errors)

    def put_back(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.copy, self.root)

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def answers(self, file: Path | None = None) -> dict[str, Answer]:
        """Of the commands that read the part of the folder that a file belongs to; of all without one."""
        asked: dict[str, tuple[Path, Callable[[], Answer]]] = {
            "status": (self.c, lambda: without("caches", ask("curate", "status", self.c, "--json"))),
            "sets": (self.c, lambda: ask("curate", "sets", self.c, "--why", "--json")),
            "log": (self.c, lambda: ask("curate", "log", self.c, "--json")),
            "check": (self.c, lambda: ask("curate", "check", self.c, *MODEL, "--json")),
            "report": (self.s, self._report),
            "app": (self.s, self._app),
            "predict": (self.m, lambda: ask("fewshot", "predict", self.m, *self.photos.glob("*/[12].png"), "--json")),
        }
        return {name: get() for name, (part, get) in asked.items() if file is None or file.is_relative_to(part)}

    def _report(self) -> Answer:
        page = self.root / "page"
        answer = ask("fewshot", "report", self.s, "--out", page)
        if answer.code:
            return answer
        told = (page / "report.md").read_text()
        progress = re.findall(r"\d+ of \d+ trials have run", told)
        tables = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(page.glob("*.csv"))]
        shutil.rmtree(page)
        return Answer(0, f"{progress} {tables}", answer.errors)

    def _app(self) -> Answer:
        console._said.clear()
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            try:
                return Answer(0, predictions.read(self.s).to_csv(), errors.getvalue())
            except FewposeError as error:
                return Answer(error.exit_code, "", f"error: {error}\n")


def ask(command: str, *arguments: object) -> Answer:
    """Run `COMMAND ARGUMENTS` in this process."""
    console._said.clear()  # warnings are said once in a process
    out, errors, before, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = [command, *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            ENTRIES[command]()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except Exception:  # noqa: BLE001  (a fault of ours: it is shown)
        code = 99
        errors.write(traceback.format_exc())
    finally:
        sys.argv = before
    return Answer(code, out.getvalue(), errors.getvalue())


def without(name: str, answer: Answer) -> Answer:
    told = json.loads(answer.said) if answer.said else {}
    return answer._replace(said=json.dumps({key: value for key, value in told.items() if key != name}))


def flip(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flips(content: bytearray, chance: random.Random) -> None:
    for _ in range(8):
        flip(content, chance)


def zeroes(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start : start + 64] = bytes(len(content[start : start + 64]))


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def garbage(content: bytearray, chance: random.Random) -> None:
    content += chance.randbytes(50)


def empty(content: bytearray, chance: random.Random) -> None:
    content.clear()


HARMS = (flip, flip, flip, flips, zeroes, cut, garbage, empty)


def damage(file: Path, others: list[Path], chance: random.Random) -> str:
    """Damage a file in some way; what it is called."""
    number = chance.randrange(len(HARMS) + 2)
    if number == len(HARMS):
        file.unlink()
        return "deleted"
    if number > len(HARMS):
        other = chance.choice([each for each in others if each != file])
        file.write_bytes(other.read_bytes())
        return f"replaced by {other.name}"
    content = bytearray(file.read_bytes()) or bytearray(b"\n")
    HARMS[number](content, chance)
    file.write_bytes(content)
    return HARMS[number].__name__


def outcome(answer: Answer, before: Answer, file: Path, *, gone: bool = False) -> str:
    """gone: whether the file was deleted; a command that was asked later may have made it again."""
    errors = [line for line in answer.errors.splitlines() if line.startswith("error: ")]
    if answer.code == 99 or "Traceback" in answer.errors:
        return "TRACEBACK"
    if answer.code == before.code and answer.said == before.said:
        return "same"
    if answer.code in (1, 2) and len(errors) == 1 and not answer.said.strip("{}"):
        return "refused"
    named = answer.errors.replace(before.errors, "")
    if answer.code == 0 and (file.name in named or re.search("trials have (not )?run", named + answer.said)):
        return "said"
    if file.name in MAY_BE_ABSENT and gone:
        return "absent"
    return "SILENT"


def follow(sentence: str, place: Place) -> bool:
    """Do what a sentence says; False where it says nothing that a program could do."""
    paths = map(Path, re.findall(r"(/[^ ,:;]+)", sentence))
    file = next((path for path in paths if path.is_relative_to(place.root)), None)
    if "write it again with: " in sentence:
        subprocess.run(sentence.partition("with: ")[2], shell=True, check=True)  # noqa: S602
    elif (
        re.search("give the commands again that filled the collection|give curate download all lists", sentence)
        and file
    ):
        file.unlink(missing_ok=True)
        place.fill()
    elif "curate pose" in sentence and file:
        file.unlink()
        place.done("curate", "pose", place.c)
    elif "curate check" in sentence:
        place.check()
    elif "give the fewshot sweep command" in sentence and file:
        file.unlink()
        place.sweep()
    elif "give the fewshot train command" in sentence:
        shutil.rmtree(place.m)
        place.train()
    else:
        return False
    return True


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("damage"))
    with web.serving() as site:
        made.make(site)
    yield made


@pytest.fixture(scope="module")
def before(place: Place) -> dict[str, Answer]:
    found = place.answers()
    place.put_back()
    assert {answer.code for answer in found.values()} == {0}, found
    return found


@pytest.mark.parametrize(
    "seed",
    [pytest.param(0, marks=pytest.mark.slow), *(pytest.param(seed, marks=pytest.mark.whole) for seed in range(1, 10))],
)
def test_damage_is_noticed_and_what_is_said_of_it_is_true(
    place: Place, before: dict[str, Answer], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(seed)
    outcomes: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    for _ in range(20):
        # Files of one kind are many: first a part, then a kind, then a file.
        files = [file for file in place.files() if file.name not in UNREAD and not file.name.endswith(".lock")]
        part = chance.choice((place.c, place.c, place.s, place.m))
        kinds = sorted({_kind(file, place) for file in files if file.is_relative_to(part)})
        kind = chance.choice(kinds)
        file = chance.choice([file for file in files if _kind(file, place) == kind])
        harm = damage(file, files, chance)
        gone, advice = not file.exists(), set()
        for name, answer in place.answers(file).items():
            found = outcome(answer, before[name], file, gone=gone)
            outcomes[kind, name, found] += 1
            if found in ("TRACEBACK", "SILENT"):
                wrong.append((kind, harm, name, found, answer.errors[-1500:], answer.said[:300]))
            if found == "refused":
                advice |= {line for line in answer.errors.splitlines() if line.startswith("error: ")}
        for sentence in sorted(advice):
            if follow(sentence, place):
                outcomes[kind, "advice", "followed"] += 1
                for name, answer in place.answers(file).items():
                    if outcome(answer, before[name], file) not in ("same", "said"):
                        wrong.append((kind, harm, name, f"after: {sentence}", answer.errors[-1500:], answer.said[:300]))
                break
        place.put_back()
    with capsys.disabled():
        lines = [f"{kind:32} {name:8} {found:10} {number}" for (kind, name, found), number in sorted(outcomes.items())]
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert not wrong, "\n\n".join(map(str, wrong))


def _kind(file: Path, place: Place) -> str:
    """Files that are written alike: by folder and ending, those of tables and settings each by its own name."""
    told = file.relative_to(place.root)
    deep = len(told.parts) > 2
    return f"{told.parts[0]}/{told.parts[1]}{'/*' + file.suffix if deep else ''}"
