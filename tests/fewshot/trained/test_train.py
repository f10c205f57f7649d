"""Training a classifier that is kept."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.collection import sets
from curate.collection.directory import Collection
from curate.foundation.errors import Busy, FewposeError, UsageError
from curate.foundation.locks import only_one
from curate.models import clip_models
from curate.sweeps import records
from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.logits import softmax
from fewshot.methods.finetune import Finetune
from fewshot.methods.linear_probe import LinearProbe
from fewshot.methods.listed import LISTED
from fewshot.sweeping import plan as planning
from fewshot.sweeping import prompts
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.sweeping.trial import Runner
from fewshot.task import Diverged, Fitted
from fewshot.trained import directory, place
from fewshot.trained.fitting import Fitting
from fewshot.trained.held_back import held_back
from fewshot.trained.settings import TrainSettings
from fewshot.trained.source import settings_of
from fewshot.trained.train import train

Ask = Callable[..., TrainSettings]


ON_IMAGES = [each.form for each in LISTED if "keypoints" not in each.needs]  # the others: test_body.py
METHODS = [*(each for each in ON_IMAGES if each != "finetune-last2"), "finetune-last1", "finetune@0.5"]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 on every machine: what is merged into weights before and after bf16 rounds them differs."""
    monkeypatch.setattr(clip_models, "has_native_bf16", lambda device: False)


def pixels_of(collection: Path, keys: Any, side: int) -> np.ndarray:
    return np.stack([np.asarray(Image.open(collection / "images" / key).resize((side, side))) for key in keys])


@pytest.mark.slow
@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("method", METHODS)
def test_of_a_draw_it_says_what_the_sweeps_trial_said(asked: Ask, tmp_path: Path, method: str) -> None:
    settings = asked(method, shots=3, split=1, folds=0)
    trained = train(settings)
    run_sweep(settings.sweep.replaced(out=tmp_path / "sweep"))
    shots = 3 if methods.trains(method) else 0
    said = records.read_predictions(tmp_path / "sweep", Trial("unfiltered", method, shots, 1))
    loaded = directory.load(trained.out, "cpu")
    pixels = pixels_of(settings.sweep.collection, said.keys, loaded.about.transform.size)
    np.testing.assert_allclose(loaded.logits(pixels), said.logits, rtol=1e-4, atol=1e-4)
    right = (said.logits.argmax(axis=1) == said.labels).mean()
    assert trained.about.measured["test"]["accuracy"] == pytest.approx(right, abs=1e-4)


def test_all_images_of_the_set_are_learned_from(asked: Ask) -> None:
    settings = asked(sets=("filtered",))
    about = train(settings).about
    there = sets.training_set(Collection.open(settings.sweep.collection), "filtered").images
    assert about.trained_on["images"] == len(there) == 30  # 31 less the copy
    assert about.trained_on["classes"] == {"bars": 10, "rings": 10, "waves": 10}
    assert about.measured["held_back"]["images"] == 30
    assert "test" not in about.measured


@pytest.mark.slow
def test_it_loads_without_the_collection_and_answers(own_collection: Collection, asked: Ask, tmp_path: Path) -> None:
    out = train(asked(collection=own_collection.root)).out
    keys = [f"{label}/{number}.png" for label in ("bars", "rings", "waves") for number in range(4)]
    pixels = pixels_of(own_collection.root, keys, 64)
    shutil.move(out, tmp_path / "elsewhere")
    shutil.rmtree(own_collection.root)
    loaded = directory.load(tmp_path / "elsewhere", "cpu")
    probabilities = loaded.probabilities(pixels)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert [loaded.classes[place] for place in probabilities.argmax(axis=1)] == [key.split("/")[0] for key in keys]


@pytest.mark.slow
def test_what_is_held_back_was_not_learned_from_nor_any_copy_of_it(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    learned, looked_at = [], []
    fit_batch = LinearProbe.fit_batch

    def spy(self: LinearProbe, draws: Any, tasks: Any) -> Any:
        for draw, fitted in zip(draws, fit_batch(self, draws, tasks), strict=True):
            assert isinstance(fitted, Fitted)
            learned.append(set(draw.images.ids))

            def logits(images: Any, mine: int = len(learned) - 1, ask: Any = fitted.logits) -> Any:
                looked_at.append((mine, set(images.ids)))
                return ask(images)

            yield replace(fitted, logits=logits)

    monkeypatch.setattr(LinearProbe, "fit_batch", spy)
    train(asked(folds=4))
    assert len(looked_at) == 4
    for mine, images in looked_at:
        assert not learned[mine] & images  # a copy has its original's content id
    assert set.union(*(images for _, images in looked_at)) == learned[-1]  # each once, and the last learned from all
    assert sum(len(images) for _, images in looked_at) == len(learned[-1])


@pytest.mark.slow
def test_temperature_and_threshold_are_those_of_what_was_held_back(asked: Ask) -> None:
    settings = asked("nearest-class-mean", unknown=0.2)
    runner = Runner(planning.make(settings.sweep), clip_models.load("tiny/random", device="cpu"))
    held = held_back(Fitting(runner, settings.trial), 2, settings.sweep.out.with_name("folds"), "here")
    assert held is not None
    about = train(settings).about
    assert about.temperature == held.temperature() != 1
    surest = softmax(held.logits / about.temperature).max(axis=1)
    assert (surest < about.threshold).mean() == pytest.approx(0.2, abs=0.04)
    assert about.measured["held_back"]["answered"] == pytest.approx(
        (held.probabilities().max(axis=1) >= about.threshold).mean(), abs=1e-4
    )


@pytest.mark.slow
def test_without_folds_nothing_is_refused_and_the_draws_temperature_holds(asked: Ask) -> None:
    about = train(asked(folds=0)).about
    assert about.threshold == 0
    assert about.temperature == about.chosen["temperature"]
    assert about.measured == {}


@pytest.mark.slow
def test_a_class_of_one_picture_is_learned_and_said_nothing_of(
    make_collection: Callable[[Path, dict[str, int]], Collection], asked: Ask, tmp_path: Path
) -> None:
    collection = make_collection(tmp_path / "few", {"bars": 6, "rings": 6, "waves": 2})
    about = train(asked(collection=collection.root, folds=5)).about
    assert about.trained_on["classes"]["waves"] == 2
    assert about.measured["held_back"]["folds"] == 5


@pytest.mark.slow
def test_interrupted_it_goes_on_with_the_next_fold(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asked("finetune", folds=3)
    fit, begun = Finetune.fit, []

    def interrupted(self: Finetune, draw: Any, task: Any) -> Any:
        begun.append(len(draw.labels))
        if len(begun) == 3:
            raise KeyboardInterrupt
        return fit(self, draw, task)

    monkeypatch.setattr(Finetune, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(settings)
    with pytest.raises(UsageError, match="holds no trained model"):
        directory.load(settings.sweep.out)
    trained = train(settings)
    assert len(begun) == 3 + 2  # the third fold and the whole; two folds were there
    again = train(replace(settings, sweep=settings.sweep.replaced(out=settings.sweep.out.with_name("undisturbed"))))
    assert trained.about.temperature == again.about.temperature
    assert trained.about.weights_sha256 == again.about.weights_sha256
    assert not (trained.out / place.FOLDS).exists()


@pytest.mark.slow
def test_the_same_command_finds_it_done(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(asked())
    monkeypatch.setattr(LinearProbe, "fit_batch", pytest.fail)
    second = train(asked())
    assert second.found
    assert second.about == first.about


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"folds": 3}, {"method": "nearest-class-mean"}, {"prompts": ("{}!",)}, {"shots": 2}])
def test_another_model_is_not_written_over_it(asked: Ask, other: dict[str, Any]) -> None:
    before = (train(asked()).out / place.JSON).read_bytes()
    with pytest.raises(UsageError, match="holds another model already; choose another --out"):
        train(asked(**other))
    assert (asked().sweep.out / place.JSON).read_bytes() == before


def test_a_directory_of_something_else_is_left_alone(asked: Ask) -> None:
    settings = asked()
    settings.sweep.out.mkdir()
    (settings.sweep.out / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else than a model"):
        train(settings)
    assert [each.name for each in settings.sweep.out.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_what_a_kill_left_is_no_hindrance_and_goes(asked: Ask) -> None:
    out, undisturbed = asked().sweep.out, {place.JSON, place.WEIGHTS, place.CARD, ".lock"}
    for _ in range(2):  # while it is trained, and when it is done
        (out / place.FOLDS).mkdir(parents=True)
        for name in (".writing-a.safetensors", f"{place.FOLDS}/.writing-b.npz", f"{place.FOLDS}/a-0-of-5.npz"):
            (out / name).write_bytes(b"half")
        train(asked())
        assert {path.name for path in out.iterdir()} == undisturbed


def test_two_at_once_do_not_share_a_directory(asked: Ask) -> None:
    with only_one(asked().sweep.out, "fewshot train"), pytest.raises(Busy, match="another fewshot train is run"):
        train(asked())


def test_training_that_diverges_is_one_sentence(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(self: Finetune, draw: Any, task: Any) -> Any:
        raise Diverged("the loss is nan; a smaller --lr than 1 may do")

    monkeypatch.setattr(Finetune, "fit", diverge)
    with pytest.raises(FewposeError, match="training finetune failed: the loss is nan; a smaller --lr"):
        train(asked("finetune"))


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"unknown": 1.0}, {"shots": -1}])
def test_settings_that_make_no_sense_are_refused(asked: Ask, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        asked(**wrong)


@pytest.mark.slow
def test_a_sweeps_settings_come_back_from_its_directory(settings: Callable[..., SweepSettings]) -> None:
    asked = settings(
        methods=("linear-probe", "finetune@0.5"),
        prompts=("photo",),
        recipe="paper",
        recipes={"finetune": {"epochs": 1, "lr": 1e-4}},
        augment="flip",
        class_weights="balanced",
        seed=3,
        test_fraction=0.3,
        fit="pad",
        short="all",
        shots=(2,),
    )
    run_sweep(asked)
    again = settings_of(asked.out)
    for name in asked.grid.methods:
        assert again.method_settings(name) == asked.method_settings(name)
    assert planning.make(again).trials == planning.make(asked).trials
    assert again.splitting == asked.splitting
    assert (again.data.fit, again.data.short) == (asked.data.fit, asked.data.short)
    assert (again.clip.model, again.grid.sets) == (asked.clip.model, asked.grid.sets)
    assert prompts.class_texts(("bars",), again.clip.prompts) == prompts.class_texts(("bars",), asked.clip.prompts)


@pytest.mark.slow
def test_of_a_sweep_other_weights_are_refused(asked: Ask) -> None:
    with pytest.raises(
        UsageError, match="the sweep began with other weights of tiny/random; give them by --checkpoint"
    ):
        train(asked(weights="0" * 16))


@pytest.mark.slow
@pytest.mark.parametrize("name", [place.JSON, place.WEIGHTS])
def test_a_damaged_model_is_made_again_as_is_said(asked: Ask, name: str) -> None:
    settings = asked()
    out = train(settings).out
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    content = bytearray(before[name])
    content[len(content) // 2] ^= 1
    (out / name).write_bytes(content)
    for attempt in (lambda: directory.load(out, "cpu"), lambda: train(settings)):
        with pytest.raises(FewposeError, match=f"is damaged.*delete {out}, and give the fewshot train command"):
            attempt()
    shutil.rmtree(out)
    train(settings)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.slow
def test_a_damaged_fold_is_trained_again(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asked()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(directory, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        train(settings)
    folds = sorted((settings.sweep.out / place.FOLDS).iterdir())
    assert len(folds) == 2
    for file in folds:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    about = train(settings).about
    undisturbed = replace(settings, sweep=settings.sweep.replaced(out=settings.sweep.out.with_name("other")))
    assert about == train(undisturbed).about
