import os
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.download.lists import links, split_files
from curate.download.lists.formats import Cause
from curate.download.lists.links import Link, Listing
from curate.download.lists.split_files import Splits
from curate.download.web import urls
from curate.foundation.errors import UsageError

FINE = "A/0.jpg,http://x.org/0\n"


def _read(folder: Path, text: str, splits: Splits | None = None, name: str = "list.txt") -> Listing:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return links.read(folder / name, splits)


def _causes(listing: Listing) -> list[tuple[int, Cause, str]]:
    return [(problem.line, problem.cause, problem.key) for problem in listing.problems]


def test_links_come_by_key_in_normal_form_and_say_where_they_stand(tmp_path: Path) -> None:
    listing = _read(tmp_path, "B/1.jpg\tHTTP://X.org:80/a b.jpg#c\nA/1.jpg\thttp://x.org\n")
    file = str(tmp_path / "list.txt")
    assert listing == Listing(
        [
            Link("A/1.jpg", "A", "http://x.org/", "", file, 2),
            Link("B/1.jpg", "B", "http://x.org/a%20b.jpg", "", file, 1),
        ],
        [],
    )


def test_label_and_split_are_the_lists_or_else_the_split_files(tmp_path: Path) -> None:
    splits = Splits({"A/1.jpg": ("Tree", "train"), "A/2.jpg": ("Tree", "train"), "A/3.jpg": ("", "test")})
    rows = [
        "url,key,label,split",
        "http://x.org/1,A/1.jpg,Lotus,TEST",
        "http://x.org/2,A/2.jpg,,",
        "http://x.org/3,A/3.jpg,,",
    ]
    listing = _read(tmp_path, "\n".join(rows), splits)
    assert [(link.label, link.official_split) for link in listing.links] == [
        ("Lotus", "test"),
        ("Tree", "train"),
        ("A", "test"),
    ]


def test_a_key_that_is_not_given_depends_on_its_own_row_only(tmp_path: Path) -> None:
    alone = _read(tmp_path, "url,label\nhttp://x.org/a.PNG?w=1,Tree pose\n")
    among = _read(tmp_path, "url,label\nhttp://x.org/b,Tree pose\nhttp://X.org/a.PNG?w=1,Tree pose\n")
    (key,) = {link.key for link in alone.links}
    assert key == "Tree pose/1c3e2ea7b326.png"
    assert {link.key for link in among.links} == {key, "Tree pose/1823e6097ed3.jpg"}


def test_rows_that_cannot_be_kept_are_problems_with_file_and_line(tmp_path: Path) -> None:
    rows = [
        "url,key,label,split",
        ",A/1.jpg,,",
        "ftp://x.org/a,A/2.jpg,,",
        "http://x.org/a,../2.jpg,,",
        "http://x.org/a,3.jpg,,",
        "http://x.org/a,,,",
        "http://x.org/a,A/4.jpg,,val",
        "http://x.org/a,,Tree: pose,",
        "http://x.org/a,A/5.jpg,,",
    ]
    listing = _read(tmp_path, "\n".join(rows))
    assert [link.key for link in listing.links] == ["A/5.jpg"]
    assert _causes(listing) == [
        (2, Cause.UNREADABLE, "A/1.jpg"),
        (3, Cause.BAD_LINK, "A/2.jpg"),
        (4, Cause.BAD_KEY, "../2.jpg"),
        (5, Cause.NO_CLASS, "3.jpg"),
        (6, Cause.NO_CLASS, ""),
        (7, Cause.UNREADABLE, "A/4.jpg"),
        (8, Cause.BAD_KEY, ""),
    ]
    assert [problem.detail for problem in listing.problems] == [
        "there is no URL",
        "the link does not begin with http:// or https://",
        "the key leaves its folder (..)",
        "nothing says of which class it is; write the key as Class/name.jpg",
        "nothing says of which class it is; write the key as Class/name.jpg",
        "the split is 'val'; it should be train, test or nothing",
        "the key holds the character :",
    ]
    assert {problem.file for problem in listing.problems} == {str(tmp_path / "list.txt")}
    assert listing.problems[0].text == ",A/1.jpg,,"


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        ("A/12", Cause.UNREADABLE),
        ("A/12.jpg\t", Cause.UNREADABLE),
        ("A/12.jpg\thtt", Cause.BAD_LINK),
        ("A/12.jpg\thttp://", Cause.BAD_LINK),
    ],
)
def test_a_last_line_cut_short_is_a_problem_and_the_rest_is_read(tmp_path: Path, last: str, cause: Cause) -> None:
    listing = _read(tmp_path, FINE + last)
    assert [link.key for link in listing.links] == ["A/0.jpg"]
    assert [(problem.line, problem.cause) for problem in listing.problems] == [(2, cause)]


def test_a_key_that_is_absolute_or_reserved_never_leaves_the_collection(tmp_path: Path) -> None:
    bad = ["/etc/a.jpg", "C:/a/b.jpg", "a\\b/c.jpg", "A/con.jpg", "../A/1.jpg", "A/../../1.jpg"]
    listing = _read(tmp_path, FINE + "".join(f"{key}\thttp://x.org/1\n" for key in bad))
    assert [link.key for link in listing.links] == ["A/0.jpg"]
    assert [problem.key for problem in listing.problems] == bad
    assert {problem.cause for problem in listing.problems} == {Cause.BAD_KEY}


def test_a_line_said_again_is_passed_over_and_another_url_is_a_problem(tmp_path: Path) -> None:
    text = "A/1.jpg,http://x.org/1\nA/1.jpg\tHTTP://x.org/1#again\nA/1.jpg,http://x.org/2\nB/1.jpg,http://x.org/1\n"
    listing = _read(tmp_path, text)
    assert [(link.key, link.url) for link in listing.links] == [
        ("A/1.jpg", "http://x.org/1"),
        ("B/1.jpg", "http://x.org/1"),
    ]
    (problem,) = listing.problems
    assert (problem.line, problem.cause, problem.key) == (3, Cause.LISTED_TWICE, "A/1.jpg")
    assert problem.detail == f"the key has another URL in {tmp_path / 'list.txt'}, line 1, which counts"


def test_a_line_said_again_with_another_class_is_a_problem(tmp_path: Path) -> None:
    listing = _read(tmp_path, "key,label,url\nA/1.jpg,Tree,http://x.org/1\nA/1.jpg,Lotus,http://x.org/1\n")
    assert [link.label for link in listing.links] == ["Tree"]
    assert _causes(listing) == [(3, Cause.LISTED_TWICE, "A/1.jpg")]


def test_of_two_files_the_first_by_name_counts(tmp_path: Path) -> None:
    for name, url in (("b.txt", "http://x.org/b"), ("a.txt", "http://x.org/a"), ("sub/0.txt", "http://x.org/0")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"A/1.jpg,{url}\n")
    listing = links.read(tmp_path)
    assert [(link.url, link.file) for link in listing.links] == [("http://x.org/a", str(tmp_path / "a.txt"))]
    assert [(p.file, p.line) for p in listing.problems] == [
        (str(tmp_path / "b.txt"), 1),
        (str(tmp_path / "sub/0.txt"), 1),
    ]


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ("A/1.jpg", "a/1.JPG", Cause.LISTED_TWICE),
        ("Ä/1.jpg", "A\u0308/1.jpg", Cause.LISTED_TWICE),
        ("A/b", "A/b/1.jpg", Cause.BAD_KEY),
        ("A/b/1.jpg", "A/b", Cause.BAD_KEY),
        ("A/b/c/1.jpg", "a/B", Cause.BAD_KEY),
        ("a/B", "A/b/c/1.jpg", Cause.BAD_KEY),
    ],
)
def test_of_keys_that_a_file_system_cannot_hold_together_the_first_counts(
    tmp_path: Path, first: str, second: str, cause: Cause
) -> None:
    listing = _read(tmp_path, f"{first}\thttp://x.org/1\n{second}\thttp://x.org/1\n")
    assert [link.key for link in listing.links] == [first]
    assert _causes(listing) == [(2, cause, second)]
    assert f"{first} ({tmp_path / 'list.txt'}, line 1)" in listing.problems[0].detail


def test_classes_that_differ_in_case_hold_different_images(tmp_path: Path) -> None:
    listing = _read(tmp_path, "A/1.jpg,http://x.org/1\na/2.jpg,http://x.org/2\n")
    assert len(listing.links) == 2 and not listing.problems


def test_what_is_no_list_in_a_folder_is_a_problem_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "Tree.txt").write_text("http://x.org/1\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Lotus.TSV").write_text("http://x.org/2\n")
    (tmp_path / "desktop.ini").write_text("[.ShellClassInfo]\n")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "._Tree.txt").write_bytes(b"\0\5\x16\7")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xd8\0")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.txt").write_text("http://x.org/3\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    listing = links.read(tmp_path)
    assert [link.label for link in listing.links] == ["Lotus", "Tree"]
    assert {(Path(problem.file).name, problem.detail) for problem in listing.problems} == {
        ("desktop.ini", "is no .txt, .csv, .tsv, .jsonl, .ndjson, .parquet"),
        (".DS_Store", "is a hidden file"),
        ("._Tree.txt", "is a hidden file"),
        ("photo.jpg", "is no .txt, .csv, .tsv, .jsonl, .ndjson, .parquet"),
        ("binary.txt", "is not text, or UTF-16; save it as UTF-8"),
        (".git", "is a hidden folder"),
        ("loop", "is a link to a folder; name that folder itself"),
        ("dangling.txt", "is no file that can be read"),
        ("pipe.txt", "is no file that can be read"),
    }
    assert {problem.cause for problem in listing.problems} == {Cause.NOT_A_LIST}


def test_split_files_beside_the_lists_are_no_lists(tmp_path: Path) -> None:
    (tmp_path / "A.txt").write_text("A/1.jpg\thttp://x.org/1\n")
    (tmp_path / "train.txt").write_text("A/1.jpg,1,8,0\n")
    listing = links.read(tmp_path, split_files.read(f"{tmp_path}/train.txt"))
    assert [link.official_split for link in listing.links] == ["train"] and not listing.problems
    (problem,) = links.read(tmp_path).problems
    assert problem.detail == "this is a line of a split file; name it with --splits"


def test_text_csv_and_parquet_of_the_same_rows_give_the_same_links(tmp_path: Path) -> None:
    rows = [("A/1.jpg", "http://x.org/a b, c.jpg"), ("B c/2.jpg", "http://x.org/é?a=1,2")]
    keys, found = zip(*rows, strict=True)
    pq.write_table(pa.table({"url": found, "key": keys}), tmp_path / "list.parquet")
    (tmp_path / "list.csv").write_text("key,url\n" + "".join(f'{key},"{url}"\n' for key, url in rows))
    (tmp_path / "list.txt").write_text("".join(f"{key},{url}\n" for key, url in rows))
    (tmp_path / "list.tsv").write_text("".join(f"{key}\t{url}\n" for key, url in rows))
    listings = [links.read(path) for path in tmp_path.iterdir()]
    said = [[(link.key, link.label, link.url) for link in listing.links] for listing in listings]
    assert len(said) == 4
    assert said[0] == [
        ("A/1.jpg", "A", "http://x.org/a%20b,%20c.jpg"),
        ("B c/2.jpg", "B c", "http://x.org/%C3%A9?a=1,2"),
    ]
    assert all(one == said[0] for one in said)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("missing", "missing does not exist; name a folder of link lists, or one list"),
        (
            "photo.jpg",
            r"photo.jpg is neither a folder of link lists nor one list \(.txt, .csv, .tsv, .jsonl, .ndjson, .parquet\)",
        ),
        ("empty", "empty holds no list of links; it should hold files .txt, .csv, .tsv, .jsonl, .ndjson, .parquet"),
        ("bad.csv", "bad.csv holds no link that can be asked: .*bad.csv, line 1: the link has no host"),
        ("bad.parquet", "bad.parquet holds no link that can be asked: .*bad.parquet: cannot be read as parquet"),
        ("worse", r"line 3: there is no URL after the key \(and 1 more\)$"),
    ],
)
def test_a_source_without_a_link_is_a_usage_error_that_says_why(tmp_path: Path, source: str, sentence: str) -> None:
    for folder in ("empty", "worse"):
        (tmp_path / folder).mkdir()
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "bad.csv").write_text("A/1.jpg,http://\n")
    (tmp_path / "bad.parquet").write_text("url\n")
    (tmp_path / "worse" / "a.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(UsageError, match=sentence):
        links.read(tmp_path / source)


def test_a_list_whose_name_is_no_utf8_is_read(tmp_path: Path) -> None:
    file = os.path.join(os.fsencode(tmp_path), b"Gr\xfcn.txt")  # noqa: PTH118
    with open(file, "w") as lines:  # noqa: PTH123
        lines.write(FINE + "http://x.org/1\n")
    listing = links.read(tmp_path)
    assert [link.file for link in listing.links] == [str(tmp_path / r"Gr\udcfcn.txt")]
    assert [problem.detail for problem in listing.problems] == ["the key is not UTF-8"]


# The real lists


@pytest.fixture(scope="module")
def yoga82(shared_data: Path) -> Listing:
    folder = shared_data / "yoga82"
    return links.read(folder / "links", split_files.read(f"{folder}/yoga_train.txt,{folder}/yoga_test.txt"))


@pytest.mark.data
def test_all_of_yoga82_is_read(yoga82: Listing) -> None:
    assert yoga82.problems == []
    assert len(yoga82.links) == 28_450
    assert len({link.label for link in yoga82.links}) == 82
    assert all(link.key.startswith(link.label + "/") for link in yoga82.links)
    splits = [link.official_split for link in yoga82.links]
    assert (splits.count("train"), splits.count("test")) == (20_994, 7_456)


@pytest.mark.slow
@pytest.mark.data
def test_the_links_of_yoga82_are_as_they_were_counted(yoga82: Listing) -> None:
    found = [link.url for link in yoga82.links]
    assert len({urls.host(url) for url in found}) == 3_390
    assert sum(url.startswith("http://") for url in found) == 13_125
    assert sum(url.startswith("http://") for url in set(found)) == 13_107
    assert len(found) - len(set(found)) == 47
    names = [urlsplit(url).path.rpartition("/")[2] for url in found]
    assert sum("." not in name for name in names) == 336
    assert sum(name.lower().endswith(".gif") for name in names) == 124


@pytest.mark.data
def test_some_links_of_yoga82_stand_in_two_classes_or_on_both_sides(yoga82: Listing) -> None:
    labels: dict[str, set[str]] = {}
    splits: dict[str, set[str]] = {}
    for link in yoga82.links:
        labels.setdefault(link.url, set()).add(link.label)
        splits.setdefault(link.url, set()).add(link.official_split)
    assert sum(len(those) == 2 for those in labels.values()) == 5
    assert sum(len(those) == 2 for those in splits.values()) == 20


@pytest.mark.data
def test_the_32_links_of_yoga82_with_spaces_keep_them(shared_data: Path, yoga82: Listing) -> None:
    url = {(Path(link.file).name, link.line): link.url for link in yoga82.links}
    spaced = 0
    for path in (shared_data / "yoga82" / "links").glob("*.txt"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            raw = line.partition("\t")[2]
            spaced += " " in raw
            assert raw.count(" ") + raw.count("%20") == url[path.name, number].count("%20")
    assert spaced == 32


@pytest.mark.slow
@pytest.mark.data
def test_the_copy_of_yoga82_with_commas_and_leading_spaces_gives_the_same_links(
    shared_data: Path, yoga82: Listing, tmp_path: Path
) -> None:
    for path in (shared_data / "yoga82" / "links").glob("*.txt"):
        text = path.read_text().replace("\t", ",").replace("\n", "\r\n ")
        (tmp_path / path.name).write_text("\ufeff" + text, encoding="utf-8", newline="")
    copy = links.read(tmp_path)
    assert copy.problems == []
    assert [(link.key, link.label, link.url) for link in copy.links] == [
        (link.key, link.label, link.url) for link in yoga82.links
    ]
