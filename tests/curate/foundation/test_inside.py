"""Names below a folder that somebody else made: what leads out is refused, by name, by link, and by pipe."""

import os
from pathlib import Path

import pytest

from curate.foundation.errors import FewposeError
from curate.foundation.inside import check_no_links, inside, is_file

OUT = ("", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/.", "a//b", "a/", "a\0b", "a\ud800b")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/images/tree").mkdir(parents=True)
    (tmp_path / "root/images/tree/1.jpg").write_bytes(b"a picture")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/notes.txt").write_text("mine")
    return tmp_path / "root"


@pytest.mark.parametrize("name", OUT)
def test_a_name_that_leads_out_or_names_nothing_is_refused(root: Path, name: str) -> None:
    with pytest.raises(FewposeError, match=r"root: .* is no name of a file in it"):
        inside(root, name)


@pytest.mark.parametrize("name", ["images/tree/1.jpg", "new/2.jpg", ".lock", "...", "a..b", "a\nb", "é/樹.jpg", "\\"])
def test_any_other_name_is_a_path_below(root: Path, name: str) -> None:
    assert inside(root, name) == root / name


@pytest.mark.parametrize("link", ["images", "images/tree", "images/tree/2.jpg"])
@pytest.mark.parametrize("to", ["home", "home/notes.txt", "nowhere", "root/images"])
def test_a_link_is_refused_wherever_it_stands_and_leads(root: Path, link: str, to: str) -> None:
    (root / link).exists() and (root / link).rename(root.parent / "aside")
    (root / link).symlink_to(root.parent / to)
    with pytest.raises(FewposeError, match=f"root/{link} is a symbolic link, .*delete the link"):
        inside(root, "images/tree/2.jpg")


def test_the_folder_itself_may_be_a_link_and_lie_below_links(root: Path) -> None:
    (root.parent / "short").symlink_to(root)
    (root.parent / "shorter").symlink_to(root.parent / "short")
    path = inside(root.parent / "shorter", "images/tree/1.jpg")
    assert path.read_bytes() == b"a picture"
    with pytest.raises(FewposeError, match="is a symbolic link"):
        inside(root.parent, "short/images/tree/1.jpg")


def test_a_pipe_is_refused_before_it_is_opened(root: Path) -> None:
    os.mkfifo(root / "ledger.jsonl")
    with pytest.raises(FewposeError, match=r"ledger\.jsonl is neither a file nor a folder"):
        inside(root, "ledger.jsonl")


def test_what_lies_below_a_file_is_left_to_who_opens_it(root: Path) -> None:
    with pytest.raises(NotADirectoryError):
        inside(root, "images/tree/1.jpg/more").read_bytes()
    with pytest.raises(OSError, match="too long"):
        inside(root, "x" * 300).read_bytes()


def test_only_a_regular_file_is_one(root: Path) -> None:
    (root / "link").symlink_to(root / "images/tree/1.jpg")
    os.mkfifo(root / "pipe")
    assert is_file(root / "images/tree/1.jpg")
    assert not any(is_file(root / name) for name in ("link", "pipe", "images", "nothing"))


def test_a_folder_for_another_program_holds_no_link_however_deep(root: Path) -> None:
    check_no_links(root)
    check_no_links(root / "nothing")
    (root / "images/tree/journal").symlink_to(root.parent / "home")
    with pytest.raises(FewposeError, match="images/tree/journal is a symbolic link"):
        check_no_links(root)
