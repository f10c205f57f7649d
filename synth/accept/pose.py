"""Whether a synthetic image shows the skeleton that it was made to show."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curate.checks.rules.rule import CannotRun, Rule
from curate.collection.directory import Collection
from curate.collection.findings import Kind
from curate.foundation import json_files
from curate.foundation.errors import FewposeError
from curate.images.decoding import Unreadable, read_file
from synth.accept.agreement import agreement
from synth.accept.agreement import swapped as other_sides
from synth.accept.candidates import Candidates
from synth.generate.provenance import sidecar
from synth.rendering.keypoints import NAMES


def synthetic_pose(inputs: Candidates, parameters: Mapping[str, float]) -> pd.DataFrame:
    """Another pose than the skeleton that it was made from: the score is 1 less the agreement (OKS) of the surest
    person's keypoints with it.

    parameters: `confidence`, the least for a person; `sides`, 1 where left and right are told apart: unless they are,
    who would agree better with left and right swapped is taken so, as estimators confuse the sides of whose face they
    do not see. Images without a known skeleton are left out, and those that
    cannot be read any more. Raises CannotRun without skeletons, or without keypoints.
    """
    skeletons = {
        key: skeleton
        for key, file in zip(inputs.images["key"], inputs.images["file"], strict=True)
        if (skeleton := known_skeleton(inputs.collection, file)) is not None
    }
    if not skeletons:
        raise CannotRun("no synthetic image has a skeleton to agree with; they come from ControlNet and our renderer")
    found, looked_at = [], inputs.keypoints.ids()
    for key, content_id in zip(inputs.images["key"], inputs.images["id"], strict=True):
        if key in skeletons and content_id in looked_at:
            people = [p for p in inputs.keypoints.people(content_id) if p.score >= parameters["confidence"]]
            points = [person.coco() for person in people]
            found.append((key, *judged(points, skeletons[key], sides=parameters["sides"] > 0)))
    return pd.DataFrame(found, columns=["key", "score", "detail"])


def judged(people: Sequence[np.ndarray], wanted: np.ndarray, *, sides: bool) -> tuple[float, str]:
    """A score, and what it says.

    people: keypoints (17, 3) of those that were found, the surest first.  wanted: (17, 3), as in agreement.py.
    sides: left and right are told apart.
    """
    if not len(people):
        return 1.0, "no person was found"
    agreed = agreement(people[0], wanted)
    swapped = ", left and right swapped" if agreed.swapped else ""
    if agreed.swapped and not sides:
        agreed = agreement(other_sides(people[0]), wanted)
    near = "" if np.isnan(agreed.pck) else f", {agreed.pck:.0%} of the joints are near"
    return 1 - agreed.oks, f"OKS {agreed.oks:.2f}{near}{swapped}"


def known_skeleton(collection: Collection, file: str) -> np.ndarray | None:
    """The keypoints (17, 3) in pixels that an image was to show, from the file beside it; None where it tells none.

    `control_keypoints` are in parts of the side of the largest square in the middle (see generate.image_job.Control);
    `keypoints`, where the generator knows what it drew, in pixels.
    """
    try:
        beside = collection.path(sidecar(Path(file)).as_posix())
        told = json_files.parse_object(read_file(beside))
        if "control_keypoints" in told:
            points = np.array(told["control_keypoints"], float)
            width, height = map(int, told["size"].split("x"))
            side = min(width, height)
            points[:, :2] = points[:, :2] * side + (np.array([width, height]) - side) / 2
        else:
            points = np.array(told["keypoints"], float)
    except (FewposeError, Unreadable, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    usable = points.shape == (len(NAMES), 3) and np.isfinite(points).all() and (points[:, 2] > 0).any()
    return points if usable else None


SYNTHETIC_POSE = Rule(
    "synthetic_pose",
    "not the pose that was asked for",
    3,
    Kind.LABEL,
    True,
    {"threshold": 0.5, "confidence": 0.5, "sides": 0},
    synthetic_pose,
)
