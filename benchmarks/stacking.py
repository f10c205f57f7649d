"""Claim: on a CPU, stacking full fine-tunes gains less than a tenth: the gradients of several copies of lite0's image
tower, or of ViT-B/32's, computed in one batched program (torch.func.vmap over stacked weights) take at least 0.9 times
as long as those of one copy after the other. That is why `fewshot sweep` stacks probes, adapters and LoRA, but not
`finetune`, of which it runs one trial in each process.

On a GPU the same ratio is printed and written, and nothing is claimed: there it decides whether to build it.

    python -m benchmarks.stacking            two and four copies, untrained: a few minutes
    python -m benchmarks.stacking --quick    lite0 alone, two copies
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.common import conclude, environment, spread, timed
from curate.models import clip_models

BATCH = 16  # images a step, of each copy
CLASSES = 6
LEAST = 0.9
MODELS = ("lite0", "ViT-B-32/random")

Step = Callable[[], Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    names, copies, rounds = (MODELS[:1], (2,), 2) if options.quick else (MODELS, (2, 4), 5)
    runs = [measure(name, count, rounds) for name in names for count in copies]
    on_cpu = environment()["gpu"] == "none"
    ratios = {f"{run['model']} x{run['copies']}": run["ratio"]["median"] for run in runs}
    failures = [f"{name}: {ratio:.2f}" for name, ratio in ratios.items() if on_cpu and ratio < LEAST]
    figure = "stacked over one by one: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    return conclude("stacking", __doc__, {"runs": runs}, failures=failures, figure=figure, quick=options.quick)


def measure(name: str, copies: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn, after one step of each that is not counted."""
    alone, stacked, difference = sides(name, copies)
    seconds = [(timed(alone)[0], timed(stacked)[0]) for _ in range(rounds)]
    ratios = [together / apart for apart, together in seconds]
    said = {
        "model": name,
        "copies": copies,
        "batch": BATCH,
        "seconds_one_by_one": statistics.median(apart for apart, _ in seconds),
        "seconds_stacked": statistics.median(together for _, together in seconds),
        "ratio": spread(ratios),
        "largest_difference": difference,
    }
    print(
        f"{name}, {copies} copies: one by one {said['seconds_one_by_one']:.2f} s, stacked "
        f"{said['seconds_stacked']:.2f} s; ratio {min(ratios):.2f} to {max(ratios):.2f}",
        flush=True,
    )
    return said


def sides(name: str, copies: int) -> tuple[Step, Step, float]:
    """A step of each side, and by how much the gradients differ, as a share of the largest one."""
    clip = clip_models.load(name)
    # float32 on both sides, and a batch norm that does not move, as `finetune` has it.
    towers = [clip_models.load(name).model.visual.float().eval() for _ in range(copies)]
    for number, tower in enumerate(towers):
        disturb(tower, number)
    pixels = torch.rand(copies, BATCH, 3, clip.image_size, clip.image_size, device=clip.device)
    labels = torch.randint(CLASSES, (copies, BATCH), device=clip.device)
    weights, buffers = stack_module_state(towers)
    template = towers[0]

    def loss(weights: Any, buffers: Any, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        features = functional_call(template, (weights, buffers), (pixels,))
        return torch.nn.functional.cross_entropy(features[:, :CLASSES], labels)

    batched = vmap(grad(loss))

    def alone() -> list[dict[str, torch.Tensor]]:
        found = []
        for tower, seen, truth in zip(towers, pixels, labels, strict=True):
            tower.zero_grad()
            part = seen.contiguous(memory_format=torch.channels_last)
            torch.nn.functional.cross_entropy(tower(part)[:, :CLASSES], truth).backward()
            found.append({key: each.grad for key, each in tower.named_parameters() if each.grad is not None})
        return found

    def stacked() -> dict[str, torch.Tensor]:
        result: dict[str, torch.Tensor] = batched(weights, buffers, pixels, labels)
        return result

    return alone, stacked, difference(alone(), stacked())


def disturb(tower: torch.nn.Module, number: int) -> None:
    """Other weights for each copy, as after a step: equal ones would hide that one is taken for another."""
    random = torch.Generator(device="cpu").manual_seed(number)
    with torch.no_grad():
        for weights in tower.parameters():
            weights.mul_(1 + 0.01 * torch.randn(weights.shape, generator=random).to(weights.device))


def difference(alone: list[dict[str, torch.Tensor]], stacked: dict[str, torch.Tensor]) -> float:
    stacked = {key: each.detach() for key, each in stacked.items()}
    largest = max(float(each.abs().max()) for found in alone for each in found.values())
    apart = max(
        float((stacked[key][number] - each).abs().max())
        for number, found in enumerate(alone)
        for key, each in found.items()
    )
    return apart / largest


if __name__ == "__main__":
    sys.exit(main())
