"""Keypoints of a plan's images, where one of its methods looks at them."""

import pandas as pd

from curate.collection import synthetic
from curate.pose.keypoints import Keypoints
from curate.pose.needed import keypoints_of
from fewshot import methods
from fewshot.sweeping.plan import Plan


def keypoints(plan: Plan) -> Keypoints | None:
    """Those that `curate pose` left, and what is missing, found now; None where no method needs any.

    Raises FewposeError where there are none, and none can be found.
    """
    settings = plan.settings
    if not any(methods.needs(name, "keypoints") for name in settings.grid.methods):
        return None
    return keypoints_of(settings.opened(), images(plan), settings.work)


def images(plan: Plan) -> pd.DataFrame:
    """All that trials of the plan may look at: the photographs of its classes, the synthetic images of its sets."""
    added = [synthetic.synthetic(each.images) for each in plan.sets.values()]
    every = pd.concat([plan.images, *added]).drop_duplicates("key", ignore_index=True)
    return every[every["label"].isin(plan.classes)]


def digest(found: Keypoints | None) -> dict[str, str]:
    """What decides about them, as an entry of a record: the estimator's weights and settings."""
    return {} if found is None else {"keypoints": found.digest}
