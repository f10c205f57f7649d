"""LoRA: the adapters compute what is written, merged or not, and stacked trials are as they would be alone."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.foundation import resources
from curate.foundation.errors import UsageError
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from fewshot.methods import lora as method
from fewshot.methods.lora import Lora
from fewshot.methods.zero_shot import ZeroShot
from fewshot.task import Diverged, Fitted
from fewshot.training import heads, low_rank
from fewshot.training.loop import Batch, Batches, Trainer

QUICK = Lora(lr=5e-3, iterations=30, batch_size=8)


@pytest.fixture(scope="module")
def exact() -> ClipModel:
    """A model of this module's own, whose frozen encoder is in fp32 too."""
    clip = clip_models.load("tiny/random", device="cpu")
    clip.precision = "fp32"
    return clip


def adapted(clip: ClipModel, seeds: tuple[int, ...] = (1, 2), dropout: float = 0.0) -> low_rank.Adapters:
    """Adapters that do something: B starts at nothing."""
    made = low_rank.Adapters(
        clip.model, low_rank.places(clip.model), seeds, rank=2, scale=1 / math.sqrt(2), dropout=dropout
    )
    random = torch.Generator().manual_seed(0)
    for adapter in made.adapters.values():
        nn.init.normal_(adapter.up, std=0.3, generator=random)
    return made


def pictures(clip: ClipModel, given: Any) -> Tensor:
    return clip.normalise(torch.from_numpy(np.asarray(given.draw.images.pixels())))


@torch.no_grad()
def test_every_block_of_both_towers_is_adapted_and_starts_as_it_is(
    exact: ClipModel, patterns: Callable[..., Any]
) -> None:
    names = low_rank.places(exact.model)
    assert names == [f"{tower}transformer.resblocks.{n}.attn" for tower in ("visual.", "") for n in (0, 1)]
    images, tokens = pictures(exact, patterns(2, 2)), exact.tokenize(["a cat", "a photo of a dog"])
    made = low_rank.Adapters(exact.model, names, (7,), rank=2, scale=1.0, dropout=0.5)
    torch.testing.assert_close(made.model.visual(images), exact.model.visual(images))
    torch.testing.assert_close(made.model.encode_text(tokens), exact.model.encode_text(tokens))


@torch.no_grad()
def test_merged_is_unmerged(exact: ClipModel, patterns: Callable[..., Any]) -> None:
    made = adapted(exact)
    images, tokens = pictures(exact, patterns(2, 2)), exact.tokenize(["a cat", "a photo of a dog"])
    stacked = made.model.visual(images.repeat(2, 1, 1, 1)).unflatten(0, (2, -1))
    texts = made.model.encode_text(tokens.repeat(2, 1)).unflatten(0, (2, -1))
    for trial in range(2):
        merged = low_rank.merged(exact.model, made.factors(trial))
        torch.testing.assert_close(merged.visual(images), stacked[trial], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(merged.encode_text(tokens), texts[trial], rtol=1e-4, atol=1e-4)
    assert (stacked[0] - stacked[1]).abs().max() > 0.1
    assert (stacked[0] - exact.model.visual(images)).abs().max() > 0.1


@pytest.mark.slow
@torch.no_grad()
def test_towers_of_timm_are_adapted_too(tmp_path: Path) -> None:
    config = json.loads((Path(resources.path("open_clip")) / "tiny.json").read_text())
    config["embed_dim"] = 192
    config["vision_cfg"] = {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    }
    (tmp_path / "timm-tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    clip = clip_models.load("timm-tiny/random", device="cpu")
    made = adapted(clip)
    assert len(made.adapters) == 12 + 2
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    stacked = made.model.visual(images.repeat(2, 1, 1, 1)).unflatten(0, (2, -1))
    for trial in range(2):
        merged = low_rank.merged(clip.model, made.factors(trial)).visual(images)
        torch.testing.assert_close(merged, stacked[trial], rtol=1e-4, atol=1e-4)
    assert (stacked[0] - clip.model.visual(images)).abs().max() > 0.01


def test_an_adapter_computes_what_is_written(exact: ClipModel) -> None:
    """s * (drop(x) A') B', one trial and one of q, k and v at a time; q, k and v drop inputs of their own."""
    adapter = adapted(exact, dropout=0.25).adapters["visual.transformer.resblocks.1.attn"]
    x = torch.randn(6, 5, 64, generator=torch.Generator().manual_seed(1))
    masks = adapter.dropout(x.view(2, 15, 64), adapter.place)
    assert masks is not None
    found = adapter(x)
    for trial in range(2):
        for part in range(3):
            dropped = x[3 * trial : 3 * trial + 3] * masks[trial, part].view(3, 5, 64)
            a, b = adapter.down[trial, part], adapter.up[trial, part].T
            expected = dropped @ a.T @ b.T / math.sqrt(2)
            mine = found[3 * trial : 3 * trial + 3, :, 64 * part : 64 * part + 64]
            torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_a_quarter_is_dropped_anew_for_each_trial_step_place_and_projection() -> None:
    def masks(seeds: tuple[int, ...], steps: int = 1, place: int = 0, rows: int = 40) -> Tensor:
        dropout = low_rank.Dropout(0.25, seeds, torch.device("cpu"))
        for _ in range(steps):
            dropout.advance()
        found = dropout(torch.zeros(len(seeds), rows, 64), place)
        assert found is not None
        return found

    first = masks((3, 4))
    assert first.shape == (2, 3, 40, 64)
    assert first.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert first.mean() == pytest.approx(1, abs=0.02)  # 15,360 of them: 0.005 is their standard deviation
    others = [masks((3, 4), steps=2), masks((3, 4), place=1), masks((4, 3)), first.roll(1, 1), first.roll(1, 2)]
    for other in [*others, first.roll(1, 3), first.roll(4, 3)]:
        both = ((first == 0) & (other == 0)).float().mean()
        assert both == pytest.approx(1 / 16, abs=0.01)  # as independent ones have in common
    torch.testing.assert_close(masks((4,)), first[1:])  # the same alone
    torch.testing.assert_close(masks((3, 4), rows=43)[:, :, :40], first)  # and beside an image more
    with torch.no_grad():
        assert low_rank.Dropout(0.25, (3,), torch.device("cpu"))(torch.zeros(1, 2, 64), 0) is None


def test_the_loss_of_each_trial_is_that_of_its_merged_model(exact: ClipModel, patterns: Callable[..., Any]) -> None:
    """Batches of different sizes, several prompts a class, balanced classes: against fewshot.training.heads.loss."""
    sizes = ((4, 1, 2), (3, 3, 0))
    given = [patterns(*each, clip=exact, templates=2) for each in sizes]
    task = replace(given[0].task, class_weights="balanced")
    made = adapted(exact, dropout=0.25)
    batches = []
    for each in given:
        (batch,) = Batches(each.draw, task, replace(QUICK, batch_size=32)._settings(each.draw))
        batches.append(batch)
    with torch.no_grad():
        found = method._loss(made, task, "both")(batches)
        for trial, batch in enumerate(batches):
            merged = low_rank.merged(exact.model, made.factors(trial))
            vectors = heads.TextHead(merged, task, frozen=True).class_vectors()
            expected = heads.loss(merged.visual(batch.images), vectors, batch.labels, batch.weights)
            assert found[trial].item() == pytest.approx(expected.item(), rel=1e-4)
    assert batches[0].weights.max() > 2 * batches[0].weights.min()


def test_the_gradient_is_that_of_finite_differences(exact: ClipModel, patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3, clip=exact)
    made = adapted(exact)
    loss = method._loss(made, given.task, "both")
    labels = torch.from_numpy(given.draw.labels)
    batch = Batch(pictures(exact, given), labels, torch.ones(len(labels)))
    parameters = made.parameters()[:-1]
    gradient = torch.autograd.grad(loss([batch, batch])[0], parameters)
    length = math.sqrt(sum((each**2).sum().item() for each in gradient))
    assert all(not each[1].any() for each in gradient)  # the other trial's adapters are none of its business

    def moved(by: float) -> float:
        with torch.no_grad():
            for value, way in zip(parameters, gradient, strict=True):
                value.add_(way, alpha=by / length)
            found = loss([batch, batch])[0].item()
            for value, way in zip(parameters, gradient, strict=True):
                value.sub_(way, alpha=by / length)
        return found

    assert (moved(1e-2) - moved(-1e-2)) / 2e-2 == pytest.approx(length, rel=0.02)


@pytest.mark.slow
def test_stacked_trials_are_as_they_would_be_alone(
    exact: ClipModel, patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = ((6, 6, 6), (6, 5, 6), (2, 2, 2), (6, 6, 5))
    given = [patterns(*each, clip=exact, seed=seed) for seed, each in enumerate(sizes)]
    alone = [QUICK.fit(each.draw, each.task).logits(each.test) for each in given]
    monkeypatch.setitem(method.STACKED, "cpu", 3)
    widths: list[int] = []
    original = Trainer.train

    def watched(self: Trainer, batches: list[Batches], classes: int) -> list[Diverged | None]:
        widths.append(len(batches))
        return original(self, batches, classes)

    monkeypatch.setattr(Trainer, "train", watched)
    together = QUICK.fit_batch([each.draw for each in given], [each.task for each in given])
    assert sorted(widths) == [1, 3]  # the smallest takes another number of steps
    for mine, fitted, each in zip(alone, together, given, strict=True):
        assert isinstance(fitted, Fitted)
        np.testing.assert_allclose(fitted.logits(each.test), mine, rtol=1e-4, atol=2e-4)


@pytest.mark.slow
def test_it_learns_the_patterns_and_leaves_the_model_alone(patterns: Callable[..., Any], tiny: ClipModel) -> None:
    given = patterns(8, 8, 8)
    before = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    fitted = Lora(lr=5e-3, iterations=60).fit(given.draw, given.task)
    assert (fitted.logits(given.test).argmax(axis=1) == given.truth).mean() > 0.8
    assert all(torch.equal(value, before[name]) for name, value in tiny.model.state_dict().items())
    assert all(value.requires_grad and value.grad is None for value in tiny.model.parameters())
    again = Lora(lr=5e-3, iterations=60).fit(given.draw, given.task)
    np.testing.assert_array_equal(fitted.logits(given.test), again.logits(given.test))


@pytest.mark.slow
def test_averaging_interpolates_the_merged_weights(exact: ClipModel, patterns: Callable[..., Any]) -> None:
    given = patterns(4, 4, clip=exact)
    fitted = QUICK.fit(given.draw, given.task)
    assert fitted.averaged is not None
    start = ZeroShot().fit(given.draw, given.task).logits(given.test)
    np.testing.assert_allclose(fitted.averaged(0.0).logits(given.test), start, rtol=1e-4, atol=1e-4)
    trained = fitted.logits(given.test)
    np.testing.assert_array_equal(fitted.averaged(1.0).logits(given.test), trained)
    assert np.abs(trained - start).max() > 0.1

    made = adapted(exact)
    ends = [low_rank.merged(exact.model, made.factors(0), alpha).state_dict() for alpha in (0.0, 0.3, 1.0)]
    for name in low_rank.places(exact.model):
        begun, between, ended = (each[f"{name}.in_proj_weight"] for each in ends)
        torch.testing.assert_close(between, 0.3 * ended + 0.7 * begun)
        assert not torch.equal(begun, ended)


@pytest.mark.slow
@pytest.mark.parametrize("towers", ["image", "text"])
def test_one_tower_is_adapted_where_one_is_asked_for(
    exact: ClipModel, patterns: Callable[..., Any], towers: Literal["image", "text"], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = patterns(4, 4, clip=exact)
    adapted_names: list[str] = []
    original = low_rank.Adapters.factors

    def watched(self: low_rank.Adapters, trial: int) -> dict[str, low_rank.Factors]:
        adapted_names.extend(self.adapters)
        return original(self, trial)

    monkeypatch.setattr(low_rank.Adapters, "factors", watched)
    fitted = replace(QUICK, towers=towers, iterations=60).fit(given.draw, given.task)
    assert {name.startswith("visual.") for name in adapted_names} == {towers == "image"}
    logits = torch.from_numpy(fitted.logits(given.draw.images))
    begun = torch.from_numpy(ZeroShot().fit(given.draw, given.task).logits(given.draw.images))
    labels = torch.from_numpy(given.draw.labels)
    assert F.cross_entropy(logits, labels) < F.cross_entropy(begun, labels) - 0.05


def test_500_steps_are_taken_or_500_for_each_image_of_a_class(patterns: Callable[..., Any]) -> None:
    draw = patterns(20, 20).draw  # 40 images: one batch
    assert Lora()._settings(draw).epochs == 500
    assert Lora(per_shot=True)._settings(draw).epochs == 500 * 20
    assert Lora(batch_size=10)._settings(draw).epochs == 125


def test_a_rate_that_is_too_high_is_told(patterns: Callable[..., Any]) -> None:
    given = patterns(3, 3)
    with pytest.raises(Diverged, match="a smaller --lr"):
        Lora(lr=1e4, iterations=5, schedule="constant").fit(given.draw, given.task)


def test_a_model_without_attention_blocks_is_refused(patterns: Callable[..., Any]) -> None:
    lite0 = clip_models.load("lite0", device="cpu")
    with pytest.raises(UsageError, match=r"the image tower of lite0 has none .*; use finetune"):
        Lora().check(lite0)
    with pytest.raises(UsageError, match="the image tower of lite0"):
        given = patterns(2, 2)
        Lora(towers="image").fit(given.draw, replace(given.task, clip=lite0))
    Lora(towers="text").check(lite0)  # its text tower has some


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"towers": "none"}, "towers must be both or image or text, not 'none'"),
        ({"rank": 0}, "rank must be a whole number, at least 1, not 0"),
        ({"iterations": 0}, "iterations must be a whole number, at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be a number, at least 0 and below 0.99, not 1.0"),
        ({"alpha": math.nan}, "alpha must be a number, above 0, not nan"),
        ({"lr": 0.0}, "lr"),
        ({"schedule": "step"}, "schedule must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Lora(**wrong)
