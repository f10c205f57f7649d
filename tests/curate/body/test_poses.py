from pathlib import Path

import numpy as np
import pytest

from curate.body import poses
from curate.body.capsules import flesh
from curate.body.contact_solver import solve_contacts
from curate.body.skeleton import BONE, DOFS, HIGH, INDEX, LOW, Proportions
from curate.collection import yoga82
from curate.foundation.errors import UsageError
from synth.rendering.scene import draw, generator

PEOPLE = Proportions()
GOOD = "tree:\n  yoga82: Tree\n  joints:\n    knee: {flex: 10}\n    left_knee: {flex: 20}\n"


ALL = poses.shipped() | poses.everyday()


def write(folder: Path, text: str) -> Path:
    path = folder / "poses.yaml"
    path.write_text(text)
    return path


def test_each_class_of_yoga82_has_one_pose() -> None:
    assert sorted(pose.yoga82 for pose in poses.shipped().values()) == sorted(each.folder for each in yoga82.poses())


def test_each_pose_is_found_by_its_name_there() -> None:
    for pose in poses.shipped().values():
        known = yoga82.find(pose.name)
        assert known is not None
        assert known.folder == pose.yoga82


def test_everyday_postures_have_names_of_their_own_and_no_folder_in_yoga82() -> None:
    everyday = poses.everyday()
    assert len(everyday) >= 8
    assert not everyday.keys() & poses.shipped().keys()
    assert {pose.yoga82 for pose in everyday.values()} == {""}
    # One is not another under a second name: what is seen of it differs.
    angles = np.array([pose.angles for pose in everyday.values()])
    apart = np.abs(angles[:, None] - angles[None]).max(axis=-1)
    assert apart[~np.eye(len(angles), dtype=bool)].min() > 20


@pytest.mark.data
def test_every_class_is_one_of_yoga82(shared_data: Path) -> None:
    known = {path.stem for path in (shared_data / "yoga82" / "links").glob("*.txt")}
    assert {pose.yoga82 for pose in poses.shipped().values()} <= known


def test_a_joint_without_side_means_both_and_a_side_wins(tmp_path: Path) -> None:
    angles = poses.load(write(tmp_path, GOOD))["tree"].angles
    assert angles[INDEX["left_knee", "flex"]] == 20
    assert angles[INDEX["right_knee", "flex"]] == 10
    assert np.count_nonzero(angles) == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tree: [", ["this is no YAML"]),
        ("[]", ["holds no poses"]),
        ("tree: 3", ["pose tree", "3"]),
        ("Tree Pose:\n  yoga82: x\n  joints: {}", ["pose Tree Pose", "folder"]),
        ("tree:\n  yoga82: 3\n  joints: {}", ["pose tree", "yoga82", "left out"]),
        ("tree:\n  yoga82:\n  joints: {}", ["pose tree", "yoga82", "left out"]),
        ("tree:\n  yoga82: x", ["pose tree", "joints"]),
        ("all:\n  joints: {}", ["pose all", "stands for every pose"]),
        (GOOD + "    tail: {flex: 1}", ["pose tree", "there is no joint 'tail'", "knee"]),
        (GOOD + "    left_spine: {flex: 1}", ["pose tree", "left_spine"]),
        (GOOD + "    elbow: {abduct: 1}", ["pose tree", "elbow", "abduct", "flex, turn"]),
        (GOOD + "    elbow: {flex: -20}", ["pose tree", "elbow flex", "-20", "0 to 150"]),
        (GOOD + "    elbow: {flex: much}", ["line 6", "pose tree", "elbow flex", "much"]),
        (GOOD + "  balance: maybe", ["pose tree", "balance must be true or false", "maybe"]),
        (GOOD + GOOD, ["line 6", "tree stands here twice"]),
        (GOOD + "    elbow: {flex: true}", ["pose tree", "elbow flex", "True"]),
        (GOOD + "    elbow: {flex: .nan}", ["line", "'.nan' is no number that can be used"]),
        (GOOD + "    elbow: 4", ["pose tree", "elbow", "4"]),
        (GOOD + "  floor: [wing]", ["pose tree", "wing", "foot"]),
        (GOOD + "  floor: foot", ["pose tree", "list"]),
        (GOOD + "  touch: [[hand]]", ["pose tree", "pairs"]),
        (GOOD + "  touch: 5", ["pose tree", "pairs"]),
        (GOOD + "  azimuth: [40, -40]", ["pose tree", "azimuth", "40 is above -40"]),
        (GOOD + "  elevation: [0]", ["pose tree", "elevation"]),
        (GOOD + "  variants: 3", ["pose tree", "variants", "list"]),
        (GOOD + "  variants: []", ["pose tree", "variants", "list"]),
        (GOOD + "  variants: [4]", ["pose tree, way 2", "4"]),
        (GOOD + "  variants:\n  - joints: {elbow: {flex: -20}}", ["line 7", "pose tree, way 2: elbow flex", "-20"]),
        (GOOD + "  variants:\n  - variants: []", ["pose tree, way 2", "there is no entry", "'variants'"]),
        (GOOD + "  share: 0", ["pose tree", "share", "above 0"]),
        (GOOD + "  share: often", ["pose tree", "share", "often"]),
        (GOOD + "  colour: red", ["pose tree", "line 6", "there is no entry", "'colour'"]),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        poses.load(write(tmp_path, text))
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_variant_is_the_pose_but_for_what_it_names(tmp_path: Path) -> None:
    told = (
        "  floor: [foot]\n  share: 3\n  variants:\n  - joints: {left_knee: {}, elbow: {turn: 9}}\n    balance: true\n"
    )
    tree = poses.load(write(tmp_path, GOOD + told))["tree"]
    first, other = tree.ways
    assert (first.share, other.share) == (3, 1)
    assert first.angles[INDEX["left_knee", "flex"]] == 20
    assert other.angles[INDEX["left_knee", "flex"]] == 0
    assert other.angles[INDEX["right_knee", "flex"]] == 10
    assert other.angles[INDEX["right_elbow", "turn"]] == 9
    assert (other.goals.floor, other.goals.balance) == (first.goals.floor, True)
    assert (other.name, other.yoga82, other.variants, first.variants) == ("tree", "Tree", (), ())
    assert poses.named("plank").ways[0].variants == ()


def test_a_variants_share_is_part_of_the_poses_digest(tmp_path: Path) -> None:
    digests = {
        poses.load(write(tmp_path, GOOD + f"  variants: [{{azimuth: [0, 9], share: {share}}}]\n"))["tree"].digest
        for share in (1, 2)
    }
    assert len(digests) == 2


def test_an_unknown_pose_is_named_and_the_known_are_listed() -> None:
    with pytest.raises(UsageError, match=r"'swan'.*tree.*plank"):
        poses.chosen("tree,swan")
    assert names("plank, tree,plank") == ["plank", "tree"]
    assert names("all") == list(poses.shipped())
    assert names("everyday,tree,standing") == [*poses.everyday(), "tree"]
    with pytest.raises(UsageError, match="no pose was named"):
        poses.chosen(" , ")


def names(asked: str, file: Path | None = None) -> list[str]:
    return [pose.name for pose in poses.chosen(asked, file)]


def test_a_file_of_ones_own_is_all_that_is_chosen_from(tmp_path: Path) -> None:
    own = write(tmp_path, GOOD + "wave:\n  joints: {left_shoulder: {abduct: 150}}\n")
    assert names("all", own) == ["tree", "wave"]
    (tree,) = poses.chosen("tree", own)
    assert tree.angles[INDEX["left_knee", "flex"]] == 20
    assert tree.digest != poses.named("tree").digest
    for unknown in ("plank", "everyday"):
        with pytest.raises(UsageError, match=rf"no pose '{unknown}' in .*poses\.yaml; it has tree, wave$"):
            poses.chosen(f"tree,{unknown}", own)
    with pytest.raises(UsageError, match=r"nowhere\.yaml cannot be read \(No such file or directory\)"):
        poses.chosen("all", tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "change",
    [
        "    neck: {flex: 1}\n",
        "  floor: [foot]\n",
        "  balance: true\n",
        "  azimuth: [0, 9]\n",
        "  elevation: [0, 9]\n",
        "  variants: [{azimuth: [0, 9]}]\n",
    ],
)
def test_a_poses_digest_tells_all_that_is_seen_of_it_and_no_more(tmp_path: Path, change: str) -> None:
    same = poses.load(write(tmp_path, "# mine\n" + GOOD.replace("yoga82: Tree", "yoga82: Other")))["tree"]
    plain = poses.load(write(tmp_path, GOOD))["tree"]
    assert plain.digest == same.digest
    assert poses.load(write(tmp_path, GOOD + change))["tree"].digest != plain.digest


# Each way as written, and two people drawn at random, one of them perhaps on the other side.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if number % 6 == 0 else pytest.mark.slow) for number, name in enumerate(ALL)]
)
def test_every_pose_settles_on_the_floor_within_the_joints_limits(name: str) -> None:
    pose = poses.named(name)
    cases = [(way.angles, PEOPLE, way.goals) for way in pose.ways]
    for index in range(2):
        scene = draw(pose, generator(name, 7, index))
        cases.append((scene.angles, scene.people, scene.goals))
    for angles, people, goals in cases:
        body = flesh(people)
        solved = solve_contacts(angles, people, body, goals)
        height = body.ends(solved.placement)[..., 1] - body.radii
        assert height.min() > -0.025, f"{body.names[int(height.min(axis=1).argmin())]} is under the floor"
        assert height.min() < 0.01, "the body floats"
        assert solved.miss < 0.04
        assert (solved.angles >= LOW).all()
        assert (solved.angles <= HIGH).all()
        for side in ("left", "right"):
            # Seen from the thigh, a shank never points ahead: knees bend one way only. Elbows the other way.
            placed = solved.placement
            for joint, end, sign in (("hip", "ankle", -1), ("shoulder", "wrist", 1)):
                limb = {"hip": "knee", "shoulder": "elbow"}[joint]
                bone = placed.origins[BONE[f"{side}_{end}"]] - placed.origins[BONE[f"{side}_{limb}"]]
                ahead = bone @ placed.turns[BONE[f"{side}_{joint}"]][:, 2]
                assert sign * ahead > -1e-6


def test_settling_brings_parts_together_and_keeps_close_to_the_pose() -> None:
    pose = poses.named("tree")
    solved = solve_contacts(pose.angles, PEOPLE, flesh(PEOPLE), pose.goals)
    assert solved.miss < 0.01
    free = [place for place, dof in enumerate(DOFS) if dof.joint not in ("root", "left_ankle")]
    assert np.abs(solved.angles - pose.angles)[free].max() < 20
