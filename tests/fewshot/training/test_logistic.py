"""Problems that are solved together are scikit-learn's, each as it would be alone."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from fewshot.training import logistic
from fewshot.training.logistic import Problems

EXACT = 1e-8


def clouds(counts: tuple[int, ...], dimensions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of length 1 around a centre for each class, and labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = random.normal(size=(len(counts), dimensions))[labels] + 2 * random.normal(size=(len(labels), dimensions))
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def problems(features: np.ndarray, labels: np.ndarray, classes: int, weights: np.ndarray | None = None) -> Problems:
    weights = np.ones((1, len(labels))) if weights is None else weights
    x, y, w = (torch.from_numpy(each)[None] for each in (features, labels, weights))
    return Problems(x, y, w, classes)


def probabilities(logits: torch.Tensor) -> np.ndarray:
    return torch.softmax(logits.double(), dim=-1).numpy()


def theirs(features: np.ndarray, labels: np.ndarray, strength: float, **options: Any) -> np.ndarray:
    model = LogisticRegression(C=strength, max_iter=50000, tol=1e-10)
    result: np.ndarray = model.fit(features, labels, **options).predict_proba(features)
    return result


@pytest.mark.parametrize("shape", [((6, 6, 6), 40), ((30, 20, 25), 10), ((5, 9), 30), ((40, 30), 5)])
def test_a_regularisation_path_is_scikit_learn_s_optimum_at_every_strength(shape: tuple[tuple[int, ...], int]) -> None:
    """With fewer samples than features and with more, and two classes, of which scikit-learn keeps one vector."""
    features, labels = clouds(*shape)
    strengths = (0.1, 10.0, 300.0)
    found = list(logistic.regularisation_path(problems(features, labels, len(shape[0])), strengths, EXACT))
    for strength, solution in zip(strengths, found, strict=True):
        expected = theirs(features, labels, strength)
        np.testing.assert_allclose(probabilities(solution.logits)[0, 0], expected, atol=1e-5)
        weights, bias = solution.linear()
        logits = torch.from_numpy(features) @ weights[0, 0].mT + bias[0, 0]
        torch.testing.assert_close(logits, solution.logits[0, 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dimensions", [60, 8])
def test_the_gradient_of_the_mean_loss_is_nothing_at_the_solution(dimensions: int) -> None:
    """As the derivative of the loss that scikit-learn documents, by torch; gradient_norm is an upper bound of it."""
    features, labels = clouds((9, 8, 7, 9), dimensions)
    (solution,) = logistic.regularisation_path(problems(features, labels, 4), [50.0], EXACT)
    weights, bias = (each[0, 0].clone().requires_grad_() for each in solution.linear())
    losses = torch.nn.functional.cross_entropy(torch.from_numpy(features) @ weights.mT + bias, torch.from_numpy(labels))
    (losses + weights.square().sum() / (2 * 50.0 * len(labels))).backward()
    assert weights.grad is not None and bias.grad is not None
    largest = max(weights.grad.abs().max(), bias.grad.abs().max())
    assert largest <= EXACT
    assert largest <= solution.gradient_norm.max() + 1e-12 <= EXACT + 1e-12


def test_weights_of_samples_are_scikit_learn_s_sample_weights() -> None:
    features, labels = clouds((7, 5, 6), 30)
    weights = np.random.default_rng(1).uniform(0.2, 3, size=(2, 18))
    (solution,) = logistic.regularisation_path(problems(features, labels, 3, weights), [20.0], EXACT)
    for place in range(2):
        expected = theirs(features, labels, 20.0, sample_weight=weights[place])
        np.testing.assert_allclose(probabilities(solution.logits)[0, place], expected, atol=1e-5)


def test_folds_are_weights_of_nothing() -> None:
    features, labels = clouds((8, 8, 8), 30)
    held = np.arange(24) % 4 == 0
    (solution,) = logistic.regularisation_path(
        problems(features, labels, 3, (~held)[None].astype(float)), [20.0], EXACT
    )
    model = LogisticRegression(C=20.0, max_iter=50000, tol=1e-10).fit(features[~held], labels[~held])
    np.testing.assert_allclose(
        probabilities(solution.logits)[0, 0][held], model.predict_proba(features[held]), atol=1e-5
    )


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, EXACT), (torch.float32, 1e-5)])
def test_a_solution_is_the_same_alone_and_among_others(kind: torch.dtype, tolerance: float) -> None:
    """Also where the others are harder, longer (the short are padded) and have other strengths."""
    sets = [clouds((6, 6, 6), 40, seed) for seed in range(3)] + [clouds((11, 9, 12), 40, 9)]
    longest = max(len(labels) for _, labels in sets)
    features, labels = torch.zeros(4, longest, 40, dtype=kind), torch.zeros(4, longest, dtype=torch.int64)
    weights = torch.zeros(4, 2, longest, dtype=kind)
    for place, (own, classes) in enumerate(sets):
        n = len(classes)
        features[place, :n], labels[place, :n] = torch.from_numpy(own).to(kind), torch.from_numpy(classes)
        weights[place, 0, :n], weights[place, 1, : n - n // 3] = 1, 1
    strengths = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    (together,) = logistic.regularisation_path(Problems(features, labels, weights, 3), [strengths], tolerance)
    for place, (own, classes) in enumerate(sets):
        n = len(classes)
        alone = Problems(
            torch.from_numpy(own)[None].to(kind), torch.from_numpy(classes)[None], weights[place, :, :n][None], 3
        )
        (solution,) = logistic.regularisation_path(alone, [float(strengths[place])], tolerance)
        np.testing.assert_allclose(
            probabilities(together.logits)[place, :, :n],
            probabilities(solution.logits)[0],
            atol=1e-6 if kind == torch.float64 else 2e-3,
        )


def test_the_same_problems_have_the_same_bytes() -> None:
    features, labels = clouds((12, 12, 12), 50)
    with logistic.one_thread_full_precision():
        one, two = (next(logistic.regularisation_path(problems(features, labels, 3), [32.0], EXACT)) for _ in range(2))
    assert one.logits.numpy().tobytes() == two.logits.numpy().tobytes()


@pytest.mark.parametrize("missing", [0, 2])
def test_a_class_without_samples_changes_nothing_for_the_others(missing: int) -> None:
    features, labels = clouds((6, 6, 6), 40)
    here = labels != missing
    (solution,) = logistic.regularisation_path(problems(features, labels, 3, here[None].astype(float)), [10.0], EXACT)
    weights, bias = solution.linear()
    assert bias[0, 0, missing] == logistic.ABSENT
    assert not weights[0, 0, missing].any()
    model = LogisticRegression(C=10.0, max_iter=50000, tol=1e-10).fit(features[here], labels[here])
    expected = np.insert(model.predict_proba(features), missing, 0, axis=1)
    np.testing.assert_allclose(probabilities(solution.logits)[0, 0], expected, atol=1e-5)


def test_one_class_alone_and_one_sample_alone() -> None:
    for count in (1, 5):
        features, labels = clouds((count,), 10)
        (solution,) = logistic.regularisation_path(problems(features, labels + 1, 3), [10.0], EXACT)
        assert (probabilities(solution.logits)[0, 0, :, 1] == 1).all()


def test_five_hundred_classes() -> None:
    features, labels = clouds((2,) * 500, 64)
    (solution,) = logistic.regularisation_path(problems(features.astype(np.float32), labels, 500), [32.0], 1e-5)
    assert float(solution.gradient_norm) <= 1e-5
    assert (solution.logits[0, 0].argmax(dim=-1).numpy() == labels).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1e-9, 1e9])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_absurd_strengths_end_with_numbers(strength: float, kind: type) -> None:
    """A penalty that leaves the intercepts alone, which then are the classes' shares, and next to none."""
    features, labels = clouds((6, 12, 6), 40)
    (solution,) = logistic.regularisation_path(problems(features.astype(kind), labels, 3), [strength], EXACT)
    found = probabilities(solution.logits)[0, 0]
    assert np.isfinite(found).all()
    if strength < 1:
        np.testing.assert_allclose(found, np.tile([0.25, 0.5, 0.25], (24, 1)), atol=1e-5)
    else:
        assert (found.argmax(axis=1) == labels).all()


def test_samples_that_are_all_alike_get_the_classes_shares() -> None:
    features, labels = np.ones((8, 5)), np.array([0, 0, 0, 1, 1, 1, 1, 1])
    (solution,) = logistic.regularisation_path(problems(features, labels, 2), [10.0], EXACT)
    np.testing.assert_allclose(probabilities(solution.logits)[0, 0], [[0.375, 0.625]] * 8, atol=1e-6)


def test_one_thread_full_precision_puts_back_what_it_changes() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with logistic.one_thread_full_precision():
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before
