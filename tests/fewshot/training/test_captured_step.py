"""A captured step proves itself before it is used: on a CPU by captures that do what they should, and by liars."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewshot.methods.finetune import Finetune
from fewshot.methods.lora import Lora
from fewshot.training import captured_step
from fewshot.training.captured_step import Capture, Step, verified_replay
from fewshot.training.loop import Batch, Batches, Optimisation, Trainer
from fewshot.training.working_copies import working_copy

SETTINGS = Optimisation(lr=1e-2, weight_decay=1e-3, epochs=3, schedule="cosine")


@pytest.fixture(autouse=True)
def _nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_step, "_warned", False)


class Machine:
    """A step of momentum down a gradient, of tensors that stay where they are, as a captured step needs them."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.weights, self.momentum = torch.randn(50, generator=random), torch.zeros(50)
        self.inputs, self.labels = torch.randn(8, 50, generator=random), torch.arange(8)
        self.rate = torch.tensor(0.1)

    def step(self) -> Tensor:
        error = self.inputs @ self.weights - self.labels
        self.momentum.mul_(0.9).add_(error @ self.inputs / 8)
        self.weights.sub_(self.rate * self.momentum)
        return error.square().mean()[None]

    def verified_replay(self, capture: Capture) -> Step | None:
        return verified_replay(self.step, capture, self.state(), [self.inputs, self.labels, self.rate])

    def state(self) -> dict[str, list[Tensor]]:
        return {"parameters": [self.weights], "momentum": [self.momentum]}

    def values(self) -> list[Tensor]:
        return [each.clone() for each in (self.weights, self.momentum, self.inputs, self.labels, self.rate)]


def rehearsed(step: Step) -> Step:
    """As a CUDA graph: the step is run a few times before."""
    step()
    step()
    return step


def of_then(*names: str) -> Callable[[Machine], Capture]:
    """A replay that goes on with the values that these tensors had when it was captured."""

    def capture_of(machine: Machine) -> Capture:
        def capture(step: Step) -> Step:
            frozen = {name: getattr(machine, name).clone() for name in names}

            def replay() -> Tensor:
                now = {name: getattr(machine, name) for name in names}
                for name, value in frozen.items():
                    setattr(machine, name, value)
                losses = step()
                for name, value in now.items():
                    setattr(machine, name, value)
                return losses

            return replay

        return capture

    return capture_of


def without(change: str) -> Callable[[Machine], Capture]:
    """A replay that leaves one tensor as it was."""

    def capture_of(machine: Machine) -> Capture:
        def capture(step: Step) -> Step:
            def replay() -> Tensor:
                before = getattr(machine, change).clone()
                losses = step()
                getattr(machine, change).copy_(before)
                return losses

            return replay

        return capture

    return capture_of


def does_nothing(machine: Machine) -> Capture:
    def capture(step: Step) -> Step:
        losses = step()
        return lambda: losses

    return capture


def no_numbers(machine: Machine) -> Capture:
    return lambda step: lambda: step() * float("nan")


LIARS = {
    "goes on with the first batch": of_then("inputs"),
    "goes on with the first labels": of_then("labels"),
    "goes on at the first rate": of_then("rate"),
    "leaves the parameters": without("weights"),
    "leaves the momentum": without("momentum"),
    "does nothing": does_nothing,
    "gives no numbers": no_numbers,
}


@pytest.mark.parametrize("liar", LIARS.values(), ids=LIARS)
def test_a_capture_that_lies_is_dropped_with_one_warning(
    liar: Callable[[Machine], Capture], capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine()
    before = machine.values()
    for _ in range(2):
        assert machine.verified_replay(liar(machine)) is None
    for mine, theirs in zip(machine.values(), before, strict=True):
        assert torch.equal(mine, theirs)
    said = capsys.readouterr().err
    assert said.count("training steps run one by one, not as a CUDA graph: replayed, its ") == 1
    assert said.count("\n") == 1


def test_a_capture_that_is_true_is_used_and_nothing_is_changed_by_the_proof(capsys: pytest.CaptureFixture[str]) -> None:
    machine, alone = Machine(), Machine()
    before = machine.values()
    replay = machine.verified_replay(rehearsed)
    assert replay is not None
    for mine, theirs in zip(machine.values(), before, strict=True):
        assert torch.equal(mine, theirs)
    for _ in range(3):
        assert torch.equal(replay(), alone.step())
    assert torch.equal(machine.weights, alone.weights)
    assert capsys.readouterr().err == ""


def test_rounding_is_no_lie() -> None:
    machine = Machine()

    def capture(step: Step) -> Step:
        def replay() -> Tensor:
            losses = step() * (1 + 1e-3)
            machine.weights.mul_(1 + 1e-4)
            return losses

        return replay

    assert machine.verified_replay(capture) is not None


def test_what_can_not_be_captured_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine()
    before = machine.values()

    def capture(step: Step) -> Step:
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be ...")

    assert machine.verified_replay(capture) is None
    assert torch.equal(machine.weights, before[0])
    assert "it can't be captured (operation not permitted when stream is capturing)" in capsys.readouterr().err


def test_a_lack_of_memory_is_the_callers_matter() -> None:
    machine = Machine()
    before = machine.values()

    def capture(step: Step) -> Step:
        step()
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        machine.verified_replay(capture)
    assert torch.equal(machine.weights, before[0])


# In the loop that trains


def forgets_the_batch(step: Step) -> Step:
    """As a capture whose buffers are copies: it repeats what it did, from the step's own closure."""
    (buffers,) = (each.cell_contents.inputs for each in step.__closure__ or () if hasattr(each.cell_contents, "inputs"))
    kept = [[tensor.clone() for tensor in batch] for batch in buffers]

    def replay() -> Tensor:
        for batch, then in zip(buffers, kept, strict=True):
            for buffer, value in zip(batch, then, strict=True):
                buffer.copy_(value)
        return step()

    return replay


class Linear:
    def __init__(self) -> None:
        self.weights = nn.Parameter(torch.zeros(1, 3, 3))

    def loss(self, batches: list[Batch]) -> Tensor:
        ((images, labels, weights),) = batches
        logits = images.mean(dim=(2, 3)) @ self.weights[0].T
        return (nn.functional.cross_entropy(logits, labels, reduction="none") * weights).mean()[None]


@pytest.mark.parametrize(
    ("capture", "ran"),
    [(None, {}), (rehearsed, {"steps": "captured"}), (forgets_the_batch, {"steps": "plain"})],
)
def test_whatever_is_captured_the_training_is_the_same(
    patterns: Callable[..., Any], capture: Capture | None, ran: dict[str, str]
) -> None:
    def trained(capture: Capture | None) -> tuple[Tensor, dict[str, str]]:
        given, model = patterns(4, 3, 3), Linear()
        trainer = Trainer(model.loss, [model.weights], SETTINGS, capture=capture)
        assert trainer.train([Batches(given.draw, given.task, SETTINGS)], 3) == [None]
        return model.weights.detach(), trainer.about_steps()

    plain, _ = trained(None)
    weights, about = trained(capture)
    assert torch.equal(weights, plain)
    assert about == ran


@pytest.mark.slow
@pytest.mark.parametrize(("method", "shots"), [(Finetune(lr=1e-4, epochs=1), 3), (Lora(iterations=3), 3)])
def test_the_record_says_which_steps_ran(
    patterns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, method: Any, shots: int
) -> None:
    given = patterns(shots, shots)
    really = Trainer.__init__

    def captured(*arguments: Any, **options: Any) -> None:
        really(*arguments, **options, capture=rehearsed)

    assert "steps" not in method.fit(given.draw, given.task).chosen
    monkeypatch.setattr(Trainer, "__init__", captured)
    working_copy(given.task.clip)._kept.clear()
    fitted = method.fit(given.draw, given.task)
    working_copy(given.task.clip)._kept.clear()
    assert fitted.chosen["steps"] == "captured"
    assert fitted.averaged(0.5).chosen["steps"] == "captured"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_graph_proves_itself() -> None:
    machine = Machine()
    for name in ("weights", "momentum", "inputs", "labels", "rate"):
        setattr(machine, name, getattr(machine, name).cuda())
    assert machine.verified_replay(captured_step.by_cuda_graph) is not None
