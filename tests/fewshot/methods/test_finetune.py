"""Fine-tuning: its loss and gradient, what it trains and what it leaves alone, and when it says that it failed."""

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from curate.foundation.errors import UsageError
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from fewshot.methods.finetune import Finetune
from fewshot.methods.linear_probe import LinearProbe
from fewshot.task import Diverged, Draw
from fewshot.training import heads
from fewshot.training.heads import TextHead
from fewshot.training.loop import Batches
from fewshot.training.working_copies import working_copy

QUICK = Finetune(lr=1e-3, epochs=3)


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def trained(clip: ClipModel) -> dict[str, Tensor]:
    """What the last training in this process made of the weights."""
    return weights_of(working_copy(clip).model)


def text_loss(given: Any, model: Any, pictures: Tensor, labels: Tensor) -> Tensor:
    vectors = TextHead(model, given.task, frozen=False).class_vectors()
    return heads.loss(model.visual(pictures), vectors, labels, torch.ones(len(labels)))


def batch(given: Any) -> tuple[Tensor, Tensor]:
    return given.task.clip.normalise(torch.from_numpy(given.draw.images.pixels())), torch.from_numpy(given.draw.labels)


def test_the_loss_is_cross_entropy_over_the_classes_texts(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 2, 2, templates=2)
    clip = given.task.clip
    with torch.no_grad():
        loss = text_loss(given, clip.model, *batch(given)).item()

    def unit(rows: np.ndarray) -> np.ndarray:
        result: np.ndarray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
        return result

    pictures, _ = batch(given)
    with torch.no_grad():
        images = unit(clip.model.visual(pictures).numpy().astype(np.float64))
    texts = np.stack([unit(unit(clip.encode_texts(list(each))).mean(axis=0)) for each in given.task.texts])
    total = 0.0
    for image, label in zip(images, given.draw.labels, strict=True):
        scores = math.exp(clip.model.logit_scale.item()) * (texts @ image)
        total -= scores[label] - math.log(np.exp(scores - scores.max()).sum()) - scores.max()
    assert loss == pytest.approx(total / len(images), rel=1e-4)


def test_two_images_of_one_class_are_not_each_others_negatives(patterns: Callable[..., Any]) -> None:
    """The loss of a batch is the mean of its images' own losses: none depends on what stands beside it."""
    given = patterns(3, 2)
    pictures, labels = batch(given)
    model = given.task.clip.model
    with torch.no_grad():
        alone = [text_loss(given, model, pictures[n : n + 1], labels[n : n + 1]).item() for n in range(5)]
        together = text_loss(given, model, pictures, labels).item()
        repeated = text_loss(given, model, pictures[:1].repeat(4, 1, 1, 1), labels[:1].repeat(4)).item()
    assert together == pytest.approx(np.mean(alone), rel=1e-4)
    assert repeated == pytest.approx(alone[0], rel=1e-4)


@pytest.mark.parametrize("part", ["visual.", "transformer.", "logit_scale", ""])
def test_the_gradient_is_that_of_finite_differences(patterns: Callable[..., Any], part: str) -> None:
    given = patterns(3, 3)
    model = copy.deepcopy(given.task.clip.model)
    parameters = [value for name, value in model.named_parameters() if name.startswith(part)]
    gradient = torch.autograd.grad(text_loss(given, model, *batch(given)), parameters)
    length = math.sqrt(sum((each**2).sum().item() for each in gradient))
    assert length > 1e-3
    random = torch.Generator().manual_seed(0)
    noise = [torch.randn(each.shape, generator=random) for each in gradient]
    norm = math.sqrt(sum((each**2).sum().item() for each in noise))
    directions = [[each / length for each in gradient]]
    directions += [[0.8 * a / length + 0.6 * b / norm for a, b in zip(gradient, noise, strict=True)]]
    step = 2e-3 / length

    def moved(direction: list[Tensor], by: float) -> float:
        with torch.no_grad():
            for value, way in zip(parameters, direction, strict=True):
                value.add_(way, alpha=by)
            loss = text_loss(given, model, *batch(given)).item()
            for value, way in zip(parameters, direction, strict=True):
                value.sub_(way, alpha=by)
        return loss

    for direction in directions:
        slope = (moved(direction, step) - moved(direction, -step)) / (2 * step)
        expected = sum((a * b).sum().item() for a, b in zip(gradient, direction, strict=True))
        assert slope == pytest.approx(expected, rel=0.02)


def test_the_temperature_never_falls_below_a_hundredth(patterns: Callable[..., Any]) -> None:
    given = patterns(2, 2)
    model = copy.deepcopy(given.task.clip.model)
    with torch.no_grad():
        model.logit_scale.fill_(20.0)
        weights, bias = TextHead(model, given.task, frozen=True).class_vectors()
    assert weights.norm(dim=1).tolist() == pytest.approx([100.0, 100.0], rel=1e-4)
    assert bias.tolist() == [0, 0]


@pytest.mark.slow
def test_it_learns_the_patterns(patterns: Callable[..., Any]) -> None:
    given = patterns(8, 8, 8)
    before = Finetune(lr=1e-9, epochs=1).fit(given.draw, given.task).logits(given.draw.images)
    fitted = Finetune(lr=1e-3, epochs=12).fit(given.draw, given.task)
    accuracies = [
        (logits.argmax(axis=1) == truth).mean()
        for logits, truth in (
            (before, given.draw.labels),
            (fitted.logits(given.draw.images), given.draw.labels),
            (fitted.logits(given.test), given.truth),
        )
    ]
    assert accuracies[0] < 0.7
    assert accuracies[1] > 0.9
    assert accuracies[2] > 0.8


@pytest.mark.slow
def test_both_towers_and_the_temperature_are_trained(patterns: Callable[..., Any], tiny: ClipModel) -> None:
    given = patterns(3, 3)
    before = weights_of(tiny.model)
    QUICK.fit(given.draw, given.task)
    names = changed(before, trained(tiny))
    assert "logit_scale" in names
    assert "text_projection" in names
    assert any(name.startswith("transformer.resblocks.0") for name in names)
    assert "visual.proj" in names


@pytest.mark.parametrize("start", ["text", "probe"])
def test_image_only_leaves_the_text_towers_weights_bit_equal(
    patterns: Callable[..., Any], tiny: ClipModel, start: Literal["text", "probe"]
) -> None:
    given = patterns(3, 3)
    before = weights_of(tiny.model)
    dataclasses.replace(QUICK, towers="image", start=start).fit(given.draw, given.task)
    names = changed(before, trained(tiny))
    assert names
    assert all(name.startswith("visual.") for name in names)


def test_the_callers_model_stays_as_it_was(patterns: Callable[..., Any], tiny: ClipModel) -> None:
    given = patterns(3, 3)
    before, encoder = weights_of(tiny.model), weights_of(tiny.frozen_encoder())
    QUICK.fit(given.draw, given.task).logits(given.test)
    assert not changed(before, tiny.model.state_dict())
    assert not changed(encoder, tiny.frozen_encoder().state_dict())
    assert not tiny.model.training
    assert all(parameter.grad is None for parameter in tiny.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["none", "flip+crop"])
def test_a_seed_decides_the_result_and_the_global_random_state_does_not(
    patterns: Callable[..., Any], augment: str
) -> None:
    def result(seed: int, elsewhere: int) -> np.ndarray:
        torch.manual_seed(elsewhere)
        given = patterns(4, 4, seed=seed)
        state = torch.random.get_rng_state()
        logits = QUICK.fit(given.draw, dataclasses.replace(given.task, augment=augment)).logits(given.test)
        assert torch.equal(torch.random.get_rng_state(), state)
        return logits

    first = result(0, elsewhere=1)
    np.testing.assert_array_equal(first, result(0, elsewhere=2))
    assert not np.array_equal(first, result(1, elsewhere=1))


def test_scores_of_an_image_do_not_depend_on_what_is_scored_beside_it(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3, tested=12)
    fitted = QUICK.fit(given.draw, given.task)
    all_at_once = fitted.logits(given.test)
    half = type(given.test).of(given.test.store, given.test.ids[::2])
    assert all_at_once.dtype == np.float32
    np.testing.assert_allclose(fitted.logits(half), all_at_once[::2], atol=0.05)


@pytest.mark.parametrize(
    ("lr", "start", "message"),
    [
        (0.5, "probe", r"^the loss rose from \d+\.\d+ to \d+\.\d+; a smaller --lr than 0.5 may do$"),
        (1e4, "text", r"^the loss is nan; a smaller --lr than 10000 may do$"),
    ],
)
def test_a_learning_rate_that_is_far_too_large_is_said_in_a_sentence(
    patterns: Callable[..., Any], lr: float, start: Literal["text", "probe"], message: str
) -> None:
    given = patterns(6, 6, 6)
    with pytest.raises(Diverged, match=message):
        Finetune(lr=lr, epochs=2, start=start).fit(given.draw, given.task)


def test_a_loss_that_is_not_a_number_is_said_at_once(
    patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = patterns(3, 3)
    passes = []
    original = Batches.__iter__

    def counted(batches: Any) -> Any:
        passes.append(1)
        for each in original(batches):
            yield each._replace(images=each.images * (float("nan") if len(passes) > 1 else 1))

    monkeypatch.setattr(Batches, "__iter__", counted)
    with pytest.raises(Diverged, match=r"the loss is nan; a smaller --lr than 0\.001 may do"):
        Finetune(lr=1e-3, epochs=50).fit(given.draw, given.task)
    assert len(passes) == 2  # the one before training, and the first epoch


@pytest.mark.slow
def test_the_loss_of_a_model_that_hardly_moves_is_no_divergence(patterns: Callable[..., Any]) -> None:
    """Its loss goes up and down by the order of batches and by augmentation alone."""
    for seed in range(6):
        given = patterns(3, 2, 2, seed=seed)  # 7 images: batches of 2 and 3
        for start in ("text", "probe"):
            task = dataclasses.replace(given.task, augment="flip+crop")
            Finetune(lr=1e-12, epochs=1, start=start).fit(given.draw, task)


def test_from_the_probe_without_learning_it_predicts_as_the_probe_does(patterns: Callable[..., Any]) -> None:
    given = patterns(6, 6, 6)
    probe = LinearProbe(powers=(1.0,)).fit(given.draw, given.task).logits(given.test)
    start = Finetune(lr=1e-12, epochs=1, start="probe").fit(given.draw, given.task).logits(given.test)
    np.testing.assert_allclose(start, probe, atol=0.02 * np.abs(probe).max())
    assert (start.argmax(axis=1) == probe.argmax(axis=1)).mean() > 0.9


def batches(given: Any, batch_size: int = 0) -> Batches:
    return Batches(given.draw, given.task, Finetune(batch_size=batch_size).optimisation())


@pytest.mark.parametrize(("size", "sizes"), [(0, {3, 4}), (1, {1}), (4, {4, 5}), (5, {4, 5}), (12, {13}), (99, {13})])
def test_no_image_is_dropped_and_batches_are_of_equal_size(
    patterns: Callable[..., Any], size: int, sizes: set[int]
) -> None:
    given = patterns(5, 4, 4)
    made = batches(given, size)
    pictures, labels = batch(given)
    for _ in range(2):
        parts = list(made)
        assert len(parts) == len(made)
        assert {len(part.labels) for part in parts} <= sizes
        seen, told = torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
        assert torch.cat([part.weights for part in parts]).tolist() == [1.0] * 13
        assert len(seen) == 13
        for picture, label in zip(pictures, labels, strict=True):
            same = (seen == picture).flatten(1).all(dim=1)
            assert same.sum() == 1
            assert told[same] == label


def test_every_pass_has_another_order(patterns: Callable[..., Any]) -> None:
    made = batches(patterns(5, 4, 4))
    orders = [torch.cat([part.labels for part in made]).tolist() for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.slow
def test_a_cosine_schedule_ends_at_nothing(patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    class Spy(torch.optim.AdamW):
        def step(self, *arguments: Any, **more: Any) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(*arguments, **more)

    monkeypatch.setattr(torch.optim, "AdamW", Spy)
    given = patterns(4, 4)
    Finetune(lr=1e-4, epochs=3, schedule="cosine").fit(given.draw, given.task)
    steps = 3 * 4
    assert rates == pytest.approx([0.5e-4 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)])
    rates.clear()
    Finetune(lr=1e-4, epochs=3).fit(given.draw, given.task)
    assert set(rates) == {1e-4}


@pytest.mark.slow
def test_the_statistics_of_batch_norm_do_not_move(patterns: Callable[..., Any]) -> None:
    lite0 = clip_models.load("lite0", device="cpu")
    given = patterns(1, 1, clip=lite0, tested=1)
    before = weights_of(lite0.model.visual)
    Finetune(lr=1e-4, epochs=1, towers="image", start="probe").fit(given.draw, given.task)
    names = changed(before, weights_of(working_copy(lite0).model.visual))
    assert any(name.endswith("conv_stem.weight") for name in names)
    assert any("bn" in name and name.endswith("weight") for name in names)
    assert sum("running" in name for name in before) > 50
    assert not {name for name in names if "running" in name or "num_batches" in name}


def test_a_class_without_a_training_image_is_no_trouble(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 0, 3)
    for start in ("text", "probe"):
        fitted = dataclasses.replace(QUICK, start=start, lr=1e-5).fit(given.draw, given.task)
        assert fitted.logits(given.test).shape == (12, 3)


def test_one_image_in_all_is_enough(patterns: Callable[..., Any]) -> None:
    given = patterns(1, 0)
    assert isinstance(given.draw, Draw)
    assert len(QUICK.fit(given.draw, given.task).logits(given.test)) == 8


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": "step"}, "schedule must be constant or cosine"),
        ({"towers": "text"}, "towers must be both or image"),
        ({"start": "zero"}, "start must be text or probe"),
        ({"lr": 0.0}, "--lr must be a number, above 0"),
        ({"lr": math.nan}, "--lr must be a number, above 0"),
        ({"epochs": 0}, "--epochs must be a whole number, at least 1, not 0"),
        ({"batch_size": -1}, "--batch-size must be a whole number, at least 0, not -1"),
        ({"lr": math.inf}, "--lr must be a number, above 0"),
        ({"weight_decay": -0.1}, "--weight-decay must be a number, at least 0"),
        ({"weight_decay": math.nan}, "--weight-decay must be a number, at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Finetune(**wrong)
