"""Whether a synthetic image looks like its class, among all classes of the collection."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.checks.rules.components import Components, large_enough
from curate.checks.rules.out_of_fold import FOLDS, folds
from curate.checks.rules.rule import CannotRun, Rule
from curate.checks.rules.wrong_label import LEAST_AGREED
from curate.collection import yoga82
from curate.collection.findings import Kind
from synth.accept.candidates import Candidates

PROMPT = "a photo of a person in the {} pose"


@dataclass(frozen=True)
class Judgement:
    """probabilities: (n, classes) of the synthetic images.  agreed: part of the photographs given their own label."""

    classes: tuple[str, ...]
    probabilities: np.ndarray
    agreed: float  # nan without photographs
    by: str  # for people


def synthetic_class(inputs: Candidates, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Does not look like its class: the score is 1 less the probability of its class among all of the collection.

    By the texts of the classes where the model's text tower is trained, and gives half of the photographs or more their
    own label; else by a classifier on the photographs' features, of which those are left out that an image was made
    from. parameters: `strength`, `components` and `least` of that classifier, as for wrong_label; images of classes
    with fewer than `least` photographs are left out. Raises CannotRun where neither can judge.
    """
    judged = _judgement(inputs, parameters)
    number = {label: n for n, label in enumerate(judged.classes)}
    rows = [(n, number[label]) for n, label in enumerate(inputs.images["label"]) if label in number]
    keys, found = inputs.images["key"].to_numpy(), []
    for row, own in rows:
        probability = judged.probabilities[row].copy()
        mine, probability[own] = float(probability[own]), -1
        best = int(probability.argmax())
        other, likeliest = judged.classes[best], float(probability[best])
        detail = f"{judged.classes[own]} {mine:.2f}, {other} {likeliest:.2f} by {judged.by}"
        found.append((keys[row], float(np.clip(1 - mine, 0, 1)), detail, other if likeliest > mine else ""))
    return pd.DataFrame(found, columns=["key", "score", "detail", "suggestion"])


def _judgement(inputs: Candidates, parameters: Mapping[str, float]) -> Judgement:
    text = by_text(inputs)
    if text and not text.agreed < LEAST_AGREED:
        return text
    try:
        photographs = by_photographs(inputs, parameters)
    except CannotRun as why:
        if text:
            raise CannotRun(
                f"{text.by} gives only {text.agreed:.0%} of the photographs their label, and {why}"
            ) from why
        raise
    if photographs.agreed < LEAST_AGREED:
        raise CannotRun(f"{photographs.by} gives only {photographs.agreed:.0%} of the photographs their label")
    return photographs


def by_text(inputs: Candidates) -> Judgement | None:
    """Zero-shot, by one sentence for each class. None where the model has no trained text tower."""
    clip = inputs.clip
    if clip is None or not clip.text_trained or inputs.features is None:
        return None
    classes = tuple(sorted({*inputs.images["label"], *inputs.photographs["label"]}))
    if len(classes) < 2:
        return None
    texts = clip.encode_texts([PROMPT.format(_words(label)) for label in classes]).astype(np.float64)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    sharpness = float(clip.model.logit_scale.detach().exp())
    agreed = float("nan")
    if inputs.photograph_features is not None and inputs.trusted.any():
        likeliest = (inputs.photograph_features[inputs.trusted] @ texts.T).argmax(axis=1)
        labels = inputs.photographs["label"].to_numpy(str)[inputs.trusted]
        agreed = float(np.mean(np.array(classes)[likeliest] == labels))
    return Judgement(classes, _softmax(sharpness * (inputs.features @ texts.T)), agreed, f"the texts of {clip.name}")


def by_photographs(inputs: Candidates, parameters: Mapping[str, float]) -> Judgement:
    """A classifier that has seen the photographs, but not the one that an image was made from, nor its copies.

    Multinomial logistic regression, fitted as often as there are folds, each time without one of them. An image that
    was made from a photograph is judged by the one that has not seen it, others by all (the mean). Raises CannotRun.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    features = inputs.needed_features()
    if inputs.photograph_features is None:
        raise CannotRun("the collection has no photographs to learn from")
    labels, groups = (inputs.photographs[column].to_numpy(str) for column in ("label", "group"))
    rows = np.flatnonzero(inputs.trusted)
    least = max(parameters["least"], FOLDS)
    rows = rows[large_enough(labels[rows], groups[rows], least)]
    classes, numbers = np.unique(labels[rows], return_inverse=True)
    if len(classes) < 2:
        raise CannotRun(f"it needs two classes of {least:g} photographs or more, copies counted once")
    parts = Components(inputs.photograph_features[rows], int(parameters["components"]))
    X, Z = parts.of(inputs.photograph_features[rows]), parts.of(features)
    fold = folds(labels[rows], groups[rows])
    fold_of = dict(zip(groups[rows], fold, strict=True))
    unseen = np.array([fold_of.get(group, -1) for group in inputs.source_groups])
    by_fold, right = np.zeros((FOLDS, len(Z), len(classes))), 0
    with threadpool_limits(1):  # the sums come out the same on any number of cores
        for held_out in range(FOLDS):
            shown = fold != held_out
            model = LogisticRegression(C=parameters["strength"], max_iter=1000).fit(X[shown], numbers[shown])
            by_fold[held_out][:, model.classes_] = model.predict_proba(Z)
            right += int((model.predict(X[~shown]) == numbers[~shown]).sum()) if (~shown).any() else 0
    probabilities = by_fold.mean(axis=0)
    made = np.flatnonzero(unseen >= 0)
    probabilities[made] = by_fold[unseen[made], made]
    by = f"the features of {inputs.model} of {len(rows)} photographs"
    return Judgement(tuple(map(str, classes)), probabilities, right / len(rows), by)


def _words(label: str) -> str:
    pose = yoga82.find(label)
    return pose.english if pose else " ".join(label.replace("_", " ").split()).removesuffix(" pose")


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


# With lite0 on photos18, each photograph judged by classifiers that have not seen it: 0.6 % of them are below 0.05 for
# their own class, and 6 % reach it for another one's (docs/synth.md).
SYNTHETIC_CLASS = Rule(
    "synthetic_class",
    "not like its class",
    1,
    Kind.LABEL,
    True,
    {"threshold": 0.95, "strength": 10, "components": 512, "least": 10},
    synthetic_class,
    needs_features=True,
)
