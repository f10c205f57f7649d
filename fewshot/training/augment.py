"""Random changes of training images, in batches, on the device where they are.

`flip` mirrors half of the images: a mirrored pose is the same pose. `crop` takes a random part of 50 to 100 % of
the area, with a slight change of aspect, brightness and contrast.
"""

import torch
from torch.nn import functional as F

KINDS = ("none", "flip", "crop", "flip+crop")


def augment(images: torch.Tensor, kind: str, random: torch.Generator) -> torch.Tensor:
    """(n, 3, h, w) normalised images -> the same shape; `random`, a CPU generator, decides what changes."""
    if "crop" in kind:
        images = _light(_crop(images, random), random)
    if "flip" in kind:
        mirrored = torch.rand(len(images), generator=random) < 0.5
        images = torch.where(to_device(mirrored, images.device).view(-1, 1, 1, 1), images.flip(3), images)
    return images.contiguous(memory_format=torch.channels_last)


def to_device(drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
    """What was drawn on the CPU, on `device`, without waiting for it."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)


def _crop(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Torchvision's RandomResizedCrop for a whole batch, as one affine sampling."""
    area, aspect, x, y = torch.rand(4, len(images), generator=random)
    side = (0.5 + 0.5 * area).sqrt()
    stretch = torch.exp((aspect - 0.5) * 0.3)
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    affine = torch.zeros(len(images), 2, 3)
    affine[:, 0, 0], affine[:, 1, 1] = width, height
    affine[:, 0, 2], affine[:, 1, 2] = (1 - width) * (2 * x - 1), (1 - height) * (2 * y - 1)
    grid = F.affine_grid(to_device(affine, images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _light(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    drawn = (torch.rand(2, len(images), generator=random) - 0.5).view(2, -1, 1, 1, 1)
    shift, contrast = to_device(drawn, images.device)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    result: torch.Tensor = (images - mean) * (1 + 0.4 * contrast) + mean + 0.4 * shift
    return result
