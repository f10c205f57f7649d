"""Zero-shot classification by prompts (Radford et al. 2021, arXiv 2103.00020, section 3.1).

The score of a class is the cosine between the image and the mean of its prompts' normalised embeddings
(prompt ensembling, section 3.1.4), times the model's own temperature.
"""

from dataclasses import dataclass

import numpy as np

from fewshot.classifier import LinearHead
from fewshot.task import Draw, Fitted, Task


@dataclass(frozen=True)
class ZeroShot:
    def fit(self, draw: Draw, task: Task) -> Fitted:
        scale = np.float32(task.clip.model.logit_scale.detach().exp())
        return Fitted.on_features(LinearHead(scale * class_embeddings(task)), task)


def class_embeddings(task: Task) -> np.ndarray:
    """(classes, d) float32 of length 1: the mean of each class's normalised prompt embeddings, normalised."""
    means = []
    for prompts in task.texts:
        embedded = task.clip.encode_texts(list(prompts))
        means.append((embedded / np.linalg.norm(embedded, axis=1, keepdims=True)).mean(axis=0))
    stacked = np.stack(means)
    result: np.ndarray = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
    return result
