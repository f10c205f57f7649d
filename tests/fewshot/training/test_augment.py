"""Random changes of training images: same shape, drawn from the generator alone, and what their names say."""

import pytest
import torch

from fewshot.training.augment import KINDS, augment


def batch(count: int = 8, size: int = 16) -> torch.Tensor:
    """Smooth random pictures."""
    random = torch.Generator().manual_seed(7)
    coarse = torch.randn(count, 3, 4, 4, generator=random)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_and_type_stay(kind: str) -> None:
    changed = augment(batch(), kind, seeded())
    assert changed.shape == batch().shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert changed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_alone_decides(kind: str) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = augment(batch(), kind, seeded())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(one, augment(batch(), kind, seeded()))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_another_seed_changes_the_images_otherwise(kind: str) -> None:
    assert not torch.equal(augment(batch(), kind, seeded(0)), augment(batch(), kind, seeded(1)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_images_are_not_written_to(kind: str) -> None:
    images = batch()
    augment(images, kind, seeded())
    assert torch.equal(images, batch())


def test_none_changes_nothing() -> None:
    assert torch.equal(augment(batch(), "none", seeded()), batch())


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_others() -> None:
    images = batch(200)
    changed = augment(images, "flip", seeded())
    mirrored = [torch.equal(one, other.flip(2)) for one, other in zip(changed, images, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(changed, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 70 < sum(mirrored) < 130


def test_crop_shows_a_part_of_50_to_100_percent_of_the_area() -> None:
    """Pictures whose values are their coordinates tell which part is seen."""
    ramp = torch.linspace(-1, 1, 65)
    picture = torch.stack([ramp.expand(65, 65), ramp.expand(65, 65).T, torch.zeros(65, 65)])
    changed = augment(picture.expand(300, 3, 65, 65), "crop", seeded())
    spans = [(image[channel].amax((0, 1)) - image[channel].amin((0, 1))) / 2 for image in changed for channel in (0, 1)]
    widths, heights = torch.stack(spans[::2]), torch.stack(spans[1::2])
    areas = widths * heights  # times the square of the change of contrast, 0.8 to 1.2
    assert areas.max() <= 1.2**2
    assert areas.min() >= 0.45 * 0.8**2
    assert (widths / heights).std() > 0.03  # the aspect varies
    assert widths.std() > 0.05


def test_crop_changes_brightness_for_a_picture_as_a_whole() -> None:
    flat = torch.zeros(50, 3, 8, 8)
    changed = augment(flat, "crop", seeded())
    assert changed.flatten(1).std(dim=1).max() < 1e-6
    assert 0.05 < changed[:, 0, 0, 0].std() < 0.2
    assert changed.abs().max() <= 0.2
