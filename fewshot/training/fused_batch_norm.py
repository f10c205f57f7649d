"""Frozen batch norm fused into the convolution before it, which saves a pass over the activations each way."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame, conv2d_same
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def fuse_batch_norm(model: nn.Module) -> None:
    """Let each convolution of a timm EfficientNet compute the batch norm behind it, whose statistics are frozen.

    With s = weight / sqrt(variance + eps), s * (conv(x) - mean) + bias is a convolution by s times the filters, plus
    bias - s * mean. Names and values of the parameters stay, and so do the gradients, up to rounding: s is computed at
    each step, from the weights as they are.
    """
    for convolution, norm in _pairs(model):
        # As attributes of the modules, these replace the `forward` of their classes.
        convolution.forward = partial(_convolve, convolution, norm)
        norm.forward = partial(_act, norm)


def _pairs(model: nn.Module) -> Iterator[tuple[Any, Any]]:
    trunks = [module for module in model.modules() if type(module).__name__ == "EfficientNet"]
    for parent in (module for trunk in trunks for module in trunk.modules()):
        for first, second in pairwise(parent.children()):
            if type(first) in (nn.Conv2d, Conv2dSame) and type(second) is BatchNormAct2d:
                yield first, second


def _convolve(convolution: Any, norm: Any, x: Tensor) -> Tensor:
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = convolution.weight * scale.view(-1, 1, 1, 1)
    offset = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    bias = norm.bias + scale * offset
    if isinstance(convolution, Conv2dSame):
        shape: tuple[Any, ...] = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
        answer: Tensor = conv2d_same(x, weight, bias, *shape)
        return answer
    result: Tensor = convolution._conv_forward(x, weight, bias)
    return result


def _act(norm: Any, x: Tensor) -> Tensor:
    x = norm.drop(x)
    return _relu6(x) if isinstance(norm.act, nn.ReLU6) else norm.act(x)


class _ReLU6(torch.autograd.Function):
    """ReLU6 in place. torch's own keeps a copy of its input, but the result tells as well what was clipped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        result = x.clamp_(0, 6)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        answer: Tensor = torch.ops.aten.hardtanh_backward(gradient, result, 0.0, 6.0)
        return answer


def _relu6(x: Tensor) -> Tensor:
    result: Tensor = _ReLU6.apply(x)
    return result
