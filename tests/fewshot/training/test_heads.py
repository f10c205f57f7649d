"""The text tower with its context cut to the longest prompt: the same embeddings, and the same gradients."""

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch

from curate.models import clip_models
from fewshot.training.heads import TextHead, _TextTower

PROMPTS = ("a photo of a dog", "someone in the pose that is called the downward facing dog, seen from the side", "x")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny/random", "lite0"])
def test_the_cut_context_gives_the_same_embeddings_and_gradients(name: str) -> None:
    clip = clip_models.load(name, device="cpu")
    tokens = clip.tokenize(list(PROMPTS))
    tower = _TextTower(clip.model, tokens)
    assert tower.length < 30 < tokens.shape[1]
    cut, whole = tower(), clip.model.encode_text(tokens)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-5)
    parameters = [value for key, value in clip.model.named_parameters() if key.startswith("transformer.")]
    for one, other in zip(
        torch.autograd.grad(cut.square().sum(), parameters),
        torch.autograd.grad(whole.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_a_text_transformer_of_its_own_is_cut_as_well() -> None:
    model = open_clip.CustomTextCLIP(16, TINY_VISION, TINY_TEXT).eval()
    tokens = open_clip.get_tokenizer("ViT-B-32")(list(PROMPTS))
    tower = _TextTower(model, tokens)
    assert tower.tower is model.text
    with torch.no_grad():
        torch.testing.assert_close(tower(), model.encode_text(tokens), rtol=1e-4, atol=1e-5)


TINY_VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TINY_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


@pytest.mark.parametrize("other", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}])
def test_another_mask_or_pooling_is_left_alone(other: dict[str, Any]) -> None:
    model = open_clip.CustomTextCLIP(16, TINY_VISION, TINY_TEXT | other).eval()
    tokens = open_clip.get_tokenizer("ViT-B-32")(list(PROMPTS))
    tower = _TextTower(model, tokens)
    assert tower.tower is None
    with torch.no_grad():
        assert torch.equal(tower(), model.encode_text(tokens))


def test_frozen_texts_are_computed_once(patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = patterns(2, 2, templates=2)
    model = given.task.clip.model
    calls: list[int] = []
    real = _TextTower.__call__

    def counted(self: _TextTower) -> torch.Tensor:
        calls.append(1)
        return real(self)

    monkeypatch.setattr(_TextTower, "__call__", counted)
    frozen, trained = (TextHead(model, given.task, frozen=each) for each in (True, False))
    values = [head.class_vectors()[0] for head in (frozen, frozen, trained, trained)]
    assert len(calls) == 3
    assert not values[0].requires_grad
    assert values[2].requires_grad
    torch.testing.assert_close(values[0], values[2].detach())
    assert frozen.trained() == []
