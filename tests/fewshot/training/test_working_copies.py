"""One working copy, from the same weights each time: bit by bit, whatever was trained on it before."""

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from curate.models import clip_models
from curate.models.clip_models import ClipModel
from fewshot.methods.finetune import Finetune
from fewshot.methods.finetune_last import FinetuneLast
from fewshot.training import working_copies
from fewshot.training.working_copies import working_copy


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny/random", "lite0"])
def test_after_training_the_weights_are_put_back_bit_by_bit(patterns: Callable[..., Any], name: str) -> None:
    clip = clip_models.load(name, device="cpu")
    given = patterns(2, 2, clip=clip, tested=1)
    Finetune(lr=1e-3, epochs=1).fit(given.draw, given.task)
    copy = working_copy(clip)
    with torch.no_grad():
        for buffer in copy.model.buffers():  # training leaves them alone; were one changed, it is put back, too
            buffer.add_(1)
    expected, state = clip.model.state_dict(), copy.model.state_dict()
    assert any(not torch.equal(state[key], expected[key]) for key in state)
    copy.restore()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    ours, theirs = dict(copy.model.named_buffers()), dict(clip.model.named_buffers())
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)  # also those that no state dict has


@pytest.mark.slow
def test_a_trial_is_the_same_bytes_after_others_as_alone(patterns: Callable[..., Any]) -> None:
    methods = [
        Finetune(lr=1e-3, epochs=2),
        Finetune(lr=1e-3, epochs=2, start="probe", towers="image"),
        FinetuneLast(lr=1e-3, epochs=2, blocks=1),
        FinetuneLast(lr=1e-3, epochs=2, blocks=2, start="probe"),
    ]

    def logits(method: Finetune, clip: ClipModel, seed: int) -> np.ndarray:
        given = patterns(3, 3, clip=clip, seed=seed)
        return method.fit(given.draw, replace(given.task, augment="flip")).logits(given.test)

    alone = [logits(method, clip_models.load("tiny/random", device="cpu"), 0) for method in methods]
    shared = clip_models.load("tiny/random", device="cpu")
    for seed in (1, 0):
        after = [logits(method, shared, seed) for method in methods]
    for one, other in zip(alone, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fitted_method_keeps_its_weights_while_others_are_trained(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3)
    first = Finetune(lr=1e-3, epochs=2).fit(given.draw, given.task)
    before = first.logits(given.test)
    other = Finetune(lr=2e-3, epochs=2, towers="image").fit(given.draw, given.task)
    different = other.logits(given.test)
    assert not np.array_equal(before, different)
    np.testing.assert_array_equal(first.logits(given.test), before)
    np.testing.assert_array_equal(other.logits(given.test), different)


@pytest.mark.slow
def test_the_model_is_copied_once(patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_models.load("tiny/random", device="cpu")
    made: list[object] = []

    class Counted(working_copies.WorkingCopy):
        def __init__(self, clip: ClipModel) -> None:
            made.append(clip)
            super().__init__(clip)

    monkeypatch.setattr(working_copies, "WorkingCopy", Counted)
    for seed in range(3):
        given = patterns(2, 2, clip=clip, seed=seed)
        Finetune(lr=1e-3, epochs=1).fit(given.draw, given.task)
    assert len(made) == 1


@pytest.mark.slow
def test_the_copy_goes_when_its_model_goes() -> None:
    clip = clip_models.load("tiny/random", device="cpu")
    working_copy(clip)
    number = id(clip)
    assert number in working_copies._copies
    del clip
    gc.collect()
    assert number not in working_copies._copies


def test_no_more_than_a_few_optimisers_are_kept(tiny: ClipModel) -> None:
    copy = working_copies.WorkingCopy(tiny)
    kept = [copy.get_or_make(number, object) for number in range(working_copies.MOST_KEPT)]
    assert [copy.get_or_make(number, object) for number in range(working_copies.MOST_KEPT)] == kept
    copy.get_or_make("another", object)
    assert len(copy._kept) == working_copies.MOST_KEPT
    assert copy.get_or_make(1, object) is kept[1]
