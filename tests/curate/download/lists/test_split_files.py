from pathlib import Path

import pytest

from curate.download.lists import split_files
from curate.download.lists.formats import Cause
from curate.foundation.errors import UsageError


def _files(folder: Path, train: str = "A/1.jpg\n", test: str = "B/1.jpg\n") -> str:
    for name, text in (("train", train), ("test", test)):
        (folder / f"yoga_{name}.txt").write_bytes(text.encode())
    return f"{folder}/yoga_train.txt,{folder}/yoga_test.txt"


def test_the_id_of_a_pose_becomes_the_name_of_its_folder(tmp_path: Path) -> None:
    splits = split_files.read(_files(tmp_path, " X/64.jpg,1,8,0\n", "X/7.jpg,1,5,1\n"))
    assert splits.of("X/64.jpg") == ("Akarna_Dhanurasana", "train")
    assert splits.of("X/7.jpg") == ("Bharadvaja's_Twist_pose_or_Bharadvajasana_I_", "test")
    assert splits.of("X/8.jpg") == ("", "")
    assert splits.problems == []


def test_keys_with_a_label_or_without_are_read_whatever_their_line_ends(tmp_path: Path) -> None:
    splits = split_files.read(_files(tmp_path, "\ufeffA/1.jpg , Tree pose\r\n\r\nA/2.jpg\rA/3.jpg"))
    assert splits.of("A/1.jpg") == ("Tree pose", "train")
    assert splits.of("A/2.jpg") == splits.of("A/3.jpg") == ("", "train")
    assert splits.problems == []


def test_files_may_be_named_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("A/1.jpg\n")
    (tmp_path / "two.txt").write_text("A/2.jpg\n")
    splits = split_files.read(f"train={tmp_path}/one.txt, test = {tmp_path}/two.txt")
    assert (splits.of("A/1.jpg"), splits.of("A/2.jpg")) == (("", "train"), ("", "test"))
    assert splits.files == {(tmp_path / "one.txt").resolve(), (tmp_path / "two.txt").resolve()}


@pytest.mark.parametrize("backwards", [False, True])
def test_a_key_in_both_counts_as_test_and_is_a_problem(tmp_path: Path, backwards: bool) -> None:
    spec = _files(tmp_path, "B/1.jpg\nA/1.jpg,Tree\n", "A/1.jpg,Lotus\n")
    splits = split_files.read(",".join(reversed(spec.split(","))) if backwards else spec)
    assert splits.of("A/1.jpg") == ("Lotus", "test")
    (problem,) = splits.problems
    assert problem.cause == Cause.LISTED_TWICE
    if backwards:
        assert str(problem) == (
            f"{tmp_path}/yoga_train.txt, line 2: "
            f"A/1.jpg is in test, too ({tmp_path}/yoga_test.txt, line 1); it counts as test"
        )
    else:
        assert str(problem) == (
            f"{tmp_path}/yoga_test.txt, line 1: "
            f"A/1.jpg is in train, too ({tmp_path}/yoga_train.txt, line 2); it counts as test"
        )


def test_a_key_of_two_classes_keeps_its_first(tmp_path: Path) -> None:
    splits = split_files.read(_files(tmp_path, "A/1.jpg,Tree\nA/1.jpg,Lotus\nA/1.jpg,Tree\n"))
    assert splits.of("A/1.jpg") == ("Tree", "train")
    assert [(problem.line, problem.key) for problem in splits.problems] == [(2, "A/1.jpg")]


@pytest.mark.parametrize("pose", ["82", "-1", "x", ""])
def test_an_unknown_pose_keeps_the_split_and_is_a_problem(tmp_path: Path, pose: str) -> None:
    splits = split_files.read(_files(tmp_path, f"A/1.jpg,1,8,{pose}\n"))
    assert splits.of("A/1.jpg") == ("", "train")
    (problem,) = splits.problems
    assert (problem.cause, problem.line, problem.key) == (Cause.UNKNOWN_POSE, 1, "A/1.jpg")
    assert problem.detail == f"{pose!r} is no id of a Yoga-82 pose (0 to 81); the class is taken from the key"


@pytest.mark.parametrize("line", ["A/1.jpg,1,2", "A/1.jpg,1,2,3,4", ",1,2,3"])
def test_a_line_of_another_form_is_a_problem_and_the_rest_goes_on(tmp_path: Path, line: str) -> None:
    splits = split_files.read(_files(tmp_path, f"{line}\nA/2.jpg\n"))
    assert [(p.line, p.text, p.cause) for p in splits.problems] == [(1, line, Cause.UNREADABLE)]
    assert splits.of("A/1.jpg") == ("", "") and splits.of("A/2.jpg") == ("", "train")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("", "no split file is named; write train=FILE,test=FILE"),
        ("trains/one.txt", "the name of the split file trains/one.txt says neither train nor test; "),
        ("train_test.txt", "the name of the split file train_test.txt says both train and test; "),
        ("missing/train.txt", r"the split file missing/train.txt cannot be opened \(No such file or directory\)"),
        ("{tmp}/train_empty.txt", "the split file .* is empty; "),
        ("{tmp}/train_binary.txt", "the split file .* is not text"),
    ],
)
def test_a_split_file_that_is_none_is_a_usage_error(tmp_path: Path, spec: str, sentence: str) -> None:
    (tmp_path / "train_empty.txt").write_text("\n \n")
    (tmp_path / "train_binary.txt").write_bytes(b"A/1.jpg\0")
    # The test's own folder is called after the test, and must not count.
    with pytest.raises(UsageError, match=sentence):
        split_files.read(spec.format(tmp=tmp_path))


@pytest.mark.slow
@pytest.mark.data
def test_the_official_split_is_read_without_a_problem(shared_data: Path) -> None:
    folder = shared_data / "yoga82"
    splits = split_files.read(f"{folder}/yoga_train.txt,{folder}/yoga_test.txt")
    found = [split for _, split in splits.said.values()]
    assert (found.count("train"), found.count("test")) == (20_994, 7_456)
    assert len({label for label, _ in splits.said.values()}) == 82
    assert splits.problems == []
    assert splits.of("Akarna_Dhanurasana/64.jpg") == ("Akarna_Dhanurasana", "train")  # its line begins with a space
