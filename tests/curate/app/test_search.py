"""Text search by the collection's own model, in a process that only knows the database."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.curate.app import colours

pytestmark = pytest.mark.app

BUILD = """
import sys
from pathlib import Path
from curate.app import database, dataset, index
from curate.collection.directory import Collection
collection = Collection.open(Path(sys.argv[1]))
database.connect(collection)
features = index.embedded(collection, collection.images(), sys.argv[2], Path(sys.argv[3]) if sys.argv[3] else None)
dataset.build(collection, features)
"""
SEARCH = """
import json, sys
from pathlib import Path
from curate.app import database, dataset
from curate.collection.directory import Collection
collection = Collection.open(Path(sys.argv[1]))
database.connect(collection)
found = dataset.opened(collection).sort_by_similarity(sys.argv[2], k=int(sys.argv[3]), brain_key="text")
print("found", json.dumps(found.values("key")))
"""


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    result: str = said
    return result


def found(said: str) -> list[str]:
    result: list[str] = json.loads(
        next(line for line in said.splitlines() if line.startswith("found")).removeprefix("found")
    )
    return result


def test_a_new_process_finds_the_planted_image_by_text(fiftyone_installed: None, tmp_path: Path, program: Any) -> None:
    colours.train(tmp_path / "colours.safetensors")
    collection = colours.collection(tmp_path)
    finish(program.start(BUILD, collection.root, colours.MODEL, tmp_path / "colours.safetensors"))
    red = [key for key in collection.images()["key"] if key.startswith("red/")]
    said = finish(program.start(SEARCH, collection.root, colours.prompt("red"), str(len(red) + 1)))
    assert sorted(found(said)) == sorted([*red, colours.PLANTED])


def test_an_untrained_text_tower_searches_without_an_error(
    fiftyone_installed: None, tmp_path: Path, program: Any
) -> None:
    collection = colours.collection(tmp_path)
    finish(program.start(BUILD, collection.root, "tiny/random", ""))
    assert len(found(finish(program.start(SEARCH, collection.root, "a red square", "5")))) == 5
