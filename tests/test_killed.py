"""Killed at random moments, again and again: the same command goes on, and ends with the files of an undisturbed run.

Downloads and sweeps have such tests of their own, beside theirs.
"""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from curate.pose.estimating import SHARD
from tests import commands
from tests.commands import Commands
from tests.place import Place

pytestmark = pytest.mark.whole

KILLS = 5  # of each command
COMMANDS = {
    "check": "curate check COLLECTION MODEL",
    "pose": "curate pose PEOPLE",
    "train": "fewshot train COLLECTION --out TRAINED --method finetune --epochs 2 MODEL",
    "mannequin": "synth generate COLLECTION --model mannequin --per-class 8 --size 64",
    "augment": "synth generate COLLECTION --model augment --per-class 12 --from-draw split=0,shots=2",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with commands.loaded(tmp_path_factory.mktemp("said")) as loaded:
        yield loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_goes_on_and_ends_with_the_files_of_an_undisturbed_one(
    run: Commands, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place, moments = Place(tmp_path), random.Random(name)
    if name == "pose":
        many_people(run, place)
    command = place.words(COMMANDS[name])
    began = time.monotonic()
    run.done(*command)
    seconds, undisturbed = time.monotonic() - began, place.files()
    place.put_back()
    killed: list[float] = []
    while len(killed) < KILLS:
        moment = moments.uniform(0, seconds)
        process = run.start(*command)
        time.sleep(moment)
        ended = process.kill()
        assert ended.code in (0, -signal.SIGKILL), ended
        if ended.code:
            killed.append(moment)
            continue
        assert place.files() == undisturbed  # it was done before its moment came
        place.put_back()
    run.done(*command)
    assert place.files() == undisturbed, killed
    assert place.left_lying() == []
    with capsys.disabled():
        print(f"\n{name}: {seconds:.2f} s, killed after {', '.join(f'{moment:.2f}' for moment in killed)} s")  # noqa: T201


def many_people(run: Commands, place: Place) -> None:
    """PEOPLE, a collection of many more images than one kill can lose."""
    for command in (
        "synth render RENDERED --poses tree,plank,chair --per-class 24 --size 96 --workers 1",
        "curate import RENDERED PEOPLE",
    ):
        run.done(*place.words(command))
    assert len(Collection.open(place.here / "people").images()) > 2 * SHARD
    place.keep()
