"""Tables that people bring: what is understood, what is refused, and that no row swallows another."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curate.foundation import csv_files
from curate.lists import tables
from curate.lists.columns import Wanted
from curate.lists.lines import NotAList
from curate.lists.tables import NoHeader, Record

LINKS = Wanted(("url",), ("key", "label", "split"))
FILES = Wanted(("path", "label"), ("split",))
URLS = [f"http://x.org/{n}.jpg?ver=6" for n in range(3)]


def read(folder: Path, content: str | bytes, name: str = "list.csv", wanted: Wanted = LINKS) -> list[Record]:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(tables.read(folder / name, wanted))


def why_not(folder: Path, content: str | bytes, name: str = "list.csv", wanted: Wanted = LINKS) -> str:
    with pytest.raises(NotAList) as caught:
        read(folder, content, name, wanted)
    return str(caught.value)


def values(records: list[Record], *names: str) -> list[tuple[str, ...]]:
    assert not [record for record in records if record.wrong]
    return [tuple(record.values[name] for name in names) for record in records]


@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list.tsv"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("header", [("url", "label"), ("image_url", "class"), ("link", "pose"), ("SRC", "Category")])
@pytest.mark.parametrize("turned", [False, True])
def test_columns_are_found_by_their_names_whatever_separates_them(
    tmp_path: Path, header: tuple[str, str], delimiter: str, name: str, turned: bool
) -> None:
    rows = [header, *((url, "squat") for url in URLS)]
    text = "\r\n".join(delimiter.join(row[::-1] if turned else row) for row in rows)
    assert values(read(tmp_path, f"\ufeff{text}", name), "url", "label") == [(url, "squat") for url in URLS]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f"image_uri,class\n{URLS[0]},squat\n", "has the columns image_uri, class; it needs url (or "),
        (f"a,b,c\n1,{URLS[0]},squat\n", "has the columns a, b, c; it needs url (or "),
        ("path,label\np/1.jpg,tree\n", "has the columns path, label; it needs url (or "),
        (f"# my list\n{URLS[0]}\n", "names no columns in its first line (# my list)"),
        (f"{URLS[0]},squat\n", f"names no columns in its first line ({URLS[0]},squat)"),
        ("", "is empty"),
        ("url\n".encode("utf-16"), "is not text, or UTF-16; save it as UTF-8"),
    ],
)
def test_what_is_no_such_table_says_what_was_seen(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    assert sentence in why_not(tmp_path, content)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert read(tmp_path, "url,label\n") == []


def test_the_line_in_which_excel_names_its_separator_is_understood(tmp_path: Path) -> None:
    records = read(tmp_path, f"sep=;\r\nlabel;url\r\nTree, the;{URLS[0]}\r\n")
    assert values(records, "label", "url") == [("Tree, the", URLS[0])]
    assert records[0].line == 3


def test_cells_as_csv_files_writes_them_are_what_was_written(tmp_path: Path) -> None:
    labels = ["=1+1", "-0.5", "'=x", "a\x1b[2J\nb", '"\\u001b"', "tree, the"]
    text = csv_files.text([("path", "label"), *((f"p/{n}.jpg", label) for n, label in enumerate(labels))])
    assert values(read(tmp_path, text, wanted=FILES), "label") == [(label,) for label in labels]


# A stray quote


@pytest.mark.parametrize(
    "row",
    ['"p/5.jpg,tree,x', 'p/5.jpg,"tree,x', 'p/5.jpg,tree,"x', '"p/5.jpg",tr"ee,"x', 'p/5.jpg,tree,"x""'],
)
@pytest.mark.parametrize(
    "partner",
    [
        "p/9.jpg,tree,x",
        'p/9.jpg,tree,x"',
        'p/9.jpg,tree",x',
        '"p/9.jpg",tree,"x"',
        'p/9.jpg,"tree",x',
        'p/9.jpg,tree,"x',
    ],
)
def test_a_stray_quote_costs_lines_with_stray_quotes_alone(tmp_path: Path, row: str, partner: str) -> None:
    rows = [f"p/{n}.jpg,tree,x" for n in range(12)]
    rows[5], rows[9] = row, partner
    found = read(tmp_path, "\n".join(["path,label,remark", *rows]), wanted=FILES)
    assert [record.line for record in found] == list(range(2, 14))
    assert {record.line for record in found if record.wrong} <= {7, 11}
    assert 7 in {record.line for record in found if record.wrong}
    assert all("\n" not in record.values["label"] for record in found)


def test_a_field_of_several_lines_that_is_not_read_is_passed_over(tmp_path: Path) -> None:
    text = (
        'url,caption,label\n"http://x.org/a,b","two\nlines, ""quoted"", of\nhttp words",Tree\nhttp://x.org/2,,Lotus\n'
    )
    records = read(tmp_path, text)
    assert [(record.line, *record.values.values()) for record in records] == [
        (2, "http://x.org/a,b", "Tree"),
        (5, "http://x.org/2", "Lotus"),
    ]


def random_cell(rng: random.Random, plain: str) -> str:
    """A field as some program or hand might write it, at times with a quote too many."""
    kind = rng.random()
    if kind < 0.15:
        return f'"{plain}"'
    if kind < 0.25:
        return '"' + plain.replace("e", '""') + '"'
    if kind < 0.35:
        place = rng.randrange(len(plain) + 1)
        return plain[:place] + '"' + plain[place:]
    return plain


@pytest.mark.parametrize("seed", range(60))
def test_every_line_of_a_table_ends_as_one_record_however_it_is_quoted(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    delimiter = rng.choice(",;\t")
    columns = rng.sample(["Path", "class", "remark", "split"], 4)
    lines = []
    for number in range(rng.randrange(1, 40)):
        told = {
            "Path": f"p/{number}.jpg",
            "class": rng.choice(["tree", "the plank"]),
            "remark": "seen",
            "split": "test",
        }
        cells = [random_cell(rng, told[column]) for column in columns]
        if rng.random() < 0.1:
            cells = cells[:-1] if rng.random() < 0.5 else [*cells, "more"]
        lines.append(delimiter.join(cells))
    text = "\n".join([delimiter.join(columns), *lines, ""])
    found = read(tmp_path, text, wanted=FILES)
    assert [record.line for record in found] == list(range(2, len(lines) + 2))
    for record, line in zip(found, lines, strict=True):
        if '"' not in line and line.count(delimiter) == len(columns) - 1:
            assert record.values == {
                "path": f"p/{record.line - 2}.jpg",
                "label": record.values["label"],
                "split": "test",
            }
            assert not record.wrong
        assert "\n" not in "".join(record.values.values())


@pytest.mark.parametrize("seed", range(20))
def test_a_table_as_python_writes_it_is_read_as_it_was(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    alphabet = "ab ,;\"'\t|é"
    rows = [
        (f"p/{n}.jpg", "".join(rng.choices(alphabet, k=rng.randrange(1, 9))).strip(" \t") or "x", 'a\nremark, "x"')
        for n in range(30)
    ]
    buffer = io.StringIO()
    csv.writer(buffer, quoting=rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])).writerows(
        [("path", "label", "r"), *rows]
    )
    (tmp_path / "list.csv").write_bytes(buffer.getvalue().encode())
    found = values(list(tables.read(tmp_path / "list.csv", FILES)), "path", "label")
    assert found == [row[:2] for row in rows]


def test_a_nul_byte_costs_its_own_line(tmp_path: Path) -> None:
    found = read(tmp_path, "path,label\np/1.jpg,tree\np/2\0.jpg,tree\np/3.jpg,tree\n", wanted=FILES)
    assert [(record.line, record.wrong) for record in found] == [(2, ""), (3, "it holds a NUL byte"), (4, "")]


# JSON lines


def test_json_lines_are_read_by_their_keys(tmp_path: Path) -> None:
    lines = [
        {"image_url": URLS[0], "class": "tree", "n": [1]},
        {"Class": 3, "URL": URLS[1]},
        {"url": None, "label": 1.0},
    ]
    text = "\n\n".join(map(json.dumps, lines))
    for name in ("list.jsonl", "list.ndjson", "list.txt"):
        found = read(tmp_path, text, name)
        assert [(r.line, r.values["url"], r.values["label"]) for r in found] == [
            (1, URLS[0], "tree"),
            (3, URLS[1], "3"),
            (5, "", "1"),
        ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "this is no JSON"),
        ('["url"]', "this is no JSON object"),
        ('{"label": "tree"}', "it has the columns label; it needs url (or "),
        ('{"url": {"a": 1}}', "url holds no text"),
        ('{"url": "http://x.org", "label": ["tree"]}', "label holds no text"),
        ("[" * 100_000, "this is no JSON"),
        ('{"url": 1e999}', "this is no JSON"),
    ],
)
def test_a_line_that_is_no_such_object_costs_itself_alone(tmp_path: Path, line: str, wrong: str) -> None:
    fine = json.dumps({"url": URLS[0]})
    first, second, third = read(tmp_path, f"{fine}\n{line}\n{fine}\n", "list.jsonl")
    assert wrong in second.wrong and second.line == 2
    assert not first.wrong and not third.wrong


def test_json_lines_without_the_column_say_what_was_seen(tmp_path: Path) -> None:
    assert "has the columns uri, pose; it needs url" in why_not(tmp_path, '{"uri": "x", "pose": "y"}\n', "list.jsonl")
    assert why_not(tmp_path, "[1]\n", "list.jsonl") == "should hold a JSON object on each line"


# Parquet, as pandas writes it


@pytest.mark.parametrize(
    ("changed", "labels"),
    [
        ({}, ["tree", "plank", "tree"]),
        ({"label": [1, 2, None]}, ["1", "2", ""]),
        ({"label": [1, 2, 3]}, ["1", "2", "3"]),
        ({"label": [b"tree", b"plank", None]}, ["tree", "plank", ""]),
        ({"label": pd.Categorical(["tree", None, "tree"])}, ["tree", "", "tree"]),
    ],
)
def test_a_parquet_file_of_pandas_is_read(tmp_path: Path, changed: dict[str, Any], labels: list[str]) -> None:
    table = pd.DataFrame({"Image URL": URLS, "label": ["tree", "plank", "tree"]}).assign(**changed)
    table.to_parquet(tmp_path / "list.parquet")
    found = list(tables.read(tmp_path / "list.parquet", LINKS))
    assert [(r.line, r.values["url"], r.values["label"]) for r in found] == list(
        zip([1, 2, 3], URLS, labels, strict=True)
    )
    table.set_index("Image URL").to_parquet(tmp_path / "list.parquet")
    assert list(tables.read(tmp_path / "list.parquet", LINKS)) == found


def test_what_is_no_text_in_a_parquet_file_costs_its_row(tmp_path: Path) -> None:
    pd.DataFrame({"url": URLS, "label": [["tree"]] * 3}).to_parquet(tmp_path / "list.parquet")
    assert {record.wrong for record in tables.read(tmp_path / "list.parquet", LINKS)} == {"label holds no text"}


def test_a_damaged_parquet_file_and_one_without_links_are_no_list(tmp_path: Path) -> None:
    pd.DataFrame({"image_uri": URLS}).to_parquet(tmp_path / "list.parquet")
    content = (tmp_path / "list.parquet").read_bytes()
    assert "has the columns image_uri; it needs url" in why_not(tmp_path, content, "list.parquet")
    assert "cannot be read as parquet (" in why_not(tmp_path, content[:300], "list.parquet")


def test_a_part_of_a_divided_table_is_no_list_for_its_folder_says_the_class(tmp_path: Path) -> None:
    pd.DataFrame({"url": URLS, "label": ["tree"] * 3}).to_parquet(tmp_path / "parts", partition_cols=["label"])
    (part,) = (tmp_path / "parts").rglob("*.parquet")
    with pytest.raises(NotAList, match="is a part of a table that is divided by label; write it as one file"):
        tables.read(part, LINKS)


def test_a_text_without_columns_gives_its_lines(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\nhttp://x.org/1\n")
    with pytest.raises(NoHeader) as caught:
        tables.read(tmp_path / "list.txt", LINKS)
    assert caught.value.lines == ["", "http://x.org/1"]
