"""The other side of benchmarks/sweep.py: one trial of the loop that a user writes after the public few-shot scripts.

open_clip's model in fp32, its preprocessing with Pillow in a DataLoader with workers, torch.optim.AdamW with its
defaults, the prompts encoded at each step, scikit-learn for the probe. Nothing but the model in memory outlives a trial
(most scripts reload even that): each decodes its own pictures, and computes the features that it needs.
"""

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from curate.models.clip_models import ClipModel
from fewshot.training import frozen_trunk

STRENGTHS = (3.2, 10.0, 32.0, 100.0, 320.0)  # C, as fewshot's linear-probe chooses from
FEATURES_BATCH = 64


@dataclass(frozen=True)
class Cell:
    """What a trial is about: files and labels (n,) int64 to train on and to test on, and each class's prompts."""

    train: Sequence[Path]
    train_labels: np.ndarray
    test: Sequence[Path]
    test_labels: np.ndarray
    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Recipe:
    """Of fine-tuning, in the words of data/recipes.yaml. `blocks`: train only the last ones of the image tower."""

    lr: float = 1e-5
    weight_decay: float = 1e-3
    epochs: int = 5
    batch_size: int = 0
    schedule: str = "constant"
    towers: str = "both"
    start: str = "text"
    augment: str = "none"
    blocks: int = 0

    @classmethod
    def of(cls, settings: dict[str, Any], blocks: int) -> "Recipe":
        """From the settings of a trial of ours; one that this loop doesn't know is an error, not a difference."""
        if settings["class_weights"] == "none":  # as it is here
            settings = {name: value for name, value in settings.items() if name != "class_weights"}
        if unknown := settings.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"the plain loop knows no {', '.join(sorted(unknown))}")
        return cls(**settings | {"blocks": blocks})


class _Photos(Dataset[tuple[Tensor, int]]):
    def __init__(self, files: Sequence[Path], labels: np.ndarray, transform: Callable[[Image.Image], Tensor]) -> None:
        self.files, self.labels, self.transform = files, labels, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        with Image.open(self.files[place]) as image:
            return self.transform(image.convert("RGB")), int(self.labels[place])


def probe(clip: ClipModel, cell: Cell, workers: int) -> np.ndarray:
    """scikit-learn's logistic regression on frozen features, C by 5-fold cross-validation -> (tests,) classes."""
    fitted = _regression(_features(clip.model, clip, cell.train, workers), cell.train_labels)
    result: np.ndarray = fitted.predict(_features(clip.model, clip, cell.test, workers))
    return result


def finetune(clip: ClipModel, cell: Cell, recipe: Recipe, seed: int, workers: int) -> np.ndarray:
    """Train with `recipe`, and predict -> (tests,) classes."""
    torch.manual_seed(seed)
    model = copy.deepcopy(clip.model).train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()  # as ours: the statistics of a few images are noise
    head, free = _head(model, clip, cell, recipe, workers)
    optimiser = torch.optim.AdamW([*_trained(model, recipe), *free], lr=recipe.lr, weight_decay=recipe.weight_decay)
    loader = DataLoader(
        _Photos(cell.train, cell.train_labels, _training_transform(clip, recipe.augment)),
        batch_size=recipe.batch_size or len(cell.texts),
        shuffle=True,
        num_workers=workers,
    )
    steps, step = recipe.epochs * len(loader), 0
    for _ in range(recipe.epochs):
        for images, labels in loader:
            if recipe.schedule == "cosine":
                for group in optimiser.param_groups:
                    group["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            logits = head(F.normalize(model.encode_image(images.to(clip.device)), dim=1))
            loss = F.cross_entropy(logits, labels.to(clip.device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()  # what a progress bar shows
            step += 1
    model.eval()
    features = torch.from_numpy(_features(model, clip, cell.test, workers)).to(clip.device)
    with torch.no_grad():
        return head(features).argmax(dim=1).cpu().numpy()


def _head(
    model: Any, clip: ClipModel, cell: Cell, recipe: Recipe, workers: int
) -> tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]:
    """From features of length 1 to logits, and the parameters of it that are trained and not the model's."""
    if recipe.start == "probe":
        fitted = _regression(_features(clip.model, clip, cell.train, workers), cell.train_labels)
        return _free(torch.from_numpy(fitted.coef_).float(), torch.from_numpy(fitted.intercept_).float(), clip)
    tokens = [clip.tokenize(list(prompts)) for prompts in cell.texts]

    def texts() -> Tensor:
        means = [F.normalize(model.encode_text(each), dim=1).mean(dim=0) for each in tokens]
        result: Tensor = model.logit_scale.exp() * F.normalize(torch.stack(means), dim=1)
        return result

    if recipe.blocks:  # as ours: free class vectors that start as the texts
        with torch.no_grad():
            return _free(texts(), torch.zeros(len(tokens)), clip)
    return lambda features: features @ texts().T, []


def _free(weights: Tensor, bias: Tensor, clip: ClipModel) -> tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]:
    trained = [nn.Parameter(each.to(clip.device)) for each in (weights, bias)]
    return lambda features: features @ trained[0].T + trained[1], trained


def _trained(model: Any, recipe: Recipe) -> list[nn.Parameter]:
    """The parameters to train; all others have their gradient switched off."""
    tower = list(model.visual.parameters())
    texts = [parameter for name, parameter in model.named_parameters() if not name.startswith("visual.")]
    chosen = frozen_trunk.cut(model.visual, recipe.blocks).parameters if recipe.blocks else tower
    if recipe.towers == "both" and not recipe.blocks:
        chosen = [*chosen, *texts]
    ids = {id(parameter) for parameter in chosen}
    for parameter in (*tower, *texts):
        parameter.requires_grad_(id(parameter) in ids)
    return chosen


def _training_transform(clip: ClipModel, augment: str) -> Callable[[Image.Image], Tensor]:
    """torchvision's own, of the kinds and sizes of fewshot.training.augment."""
    if augment == "none":
        answer: Callable[[Image.Image], Tensor] = open_clip.image_transform(
            clip.image_size, is_train=False, mean=clip.mean, std=clip.std
        )
        return answer
    first = (
        [
            transforms.RandomResizedCrop(
                clip.image_size, (0.5, 1.0), (0.86, 1.16), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
        ]
        if "crop" in augment
        else [
            transforms.Resize(clip.image_size, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(clip.image_size),
        ]
    )
    mirror = [transforms.RandomHorizontalFlip()] if "flip" in augment else []
    result: Callable[[Image.Image], Tensor] = transforms.Compose(
        [*first, *mirror, transforms.ToTensor(), transforms.Normalize(clip.mean, clip.std)]
    )
    return result


@torch.no_grad()
def _features(model: Any, clip: ClipModel, files: Sequence[Path], workers: int) -> np.ndarray:
    """(n, d) float32 of length 1."""
    transform = open_clip.image_transform(clip.image_size, is_train=False, mean=clip.mean, std=clip.std)
    photos = _Photos(files, np.zeros(len(files), np.int64), transform)
    loader = DataLoader(photos, batch_size=FEATURES_BATCH, num_workers=workers)
    parts = [F.normalize(model.encode_image(images.to(clip.device)), dim=1).cpu() for images, _ in loader]
    return torch.cat(parts).numpy()


def _regression(features: np.ndarray, labels: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 100 iterations, its default, are too few now and then
        search = GridSearchCV(LogisticRegression(), {"C": list(STRENGTHS)}, cv=5)
        return search.fit(features, labels).best_estimator_
