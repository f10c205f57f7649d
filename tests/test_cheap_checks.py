"""A mistyped argument is said at once: before torch, FiftyOne and the like are loaded, in every command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from curate.importing.importer import import_folder

pytestmark = pytest.mark.slow

COMMANDS = ("curate", "synth", "fewshot")
HEAVY = {"torch", "torchvision", "open_clip", "timm", "transformers", "diffusers", "ray", "fiftyone", "sklearn"}
TABLES = {"pandas", "pyarrow"}  # half a second: for commands that have found a table to read

# What is wrong, as typed. {collection}: a collection of two classes. {photos}: what it was made from. {model}: a
# directory with a model.json. {sweep}: one with a sweep.json. {file}: a text file. {new}: nothing is there.
PATHS = {
    "curate import": ["{new} {new}/c"],
    "curate download": ["{new} {new}/c"],
    "curate pose": ["{new}", "{photos}", "{collection} --weights {new}"],
    "curate check": ["{new}", "{photos}", "{collection} --checkpoint {new}"],
    "curate drop": ["{new} tree/1.png"],
    "curate keep": ["{new} tree/1.png"],
    "curate relabel": ["{new} tree/1.png --to tree"],
    "curate undo": ["{new} --last 1"],
    "curate log": ["{new}"],
    "curate merge": ["{new} {file}"],
    "curate sets": ["{new}"],
    "curate export": ["{new} {new}/out"],
    "curate app": ["{new}", "{collection} --model ViT-B-32 --checkpoint {new}"],
    "curate sync": ["{new}"],
    "curate status": ["{new}"],
    "curate embed": ["{new}", "{collection} --checkpoint {new}", "{collection} --checkpoint {file}"],
    "synth render": ["{new} --pose-file {file}.yaml"],
    "synth poses": ["--pose-file {file}.yaml"],
    "synth sheet": ["{new} --pose-file {file}.yaml"],
    "synth generate": ["{new} --model augment"],
    "synth accept": ["{new}", "{collection} --checkpoint {new}"],
    "fewshot sweep": ["{new} --out {new}/s", "{collection} --out {new}/s --checkpoint {new}"],
    "fewshot report": ["{new}", "{photos} {new}"],
    "fewshot paper": ["{new} --out {new}/p", "{collection} --out {new}/p --checkpoint {new}"],
    "fewshot train": ["{new} --out {new}/m", "{collection} --out {photos}", "{collection} --out {file}"],
    "fewshot predict": ["{new} {photos}", "{collection} {photos}", "{model} {new}"],
    "fewshot explain": ["{new} {photos}/tree/1.png", "{model} {new}", "{new} {file} --checkpoint {new}"],
    "fewshot export": [
        "{new} --onnx {new}/m.onnx",
        "{model} --onnx {new}/m.onnx --int8 --images {new}",
        "{new} --folder {new}/m",
        "{model} --folder {photos}",
    ],
    "fewshot bench": ["{new}", "{model} --image {new}"],
}
NAMES = {
    "curate import": ["{file} {new}/c"],
    "curate download": [
        "{file}.yaml {new}/c",
        "{photos} {new}/c --engine threads",
        "{photos} {new}/c --retry sometimes",
    ],
    "curate pose": ["{collection} --model blazepose-tiny", "{collection} --engine threads"],
    "curate check": [
        "{collection} --rules blury",
        "{collection} --model ViT-B-33/openai",
        "{collection} --device gpu",
        "{collection} --engine threads",
    ],
    "curate drop": ["{collection} tree/7.png"],
    "curate keep": ["{collection} tree/7.png"],
    "curate relabel": ["{collection} tree/1.png --to tre"],
    "curate undo": ["{collection} tree/7.png"],
    "curate merge": ["{collection} {new}", "{collection} {file}"],
    "curate export": ["{collection} {new}/out --set best", "{collection} {new}/out --format zip"],
    "curate app": ["{collection} --model ViT-B-33/openai", "{collection} --sweep {new}"],
    "curate embed": ["{collection} --model ViT-B-33/openai", "{collection} --device gpu", "{collection} --fit bend"],
    "synth render": ["{new} --poses tre"],
    "synth sheet": ["{new}/sheet.png --poses tre", "{new}/sheet.jpg --poses tree"],
    "synth generate": [
        "{collection} --model augment --from-draw split=0,shots=6 --classes tre",
        "{collection} --model some/model --classes tre",
        "{collection} --model augment --from-draw split=zero",
        "{collection} --model mannequin --device gpu",
        "{collection} --model augment --from-draw pool --format gif",
    ],
    "synth accept": [
        "{collection} --model ViT-B-33",
        "{collection} --device gpu",
        "{collection} --sheet sheet.jpg",
    ],
    "fewshot sweep": [
        "{collection} --out {new}/s --methods magic",
        "{collection} --out {new}/s --sets best",
        "{collection} --out {new}/s --sets filtered",  # never checked
        "{collection} --out {new}/s --recipe soup",
        "{collection} --out {new}/s --classes tre",
        "{collection} --out {new}/s --model ViT-B-33/openai",
        "{collection} --out {new}/s --device gpu",
        "{collection} --out {new}/s --prompt shrt",
        "{collection} --out {new}/s --config {new}",
        "{collection} --out {new}/s --descriptions {new}",
    ],
    "fewshot paper": ["{collection} --out {new}/p --classes tre", "{collection} --out {new}/p --model ViT-B-33/openai"],
    "fewshot train": [
        "{collection} --out {new}/m --method magic",
        "{collection} --out {new}/m --set best",
        "{collection} --out {new}/m --recipe soup",
        "{collection} --out {new}/m --classes tre",
        "{collection} --out {new}/m --model ViT-B-33/openai",
        "{collection} --out {new}/m --device gpu",
    ],
    "fewshot predict": ["{model} {photos} --device gpu", "{model} {photos} --json --csv"],
    "fewshot explain": ["{model} {photos}/tree/1.png --device gpu"],
    "fewshot export": ["{model} --onnx {new}/m.onx"],
    "fewshot bench": ["{model} --device gpu"],
}
NUMBERS = {
    "curate import": ["{photos} {new}/c --max-pixels 0"],
    "curate download": ["{photos} {new}/c --minutes -1", "{photos} {new}/c --workers many"],
    "curate pose": ["{collection} --people 0", "{collection} --workers -1"],
    "curate check": ["{collection} --workers -1", "{collection} --gpu-share 2"],
    "curate undo": ["{collection} --last 0"],
    "curate log": ["{collection} --last 0"],
    "curate export": ["{collection} {new}/out --shard-size 0"],
    "curate app": ["{collection} --port 100000"],
    "curate embed": ["{collection} --workers -1"],
    "synth render": ["{new} --per-class 0", "{new} --size 7"],
    "synth sheet": ["{new}/sheet.png --columns 0"],
    "synth generate": ["{collection} --model augment --per-class 0", "{collection} --model augment --size 7"],
    "synth accept": ["{collection} --workers 0"],
    "fewshot sweep": [
        "{collection} --out {new}/s --splits 0",
        "{collection} --out {new}/s --shots 0",
        "{collection} --out {new}/s --lr -1",
        "{collection} --out {new}/s --test-fraction 2",
    ],
    "fewshot paper": ["{collection} --out {new}/p --splits -1"],
    "fewshot train": ["{collection} --out {new}/m --shots -1", "{collection} --out {new}/m --folds 1"],
    "fewshot predict": ["{model} {photos} --top 0", "{model} {photos} --threshold 2"],
    "fewshot bench": ["{model} --batch 0", "{model} --seconds 0", "{model} --threads 0"],
}

# Runs command lines, each in a copy of a process that has loaded the commands alone, and says how each ended.
RUN = """
import json, os, sys, tempfile
from importlib import import_module
apps = {name: import_module(f"{name}.cli").app for name in ("curate", "synth", "fewshot")}
for line in sys.stdin:
    words = json.loads(line)
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = words
            code = 0
            try:
                apps[words[0]]()
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException as error:
                print("Traceback", repr(error))
                code = 99
            sys.stdout.flush()
            loaded = sorted({name.partition(".")[0] for name in sys.modules})
            print("\\n" + json.dumps([code, loaded]), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        said.seek(0)
        print(json.dumps(said.read()), flush=True)
"""


class Done(NamedTuple):
    code: int
    said: str
    loaded: set[str]


Run = Callable[[str], Done]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from PIL import Image

    root = tmp_path_factory.mktemp("cheap")
    for number, label in enumerate(("plank", "tree")):
        (root / "photos" / label).mkdir(parents=True)
        Image.new("RGB", (160, 120), (90 * number, 99, 50)).save(root / f"photos/{label}/1.png")
    import_folder(root / "photos", root / "collection")
    for folder, name in (("model", "model.json"), ("sweep", "sweep.json")):
        (root / folder).mkdir()
        (root / folder / name).write_text("{}")
    (root / "file").write_text("no ledger\n")
    (root / "file.yaml").write_text("tree: [\n")
    names = ("collection", "photos", "model", "sweep", "file")
    return {name: root / name for name in names} | {"new": root / "new"}


@pytest.fixture(scope="module")
def run(places: dict[str, Path]) -> Any:
    def call(command_line: str) -> Done:
        words = [word.format(**places) for word in command_line.split()]
        print(json.dumps(words), file=process.stdin, flush=True)
        assert process.stdout is not None
        said, _, last = json.loads(process.stdout.readline()).rstrip("\n").rpartition("\n")
        code, loaded = json.loads(last)
        return Done(code, said, set(loaded))

    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", RUN], env=os.environ | {"COLUMNS": "300"}, **pipes) as process:
        yield call
        assert process.stdin is not None
        process.stdin.close()


def commands() -> set[str]:
    found = set()
    for name in COMMANDS:
        app: Any = typer.main.get_command(import_module(f"{name}.cli").commands)
        found |= {f"{name} {command}" for command in app.commands}
    return found


def lines(table: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{command} {words}" for command, several in table.items() for words in several]


def test_every_command_is_asked() -> None:
    """A new one needs a line in PATHS at least, and lines in the others where it takes a name or a number."""
    assert PATHS.keys() == commands()
    assert NAMES.keys() | NUMBERS.keys() <= PATHS.keys()


@pytest.mark.parametrize("command_line", lines(PATHS))
def test_a_path_where_nothing_fitting_is(run: Run, command_line: str) -> None:
    done = run(command_line)
    assert (done.code in (1, 2), "error" in done.said.lower(), "Traceback" in done.said) == (True, True, False), done
    assert done.loaded & (HEAVY | TABLES) == set(), done.said


@pytest.mark.parametrize("command_line", [*lines(NAMES), *lines(NUMBERS)])
def test_a_name_or_a_number_that_makes_no_sense(run: Run, command_line: str) -> None:
    done = run(command_line)
    assert (done.code in (1, 2), "error" in done.said.lower(), "Traceback" in done.said) == (True, True, False), done
    assert done.loaded & HEAVY == set(), done.said


def test_but_for_the_mistake_the_places_are_what_is_asked_for(run: Run) -> None:
    """Else each line above would stumble over something else."""
    assert run("curate status {collection}").code == 0
    assert run("synth generate {collection} --model mannequin --dry-run").code == 0
