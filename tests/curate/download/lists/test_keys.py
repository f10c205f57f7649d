from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.download.lists import keys


@pytest.mark.parametrize(
    "key",
    [
        "Bharadvaja's_Twist_pose_or_Bharadvajasana_I_/685.jpg",
        "Crane_(Crow)_Pose_or_Bakasana_/1.jpg",
        "Split pose/12.png",
        "Baum, Grüße/木のポーズ.jpg",
        "one.jpg",
        "a/b/c/d.jpg",
        "CONTROL/COM10.jpg",
        "console.jpg",
        "a..b/c...d.jpg",
        " a/ b.jpg",
        "a" * 251 + ".jpg",
    ],
)
def test_keys_that_are_paths_on_any_system_pass(key: str) -> None:
    assert keys.problem(key) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is an absolute path"),
        ("//server/share", "is an absolute path"),
        ("C:/a.jpg", "begins with a drive letter"),
        ("c:a.jpg", "begins with a drive letter"),
        ("a\\b.jpg", "holds a backslash; folders are separated by /"),
        ("../a.jpg", "leaves its folder (..)"),
        ("a/../../b.jpg", "leaves its folder (..)"),
        ("a/..", "leaves its folder (..)"),
        ("./a.jpg", "holds a part that begins with a dot"),
        ("a/./b.jpg", "holds a part that begins with a dot"),
        ("a/.hidden.jpg", "holds a part that begins with a dot"),
        ("a//b.jpg", "holds an empty part"),
        ("a/", "holds an empty part"),
        ("a/b\n.jpg", "holds a control character"),
        ("a/b\x00.jpg", "holds a control character"),
        ("a/b\x7f.jpg", "holds a control character"),
        ("a /b.jpg", "holds a part that ends in a dot or a space"),
        ("a./b.jpg", "holds a part that ends in a dot or a space"),
        ("a/b:c.jpg", "holds the character :"),
        ("a/b?.jpg", "holds the character ?"),
        ("a/b|c.jpg", "holds the character |"),
        ('a/"b".jpg', 'holds the character "'),
        ("a/<b>.jpg", "holds the character <"),
        ("a/*.jpg", "holds the character *"),
        ("CON/a.jpg", "holds the name of a device on Windows (CON)"),
        ("a/nul.jpg", "holds the name of a device on Windows (nul.jpg)"),
        ("a/Aux.tar.gz", "holds the name of a device on Windows (Aux.tar.gz)"),
        ("a/com1 .jpg", "holds the name of a device on Windows (com1 .jpg)"),
        ("a/LPT².jpg", "holds the name of a device on Windows (LPT².jpg)"),
        ("a/" + "b" * 256, "holds a part longer than 255 bytes"),
        ("a/" + "é" * 128, "holds a part longer than 255 bytes"),
        ("a/" * 500 + "b", "is longer than 1000 bytes"),
        ("a/\udce9.jpg", "is not UTF-8"),
    ],
)
def test_other_keys_are_refused_with_a_reason(key: str, reason: str) -> None:
    assert keys.problem(key) == reason


@given(st.text(st.sampled_from("./\\ab: \n~"), max_size=12) | st.text(max_size=30))
def test_what_passes_lies_below_the_folder_as_it_is_written(key: str) -> None:
    if keys.problem(key) is None:
        path = Path("/images", key).resolve()
        assert path.relative_to("/images").as_posix() == key


def test_keys_that_are_one_file_on_some_systems_are_folded_into_one() -> None:
    assert keys.folded("Tree/A.jpg") == keys.folded("tree/a.JPG")
    assert keys.folded("Ä/1.jpg") == keys.folded("a\u0308/1.jpg")
    assert keys.folded("a/1.jpg") != keys.folded("a/2.jpg")
