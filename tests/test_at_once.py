"""Two commands at once in one place: both do what they would do alone, or one is refused, and done when asked again."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.collection.directory import Collection
from curate.collection.ledger import Ledger
from tests import commands
from tests.commands import Commands
from tests.place import Place

pytestmark = pytest.mark.whole

SWEEP = "fewshot sweep COLLECTION --out SWEPT --methods linear-probe --shots 2 --splits 8 --workers 1 MODEL"
TRAIN = "fewshot train COLLECTION --out TRAINED --set unfiltered MODEL"
CHECK = "curate check COLLECTION MODEL"
IMPORT = "curate import MORE COLLECTION"
POSE = "curate pose COLLECTION"
DROP = "curate drop COLLECTION tree/1.png"
GENERATE = "synth generate COLLECTION --model mannequin --per-class 6 --size 64"
ACCEPT = "synth accept COLLECTION MODEL"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with commands.loaded(tmp_path_factory.mktemp("said")) as loaded:
        yield loaded


@pytest.fixture
def place(tmp_path: Path, run: Commands) -> Place:
    """With a few synthetic images, and photographs that are not in the collection yet."""
    made = Place(tmp_path)
    run.done(*made.words("synth generate COLLECTION --model mannequin --per-class 1 --size 64"))
    run.done(*made.words("synth render MORE --poses tree --per-class 6 --size 64"))
    made.keep()
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SWEEP, SWEEP),
        (TRAIN, TRAIN),
        (CHECK, DROP),
        (IMPORT, CHECK),
        (IMPORT, IMPORT),
        (IMPORT, POSE),
        (POSE, CHECK),
        (POSE, POSE),
        (GENERATE, ACCEPT),
        (GENERATE, CHECK),
    ],
    ids=lambda command: command.split()[1],
)
def test_two_at_once_do_what_they_do_one_after_the_other(
    run: Commands, place: Place, one: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = random.Random(one + other)
    began = time.monotonic()
    for command in (one, other):
        run.done(*place.words(command))
    seconds, alone = time.monotonic() - began, place.files()
    told = []
    for later in (0.0, moments.uniform(0, seconds / 2)):
        place.put_back()
        both = [run.start(*place.words(one))]
        time.sleep(later)
        both.append(run.start(*place.words(other)))
        ended = [each.wait() for each in both]
        assert all(each.code == 0 or each.refused for each in ended), ended
        assert any(each.code == 0 for each in ended), ended
        told.append("+".join("refused" if each.code else "done" for each in ended))
        for command in (one, other):
            run.done(*place.words(command))
        assert place.files() == alone, ended
        assert place.left_lying() == []
    with capsys.disabled():
        print(f"\n{one.split()[1]} and {other.split()[1]}: {', '.join(told)}")  # noqa: T201


def test_decisions_at_once_are_all_kept(run: Commands, place: Place) -> None:
    keys = [f"{label}/{number}.png" for label in ("plank", "tree") for number in range(4)]
    checking = run.start(*place.words(CHECK))
    deciding = [run.start("curate", "drop", place.here / "collection", key) for key in keys]
    assert [each.wait().code for each in (checking, *deciding)] == [0] * 9
    entries = Ledger(Collection.open(place.here / "collection")).entries
    assert sorted(entry.key for entry in entries) == keys
