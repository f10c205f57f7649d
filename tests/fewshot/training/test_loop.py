"""The training loop: several trials in step, too little memory, weights of samples, and steps on buffers."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curate.foundation.errors import UsageError
from fewshot.methods.finetune import Finetune
from fewshot.task import Diverged
from fewshot.training import loop
from fewshot.training.loop import Batch, Batches, Optimisation, Trainer
from fewshot.training.working_copies import working_copy

SETTINGS = Optimisation(lr=1e-2, weight_decay=1e-3, epochs=3, schedule="cosine")


class Stack:
    """A linear classifier of an image's mean colours for each of some trials, stacked."""

    def __init__(self, trials: int, classes: int) -> None:
        self.weights = nn.Parameter(torch.zeros(trials, classes, 3))

    def loss(self, batches: list[Batch]) -> Tensor:
        losses = []
        for weights, (images, labels, samples) in zip(self.weights, batches, strict=True):
            logits = images.mean(dim=(2, 3)) @ weights.T
            losses.append((nn.functional.cross_entropy(logits, labels, reduction="none") * samples).mean())
        return torch.stack(losses)


def trained(tasks: list[Any], settings: Optimisation = SETTINGS) -> tuple[Tensor, list[Diverged | None]]:
    stack = Stack(len(tasks), 3)
    batches = [Batches(given.draw, given.task, settings) for given in tasks]
    outcome = Trainer(stack.loss, [stack.weights], settings).train(batches, 3)
    return stack.weights.detach(), outcome


def test_trials_in_step_are_what_each_is_alone(patterns: Callable[..., Any]) -> None:
    tasks = [patterns(4, 4, 4, seed=seed) for seed in range(3)]
    together, outcome = trained(tasks)
    assert outcome == [None] * 3
    assert together.abs().max() > 0.01
    for given, weights in zip(tasks, together, strict=True):
        torch.testing.assert_close(weights, trained([given])[0][0], rtol=1e-5, atol=1e-7)


def test_it_is_adamw_with_a_cosine(patterns: Callable[..., Any]) -> None:
    """Against torch's own optimiser and schedule."""
    given = patterns(4, 3, 3)
    weights, _ = trained([given])
    stack = Stack(1, 3)
    batches = Batches(given.draw, given.task, SETTINGS)
    optimiser = torch.optim.AdamW([stack.weights], lr=1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / (3 * len(batches))))
    )
    for _ in range(2):
        if _ == 0:
            for _unused in batches:  # the pass that measures where the training begins
                pass
            continue
        for _epoch in range(3):
            for batch in batches:
                optimiser.zero_grad()
                stack.loss([batch]).sum().backward()
                optimiser.step()
                schedule.step()
    torch.testing.assert_close(weights, stack.weights.detach(), rtol=1e-5, atol=1e-7)


def test_a_trial_that_diverges_is_told_and_leaves_the_others_alone(patterns: Callable[..., Any]) -> None:
    tasks = [patterns(4, 4, 4, seed=seed) for seed in range(3)]
    alone, _ = trained([tasks[0]])

    stack = Stack(3, 3)

    def loss(batches: list[Batch]) -> Tensor:
        losses = stack.loss(batches)
        return losses * torch.tensor([1.0, float("nan") if losses.requires_grad else 1.0, 1.0])

    batches = [Batches(given.draw, given.task, SETTINGS) for given in tasks]
    outcome = Trainer(loss, [stack.weights], SETTINGS).train(batches, 3)
    assert [type(each) for each in outcome] == [type(None), Diverged, type(None)]
    assert str(outcome[1]) == "the loss is nan; a smaller --lr than 0.01 may do"
    torch.testing.assert_close(stack.weights[0].detach(), alone[0], rtol=1e-5, atol=1e-7)


def test_a_loss_that_rises_is_told(patterns: Callable[..., Any]) -> None:
    _, (outcome,) = trained([patterns(4, 4, 4)], replace(SETTINGS, lr=300.0, schedule="constant"))
    assert isinstance(outcome, Diverged)
    assert str(outcome).startswith("the loss rose from 1.10 to ")


def test_trials_with_other_numbers_of_steps_are_refused(patterns: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="same number of batches"):
        trained([patterns(4, 4, 4), patterns(8, 8, 8)])


def out_of_memory_above(limit: int, seen: list[int]) -> Callable[..., None]:
    """A hook that has a tower fail on more than `limit` images while it is trained."""

    def hook(module: Any, given: Any) -> None:
        if torch.is_grad_enabled():
            seen.append(len(given[0]))
            if len(given[0]) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory (the test's)")

    return hook


@pytest.mark.slow
def test_where_memory_is_short_the_result_is_the_same(patterns: Callable[..., Any]) -> None:
    given = patterns(5, 5, 5)
    recipe = Finetune(lr=1e-3, epochs=2, batch_size=5)
    plenty = recipe.fit(given.draw, given.task).logits(given.test)
    copy = working_copy(given.task.clip)
    seen: list[int] = []
    copy._kept.clear()
    hook = copy.model.visual.register_forward_pre_hook(out_of_memory_above(2, seen))
    try:
        short = recipe.fit(given.draw, given.task).logits(given.test)
    finally:
        hook.remove()
        copy._kept.clear()
    assert seen[:3] == [5, 3, 2]  # the whole batch, the first half, then quarters from the beginning
    assert max(seen[2:]) == 2
    np.testing.assert_allclose(short, plenty, atol=2e-2 * np.abs(plenty).max())


def test_a_single_image_that_does_not_fit_is_not_hidden(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3)
    copy = working_copy(given.task.clip)
    copy._kept.clear()
    hook = copy.model.visual.register_forward_pre_hook(out_of_memory_above(0, []))
    try:
        with pytest.raises(torch.OutOfMemoryError):
            Finetune(lr=1e-3, epochs=1).fit(given.draw, given.task)
    finally:
        hook.remove()
        copy._kept.clear()


def test_pieces_of_batches_of_several_sizes_have_their_shares(patterns: Callable[..., Any]) -> None:
    """The gradient of the pieces adds up to that of the whole, also where trials' batches differ in size."""
    stack = Stack(2, 3)
    batches = [
        next(iter(Batches(given.draw, given.task, replace(SETTINGS, batch_size=99))))
        for given in (patterns(3, 2, 2), patterns(2, 2, 1))
    ]
    (whole,) = torch.autograd.grad(stack.loss(batches).sum(), [stack.weights])
    pieces = torch.zeros_like(whole)
    for parts, share in loop._pieces(batches, 3):
        pieces += torch.autograd.grad((stack.loss(parts) * share).sum(), [stack.weights])[0]
    torch.testing.assert_close(pieces, whole)


def test_a_trainer_used_again_does_as_a_new_one(patterns: Callable[..., Any]) -> None:
    given, other = patterns(4, 4, 4, seed=1), patterns(3, 5, 4, seed=2)
    alone, _ = trained([given])
    stack = Stack(1, 3)
    trainer = Trainer(stack.loss, [stack.weights], SETTINGS)
    for each in (other, given):
        with torch.no_grad():
            stack.weights.zero_()
        trainer.train([Batches(each.draw, each.task, SETTINGS)], 3)
    assert torch.equal(stack.weights.detach(), alone)


def test_balanced_weights_are_scikit_learns(patterns: Callable[..., Any]) -> None:
    from sklearn.utils.class_weight import compute_sample_weight

    given = patterns(6, 1, 0, 3)
    task = replace(given.task, class_weights="balanced")
    batches = Batches(given.draw, task, replace(SETTINGS, batch_size=99))
    (batch,) = list(batches)
    expected = compute_sample_weight("balanced", batch.labels.numpy())
    np.testing.assert_allclose(batch.weights.numpy(), expected, rtol=1e-6)
    assert batch.weights.mean().item() == pytest.approx(1)


@pytest.mark.slow
def test_balanced_weights_change_what_is_learned(patterns: Callable[..., Any]) -> None:
    """With ten images of one class to one of another, the rare class's share of the guesses grows."""
    given = patterns(12, 2, tested=10)
    recipe = Finetune(lr=3e-4, epochs=2)
    plain = recipe.fit(given.draw, given.task).logits(given.test)
    balanced = recipe.fit(given.draw, replace(given.task, class_weights="balanced")).logits(given.test)
    assert (balanced[:, 1] - balanced[:, 0]).mean() > (plain[:, 1] - plain[:, 0]).mean() + 0.1


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"epochs": 0}, {"schedule": "step"}, {"epsilon": -1.0}])
def test_an_optimisation_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(SETTINGS, **wrong)
