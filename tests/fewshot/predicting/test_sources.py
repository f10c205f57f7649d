"""What is looked at, and in which order."""

from pathlib import Path

import pytest

from curate.foundation.errors import UsageError
from fewshot.predicting.sources import Source, sources


def test_folders_give_pictures_and_videos_sorted_and_count_the_rest(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.mp4", "notes.txt", ".hidden/3.jpg", "b/.4.jpg", "c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    found, others = sources([tmp_path])
    assert [each.path.relative_to(tmp_path).as_posix() for each in found] == ["a.mp4", "b/1.png", "b/2.JPG", "c.webp"]
    assert [each.video for each in found] == [True, False, False, False]
    assert others == 1


def test_what_is_named_comes_in_the_order_given_and_once(tmp_path: Path) -> None:
    for name in ("2.jpg", "1.jpg", "picture"):
        (tmp_path / name).touch()
    given = [tmp_path / "2.jpg", tmp_path / "picture", tmp_path, tmp_path / "2.jpg"]
    found, others = sources(given)
    assert found == [Source(tmp_path / name, False) for name in ("2.jpg", "picture", "1.jpg")]
    assert others == 1  # in the folder, where nobody named it


def test_what_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jpg does not exist, or is neither a file nor a folder"):
        sources([tmp_path / "nowhere.jpg"])
