"""A training step as one CUDA graph, which is checked against the plain step before it is used.

A wrong capture raises no error: it may go on training on the batch that it was captured with, for instance. So the
graph is replayed once beside the plain step, from the same state and with other values in all tensors that a step reads
(batch, learning rate). If the results differ by more than rounding, the graph is dropped. The capture itself has never
run on a card: it was written after torch's notes on CUDA graphs ("whole-network capture") on machines without one.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from curate.foundation import console

Step = Callable[[], Tensor]  # changes a state, and returns the losses
Capture = Callable[[Step], Step]  # makes a replay of a step; may run the step a few times

# How far a replay may differ from the step, as a share of what the step changes. The same kernels, run twice, differ by
# 1 part in 10,000, and bf16 rounds to 1 in 250; Adam turns a gradient of nearly 0 into a whole step up or down, which
# is some per cent of the parameters' change. The results of a wrong capture differ by nearly 1, or more.
TOLERANCE = 0.1


def by_cuda_graph(step: Step) -> Step:
    """Run the step twice, as libraries choose their kernels then, and capture it. Raises RuntimeError if that fails."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = step()

    def replay() -> Tensor:
        graph.replay()
        return output.clone()

    return replay


def verified_replay(
    step: Step, capture: Capture, state: Mapping[str, Sequence[Tensor]], inputs: Sequence[Tensor]
) -> Step | None:
    """Capture `step` and return the replay, if it gives the step's results; else None, after one warning a process.

    state: all tensors that a step changes, by the name that the warning gives them.  inputs: the other tensors that a
    step reads (batch, learning rate). All have their old values afterwards. Raises torch.OutOfMemoryError.
    """
    before = {name: [each.clone() for each in tensors] for name, tensors in state.items()}
    values = [each.clone() for each in inputs]

    def restore() -> None:
        for name, tensors in state.items():
            _copy_into(tensors, before[name])

    def results(run: Step) -> dict[str, list[Tensor]]:
        restore()
        losses = run()
        return {"loss": [losses.clone()]} | {name: [each.clone() for each in state[name]] for name in state}

    try:
        replay = capture(step)
        for each in inputs:
            each.copy_(each / 2 if each.is_floating_point() else each.flip(0))
        expected, replayed = results(step), results(replay)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _warn(f"it can't be captured ({str(error).partition(chr(10))[0]})")
        return None
    finally:
        restore()
        _copy_into(inputs, values)
    beginning = {"loss": [torch.zeros_like(each) for each in expected["loss"]]} | before
    for name, right in expected.items():
        part = _distance(replayed[name], right) / max(_distance(right, beginning[name]), 1e-30)
        if not part <= TOLERANCE:
            _warn(f"replayed, its {name} differed by {100 * part:.3g} % of the change")
            return None
    return replay


def _copy_into(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def _distance(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    squares = [(a.double() - b.double()).square().sum() for a, b in zip(some, others, strict=True)]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


_warned = False


def _warn(why: str) -> None:
    """Once a process: it holds for all trials, and each record says which kind of step ran."""
    global _warned
    if not _warned:
        console.note(
            f"training steps run one by one, not as a CUDA graph: {why}. Results are right, and slower.",
            style="yellow",
        )
    _warned = True
