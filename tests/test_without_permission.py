"""Folders that may not be read or written: one sentence that names the place, exit code 1, and nothing has changed."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import web
from tests import commands
from tests.commands import Commands, Ended, words
from tests.synth.generate import a_collection

pytestmark = pytest.mark.whole

# Root without the capabilities that make root a root: permissions hold for it as for anybody.
OBEYING = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
NOTHING, READ = 0o000, 0o555

# As tests.commands.words reads them. OUT is an empty folder.
GRID = "--methods linear-probe --shots 2 --splits 1 --sets unfiltered --workers 1 MODEL"
COMMANDS = {
    "status": "curate status COLLECTION --json",
    "sets": "curate sets COLLECTION --json",
    "log": "curate log COLLECTION --json",
    "pose": "curate pose COLLECTION",
    "check": "curate check COLLECTION MODEL",
    "drop": "curate drop COLLECTION tree/1.png",
    "undo": "curate undo COLLECTION --last 1",
    "embed": "curate embed COLLECTION MODEL",
    "export": "curate export COLLECTION OUT/EXPORTED --set unfiltered",
    "import": "curate import PHOTOS COLLECTION",
    "import anew": "curate import PHOTOS OUT/NEW",
    "download": "curate download LINKS.TXT COLLECTION --allow-private",
    "download anew": "curate download LINKS.TXT OUT/NEW --allow-private",
    "sweep": f"fewshot sweep COLLECTION --out SWEPT {GRID}",
    "sweep anew": f"fewshot sweep COLLECTION --out OUT/SWEPT {GRID}",
    "report": "fewshot report SWEPT",
    "report elsewhere": "fewshot report SWEPT --out OUT/PAGE",
    "train": "fewshot train COLLECTION --out TRAINED --set unfiltered MODEL",
    "train anew": "fewshot train COLLECTION --out OUT/TRAINED --set unfiltered MODEL",
    "predict": "fewshot predict TRAINED PHOTOS --json",
    "onnx": "fewshot export TRAINED --onnx OUT/TRAINED.ONNX",
    "render": "synth render OUT/RENDERED --poses tree --per-class 1 --size 64",
    "generate": "synth generate COLLECTION --model mannequin --per-class 2 --size 64",
    "accept": "synth accept COLLECTION MODEL",
}
SAY_JSON = {name for name, command in COMMANDS.items() if command.endswith("--json")}
# What may not be done with which folder, and the commands that need no more: features are in the cache. All others that
# name the folder are refused.
CASES: list[tuple[str, int, set[str]]] = [
    (
        "collection",
        READ,
        {"status", "sets", "log", "embed", "export", "sweep", "sweep anew", "train", "train anew"},
    ),
    ("collection", NOTHING, set()),
    ("collection/images", NOTHING, COMMANDS.keys() - {"export", "import", "download", "generate"}),
    ("collection/images.parquet", NOTHING, {"log"}),
    ("out", READ, set()),
    ("out", NOTHING, set()),
    ("swept", READ, {"report elsewhere"}),
    ("swept", NOTHING, set()),
    ("trained", READ, {"predict", "onnx"}),
    ("trained", NOTHING, set()),
    ("photos", NOTHING, set()),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Photographs, a collection, a sweep and a model of it, and a folder for what is written."""
    root = tmp_path_factory.mktemp("permission") / "place"
    a_collection.collection(root)
    (root / "out").mkdir()
    with web.serving() as site, commands.loaded(tmp_path_factory.mktemp("said")) as run:
        (root / "links.txt").write_text(f"tree/d1.jpg\t{site.url('good', 1)}\n")
        for command in (
            "synth generate COLLECTION --model mannequin --per-class 1 --size 64",
            "curate drop COLLECTION tree/2.png",
            *(COMMANDS[name] for name in ("pose", "check", "accept", "sweep", "report", "train")),
        ):
            run.done(*words(command, root))
        shutil.copytree(root, root.with_name("kept"))
        yield root


@pytest.fixture(scope="module")
def obeying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("needs to start processes for which permissions hold (root, setpriv)")
    with commands.loaded(tmp_path_factory.mktemp("said"), OBEYING) as run:
        yield run


def state(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"
        for path in root.rglob("*")
        if not (path.name.endswith(".lock") or path.name in ("links.parquet", "downloads.jsonl"))  # as work begins
        and "signatures" not in path.parts  # what is known of a picture that could not be kept
    }


@contextmanager
def forbidden(folder: Path, mode: int) -> Iterator[None]:
    """READ: of all that is in it; NOTHING: of it alone."""
    if mode == READ:
        subprocess.run(["chmod", "-R", "a-w", folder], check=True)
    else:
        folder.chmod(mode)
    yield
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)


@pytest.mark.parametrize(("folder", "mode", "fine"), CASES, ids=[f"{folder}-{mode:o}" for folder, mode, _ in CASES])
def test_what_is_forbidden_is_said_in_one_sentence_and_nothing_changes(
    place: Path, obeying: Commands, folder: str, mode: int, fine: set[str]
) -> None:
    wrong = []
    for name, command in COMMANDS.items():
        if f" {folder.partition('/')[0].upper()}" not in command:
            continue
        allowed = obeying.done(*words(command, place)).said if name in SAY_JSON else ""
        before = state(place)
        with forbidden(place / folder, mode):
            ended = obeying.run(*words(command, place))
        if name in fine:
            right = ended.code == 0 and (not allowed or ended.said == allowed)
        else:
            right = says_why(ended, place) and state(place) == before
        if not right:
            wrong.append((name, ended))
        if state(place) != before:
            shutil.rmtree(place)
            shutil.copytree(place.with_name("kept"), place)
    assert not wrong, "\n".join(map(str, wrong))


def says_why(ended: Ended, place: Path) -> bool:
    """By a sentence of ours, or by Typer's, which looks at what is to be read."""
    typed = ended.code == 2 and ended.said.count("Error: ") == 1 and "is not readable" in ended.said
    return (typed or ended.refused) and str(place) in ended.said and ".writing-" not in ended.said
