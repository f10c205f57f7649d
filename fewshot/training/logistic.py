"""Many L2-regularised multinomial logistic regressions at once, as one batched tensor program.

Each is scikit-learn's: the least C * (sum of the weighted log losses) + |W|^2 / 2, the intercept free. Problems come
as `b` sets of n samples, each set with `f` weightings of its samples (a fold is a weighting with zeros), and all are
solved for one C after another, each starting from its solution for the C before.

The algorithm is a truncated Newton method (Nocedal & Wright 2006, section 7.1) on preconditioned conjugate gradients:

* W is a combination of the samples, W = A X (the representer theorem), so that with fewer samples than features nothing
  but their Gram matrix XX' is needed (`_Samples`). Otherwise W itself is solved for (`_Features`). Both are exact.
* The preconditioner is (h X'X + mu I)^-1, one for each set: the Hessian if all probabilities were equal. Applied to a
  residual it gives the logits of the new direction, too: one product with an (n, n) matrix is all that a step costs.
* Scores are linear along a direction, so that a length is tried without another matrix product.
* Each problem stops for itself, and sets whose problems have all stopped leave the batch: apart from rounding, a
  solution doesn't depend on what else is in the batch.

Scores are (b, f, classes, n), the samples next to each other, so that softmax and sums run along them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch

ABSENT = -1e3  # the bias of a class without samples
_NEVER = -1e9  # added to its logits while the others are solved
_STEPS, _INNER_STEPS, _HALVINGS = 50, 500, 40  # at most; 3, 5 and 0 are usual


@dataclass(frozen=True)
class Problems:
    """`features` (b, n, d) float32 or float64, `labels` (b, n) int64 below `classes`, `weights` (b, f, n) at least 0.

    Samples of weight 0 are scored, but not learned from. Sets of unlike size are padded with rows of zeros that no
    weighting counts. Results are of the features' type, on their device.
    """

    features: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    classes: int


@dataclass(frozen=True)
class Solution:
    """For one C: `logits` (b, f, n, classes) of every sample, and `gradient_norm` (b, f), where the solver stopped.

    That is the length of the mean loss's gradient with respect to a class's vector, the largest over the classes: no
    component of the gradient exceeds it, in any rotation of the features. A class without a weighted sample has the
    bias ABSENT and no weights.
    """

    logits: torch.Tensor
    gradient_norm: torch.Tensor
    _weights: torch.Tensor
    _bias: torch.Tensor
    _space: "_Samples | _Features"

    def linear(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (b, f, classes, d) and bias (b, f, classes)."""
        weights = self._space.weights(self._weights)
        return weights, self._bias - _rows(weights, self._space.centre.mT)[..., 0]


def regularisation_path(
    problems: Problems, strengths: Sequence[float | torch.Tensor], tolerance: float
) -> Iterator[Solution]:
    """Solve for each of `strengths` in turn (scikit-learn's C; a number, or (b,) for each set its own).

    Until the gradient norm is at most `tolerance`, or rounding allows no less.
    """
    given = _Prepared.of(problems)
    penalties = [given.penalties(strength) for strength in strengths]
    space = _space(problems.features, penalties[len(penalties) // 2].amin(dim=(1, 2, 3)), problems.classes)
    state = _State.zero(space, given)
    for penalty in penalties:
        state = _minimise(space, given, penalty, state, tolerance)
        shift = torch.where(given.present, 0.0, ABSENT).to(state.logits)
        bias = (state.bias + shift)[..., 0]
        yield Solution((state.logits + shift).mT, state.gradient_norm[:, :, 0, 0], state.coefficients, bias, space)


def bytes_of_set(samples: int, features: int, weightings: int, classes: int, element: int) -> int:
    """About how much memory one set takes while it is solved, at `element` bytes a number."""
    side = min(samples, features)
    vectors = 20 * weightings * classes * samples  # what conjugate gradients keep, and what they make on the way
    return element * (vectors + 4 * side * side + 2 * samples * features)


@contextmanager
def one_thread_full_precision() -> Iterator[None]:
    """One thread, since these matrices are too small for more, and float32 products in full precision on any GPU."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


class _Prepared(NamedTuple):
    """The problems as the solver uses them: `labels` (b, 1, 1, n), `targets` (b, 1, classes, n) their one-hot rows,
    `weights` (b, f, 1, n), `total` (b, f, 1, 1) their sum, `present` (b, f, classes, 1).
    """

    labels: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    total: torch.Tensor
    present: torch.Tensor

    @classmethod
    def of(cls, problems: Problems) -> "_Prepared":
        weights = problems.weights.to(problems.features)[:, :, None]
        one_hot = torch.nn.functional.one_hot(problems.labels, problems.classes).mT[:, None].to(weights)
        total = weights.sum(dim=-1, keepdim=True)
        present = _rows(weights, one_hot[:, 0].mT).mT > 0
        return cls(problems.labels[:, None, None], one_hot, weights, torch.where(total > 0, total, 1.0), present)

    def subset(self, chosen: torch.Tensor) -> "_Prepared":
        return _Prepared(*(each[chosen] for each in self))

    def penalties(self, strength: float | torch.Tensor) -> torch.Tensor:
        """(b, f, 1, 1): 1 / C. Of two classes scikit-learn keeps the difference of their vectors, w, and penalises
        |w|^2, which is twice what it would be for the two, w/2 and -w/2.
        """
        strengths = torch.as_tensor(strength, dtype=self.total.dtype, device=self.total.device).reshape(-1, 1, 1, 1)
        return torch.where(self.present.sum(dim=2, keepdim=True) == 2, 2.0, 1.0) / strengths

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(logits + torch.where(self.present, 0.0, _NEVER).to(logits), dim=2)

    def loss(self, log_probabilities: torch.Tensor) -> torch.Tensor:
        """(b, f, 1, 1): the weighted sum of log losses."""
        own = log_probabilities.gather(2, self.labels.expand(-1, log_probabilities.shape[1], -1, -1))
        return -(self.weights * own).sum(dim=-1, keepdim=True)


class _State(NamedTuple):
    """The problems' solutions so far: their `coefficients` in their space, their logits without the bias
    (`bare_logits`), the `bias` (b, f, classes, 1), the `logits` with it, and the `gradient_norm` (b, f, 1, 1).
    """

    coefficients: torch.Tensor
    bare_logits: torch.Tensor
    bias: torch.Tensor
    logits: torch.Tensor
    gradient_norm: torch.Tensor

    @classmethod
    def zero(cls, space: "_Samples | _Features", given: _Prepared) -> "_State":
        shape = (*given.present.shape[:3], given.weights.shape[-1])
        logits = given.weights.new_zeros(shape)
        coefficients = given.weights.new_zeros((*shape[:3], space.matrix.shape[-1]))
        bias = given.weights.new_zeros((*shape[:3], 1))
        return cls(coefficients, logits, bias, logits, given.weights.new_full((*shape[:2], 1, 1), torch.inf))

    def subset(self, chosen: torch.Tensor) -> "_State":
        return _State(*(each[chosen] for each in self))

    def put(self, chosen: torch.Tensor, other: "_State") -> None:
        for mine, theirs in zip(self, other, strict=True):
            mine[chosen] = theirs


class _Samples(NamedTuple):
    """W = A X, by coefficients A: `matrix` is XX' (b, n, n), `inverse` that of h XX' + mu I in float32, where
    mu is (b, 1, 1, 1) and no more than `most`.
    """

    features: torch.Tensor
    centre: torch.Tensor
    matrix: torch.Tensor
    inverse: torch.Tensor
    most: torch.Tensor
    mu: torch.Tensor
    h: float

    def subset(self, chosen: torch.Tensor) -> "_Samples":
        features, centre, matrix, inverse, most, mu = (each[chosen] for each in self[:-1])
        return _Samples(features, centre, matrix, inverse, most, mu, self.h)

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """The coefficients of X'v, for a value v of each sample and class."""
        return values

    def logits_of(self, coefficients: torch.Tensor) -> torch.Tensor:
        """The logits that coefficients give, without a bias."""
        return _rows(coefficients, self.matrix)

    def precondition(self, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(h X'X + mu)^-1 times a residual: its coefficients z = (h XX' + mu)^-1 r, and their logits, which are XX' z =
        (r - mu z) / h.
        """
        direction = _rows(residual, self.inverse)
        return direction, (residual - self.mu * direction) / self.h

    def squares(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(b, f, classes, 1): the squared length of each class's vector."""
        return (coefficients * self.logits_of(coefficients)).sum(dim=-1, keepdim=True)

    def product(self, coefficients: torch.Tensor, other: torch.Tensor, bare_logits: torch.Tensor) -> torch.Tensor:
        """(b, f, 1, 1): the inner product with `other`, whose logits are `bare_logits`."""
        return _dot(coefficients, bare_logits)

    def weights(self, coefficients: torch.Tensor) -> torch.Tensor:
        return _rows(coefficients, self.features)


class _Features(NamedTuple):
    """W itself: `matrix` is X'X (b, d, d), `inverse` that of h X'X + mu I, as above."""

    features: torch.Tensor
    centre: torch.Tensor
    matrix: torch.Tensor
    inverse: torch.Tensor
    most: torch.Tensor

    def subset(self, chosen: torch.Tensor) -> "_Features":
        return _Features(*(each[chosen] for each in self))

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        return _rows(values, self.features.to(values.dtype))

    def logits_of(self, coefficients: torch.Tensor) -> torch.Tensor:
        return _rows(coefficients, self.features.mT.to(coefficients.dtype))

    def precondition(self, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        direction = _rows(residual, self.inverse)
        return direction, self.logits_of(direction)

    def squares(self, coefficients: torch.Tensor) -> torch.Tensor:
        return coefficients.square().sum(dim=-1, keepdim=True)

    def product(self, coefficients: torch.Tensor, other: torch.Tensor, bare_logits: torch.Tensor) -> torch.Tensor:
        return _dot(coefficients, other)

    def weights(self, coefficients: torch.Tensor) -> torch.Tensor:
        return coefficients


def _space(features: torch.Tensor, penalty: torch.Tensor, classes: int) -> "_Samples | _Features":
    """`penalty` (b,) is what the preconditioner is made for.

    The curvature h is an eighth of that of equal probabilities, 1/classes, as they don't stay equal. On photos18 half
    or twice of it costs up to a third more steps. Samples are centred, which changes nothing but the bias, and makes
    its direction independent of the others.
    """
    centre = features.mean(dim=1, keepdim=True)
    centred = features - centre
    narrow = features.shape[1] <= features.shape[2]
    matrix = centred @ centred.mT if narrow else centred.mT @ centred
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    h = 1 / (8 * classes)
    # Of the same order as h X'X: else its inverse would lose the smaller of the two to rounding.
    usual = h * diagonal.mean(dim=1).clamp_min(1e-6)
    most = 100 * usual
    mu = penalty.maximum(1e-3 * usual).minimum(most)[:, None, None]
    shifted = (h * matrix).float()
    mu, most = mu.float(), most.float()[:, None, None, None]
    shifted.diagonal(dim1=1, dim2=2).add_(mu[:, 0])
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(shifted))
    if narrow:
        return _Samples(centred, centre, matrix, inverse, most, mu[..., None], h)
    return _Features(centred, centre, matrix, inverse, most)


def _minimise(
    space: "_Samples | _Features", given: _Prepared, penalty: torch.Tensor, start: _State, tolerance: float
) -> _State:
    """Newton steps, for those sets of which a problem is not solved yet."""
    state, part = _State(*(each.clone() for each in start)), start
    places = torch.arange(len(penalty), device=penalty.device)
    futile = torch.zeros_like(given.total, dtype=torch.bool)  # where rounding is all that a step would change
    for _ in range(_STEPS):
        part, residual, bias_residual, probabilities = _measure(space, given, penalty, part)
        unsolved = ((part.gradient_norm > tolerance) & ~futile).flatten(1).any(dim=1)
        if not bool(unsolved.all()):
            state.put(places, part)
            if not bool(unsolved.any()):
                return state
            space, given, part = space.subset(unsolved), given.subset(unsolved), part.subset(unsolved)
            places, penalty, futile = places[unsolved], penalty[unsolved], futile[unsolved]
            residual, bias_residual, probabilities = (
                residual[unsolved],
                bias_residual[unsolved],
                probabilities[unsolved],
            )
        step = _newton(space, given, penalty, part, (residual, bias_residual), probabilities, tolerance)
        futile = -step.slope <= 0.01 * torch.finfo(penalty.dtype).eps * given.total
        part = _advance(space, given, penalty, part, step)
    state.put(places, _measure(space, given, penalty, part)[0])
    return state


def _measure(
    space: "_Samples | _Features", given: _Prepared, penalty: torch.Tensor, state: _State
) -> tuple[_State, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The state with its gradient norm, the negative gradient (of coefficients and of bias), the probabilities."""
    probabilities = given.log_probabilities(state.logits).exp_()
    missed = given.weights * (given.targets - probabilities)
    residual = space.adjoint(missed) - penalty * state.coefficients
    bias_residual = missed.sum(dim=-1, keepdim=True)
    lengths = space.squares(residual).clamp_min(0).sqrt().maximum(bias_residual.abs())
    return (
        state._replace(gradient_norm=lengths.amax(dim=2, keepdim=True) / given.total),
        residual,
        bias_residual,
        probabilities,
    )


class _Step(NamedTuple):
    """A direction: of coefficients, of logits without the bias, of the bias; and the `slope` of the loss along it."""

    coefficients: torch.Tensor
    bare_logits: torch.Tensor
    bias: torch.Tensor
    slope: torch.Tensor


def _newton(
    space: "_Samples | _Features",
    given: _Prepared,
    penalty: torch.Tensor,
    state: _State,
    negative_gradient: tuple[torch.Tensor, torch.Tensor],
    probabilities: torch.Tensor,
    tolerance: float,
) -> _Step:
    """Conjugate gradients on the Newton equations, the more exactly the smaller the gradient norm is.

    In float32, whatever the problems are in: the next step starts from a gradient that is exact again.
    """
    kind = space.inverse.dtype
    residual, bias_residual = (each.to(kind, copy=True) for each in negative_gradient)
    probabilities, weights, total, penalty = (
        each.to(kind) for each in (probabilities, given.weights, given.total, penalty)
    )
    gradient_norm = state.gradient_norm.to(kind)
    enough = gradient_norm.sqrt().clamp_max(0.3).maximum(0.3 * tolerance / gradient_norm).square()
    unfinished = gradient_norm > tolerance
    # Of the bias, on the scale of the preconditioner, which takes no more than `most` for the others' penalty.
    curvature = total / (8 * probabilities.shape[2]) * (space.most / penalty).clamp_max(1)
    step = [torch.zeros_like(each, dtype=kind) for each in (state.coefficients, state.bare_logits, state.bias)]
    directions: list[torch.Tensor] = []
    first = last = torch.zeros_like(enough)
    for number in range(_INNER_STEPS):
        new = [*space.precondition(residual), bias_residual / curvature]
        size = space.product(residual, new[0], new[1]) + _dot(bias_residual, new[2])
        first = size if number == 0 else first
        unfinished = unfinished & (size > enough * first)
        if not bool(unfinished.any()):
            break
        if number:
            beta = torch.where(unfinished, size / last, 0.0)
            new = [each.addcmul_(beta, old) for each, old in zip(new, directions, strict=True)]
        directions, last = new, size
        curved = _times_hessian(probabilities, directions[1] + directions[2], weights)
        curved_bias = curved.sum(dim=-1, keepdim=True)
        curved_coefficients = space.adjoint(curved).addcmul_(penalty, directions[0])
        length = size / (
            space.product(curved_coefficients, directions[0], directions[1]) + _dot(curved_bias, directions[2])
        )
        length = torch.where(unfinished, length, 0.0)
        for whole, direction in zip(step, directions, strict=True):
            whole.addcmul_(length, direction)
        residual.addcmul_(length, curved_coefficients, value=-1)
        bias_residual.addcmul_(length, curved_bias, value=-1)
    coefficients, bare_logits, bias = (each.to(negative_gradient[0].dtype) for each in step)
    if kind != negative_gradient[0].dtype:
        bare_logits = space.logits_of(coefficients)
    slope = -space.product(negative_gradient[0], coefficients, bare_logits) - _dot(negative_gradient[1], bias)
    return _Step(coefficients, bare_logits, bias, slope)


def _times_hessian(probabilities: torch.Tensor, logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The Hessian of the losses with respect to the logits, times a change of these."""
    curved = probabilities * logits
    return curved.addcmul_(probabilities, curved.sum(dim=2, keepdim=True), value=-1).mul_(weights)


def _advance(
    space: "_Samples | _Features", given: _Prepared, penalty: torch.Tensor, state: _State, step: _Step
) -> _State:
    """Along the step, half as far until the loss falls (Armijo), rounding allowed for."""
    before = given.loss(given.log_probabilities(state.logits))
    along = penalty * space.product(state.coefficients, step.coefficients, step.bare_logits)
    across = penalty / 2 * space.product(step.coefficients, step.coefficients, step.bare_logits)
    moved = step.bare_logits + step.bias
    allowed = 8 * torch.finfo(before.dtype).eps * given.total.maximum(before)
    length = torch.ones_like(before)
    for _ in range(_HALVINGS):
        after = given.loss(given.log_probabilities(state.logits + length * moved))
        rise = after - before + length * along + length.square() * across
        high = ~(rise <= 1e-4 * length * step.slope + allowed)
        if not bool(high.any()):
            break
        length = torch.where(high, length / 2, length)
    return state._replace(
        coefficients=state.coefficients + length * step.coefficients,
        bare_logits=state.bare_logits + length * step.bare_logits,
        bias=state.bias + length * step.bias,
        logits=state.logits + length * moved,
    )


def _rows(vectors: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """(b, f, c, n) times (b, n, m): one product for each set."""
    b, f, c, n = vectors.shape
    return (vectors.reshape(b, f * c, n) @ matrices).reshape(b, f, c, matrices.shape[-1])


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(b, f, 1, 1): the inner products of problems' vectors."""
    b, f = one.shape[:2]
    return (one.reshape(b * f, 1, -1) @ other.reshape(b * f, -1, 1)).reshape(b, f, 1, 1)
