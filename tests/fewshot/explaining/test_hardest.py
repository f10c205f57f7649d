"""`fewshot explain SWEEP`: images of the hardest pairs, by the classifier that got them wrong, and in the report."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.collection.directory import Collection
from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.importing.importer import import_folder
from curate.sweeps import records
from curate.sweeps.records import read_predictions, read_sweep
from fewshot.explaining.hardest import OF_A_PAIR, explain_sweep, hardest
from fewshot.measuring import tables
from fewshot.measuring.measure import Cell, measure
from fewshot.reporting import write_report
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.task import Fitted
from fewshot.trained.fitting import Fitting
from fewshot.trials.explained import FILE, FOLDER, read_shown

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
Settings = Callable[..., SweepSettings]


@pytest.fixture(scope="module")
def many(
    tmp_path_factory: pytest.TempPathFactory, make_collection: Callable[[Path, dict[str, int]], Collection]
) -> Collection:
    """Ten classes, of which an untrained model that goes by their words mixes up nearly all."""
    return make_collection(tmp_path_factory.mktemp("many") / "collection", dict.fromkeys("abcdefghij", 12))


@pytest.fixture(scope="module")
def kept_sweep(tmp_path_factory: pytest.TempPathFactory, many: Collection) -> Path:
    """A sweep with mistakes, for tests that only read it."""
    out = tmp_path_factory.mktemp("sweep") / "sweep"
    sets = ("unfiltered", "filtered")
    run_sweep(
        SweepSettings.of(many.root, out, sets=sets, methods=("zero-shot",), splits=3, model="tiny/random", device="cpu")
    )
    return out


@pytest.fixture
def sweep(kept_sweep: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept_sweep, tmp_path / "sweep"))


def test_shown_are_mistakes_of_the_hardest_pairs_of_the_cell_in_focus(sweep: Path) -> None:
    shown = explain_sweep(sweep, device="cpu")
    found = read_sweep(sweep)
    measured = measure(found)
    cell = tables.focus(tables.results(measured))
    assert cell is not None
    assert (shown.trial.set, shown.trial.method, shown.trial.shots) == tuple(cell)
    pairs = tables.confused_pairs(measured.confusions[cell], found.classes).head(3)
    order = [{a, b} for a, b in zip(pairs["a"], pairs["b"], strict=True)]
    said = read_predictions(sweep, shown.trial)
    answers = dict(zip(said.keys, said.logits.argmax(axis=1), strict=True))
    truth = dict(zip(said.keys, said.labels, strict=True))
    assert shown.mistakes
    places = []
    for each in shown.mistakes:
        assert each.answer == found.classes[answers[each.key]] != each.truth == found.classes[truth[each.key]]
        places.append(order.index({each.answer, each.truth}))
        assert (sweep / FOLDER / each.file).is_file()
    assert places == sorted(places)
    assert max(places.count(place) for place in places) <= OF_A_PAIR


def test_it_is_the_trial_with_most_of_them(sweep: Path) -> None:
    found = read_sweep(sweep)
    chosen = hardest(found)
    measured = measure(found)
    cell = Cell(chosen.record.trial.set, chosen.record.trial.method, chosen.record.trial.shots)
    pairs = tables.confused_pairs(measured.confusions[cell], found.classes).head(3)
    counts = {}
    for split in range(3):
        said = read_predictions(sweep, replace(chosen.record.trial, split=split))
        answered = [found.classes[place] for place in said.logits.argmax(axis=1)]
        true = [found.classes[place] for place in said.labels]
        counts[split] = sum(
            {a, b} == {t, p}
            for a, b in zip(pairs["a"], pairs["b"], strict=True)
            for t, p in zip(true, answered, strict=True)
        )
    assert counts[chosen.record.trial.split] == max(counts.values()) > 0


@pytest.mark.parametrize("method", ["zero-shot", "linear-probe", "finetune", "lora@0.5"])
def test_trained_again_it_answers_as_before(settings: Settings, many: Collection, method: str) -> None:
    own = {"finetune": {"epochs": 1, "lr": 1e-3}, "lora": {"iterations": 4, "lr": 1e-2}}
    made = settings(collection=many.root, methods=(method,), shots=(1,), splits=2, recipes=own)
    run_sweep(made)
    shown = explain_sweep(made.out, device="cpu")
    assert shown.trial.method == method
    assert shown.agreed == shown.tested > 0
    assert shown.mistakes and shown.unread == 0


def test_what_it_answers_otherwise_now_is_not_shown(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explain_sweep(sweep, device="cpu")
    real = Fitting.fit

    def other(self: Fitting, *given: Any) -> list[Fitted]:
        (fitted,) = real(self, *given)
        flip = np.arange(len(read_predictions(sweep, whole.trial).keys)) % 2 == 0
        return [replace(fitted, logits=lambda images: np.where(flip[:, None], -1, 1) * fitted.logits(images))]

    monkeypatch.setattr(Fitting, "fit", other)
    shown = explain_sweep(sweep, device="cpu")
    assert shown.agreed < shown.tested
    assert {each.key for each in shown.mistakes} < {each.key for each in whole.mistakes}


def test_what_cannot_be_read_is_left_out_and_counted(
    sweep: Path, many: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explain_sweep(sweep, device="cpu")
    gone = whole.mistakes[0].key
    real = Collection.path
    monkeypatch.setattr(
        Collection, "path", lambda self, file: Path("/nowhere") if file.endswith(gone) else real(self, file)
    )
    shown = explain_sweep(sweep, device="cpu")
    assert shown.unread == 1
    assert [each.key for each in shown.mistakes] == [each.key for each in whole.mistakes[1:]]
    assert "1 mistakes are not shown" in shown.sentences()[-1]
    assert {each.name for each in (sweep / FOLDER).iterdir()} == {FILE, *(each.file for each in shown.mistakes)}


def test_from_the_command_line_to_the_report(run: Run, sweep: Path) -> None:
    before = write_report(sweep).html.read_text()
    assert "<code>fewshot explain SWEEP</code>" in before
    code, out, err = run(sweep)
    assert (code, err) == (0, "")
    first, *others, last = out.splitlines()
    assert "trained again: it answers as before on" in first
    assert last == f"next: fewshot report {sweep}"
    shown = read_shown(sweep)
    assert shown is not None
    assert len(others) == len(shown.mistakes)
    page = write_report(sweep).html.read_text()
    assert "<code>fewshot explain SWEEP</code>" not in page
    assert page.count('<img src="data:image/jpeg') == before.count('<img src="data:image/jpeg') + len(shown.mistakes)
    assert f"got wrong in split {shown.trial.split}" in page


def test_what_was_shown_of_another_cell_is_not_in_the_report(sweep: Path) -> None:
    explain_sweep(sweep, device="cpu")
    file = sweep / FOLDER / FILE
    told = json_files.read(file)
    told["trial"]["set"] = "filtered" if told["trial"]["set"] == "unfiltered" else "unfiltered"
    trial = records.Trial(**told["trial"])
    told["predictions_sha256"] = next(
        each for each in read_sweep(sweep).records if each.trial == trial
    ).predictions_sha256
    json_files.write(file, told)
    assert read_shown(sweep) is not None
    assert "<code>fewshot explain SWEEP</code>" in write_report(sweep).html.read_text()


def test_as_json(run: Run, sweep: Path) -> None:
    code, out, _ = run(sweep, "--json")
    assert code == 0
    assert json.loads(out) == json_files.read(sweep / FOLDER / FILE)


def test_a_collection_that_has_changed_is_said(run: Run, settings: Settings, own_collection: Collection) -> None:
    made = settings(collection=own_collection.root, methods=("zero-shot",))
    run_sweep(made)
    table = own_collection.images()
    test = read_predictions(made.out, read_sweep(made.out).records[0].trial).keys
    own_collection.write(table[table["key"] != test[0]], own_collection.rejects())
    code, _, err = run(made.out)
    assert code == 1
    assert "is not what it was when" in err
    assert not (made.out / FOLDER / FILE).exists()


def test_other_weights_than_the_sweeps_are_said(run: Run, sweep: Path) -> None:
    for record in read_sweep(sweep).records:
        changed = replace(record, digests=record.digests | {"image_weights": "0" * 16})
        records.write(sweep, changed, read_predictions(sweep, record.trial))
    code, _, err = run(sweep)
    assert (code, err) == (
        2,
        "error: the sweep began with other weights of tiny/random; give them by --checkpoint FILE\n",
    )


def test_a_sweep_without_a_mistake_has_nothing_to_show(
    settings: Settings,
) -> None:
    made = settings(methods=("nearest-class-mean",), shots=(5,))
    run_sweep(made)
    for record in read_sweep(made.out).records:
        said = read_predictions(made.out, record.trial)
        right = np.eye(3, dtype=np.float32)[said.labels]
        records.write(made.out, record, replace(said, logits=right))
    with pytest.raises(
        FewposeError, match=r"^nearest-class-mean on unfiltered has made no mistake that could be shown$"
    ):
        explain_sweep(made.out, device="cpu")


def test_what_makes_no_sense_of_a_sweep_is_said(run: Run, sweep: Path, tmp_path: Path) -> None:
    for words in (["x.jpg"], ["--class", "a"]):
        code, _, err = run(sweep, *words)
        assert code == 2 and "is a sweep, whose own mistakes are shown" in err
    code, _, err = run(sweep, "--out", tmp_path / "out")
    assert code == 2 and f"a sweep's pictures go to {sweep / 'explained'}" in err


@pytest.fixture(scope="module")
def misnamed_people(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Collection:
    """Rendered people in classes that say nothing of their poses, which a classifier must mix up."""
    root = tmp_path_factory.mktemp("misnamed")
    for number, file in enumerate(sorted(people.glob("*/*.jpg"))):
        folder = root / "photos" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    import_folder(root / "photos", root / "collection", workers=1)
    return Collection.open(root / "collection")


@pytest.mark.parametrize(("method", "sides"), [("pose", 1), ("pose+linear-probe", 2)])
def test_of_the_body_and_of_both_the_report_has_joints(
    settings: Settings, misnamed_people: Collection, method: str, sides: int
) -> None:
    made = settings(collection=misnamed_people.root, methods=(method,), shots=(2,), splits=2)
    run_sweep(made)
    shown = explain_sweep(made.out, device="cpu")
    assert shown.agreed == shown.tested > 0
    assert shown.mistakes and shown.unread == 0
    for each in shown.mistakes:
        with Image.open(made.out / FOLDER / each.file) as page:
            assert page.width == 16 + (200 + 16) * (1 + 2 * sides)
    report = write_report(made.out).html.read_text()
    assert "<code>fewshot explain SWEEP</code>" not in report
    assert "A skeleton" in report
