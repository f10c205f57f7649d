from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.download.lists import formats
from curate.download.lists.formats import Cause, Problem, Row
from curate.lists.lines import printable

URL = "http://example.com/a.jpg"


def _rows(folder: Path, content: str | bytes, name: str = "Tree pose.txt") -> list[Row | Problem]:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(formats.rows(folder / name))


def _read(folder: Path, content: str | bytes, name: str = "Tree pose.txt") -> list[tuple[int, str, str, str, str]]:
    """(line, url, key, label, split) of a list without problems."""
    found = _rows(folder, content, name)
    assert not [row for row in found if isinstance(row, Problem)]
    return [(row.line, row.url, row.key, row.label, row.split) for row in found if isinstance(row, Row)]


@pytest.mark.parametrize(
    ("line", "key", "url"),
    [
        ("A/1.jpg\thttp://x.org/1.jpg", "A/1.jpg", "http://x.org/1.jpg"),
        ("A/1.jpg,http://x.org/1.jpg", "A/1.jpg", "http://x.org/1.jpg"),
        ("  A/1.jpg \t http://x.org/1.jpg  ", "A/1.jpg", "http://x.org/1.jpg"),
        ("Split pose/1.jpg,http://x.org/a b,c (1).jpg?x=1,2", "Split pose/1.jpg", "http://x.org/a b,c (1).jpg?x=1,2"),
        ("A/1.jpg\thttp://x.org/1,2.jpg", "A/1.jpg", "http://x.org/1,2.jpg"),
        ("Baum, Gruß/1.jpg\thttp://x.org/1.jpg", "Baum, Gruß/1.jpg", "http://x.org/1.jpg"),
    ],
)
def test_a_key_and_a_url_are_separated_by_a_tab_or_a_comma(tmp_path: Path, line: str, key: str, url: str) -> None:
    assert _read(tmp_path, line + "\n") == [(1, url, key, "", "")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way_and_be_empty(tmp_path: Path, end: str) -> None:
    text = end.join(["\ufeffA/1.jpg,http://x.org/1", "", "  ", "A/2.jpg,http://x.org/2"])
    assert [(line, key) for line, _, key, _, _ in _read(tmp_path, text)] == [(1, "A/1.jpg"), (4, "A/2.jpg")]


def test_a_line_in_another_encoding_is_read_and_the_others_as_they_are(tmp_path: Path) -> None:
    text = "Grüße/1.jpg,http://x.org/ü\n".encode() + "Grüße/2.jpg,http://x.org/ü\n".encode("cp1252")
    assert [row[1:3] for row in _read(tmp_path, text)] == [
        ("http://x.org/ü", "Grüße/1.jpg"),
        ("http://x.org/ü", "Grüße/2.jpg"),
    ]
    assert _read(tmp_path, b"A\x81/1.jpg,http://x.org/") == [(1, "http://x.org/", "A\x81/1.jpg", "", "")]


def test_one_url_a_line_is_of_the_class_that_the_file_is_named_after(tmp_path: Path) -> None:
    text = "http://x.org/a,b c.jpg\nHTTPS://x.org/2\nftp://x.org/3\n"
    assert _read(tmp_path, text) == [
        (1, "http://x.org/a,b c.jpg", "", "Tree pose", ""),
        (2, "HTTPS://x.org/2", "", "Tree pose", ""),
        (3, "ftp://x.org/3", "", "Tree pose", ""),
    ]


@pytest.mark.parametrize(
    ("line", "detail"), [("A/1.jpg", "no URL"), ("A/1.jpg\t", "no URL"), ("A/1.jpg,1,8,0", "split file")]
)
def test_a_line_without_a_url_is_a_problem_and_the_rest_goes_on(tmp_path: Path, line: str, detail: str) -> None:
    problem, row = _rows(tmp_path, f"{line}\nA/2.jpg,{URL}\n")
    assert isinstance(problem, Problem) and isinstance(row, Row)
    assert (problem.file, problem.line, problem.text) == (str(tmp_path / "Tree pose.txt"), 1, line.strip())
    assert (problem.cause, problem.key) == (Cause.UNREADABLE, "A/1.jpg")
    assert detail in problem.detail
    assert (row.line, row.key) == (2, "A/2.jpg")


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_header_says_which_column_is_which(tmp_path: Path, delimiter: str) -> None:
    lines = [["\ufeffCaption", "Label", " URL ", "key", "SPLIT"], ['"said ""hi"""', "Tree", URL, "A/1.jpg", "train"]]
    text = "\r\n".join(delimiter.join(fields) for fields in lines)
    assert _read(tmp_path, text) == [(2, URL, "A/1.jpg", "Tree", "train")]


def test_fields_in_quotes_may_hold_commas_and_line_ends(tmp_path: Path) -> None:
    text = 'url,caption,label\n"http://x.org/a,b","two\nlines, ""quoted""",Tree\n\nhttp://x.org/2,,Lotus\n'
    assert _read(tmp_path, text, "list.csv") == [
        (2, "http://x.org/a,b", "", "Tree", ""),
        (5, "http://x.org/2", "", "Lotus", ""),
    ]


def test_a_table_of_urls_alone_is_of_the_class_that_the_file_is_named_after(tmp_path: Path) -> None:
    assert _read(tmp_path, f"id,url\n1,{URL}\n") == [(2, URL, "", "Tree pose", "")]


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        ("http://x.org/a,b,Tree", "it has 3 fields where the header has 2; a text that holds commas needs quotes"),
        ("http://x.org/a", "it has 1 fields where the header has 2; a text that holds commas needs quotes"),
        ('"http://x.org/a,Tree', "this is no CSV (unexpected end of data)"),
        ('"http://x.org/a"b,Tree', "this is no CSV (',' expected after '\"')"),
        ("a" * 200_000 + ",Tree", "this is no CSV (field larger than field limit (131072))"),
    ],
)
def test_a_broken_record_costs_its_own_line_alone(tmp_path: Path, record: str, detail: str) -> None:
    before, problem, after = _rows(tmp_path, f"url,label\n{URL},Tree\n{record}\n{URL},Lotus\n")
    assert isinstance(before, Row) and isinstance(problem, Problem) and isinstance(after, Row)
    assert (problem.line, problem.cause, problem.detail) == (3, Cause.UNREADABLE, detail)
    assert len(problem.text) <= 200
    assert (before.line, after.line, after.label) == (2, 4, "Lotus")


def test_a_quote_that_another_line_closes_costs_its_own_line_alone(tmp_path: Path) -> None:
    found = _rows(tmp_path, f'url,label\n"{URL},Tree\n{URL},"Lotus"\n{URL},"Boat"\n')
    assert [(type(row), row.line) for row in found] == [(Problem, 2), (Row, 3), (Row, 4)]


def test_a_parquet_file_is_read_by_its_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "URL": [URL, None],
            "Label": pa.array(["Tree", "Lotus"]).dictionary_encode(),
            "id": [1, 2],
            "split": ["test", None],
        }
    )
    pq.write_table(table, tmp_path / "list.parquet")
    rows = [row for row in formats.rows(tmp_path / "list.parquet") if isinstance(row, Row)]
    assert [(r.line, r.url, r.key, r.label, r.split) for r in rows] == [
        (1, URL, "", "Tree", "test"),
        (2, "", "", "Lotus", ""),
    ]


def test_a_parquet_file_of_urls_alone_is_of_the_class_that_it_is_named_after(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": [URL]}), tmp_path / "Tree.parquet")
    (row,) = formats.rows(tmp_path / "Tree.parquet")
    assert isinstance(row, Row) and row.label == "Tree"


@pytest.mark.parametrize(
    ("name", "content", "detail"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b"\xef\xbb\xbf\n \n", "is empty"),
        ("a.txt", b"\xff\xd8\xff\xe0\0\x10JFIF", "is not text, or UTF-16; save it as UTF-8"),
        ("a.csv", "url\n".encode("utf-16"), "is not text, or UTF-16; save it as UTF-8"),
        ("a.parquet", b"PAR1 and no more", "cannot be read as parquet ("),
        ("gone.txt", None, "cannot be opened (No such file or directory)"),
    ],
)
def test_a_file_that_is_no_list_is_one_problem(tmp_path: Path, name: str, content: bytes | None, detail: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (problem,) = formats.rows(tmp_path / name)
    assert isinstance(problem, Problem)
    assert (problem.line, problem.cause) == (0, Cause.NOT_A_LIST)
    assert problem.detail.startswith(detail)
    assert str(problem).startswith(f"{tmp_path / name}: {detail}")


def test_a_parquet_file_without_urls_is_no_list(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": [URL]}), tmp_path / "a.parquet")
    (problem,) = formats.rows(tmp_path / "a.parquet")
    assert isinstance(problem, Problem) and problem.detail.startswith("has the columns uri; it needs url (or ")


def test_a_name_that_is_no_utf8_can_be_printed() -> None:
    assert printable(Path("Gr\udcfc\udcdfe.txt")) == r"Gr\udcfc\udcdfe.txt"


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_a_table_without_a_header_is_asked_for_no_link(tmp_path: Path, name: str) -> None:
    found = _rows(tmp_path, "".join(f"http://x.org/{n}.jpg?ver=6,squat\n" for n in range(3)), name)
    assert [(type(row), row.line) for row in found] == [(Problem, 1), (Problem, 2), (Problem, 3)]


@pytest.mark.parametrize("header", ["image_url,class", "link,pose", "SRC;Category", "Image URL\tClass Name"])
def test_usual_names_of_columns_are_understood(tmp_path: Path, header: str) -> None:
    delimiter = next(d for d in "\t;," if d in header)
    text = f"{header}\n{URL}?ver=6{delimiter}squat\n"
    assert _read(tmp_path, text) == [(2, f"{URL}?ver=6", "", "squat", "")]
