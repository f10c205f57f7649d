"""The number that a map explains: how much more a class is favoured than all others."""

from collections.abc import Callable

import torch
from torch import Tensor

from fewshot.classifier import Head

Score = Callable[[Tensor], Tensor]  # image features (n, d) -> (n,)


def log_odds(head: Head, targets: Tensor) -> Score:
    """The log odds of each image's class in `targets` (n,): its logit less the logsumexp of all other classes'.

    A class's logit alone, a cosine times a temperature, also rises with what all classes share; and the gradient of
    the log probability, which points the same way as that of the odds, is 0 in fp32 where an answer is quite sure.
    How faithful a map is can't be told apart by which of them it explains (benchmarks/explain.py).
    """

    def score(features: Tensor) -> Tensor:
        logits = head(features)
        own = torch.nn.functional.one_hot(targets, logits.shape[1]).bool()
        result: Tensor = logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(dim=1)
        return result

    return score


def logit(head: Head, targets: Tensor) -> Score:
    """The logit of each image's class in `targets` (n,), to compare with."""
    return lambda features: head(features).gather(1, targets[:, None])[:, 0]
