"""Zero-shot scores are scaled cosines between an image and the mean of a class's prompts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fewshot.methods.zero_shot import ZeroShot, class_embeddings


def unit(vector: np.ndarray) -> np.ndarray:
    result: np.ndarray = vector / np.sqrt((vector**2).sum())
    return result


def test_scores_are_cosines_with_the_ensembled_prompts_times_the_temperature(patterns: Callable[..., Any]) -> None:
    given = patterns(2, 2, templates=3)
    clip = given.task.clip
    logits = ZeroShot().fit(given.draw, given.task).logits(given.test)
    assert logits.shape == (8, 2)
    assert logits.dtype == np.float32
    images = clip.encode_images(given.test.pixels())
    for row in (0, 5):
        for column, prompts in enumerate(given.task.texts):
            assert len(prompts) == 3
            embedded = [unit(clip.encode_texts([prompt])[0].astype(np.float64)) for prompt in prompts]
            cosine = unit(images[row].astype(np.float64)) @ unit(np.sum(embedded, axis=0) / 3)
            assert np.isclose(logits[row, column], np.exp(clip.model.logit_scale.item()) * cosine, rtol=1e-4, atol=1e-4)


def test_every_prompt_counts_alike_whatever_its_embedding_s_length(patterns: Callable[..., Any]) -> None:
    """The mean is of directions: one long embedding doesn't outweigh the others."""
    given = patterns(2, 2, templates=3)
    ensemble = class_embeddings(given.task)[0]
    embedded = given.task.clip.encode_texts(list(given.task.texts[0]))
    cosines = [ensemble @ unit(each) for each in embedded]
    mean = unit(np.sum([unit(each) for each in embedded], axis=0))
    np.testing.assert_allclose(cosines, [mean @ unit(each) for each in embedded], atol=1e-5)
    assert np.isclose(np.linalg.norm(ensemble), 1, atol=1e-6)


def test_the_draw_plays_no_part(patterns: Callable[..., Any]) -> None:
    few, many = patterns(2, 2), patterns(2, 2, seed=9)
    shuffled = few.draw.__class__(few.draw.images, few.draw.labels[::-1].copy(), few.draw.groups)
    np.testing.assert_array_equal(
        ZeroShot().fit(few.draw, few.task).logits(few.test),
        ZeroShot().fit(shuffled, many.task).logits(few.test),
    )


def test_a_temperature_of_the_model_s_own_is_used(patterns: Callable[..., Any]) -> None:
    given = patterns(2, 2)
    scale = given.task.clip.model.logit_scale
    before = ZeroShot().fit(given.draw, given.task).logits(given.test)
    original = scale.detach().clone()
    try:
        with torch.no_grad():
            scale.add_(np.log(2))
        after = ZeroShot().fit(given.draw, given.task).logits(given.test)
    finally:
        with torch.no_grad():
            scale.copy_(original)
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5)
