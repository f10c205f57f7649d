"""A training step as one CUDA graph, which proves itself before it is used.

A capture that went wrong says nothing: it goes on training on a batch of long ago, say. So it is replayed once beside
the plain step, from the same state, on other values of all that a step reads from where it lies; what differs by more
than rounding is dropped. The capture itself has never run on a card: it was written after torch's notes on CUDA graphs
("whole-network capture") on machines without one.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from curate.foundation import console

Step = Callable[[], Tensor]  # changes a state, and returns the losses
Capture = Callable[[Step], Step]  # makes a replay of a step; may run the step a few times

# The part of a change by which a replay may differ from the step. The same kernels, run twice, differ by 1 part in
# 10,000, and bf16 rounds to 1 in 250; Adam turns what is nearly no gradient into a whole step either way, which makes
# some per cent of the parameters' change. What a wrong capture reads or leaves out changes everything: near 1 and more.
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
    step: Step, capture: Capture, state: Mapping[str, Sequence[Tensor]], given: Sequence[Tensor]
) -> Step | None:
    """A replay of `step` that was seen to do the same; None, after one warning a process, where there is none.

    state: all that a step changes, by what it is called in the warning.  given: all else that a step reads from where
    it lies (batch, learning rate). Both are as they were, afterwards. Raises torch.OutOfMemoryError.
    """
    before = {name: [each.clone() for each in tensors] for name, tensors in state.items()}
    values = [each.clone() for each in given]

    def restore() -> None:
        for name, tensors in state.items():
            _put(tensors, before[name])

    def done(run: Step) -> dict[str, list[Tensor]]:
        restore()
        losses = run()
        return {"loss": [losses.clone()]} | {name: [each.clone() for each in state[name]] for name in state}

    try:
        replay = capture(step)
        for each in given:
            each.copy_(each / 2 if each.is_floating_point() else each.flip(0))
        expected, replayed = done(step), done(replay)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _warn(f"it can't be captured ({str(error).partition(chr(10))[0]})")
        return None
    finally:
        restore()
        _put(given, values)
    beginning = {"loss": [torch.zeros_like(each) for each in expected["loss"]]} | before
    for name, right in expected.items():
        part = _distance(replayed[name], right) / max(_distance(right, beginning[name]), 1e-30)
        if not part <= TOLERANCE:
            _warn(f"replayed, its {name} differed by {100 * part:.3g} % of the change")
            return None
    return replay


def _put(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
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
        console.err.print(
            f"training steps run one by one, not as a CUDA graph: {why}. Results are right, and slower.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    _warned = True
