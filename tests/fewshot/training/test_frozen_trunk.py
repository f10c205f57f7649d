"""An image tower in two parts: together they are the whole, and what is kept of the first is what it computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

from curate.collection.directory import Collection
from curate.foundation.errors import UsageError
from curate.images.pixels import PixelCache
from curate.images.transform import Transform
from curate.models import clip_models
from curate.models.clip_models import ClipModel
from fewshot.sweeping.activations import ActivationCache
from fewshot.training import frozen_trunk


@pytest.fixture(scope="module")
def lite0() -> ClipModel:
    return clip_models.load("lite0", device="cpu")


def pictures(clip: ClipModel, count: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, clip.image_size, clip.image_size, generator=random)


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_a_vision_transformer_in_two_is_the_whole(tiny: ClipModel, blocks: int) -> None:
    parts = frozen_trunk.cut(tiny.model.visual, blocks)
    with torch.no_grad():
        assert torch.equal(parts.after(parts.before(pictures(tiny))), tiny.model.visual(pictures(tiny)))


@pytest.mark.parametrize("blocks", [0, 1, 5, 16])
def test_lite0_in_two_is_the_whole(lite0: ClipModel, blocks: int) -> None:
    parts = frozen_trunk.cut(lite0.model.visual, blocks)
    with torch.no_grad():
        assert torch.equal(parts.after(parts.before(pictures(lite0, 1))), lite0.model.visual(pictures(lite0, 1)))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_other_trunks_of_timm_in_two_are_the_whole(name: str) -> None:
    tower = open_clip.timm_model.TimmModel(name, embed_dim=16, image_size=224, proj="linear").eval()
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for blocks in (0, 1, 3):
        parts = frozen_trunk.cut(tower, blocks)
        with torch.no_grad():
            assert torch.equal(parts.after(parts.before(images)), tower(images))


def names(tower: nn.Module, parts: frozen_trunk.Cut) -> set[str]:
    behind = {id(each) for each in parts.parameters}
    return {name for name, each in tower.named_parameters() if id(each) in behind}


def test_the_parameters_are_those_that_the_last_part_uses(tiny: ClipModel, lite0: ClipModel) -> None:
    """By the gradient: each of them has one, and nothing else has."""
    for clip, most in ((tiny, 2), (lite0, 16)):
        for blocks in (0, 1, most):
            tower = clip.model.visual
            parts = frozen_trunk.cut(tower, blocks)
            with torch.no_grad():
                given = parts.before(pictures(clip, 1))
            result = parts.after(given).sum()
            values = dict(tower.named_parameters())
            used = set()
            if result.requires_grad:
                gradients = torch.autograd.grad(result, list(values.values()), allow_unused=True)
                used = {name for name, each in zip(values, gradients, strict=True) if each is not None}
            assert names(tower, parts) == used


def test_more_blocks_than_there_are_is_said_in_a_sentence(tiny: ClipModel) -> None:
    with pytest.raises(UsageError, match=r"^finetune-last3: the image tower has 2 blocks; take as many at most$"):
        frozen_trunk.cut(tiny.model.visual, 3)


def test_a_tower_that_cannot_be_cut_is_said_in_a_sentence() -> None:
    tower = open_clip.modified_resnet.ModifiedResNet((1, 1, 1, 1), 16, heads=2, image_size=64, width=8)
    with pytest.raises(UsageError, match=r"\(ModifiedResNet\) can't be told apart: .*; take finetune$"):
        frozen_trunk.cut(tower, 1)


@pytest.fixture
def cache(own_collection: Collection, tiny: ClipModel) -> Callable[..., tuple[ActivationCache, PixelCache]]:
    def build(blocks: int = 1, *, mirrored: bool = False) -> tuple[ActivationCache, PixelCache]:
        transform = Transform(tiny.image_size)
        pixels = PixelCache(own_collection, transform)
        pixels.fill(own_collection.images())
        return ActivationCache(own_collection, tiny, transform, blocks, mirrored=mirrored), pixels

    return build


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("blocks", [0, 1])
def test_what_is_kept_is_what_the_tower_computes(
    own_collection: Collection,
    tiny: ClipModel,
    cache: Callable[..., tuple[ActivationCache, PixelCache]],
    blocks: int,
    mirrored: bool,
) -> None:
    kept, pixels = cache(blocks, mirrored=mirrored)
    images = own_collection.images()
    kept.fill(images, pixels)
    ids = list(images["id"])[3:8]
    again, _ = cache(blocks, mirrored=mirrored)
    images_of = tiny.normalise(torch.from_numpy(pixels.take(ids)))
    expected = frozen_trunk.run(tiny, blocks, images_of.flip(3) if mirrored else images_of)
    for each in (kept, again):
        taken = each.take(ids)
        assert taken.dtype == expected.dtype
        torch.testing.assert_close(taken, expected, rtol=0.02, atol=0.02)
    assert torch.equal(kept.take(ids[::-1]), kept.take(ids).flip(0))


def test_only_what_is_missing_is_computed(
    own_collection: Collection,
    cache: Callable[..., tuple[ActivationCache, PixelCache]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, pixels = cache()
    images = own_collection.images()
    kept.fill(images.iloc[:20], pixels)
    counted: list[int] = []
    real = frozen_trunk.compute

    def counting(clip: ClipModel, blocks: int, taken: np.ndarray, *, mirrored: bool = False) -> torch.Tensor:
        counted.append(len(taken))
        return real(clip, blocks, taken, mirrored=mirrored)

    monkeypatch.setattr(frozen_trunk, "compute", counting)
    again, _ = cache()
    again.fill(images, pixels)
    assert counted == [images["id"].nunique() - images["id"].iloc[:20].nunique()]
    cache()[0].fill(images, pixels)
    assert len(counted) == 1


def damaged(folder: Path, how: str) -> None:
    file = next(folder.glob("*.npy"))
    content = bytearray(file.read_bytes())
    if how == "a bit":
        content[-5] ^= 1
    file.write_bytes(content[: len(content) // 2] if how == "cut" else content)
    if how == "index":
        next(folder.glob("*.json")).write_text("{")


@pytest.mark.parametrize("how", ["a bit", "cut", "index"])
def test_a_damaged_shard_is_made_again(
    own_collection: Collection, cache: Callable[..., tuple[ActivationCache, PixelCache]], how: str
) -> None:
    kept, pixels = cache()
    images = own_collection.images()
    kept.fill(images, pixels)
    whole = kept.take(images["id"]).clone()
    damaged(kept.rows.folder, how)
    again, _ = cache()
    with pytest.raises(KeyError):
        again.take(images["id"])
    again.fill(images, pixels)
    assert torch.equal(again.take(images["id"]), whole)
