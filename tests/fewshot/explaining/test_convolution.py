"""What counted for a convolutional tower: by finite differences, by hand, and only where it is known how."""

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn

from curate.foundation.errors import FewposeError, UsageError
from fewshot.classifier import LinearHead
from fewshot.explaining.convolution import elementwise_relevance, stage
from fewshot.explaining.relevance import relevance


def timm_tower(name: str, pool: str = "avg") -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = open_clip.timm_model.TimmModel(name, embed_dim=16, image_size=224, pool=pool, proj="linear").eval()
    for key, value in made.named_parameters():
        if key.endswith("gamma"):  # ConvNeXt's blocks start as nearly nothing
            nn.init.ones_(value)
    return made


def modified_resnet() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = open_clip.modified_resnet.ModifiedResNet((1, 1, 1, 1), 16, heads=2, image_size=64, width=8)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # it starts blocks at nothing
    return made.eval()


def pictures(size: int = 224, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


HEAD = LinearHead(5 * np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tower", "module", "size", "places"),
    [
        (lambda: timm_tower("tf_efficientnet_lite0"), "trunk.blocks.4", 224, 14),
        (lambda: timm_tower("convnext_atto"), "trunk.stages.3.downsample.0", 224, 14),
        (lambda: timm_tower("resnet18"), "trunk.layer3", 224, 14),
        (modified_resnet, "layer3", 64, 4),
    ],
    ids=["efficientnet", "convnext", "resnet", "clip's resnet"],
)
def test_each_place_is_the_gradient_times_the_activation_there(tower: Any, module: str, size: int, places: int) -> None:
    """Another way to the same: the activation itself as a leaf, put in the place of what the stage computes."""
    made, images = tower().double(), pictures(size).double()  # norms make sums over channels nearly nothing
    assert stage(made) == module
    weights = torch.randn(2, 16, generator=torch.Generator().manual_seed(2)).double()

    def score(features: Tensor) -> Tensor:
        return (features * weights).sum(1)

    found = elementwise_relevance(made, module, score, images)
    held: list[Tensor] = []

    def hold(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        held.append(output.detach().requires_grad_())
        return held[0]

    made.get_submodule(module).register_forward_hook(hold)
    score(made(images)).sum().backward()
    assert held[0].grad is not None
    expected = torch.einsum("nchw,nchw->nhw", held[0].detach(), held[0].grad).clamp(min=0)
    assert found.shape == (2, places, places)
    assert found.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * float(expected.max()))


def test_a_tower_is_left_as_it_was() -> None:
    made = timm_tower("convnext_atto")
    before = {key: value.clone() for key, value in made.state_dict().items()}
    with torch.no_grad():  # whoever asks for a map may have said so
        relevance(made, HEAD, pictures(), torch.tensor([2, 0]))
    assert all(torch.equal(before[key], value) for key, value in made.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in made.parameters())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in made.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_atto", "resnet18", "fastvit_t8"])
def test_a_map_is_no_rest_of_rounding(name: str) -> None:
    """Where a norm over channels follows, the products of a place add up to nothing in exact numbers."""
    made = timm_tower(name).double()
    random = torch.randn(2, 16, generator=torch.Generator().manual_seed(2)).double()
    looked_at = stage(made)
    assert looked_at is not None
    held: list[Tensor] = []
    made.get_submodule(looked_at).register_forward_hook(lambda *given: held.append(given[2]))
    result = (made(pictures().double()) * random).sum()
    products = held[0] * torch.autograd.grad(result, held[0])[0]
    assert (products.sum(1).abs().mean() / products.abs().sum(1).mean()) > 0.01


@pytest.mark.slow
def test_each_image_has_the_map_that_it_has_alone() -> None:
    """Whatever stands beside it, and however many are computed at once."""
    made = timm_tower("resnet18")
    images, targets = pictures(count=6), torch.tensor([0, 1, 2, 3, 0, 1])
    together = relevance(made, HEAD, images, targets)
    for place in (0, 3, 4, 5):
        alone = relevance(made, HEAD, images[place : place + 1], targets[place : place + 1])
        torch.testing.assert_close(together[place], alone[0], rtol=1e-3, atol=1e-4 * float(alone.max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_relpos_small_patch16_224"])
def test_a_tower_of_another_kind_is_said_in_a_sentence(name: str) -> None:
    made = timm_tower(name, pool="" if name.startswith("vit") else "avg")
    with pytest.raises(UsageError, match=rf"^what this model's image tower \({type(made.trunk).__name__}\) looks at"):
        relevance(made, HEAD, pictures(count=1), torch.tensor([2]))


def test_without_captum_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(FewposeError, match=r"pip install 'fewpose\[explain\]'"):
        relevance(timm_tower("convnext_atto"), HEAD, pictures(count=1), torch.tensor([2]))
