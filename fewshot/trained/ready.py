"""Classifiers that are there without any training: of poses by their joint angles alone, made when first asked for.

They are kept as a model's directory in the user's cache, by a digest of all that they are made of.
"""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.foundation import console, resources
from fewshot.ready_names import EVERYDAY, NAMES
from fewshot.trained import place

if TYPE_CHECKING:
    from curate.body.poses import Pose
    from curate.pose.people import Estimator

MEASURED = "ready.yaml"  # what benchmarks/poses82.py found


def require(model: Path) -> None:
    """Raises UsageError where `model` is no directory of a trained model, nor one of NAMES."""
    if str(model) not in NAMES:
        place.require(model)


def directory_of(model: Path) -> Path:
    """The directory of a model; where it is one of NAMES, that classifier's, which is made if it isn't there.

    Raises UsageError and FewposeError where there is no estimator, whose keypoints it looks at.
    """
    if str(model) not in NAMES:
        return model
    from curate.pose.settings import PoseSettings

    if model.is_dir():
        console.note(f"{model} is the classifier that fewpose ships; the directory here is ./{model}")
    estimator = PoseSettings().load()
    poses = poses_of(str(model))
    folder = _cache() / f"{model}-{_digest(poses, estimator)}"
    if not (folder / place.JSON).is_file():
        _make(folder, str(model), poses, estimator)
    return folder


def _cache() -> Path:
    named = os.environ.get("FEWPOSE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named).expanduser().absolute() / "fewpose-ready"


def poses_of(name: str) -> "dict[str, Pose]":
    """The poses of one of NAMES, by what they are called."""
    from curate.body.poses import everyday, shipped
    from curate.collection import yoga82

    if name == EVERYDAY:
        return {each.name.replace("_", " "): each for each in everyday().values()}
    by_folder = {each.yoga82: each for each in shipped().values()}
    return {each.english: by_folder[each.folder] for each in yoga82.poses() if each.folder in by_folder}


def _digest(poses: "dict[str, Pose]", estimator: "Estimator") -> str:
    from curate.body import projected
    from curate.pose import posture
    from fewshot.methods import describe

    versions = f"{describe('pose-prior').version} {posture.VERSION} {sorted(_measured().items())}"
    told = f"{list(poses)} {projected.digest(list(poses.values()))} {versions} {estimator.digest}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _measured() -> dict[str, Any]:
    found: dict[str, Any] = resources.load(MEASURED)
    return found


def _make(folder: Path, name: str, poses: "dict[str, Pose]", estimator: "Estimator") -> None:
    from curate.foundation.locks import only_one
    from curate.sweeps.records import explaining_write_errors
    from fewshot.methods.pose_prior import PosePrior
    from fewshot.trained import directory

    console.note(f"{name}: made of joint angles, once")
    with explaining_write_errors(folder), only_one(folder, "fewshot"):
        directory.save(folder, _about(name, poses, estimator), PosePrior().of_poses(list(poses.values())), name)


def _about(name: str, poses: "dict[str, Pose]", estimator: "Estimator") -> Any:
    from curate.images.transform import Transform
    from fewshot.sweeping.trial import versions
    from fewshot.trained.about import BODY, About

    known = _measured().get(name, {})
    return About(
        classes=tuple(poses),
        texts=((),) * len(poses),
        model="",
        architecture="",
        quick_gelu=False,
        starting_weights="",
        transform=Transform(estimator.side),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        head={"kind": BODY},
        method="pose-prior",
        settings={},
        chosen={},
        temperature=float(known.get("temperature", 1.0)),
        threshold=float(known.get("threshold", 0.0)),
        trained_on={"images": 0, "classes": {}},
        measured={"photographs": known["measured"]} if "measured" in known else {},
        versions=versions(),
        keypoints={"estimator": estimator.name, "digest": estimator.digest},
    )
