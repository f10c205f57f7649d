"""Which pose a label means: by the pose's name, its folder in Yoga-82, what it is called in English or Sanskrit."""

from collections.abc import Mapping, Sequence

from curate.body.poses import Pose
from curate.collection import yoga82
from curate.foundation.errors import UsageError
from curate.foundation.sentences import unknown


def matching(
    labels: Sequence[str], poses: Sequence[Pose], pose_map: Mapping[str, str] | None = None
) -> dict[str, Pose]:
    """Label -> its pose, in the order of the labels; a label without a pose is missing.

    pose_map: label -> the name of a pose, for labels that say it otherwise; it goes before all else. Case, spaces,
    hyphens, underscores, diacritics and a final "pose" make no difference. UsageError where pose_map names no pose.
    """
    by_name = {yoga82.plain(pose.name): pose for pose in poses}
    by_folder = {pose.yoga82: pose for pose in poses if pose.yoga82}
    found = {}
    for label in labels:
        told = (pose_map or {}).get(label)
        if told is not None and yoga82.plain(told) not in by_name:
            raise UsageError(f"label {label}: {unknown('pose', told, sorted(pose.name for pose in poses))}")
        known = yoga82.find(label)
        pose = by_name.get(yoga82.plain(told or label)) or by_folder.get(known.folder if known else label)
        if pose is not None:
            found[label] = pose
    return found
