"""Fine-tuning the last blocks: what it trains, from kept activations or not, and where it starts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from curate.collection.directory import Collection
from curate.foundation.errors import UsageError
from curate.models.clip_models import ClipModel
from curate.sweeps import records
from fewshot.methods.finetune import Finetune
from fewshot.methods.finetune_last import FinetuneLast
from fewshot.methods.linear_probe import LinearProbe
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings
from fewshot.task import Images, ImageStore
from fewshot.training import frozen_trunk
from fewshot.training.working_copies import working_copy

QUICK = FinetuneLast(lr=1e-3, epochs=3, blocks=1)


def changed(clip: ClipModel) -> set[str]:
    """The parameters that the last training changed."""
    after = dict(working_copy(clip).model.named_parameters())
    return {name for name, value in clip.model.named_parameters() if not torch.equal(value, after[name])}


def test_the_last_block_and_what_stands_behind_it_are_trained(patterns: Callable[..., Any], tiny: ClipModel) -> None:
    given = patterns(3, 3)
    QUICK.fit(given.draw, given.task)
    names = changed(tiny)
    assert {"visual.proj", "visual.ln_post.weight", "visual.transformer.resblocks.1.mlp.c_fc.weight"} <= names
    assert all(name.startswith(("visual.proj", "visual.ln_post", "visual.transformer.resblocks.1")) for name in names)


def test_with_all_blocks_it_trains_what_finetune_of_the_image_tower_does_but_for_the_stem(
    patterns: Callable[..., Any], tiny: ClipModel
) -> None:
    given = patterns(3, 3)
    Finetune(lr=1e-3, epochs=2, towers="image").fit(given.draw, given.task)
    whole = changed(tiny)
    replace(QUICK, blocks=2).fit(given.draw, given.task)
    stem = ("visual.conv1", "visual.class_embedding", "visual.positional_embedding", "visual.ln_pre")
    assert changed(tiny) == {name for name in whole if not name.startswith(stem)}


def kept(given: Any, blocks: int) -> Any:
    """The same task, from a store that has kept the activations; `asked` says what was taken from it."""
    store, clip = given.draw.images.store, given.task.clip
    asked: list[bool] = []

    def activations(ids: Any, wanted: int, mirrored: bool) -> torch.Tensor:
        assert wanted == blocks
        asked.append(mirrored)
        return frozen_trunk.compute(clip, blocks, store.pixels(ids), mirrored=mirrored)

    def refused(ids: Any) -> np.ndarray:
        raise AssertionError("pixels were asked for")

    images = Images.of(ImageStore(refused, store.features, activations), given.draw.images.ids)
    return replace(given.draw, images=images), asked


@pytest.mark.parametrize(("augment", "views"), [("none", [False]), ("flip", [False, True])])
def test_from_kept_activations_it_is_the_same_and_asks_for_no_pixels(
    patterns: Callable[..., Any], augment: str, views: list[bool]
) -> None:
    given = patterns(4, 4)
    task = replace(given.task, augment=augment)
    draw, asked = kept(given, 1)
    from_kept = QUICK.fit(draw, task).logits(given.test)
    assert asked == views
    np.testing.assert_array_equal(from_kept, QUICK.fit(given.draw, task).logits(given.test))


@pytest.mark.slow
def test_cropped_images_pass_the_frozen_part_each_time(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6)
    task = replace(given.task, augment="flip+crop")
    fitted = replace(QUICK, epochs=8).fit(given.draw, task)
    assert (fitted.logits(given.draw.images).argmax(axis=1) == given.draw.labels).mean() > 0.6
    plain = replace(QUICK, epochs=8).fit(given.draw, given.task)
    assert not np.array_equal(plain.logits(given.test), fitted.logits(given.test))


@pytest.mark.slow
def test_it_learns_the_patterns(patterns: Callable[..., Any]) -> None:
    given = patterns(8, 8, 8)
    fitted = replace(QUICK, epochs=15).fit(given.draw, given.task)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.8


@pytest.mark.slow
def test_without_learning_it_predicts_as_where_it_starts(patterns: Callable[..., Any]) -> None:
    given = patterns(5, 5)
    still = replace(QUICK, lr=1e-12, epochs=1)
    probe = LinearProbe(powers=(1.0,)).fit(given.draw, given.task).logits(given.test)
    start = replace(still, start="probe").fit(given.draw, given.task).logits(given.test)
    np.testing.assert_allclose(start, probe, atol=0.02 * np.abs(probe).max())
    texts = Finetune(lr=1e-12, epochs=1).fit(given.draw, given.task).logits(given.test)
    np.testing.assert_allclose(still.fit(given.draw, given.task).logits(given.test), texts, atol=0.05)


def test_more_blocks_than_there_are_is_a_users_mistake(patterns: Callable[..., Any]) -> None:
    given = patterns(2, 2)
    with pytest.raises(UsageError, match="the image tower has 2 blocks"):
        replace(QUICK, blocks=3).fit(given.draw, given.task)


@pytest.mark.slow
def test_in_a_sweep(settings: Callable[..., SweepSettings], own_collection: Collection) -> None:
    """With its kept activations, mirrored ones too, and averaged."""
    asked = settings(
        collection=own_collection.root,
        methods=("finetune-last1", "finetune-last1@0.5", "finetune-last2"),
        shots=(3,),
        splits=1,
        augment="flip",
        recipes={"finetune-last": {"lr": 1e-3, "epochs": 2}},
    )
    assert run_sweep(asked).done == 3
    folders = (asked.collection / "cache" / "activations").iterdir()
    assert {each.name.split("-last")[1] for each in folders} == {"1", "1-mirrored", "2", "2-mirrored"}
    assert [record.status for record in records.read_sweep(asked.out).records] == ["done"] * 3


def test_a_sweep_with_more_blocks_than_there_are_ends_before_its_trials(settings: Callable[..., SweepSettings]) -> None:
    with pytest.raises(UsageError, match=r"finetune-last9: the image tower has 2 blocks"):
        run_sweep(settings(methods=("finetune-last9",)))
