"""The one copy of a model that is trained, trial after trial, each from the same starting weights."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from curate.foundation.freed_memory import keep_freed_memory
from curate.models.clip_models import ClipModel
from fewshot.training.fused_batch_norm import fuse_batch_norm

MOST_KEPT = 4  # methods whose optimiser and captured steps are kept: as many as a sweep alternates between


class WorkingCopy:
    """A copy of a ClipModel's `model` for training, and of its image tower for use after it.

    `model`: fp32, channels last, in training mode but for batch norm, which keeps its statistics: those of a few images
    are noise (in ViT there are none), and is fused into the convolutions. `tower`: as the frozen encoder, in the
    precision of predicting. The starting weights are the ClipModel's own, which no training
    changes.
    """

    def __init__(self, clip: ClipModel) -> None:
        if clip.device.type == "cpu":
            keep_freed_memory()
        self.model = copy.deepcopy(clip.model).train().to(memory_format=torch.channels_last)
        _freeze_batch_norm(self.model)
        fuse_batch_norm(self.model)
        self.tower = copy.deepcopy(clip.frozen_encoder())
        self._start = _tensors(clip.model)
        self._values = _tensors(self.model)
        self._kept: dict[Any, Any] = {}
        self.holds: object = None  # which trained values the weights are, set by who puts them there

    @torch.no_grad()
    def restore(self) -> None:
        """Put the starting weights back: parameters and buffers, bit by bit."""
        torch._foreach_copy_(self._values, self._start)
        self.holds = None

    @torch.no_grad()
    def updated_tower(self) -> nn.Module:
        """`tower` with the present weights of `model`."""
        torch._foreach_copy_(_tensors(self.tower), _tensors(self.model.visual))
        return self.tower

    @torch.no_grad()
    def trained_tower(self, like: nn.Module) -> nn.Module:
        """A copy of the image tower `like` with the present weights of `model`, in fp32 and nobody else's."""
        tower = copy.deepcopy(like)  # `model`'s own has fused batch norms, by methods that a copy would not have
        torch._foreach_copy_(_tensors(tower), _tensors(self.model.visual))
        return tower

    def get_or_make(self, key: Any, make: Callable[[], Any]) -> Any:
        """What belongs to this copy and is used again (optimisers with their state, captured steps), by `key`."""
        if key not in self._kept:
            while len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = make()
        return self._kept[key]


def working_copy(clip: ClipModel) -> WorkingCopy:
    """The working copy of `clip`, one in a process; it lives as long as `clip`."""
    if id(clip) not in _copies:
        _copies[id(clip)] = WorkingCopy(clip)
        weakref.finalize(clip, _copies.pop, id(clip), None)
    return _copies[id(clip)]


_copies: dict[int, WorkingCopy] = {}


def _tensors(model: nn.Module) -> list[Tensor]:
    return [each.detach() for each in (*model.parameters(), *model.buffers())]


def _freeze_batch_norm(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
