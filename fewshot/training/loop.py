"""The training loop of every method that tunes the model: several trials in lockstep, without waiting for the device.

A step works on buffers that stay at their place in memory: the batch is copied into them, then forward, backward and
AdamW run. On CUDA that function is captured once for each shape of batch as a CUDA graph and replayed, also for later
trials, once the replay has given the step's results; elsewhere the same function is called. What is random (order,
augmentation) is drawn outside it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import open_clip
import torch
from torch import Tensor, nn

from curate.foundation.errors import UsageError
from curate.models.clip_models import has_native_bf16
from fewshot.task import Diverged, Draw, Task, image_weights
from fewshot.training import frozen_trunk
from fewshot.training.augment import augment, to_device
from fewshot.training.captured_step import Capture, Step, by_cuda_graph, verified_replay

SCHEDULES = ("constant", "cosine")
# A rise of the loss by less than this part of chance level's is no divergence: a model that starts near its best, as a
# probe does, may end a little above it.
NOISE = 0.05


@dataclass(frozen=True)
class Optimisation:
    """AdamW's settings. Raises UsageError for what makes no sense.

    `batch_size` 0 is the number of classes. `schedule` "cosine" goes from `lr` down to nothing over the run.
    """

    lr: float
    weight_decay: float
    epochs: int
    batch_size: int = 0
    schedule: str = "constant"
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UsageError(f"schedule must be {' or '.join(SCHEDULES)}, not {self.schedule!r}")
        positive = (self.lr, self.epsilon, self.epochs)
        if not all(0 < each < math.inf for each in positive) or not all(
            0 <= each < math.inf for each in (self.batch_size, self.weight_decay)
        ):
            raise UsageError("lr and epochs must be positive, batch_size and weight_decay not negative")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` of `steps`, from 0 on."""
        return self.lr * (0.5 * (1 + math.cos(math.pi * step / steps)) if self.schedule == "cosine" else 1.0)


class Batch(NamedTuple):
    """`images` (n, ...): normalised and augmented, or activations. `labels` (n,) int64. `weights` (n,): of mean 1."""

    images: Tensor
    labels: Tensor
    weights: Tensor


Loss = Callable[[list[Batch]], Tensor]


class Batches:
    """A draw in a new random order at each pass, augmented, in parts of equal size, without dropping any image.

    `blocks` None: images, (n, 3, size, size) float32, channels last. A number: what goes into the last `blocks` blocks
    of the image tower (see fewshot.training.frozen_trunk), float32; 0 is what goes into its projection. `random`:
    the trial's own generator by default; it decides order and augmentation alone.
    """

    def __init__(
        self,
        draw: Draw,
        task: Task,
        settings: Optimisation,
        *,
        blocks: int | None = None,
        random: torch.Generator | None = None,
    ) -> None:
        self.clip = task.clip
        self.kind = task.augment
        self.blocks = blocks
        self.random = random or torch.Generator().manual_seed(task.seed)
        device = task.clip.device
        self.labels = torch.from_numpy(draw.labels).to(device)
        self.weights = torch.from_numpy(image_weights(draw.labels, task.class_weights)).float().to(device)
        # Parts of equal size: a last batch of one image would count as much as a whole one.
        self.count = max(1, round(len(draw.labels) / (settings.batch_size or len(task.classes))))
        self._views: list[Tensor] = []
        if blocks is not None and "crop" not in self.kind:
            views = (False, True) if self.kind == "flip" else (False,)
            self._views = [frozen_trunk.activations(draw.images, self.clip, blocks, mirrored=each) for each in views]
            self._views = [view.to(device) for view in self._views]
        else:
            self._pixels = torch.as_tensor(draw.images.pixels()).to(device)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        order = to_device(torch.randperm(len(self.labels), generator=self.random), self.clip.device)
        for part in order.tensor_split(self.count):
            yield Batch(self._images(part), self.labels[part], self.weights[part])

    def _images(self, part: Tensor) -> Tensor:
        if self._views:
            return self._cached(part)
        images = augment(self.clip.normalise(self._pixels[part]), self.kind, self.random)
        return images if self.blocks is None else frozen_trunk.run(self.clip, self.blocks, images).float()

    def _cached(self, part: Tensor) -> Tensor:
        straight = self._views[0][part].float()
        if len(self._views) == 1:
            return straight
        mirrored = to_device(torch.rand(len(part), generator=self.random) < 0.5, part.device)
        return torch.where(mirrored.view(-1, *[1] * (straight.ndim - 1)), self._views[1][part].float(), straight)


class Trainer:
    """A loss, the parameters that it trains, AdamW's state and the captured steps: reused trial after trial.

    `loss` takes one batch a trial (all on the device) and gives (T,): for each trial the mean over its batch of
    weights * loss, in fp32; it is called under autograd and must not synchronise or draw random numbers. Their sum is
    differentiated, so that parameters stacked as (T, ...) are T independent trainings. Autocast is
    the loss's own matter (see `mixed_precision`).

    The caller puts the starting values into `parameters` (in place) before each `train`. `evaluator` gives, before a
    pass that only measures the loss, what measures it (the loss itself by default). `capture`: what captures a step,
    a CUDA graph on CUDA and nothing elsewhere if left out.
    """

    def __init__(
        self,
        loss: Loss,
        parameters: Sequence[nn.Parameter],
        settings: Optimisation,
        *,
        evaluator: Callable[[], Loss] | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.loss = loss
        self.settings = settings
        self.parameters = list(parameters)
        self.device = self.parameters[0].device
        self.evaluator = evaluator or (lambda: loss)
        self.optimiser = _adamw(self.parameters, settings)
        self.capture = capture or (by_cuda_graph if self.device.type == "cuda" else None)
        self.ran: set[str] = set()  # of the last `train`: "captured" steps, "plain" ones
        self.pieces = 1  # a batch is computed in so many, where memory is short
        self._steps: dict[tuple[Any, ...], _BufferedStep] = {}

    def train(self, batches: Sequence[Batches], classes: int) -> list[Diverged | None]:
        """Train several trials in lockstep, one Batches each, to the end of their last epoch.

        `classes`: how many; the loss of guessing among them is what a rise is compared with. All trials must have the
        same number of batches (ValueError). Returns for each trial None or how it diverged: its loss is not a number,
        or ends above where it began. Other errors are raised.
        """
        if len({len(each) for each in batches}) != 1:
            raise ValueError("trials in step must have the same number of batches")
        self.ran.clear()
        _zero(self.optimiser)
        beginning = [each.random.get_state() for each in batches]
        before = self._mean_loss(batches)
        epochs = self._epochs(batches)
        after = before
        if _may_go_on(epochs[-1]):
            for each, state in zip(batches, beginning, strict=True):
                each.random.set_state(state)  # the same order and augmentation: nothing differs but the model
            after = self._mean_loss(batches)
        return self._outcomes(torch.stack([before, *epochs, after]).tolist(), NOISE * math.log(classes))

    def about_steps(self) -> dict[str, str]:
        """For a trial's record, where steps may be captured: which steps the last `train` ran."""
        return {"steps": " and ".join(sorted(self.ran))} if self.capture else {}

    def _epochs(self, batches: Sequence[Batches]) -> list[Tensor]:
        """The mean loss (T,) of each epoch, until no trial has one that is a number."""
        steps, step = self.settings.epochs * len(batches[0]), 0
        means: list[Tensor] = []
        for _ in range(self.settings.epochs):
            losses = []
            for parts in zip(*batches, strict=True):
                _set_rate(self.optimiser, self.settings.rate(step, steps))
                losses.append(self._with_less_memory(self._step, list(parts)))
                step += 1
            means.append(torch.stack(losses).mean(dim=0))
            if not _may_go_on(means[-1]):
                break
        return means

    def _step(self, batches: list[Batch]) -> Tensor:
        if self.pieces > 1:
            self.ran.add("plain")
            return self._descend(batches)
        shape = tuple(each.images.shape for each in batches)
        if shape not in self._steps:
            self._steps[shape] = _BufferedStep(self._descend, batches, self._verified_replay)
        step = self._steps[shape]
        self.ran.add("captured" if step.replay else "plain")
        return step(batches)

    def _verified_replay(self, step: Step, batch: list[Tensor]) -> Step | None:
        """A replay of the step that gives the same results, if there is one."""
        rates = [group["lr"] for group in self.optimiser.param_groups if isinstance(group["lr"], Tensor)]
        return verified_replay(step, self.capture, self._state(), [*batch, *rates]) if self.capture else None

    def _descend(self, batches: list[Batch]) -> Tensor:
        """One step of AdamW down the gradient of the losses (T,), which are returned."""
        total = torch.zeros(len(batches), device=self.device)
        for parts, share in _pieces(batches, self.pieces):
            losses = self.loss(parts) * share
            losses.sum().backward()
            total += losses.detach()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total

    @torch.no_grad()
    def _mean_loss(self, batches: Sequence[Batches]) -> Tensor:
        """(T,), the mean over the batches of a pass."""
        loss = self.evaluator()

        def measure(parts: list[Batch]) -> Tensor:
            return torch.stack([loss(each) * share for each, share in _pieces(parts, self.pieces)]).sum(dim=0)

        losses = [self._with_less_memory(measure, list(parts)) for parts in zip(*batches, strict=True)]
        return torch.stack(losses).mean(dim=0)

    def _with_less_memory(self, function: Loss, batches: list[Batch]) -> Tensor:
        """`function(batches)`; where memory runs out, again in twice as many pieces, which give the same result.

        (Every loss is a mean over images, and batch norm is frozen.) A step that fails has changed nothing yet.
        """
        while True:
            try:
                return function(batches)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.pieces >= min(len(each.labels) for each in batches):
                    raise
            # Outside the handler, whose traceback would keep what the failed step had allocated.
            self.optimiser.zero_grad(set_to_none=True)
            self._steps.clear()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self.pieces *= 2

    def _state(self) -> dict[str, list[Tensor]]:
        """All that a step changes."""
        state = self.optimiser.state.values()
        kinds = {name: [each[name] for each in state] for name in next(iter(state))}
        return {"parameters": [each.data for each in self.parameters]} | kinds

    def _outcomes(self, losses: list[list[float]], noise: float) -> list[Diverged | None]:
        hint = f"a smaller --lr than {self.settings.lr:g} may do"
        found: list[Diverged | None] = []
        for before, *epochs, after in zip(*losses, strict=True):
            wrong = next((each for each in epochs if not math.isfinite(each)), None)
            if wrong is not None:
                found.append(Diverged(f"the loss is {wrong}; {hint}"))
            elif not after <= before + noise:
                found.append(Diverged(f"the loss rose from {before:.2f} to {after:.2f}; {hint}"))
            else:
                found.append(None)
        return found


class _BufferedStep:
    """A step for batches of one shape, on buffers of its own; where there is a replay of it, that is run.

    `find_replay`: from the step, and the tensors of its buffers, to a replay or None.
    """

    def __init__(
        self, function: Loss, example: list[Batch], find_replay: Callable[[Step, list[Tensor]], Step | None]
    ) -> None:
        self.inputs = [Batch(*(tensor.clone() for tensor in each)) for each in example]
        self.step: Step = lambda: function(self.inputs)
        self.replay = find_replay(self.step, [tensor for each in self.inputs for tensor in each])

    def __call__(self, batches: list[Batch]) -> Tensor:
        for mine, given in zip(self.inputs, batches, strict=True):
            for buffer, values in zip(mine, given, strict=True):
                buffer.copy_(values, non_blocking=True)
        return (self.replay or self.step)()


def mixed_precision(device: torch.device, tower: nn.Module | None = None) -> torch.autocast:
    """bf16 autocast over fp32 weights where it is faster, for training `tower`; fp32 elsewhere.

    That is on CUDA, and for transformers on a CPU with bf16: a step of ViT-B/32 took 1.7 s of one core against 3.0 in
    fp32, but one of lite0 1.6 s against 1.1: oneDNN's backward of depthwise convolutions is slow in bf16. Without
    autocast's cache of converted weights, which would outlive a captured step.
    """
    suits = device.type == "cuda" or type(tower) is open_clip.transformer.VisionTransformer
    enabled = suits and has_native_bf16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the GPU or, where torch raises a plain RuntimeError, of the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def _adamw(parameters: list[nn.Parameter], settings: Optimisation) -> torch.optim.AdamW:
    """AdamW, fused, with its state in place."""
    on_cuda = parameters[0].is_cuda
    optimiser = torch.optim.AdamW(
        parameters,
        # A captured step reads the rate from where it lies.
        lr=torch.tensor(settings.lr, device=parameters[0].device) if on_cuda else settings.lr,
        weight_decay=settings.weight_decay,
        eps=settings.epsilon,
        fused=True,
        capturable=on_cuda,
    )
    for each in parameters:  # as AdamW itself would at its first step
        zeros = {
            name: torch.zeros_like(each, memory_format=torch.preserve_format) for name in ("exp_avg", "exp_avg_sq")
        }
        optimiser.state[each] = {"step": torch.zeros((), device=each.device), **zeros}
    return optimiser


def _zero(optimiser: torch.optim.Optimizer) -> None:
    torch._foreach_zero_([value for state in optimiser.state.values() for value in state.values()])


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _may_go_on(losses: Tensor) -> bool:
    """Whether any trial's loss is a number. On CUDA always True: reading the loss would have to wait for the device."""
    return losses.is_cuda or bool(losses.isfinite().any())


def _pieces(batches: list[Batch], count: int) -> Iterator[tuple[list[Batch], Any]]:
    """The batches in `count` pieces, each with its share of the images: a number, or (T,) where trials differ."""
    if count == 1:
        yield batches, 1.0
        return
    cut = [[tensor.tensor_split(count) for tensor in each] for each in batches]
    for place in range(count):
        parts = [Batch(*(tensors[place] for tensors in each)) for each in cut]
        shares = [len(part.labels) / len(whole.labels) for part, whole in zip(parts, batches, strict=True)]
        if max(shares) > 0:
            yield parts, shares[0] if len(set(shares)) == 1 else torch.tensor(shares, device=parts[0].images.device)
