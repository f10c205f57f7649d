"""What is looked at, and in which order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.foundation.errors import UsageError
from fewshot.predicting.sources import Kind, Source, of_lines, sources


def test_folders_give_pictures_and_videos_sorted_and_count_the_rest(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.mp4", "notes.txt", ".hidden/3.jpg", "b/.4.jpg", "c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    found, others = sources([tmp_path])
    names = [Path(each.name).relative_to(tmp_path).as_posix() for each in found]
    assert names == ["a.mp4", "b/1.png", "b/2.JPG", "c.webp"]
    assert [each.kind for each in found] == [Kind.VIDEO, Kind.PICTURE, Kind.PICTURE, Kind.PICTURE]
    assert others == 1


def test_what_is_named_comes_in_the_order_given_and_once(tmp_path: Path) -> None:
    for name in ("2.jpg", "1.jpg", "picture"):
        (tmp_path / name).touch()
    given = [tmp_path / "2.jpg", tmp_path / "picture", tmp_path, tmp_path / "2.jpg"]
    found, others = sources(given)
    assert found == [Source(str(tmp_path / name), Kind.PICTURE) for name in ("2.jpg", "picture", "1.jpg")]
    assert others == 1  # in the folder, where nobody named it


def test_what_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jpg does not exist, or is neither a file nor a folder"):
        sources([tmp_path / "nowhere.jpg"])


TABLES = {
    "a.csv": "image_url,class\nhttps://x.org/1.jpg?ver=6,squat\n",
    "b.csv": "pose;link\nsquat;https://x.org/1.jpg?ver=6\n",
    "c.txt": "https://x.org/1.jpg?ver=6\n",
    "d.tsv": "squat/1.jpg\thttps://x.org/1.jpg?ver=6\n",
    "e.jsonl": '{"URL": "https://x.org/1.jpg?ver=6", "pose": "squat"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_a_list_names_links_whatever_its_form(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name])
    assert sources([tmp_path / name]) == ([Source("https://x.org/1.jpg?ver=6", Kind.LINK)], 0)
    assert list(of_lines(TABLES[name].splitlines(keepends=True))) == [Source("https://x.org/1.jpg?ver=6", Kind.LINK)]


@pytest.mark.parametrize(
    ("name", "lines"), [("a.csv", ["file,class", "a.jpg,x", "b.mp4,y"]), ("a.txt", ["a.jpg", "b.mp4"])]
)
def test_files_in_a_list_lie_beside_it_and_on_standard_input_there_are_links_alone(
    tmp_path: Path, name: str, lines: list[str]
) -> None:
    (tmp_path / name).write_text("\n".join(lines))
    assert sources([tmp_path / name])[0] == [
        Source(str(tmp_path / "a.jpg"), Kind.PICTURE),
        Source(str(tmp_path / "b.mp4"), Kind.VIDEO),
    ]
    assert list(of_lines(lines)) == [Source("a.jpg", Kind.LINK), Source("b.mp4", Kind.LINK)]


def test_a_row_that_cannot_be_used_is_said_with_its_line_and_never_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("https://x.org/1.jpg\nhttps://x.org/2.jpg?ver=6,squat\n")
    (tmp_path / "b.csv").write_text("url,class\n,tree\nhttps://x.org/3.jpg,tree,the\n")
    found, _ = sources([tmp_path / "a.txt", tmp_path / "b.csv"])
    assert [(each.kind, Path(each.name).name) for each in found] == [
        (Kind.LINK, "1.jpg"),
        (Kind.UNUSABLE, "a.txt, line 2"),
        (Kind.UNUSABLE, "b.csv, line 2"),
        (Kind.UNUSABLE, "b.csv, line 3"),
    ]
    assert "name the columns in its first line" in found[1].error
    assert found[2].error == "no picture is named"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image_uri,class\nhttps://x.org/1.jpg,squat\n", "image_uri, class; it needs picture"),
        ("url,path\nhttps://x.org/1.jpg,a.jpg\n", "url, path, of which url and path may each be the picture"),
    ],
)
def test_a_table_that_does_not_say_what_to_look_at_is_bad_usage(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"list\.csv has the columns {sentence}"):
        sources([tmp_path / "list.csv"])


def test_links_on_standard_input_are_given_as_they_come() -> None:
    def lines() -> Iterator[str]:
        yield "https://x.org/1.jpg\n"
        raise AssertionError("the second line was waited for")

    assert next(of_lines(lines())) == Source("https://x.org/1.jpg", Kind.LINK)


def test_nothing_on_standard_input_is_nothing_to_look_at() -> None:
    assert list(of_lines(["\n", " \n"])) == []
