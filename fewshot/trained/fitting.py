"""Fitting one method to rows of a collection: as a trial does with its draw, for any training images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from curate.collection import synthetic
from curate.collection.splits import draw
from curate.foundation.errors import FewposeError
from curate.sweeps.records import Trial
from fewshot import methods
from fewshot.sweeping.settings import options
from fewshot.sweeping.trial import Runner, fit_each
from fewshot.task import BatchedMethod, Fitted, Task
from fewshot.training.folds import Parts, folds
from fewshot.trials import additions


class Fitting:
    """`photographs` and the synthetic images `added` (rows of the image table), to be learned from by `trial`'s method.

    With the trial's own number of shots and its own split, that is the trial; with 0 shots, all images of its set.
    """

    def __init__(self, runner: Runner, trial: Trial) -> None:
        plan = runner.plan
        self.runner, self.trial = runner, trial
        self.method_settings = plan.settings.method_settings(trial.method)
        own, self._options = options(self.method_settings)
        self._named = methods.parse(trial.method)
        self.method = methods.build(self._named.training, own)
        images = plan.sets[trial.set].images
        images = images[images["label"].isin(plan.classes)]
        if trial.shots:
            drawn = plan.draw(plan.split(trial.split), trial)["key"]  # in its order, which training depends on
            images = images.set_index("key", drop=False).loc[drawn].reset_index(drop=True)
        self.photographs, self.added = synthetic.real(images), synthetic.synthetic(images)

    def everything(self) -> pd.DataFrame:
        """All that may be learned from."""
        return self.without(self.photographs.iloc[:0], self.photographs)

    def without(self, held: pd.DataFrame, learned: pd.DataFrame) -> pd.DataFrame:
        """The photographs `learned`, and the synthetic images that may join them where the photographs `held` are
        held back: as many a class as the set's name says.
        """
        made_of, settings = additions.composition(self.trial.set), self.runner.plan.settings
        if not made_of.synthetic:
            return learned
        allowed = additions.eligible(self.added, learned, held)
        return pd.concat([learned, draw(allowed, made_of.amount, self.trial.split, settings.splitting.seed)])

    def folds(self, number: int) -> Parts:
        """Pairs of places in `photographs`, to learn from and to hold back; none where nothing can be held back."""
        return folds(self.runner.draw(self.photographs), number, rare=True) if number > 1 else []

    def fit(self, rows: Sequence[pd.DataFrame], names: Sequence[str]) -> Iterator[Fitted]:
        """A classifier of each of `rows`; `names` give each a random order of its own, "" that of the trial.

        One after the other, unless the method fits them faster together. Raises FewposeError where training fails.
        """
        given = [(self.runner.draw(each), self._task(name)) for each, name in zip(rows, names, strict=True)]
        parts = [given] if isinstance(self.method, BatchedMethod) else [[each] for each in given]
        for part in filter(None, parts):
            for fitted in fit_each(self.method, *map(list, zip(*part, strict=True))):
                if isinstance(fitted, Exception):
                    raise FewposeError(f"training {self.trial.method} failed: {fitted}") from fitted
                yield self._averaged(fitted)

    def _task(self, name: str) -> Task:
        task = self.runner.task(self.trial, self._options)
        return replace(task, seed=task.seed ^ int.from_bytes(name.encode()[:4])) if name else task

    def _averaged(self, fitted: Fitted) -> Fitted:
        return fitted.averaged(self._named.alpha) if fitted.averaged and self._named.alpha < 1 else fitted
