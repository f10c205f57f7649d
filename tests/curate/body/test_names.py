import pytest

from curate.body.names import matching
from curate.body.poses import everyday, shipped
from curate.foundation.errors import UsageError

POSES = list(shipped().values())


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("tree", "tree"),
        ("Tree_Pose_or_Vrksasana_", "tree"),
        ("Vrksasana", "tree"),
        ("downdog", "downward_dog"),
        ("Downward-Facing Dog", "downward_dog"),
        ("Adho_Mukha_Śvanasana", "downward_dog"),
        ("warrior2", "warrior_ii"),
        ("WARRIOR II pose", "warrior_ii"),
        ("Cobbler's", "bound_angle"),
    ],
)
def test_a_label_means_a_pose_by_any_of_its_names(label: str, name: str) -> None:
    assert matching([label], POSES)[label].name == name


def test_a_label_that_means_no_pose_is_missing_and_the_others_keep_their_order() -> None:
    found = matching(["plank", "handbag", "cobra", ""], POSES)
    assert {label: pose.name for label, pose in found.items()} == {"plank": "plank", "cobra": "cobra"}


def test_postures_that_yoga_does_not_know_are_meant_by_their_name() -> None:
    found = matching(["Looking at phone", "tree"], list(everyday().values()))
    assert {label: pose.name for label, pose in found.items()} == {"Looking at phone": "looking_at_phone"}


def test_a_map_says_what_a_label_means_before_all_else() -> None:
    found = matching(["A", "tree", "plank"], POSES, {"A": "Cobra", "tree": "boat", "other": "bow"})
    assert {label: pose.name for label, pose in found.items()} == {"A": "cobra", "tree": "boat", "plank": "plank"}


def test_a_map_to_an_unknown_pose_is_named() -> None:
    with pytest.raises(UsageError, match=r"label A: there is no pose 'plonk'.*plank"):
        matching(["A"], POSES, {"A": "plonk"})
