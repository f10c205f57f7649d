"""Attention-gradient relevance is that of the paper's equations, computed with whole matrices and by other means."""

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn

from curate.models.clip_models import ClipModel
from fewshot.classifier import LinearHead
from fewshot.explaining.attention import (
    Tokens,
    attention_relevance,
    copy_with_explicit_attention,
    positive_attention,
    tokens,
)
from fewshot.explaining.score import log_odds, logit


def timm_tower(name: str, pool: str = "", size: int = 224) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return open_clip.timm_model.TimmModel(name, embed_dim=16, image_size=size, pool=pool, proj="linear").eval()


@pytest.fixture(scope="module")
def towers(tiny: ClipModel) -> dict[str, tuple[Any, int]]:
    """Name -> tower and size, of every way to pool."""
    average = open_clip.transformer.VisionTransformer(64, 16, 32, 2, 2, 2.0, output_dim=16, pool_type="avg").eval()
    return {
        "class token": (tiny.model.visual, 64),
        "average": (average, 64),
        "timm, class token": (timm_tower("vit_tiny_patch16_224"), 224),
        "timm, average": (timm_tower("vit_tiny_patch16_224", "avg"), 224),
        "timm, registers": (timm_tower("vit_little_patch16_reg1_gap_256", size=256), 256),
        "timm, attention": (timm_tower("vit_base_patch32_siglip_256", size=256), 256),
        "timm, eva": (timm_tower("eva02_tiny_patch14_224"), 224),
    }


NAMES = [
    *("class token", "average", "timm, class token", "timm, average", "timm, registers", "timm, attention"),
    "timm, eva",
]


def pictures(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def gradient(weights: Tensor) -> Tensor:
    assert weights.grad is not None
    return weights.grad


def some_head(tower: Any, size: int, classes: int = 4) -> LinearHead:
    with torch.no_grad():
        width = tower(pictures(size, 1)).shape[1]
    return LinearHead(5 * np.random.default_rng(0).normal(size=(classes, width)).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_with_its_attention_in_the_open_a_tower_says_what_it_said(
    towers: dict[str, tuple[Any, int]], name: str
) -> None:
    tower, size = towers[name]
    with torch.no_grad():
        torch.testing.assert_close(
            copy_with_explicit_attention(tower)(pictures(size)), tower(pictures(size)), rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_tower_is_left_as_it_was(towers: dict[str, tuple[Any, int]], name: str) -> None:
    tower, size = towers[name]
    before = {key: value.clone() for key, value in tower.state_dict().items()}
    modules = [type(each) for each in tower.modules()]
    asked = [each.requires_grad for each in tower.parameters()]
    known = tokens(tower)
    assert known is not None
    attention_relevance(tower, known, log_odds(some_head(tower, size), torch.tensor([0, 3])), pictures(size))
    assert [type(each) for each in tower.modules()] == modules
    assert [each.requires_grad for each in tower.parameters()] == asked
    assert all(torch.equal(before[key], value) for key, value in tower.state_dict().items())
    assert all(each.grad is None for each in tower.parameters())


class Reference(nn.Module):
    """open_clip's vision transformer written out: plain matrices, a loop over heads, attention given a gradient."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower
        self.seen: list[list[Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        x = self.tower._embeds(images)
        for block in self.tower.transformer.resblocks:
            x = x + self.attention(block.attn, block.ln_1(x))
            x = x + block.mlp(block.ln_2(x))
        pooled = self.tower._pool(x)[0]
        result: Tensor = pooled @ self.tower.proj
        return result

    def attention(self, layer: nn.MultiheadAttention, x: Tensor) -> Tensor:
        width = layer.embed_dim // layer.num_heads
        q, k, v = (x @ w.T + b for w, b in zip(layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True))
        heads, kept = [], []
        for number in range(layer.num_heads):
            part = slice(number * width, (number + 1) * width)
            weights = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / width**0.5, -1)
            weights.retain_grad()
            kept.append(weights)
            heads.append(weights @ v[..., part])
        self.seen.append(kept)
        return torch.cat(heads, -1) @ layer.out_proj.weight.T + layer.out_proj.bias


@pytest.mark.slow
@pytest.mark.parametrize("name", ["class token", "average"])
@pytest.mark.parametrize("score", [log_odds, logit])
def test_relevance_is_the_papers_with_whole_matrices(towers: dict[str, tuple[Any, int]], name: str, score: Any) -> None:
    """Equations 5 and 6 as they stand: R from 1, from the first block to the last; one image at a time."""
    tower, size = towers[name]
    head, targets = some_head(tower, size), torch.tensor([2, 0])
    known = tokens(tower)
    assert known is not None
    found = attention_relevance(tower, known, score(head, targets), pictures(size))
    for place, image in enumerate(pictures(size)):
        reference = Reference(tower)
        score(head, targets[place : place + 1])(reference(image[None])).sum().backward()
        spread = torch.eye(17)
        for heads in reference.seen:
            positive = torch.stack([(gradient(weights) * weights)[0].clamp(min=0) for weights in heads]).mean(0)
            spread = spread + positive @ spread
        row = spread[0, 1:] if name == "class token" else (spread - torch.eye(17))[1:, 1:].mean(0)
        torch.testing.assert_close(found[place], row.detach().view(4, 4), rtol=1e-4, atol=1e-7)
    tower.zero_grad()


@pytest.mark.slow
def test_every_attention_of_every_tower_is_seen(towers: dict[str, tuple[Any, int]]) -> None:
    for name, (tower, size) in towers.items():
        known = tokens(tower)
        assert known is not None
        score = log_odds(some_head(tower, size), torch.tensor([0, 3]))
        layers = positive_attention(tower, score, pictures(size))
        assert len(layers) == known.blocks + (name == "timm, attention"), name
        patches = known.grid[0] * known.grid[1]
        assert layers[0].shape == (2, known.before + patches, known.before + patches), name
        assert attention_relevance(tower, known, score, pictures(size)).shape == (2, *known.grid), name


@pytest.mark.slow
def test_what_attention_pooling_looks_at_is_where_relevance_begins(towers: dict[str, tuple[Any, int]]) -> None:
    """Equation 6 for the pooling query: its own A+, then every block's, by whole matrices."""
    tower, size = towers["timm, attention"]
    score = log_odds(some_head(tower, size), torch.tensor([1, 2]))
    *blocks, pooling = positive_attention(tower, score, pictures(size))
    spread = torch.eye(64).expand(2, 64, 64)
    for positive in blocks:
        spread = spread + positive @ spread
    known = tokens(tower)
    assert known == Tokens(12, (8, 8), 0, "map")
    found = attention_relevance(tower, known, score, pictures(size))
    torch.testing.assert_close(found.flatten(1), (pooling @ spread)[:, 0], rtol=1e-4, atol=1e-9)


def test_the_only_patch_that_decides_has_all_the_relevance() -> None:
    """A tower made by hand: one block whose class token attends to bright patches, and a head that counts them."""
    tower = open_clip.transformer.VisionTransformer(32, 8, 8, 1, 1, 1.0, output_dim=2, no_ln_pre=True).eval()
    with torch.no_grad():
        for each in tower.parameters():
            each.zero_()
        tower.ln_post.weight.fill_(1)
        block = tower.transformer.resblocks[0]
        block.ln_1.weight.fill_(1)
        tower.class_embedding[7] = 1  # what a query asks by
        tower.conv1.weight[0, 0] = 1 / 64  # the first number of a patch: how red it is
        q, k, v = block.attn.in_proj_weight.view(3, 8, 8)
        q[0, 7], k[0, 0], v[1, 0] = 3, 3, 1
        block.attn.out_proj.weight[1, 1] = 1
        tower.proj[1, 0], tower.proj[7, 1] = 1, 1  # what was seen, beside what asked for it
    image = torch.zeros(1, 3, 32, 32)
    image[0, 0, 8:16, 16:24] = 4  # the patch in row 1, column 2
    known = tokens(tower)
    assert known is not None
    head = LinearHead(np.array([[10, 0], [0, 10]], np.float32))
    found = attention_relevance(tower, known, log_odds(head, torch.tensor([0])), image)[0]
    assert found[1, 2] > 0
    assert found[1, 2] > 0.95 * found.sum()


def test_towers_without_tokens_that_can_be_followed_are_not_claimed() -> None:
    made = open_clip.transformer.VisionTransformer
    assert tokens(made(32, 8, 8, 1, 1, 1.0, attentional_pool=True, attn_pooler_heads=1, output_dim=8)) is None
    assert tokens(open_clip.modified_resnet.ModifiedResNet((1, 1, 1, 1), 16, heads=2, image_size=64, width=8)) is None
    assert tokens(timm_tower("convnext_atto")) is None
