"""Answers as lines."""

import csv
import io
import json

import pytest

from curate.foundation.csv_files import original
from curate.foundation.text import is_seen
from fewshot.predicting.answers import Answer
from fewshot.predicting.writing import Csv, Json, Text

TREE = Answer("a.jpg", top=(("tree", 0.934), ("plank", 0.066)))
UNKNOWN = Answer("b.jpg", top=(("tree", 0.31), ("plank", 0.3)), known=False)
BROKEN = Answer("c,\n.jpg", error="empty file: no bytes")
CLIP = [
    Answer("d.mp4", time, ((label, share),), share > 0.5)
    for time, label, share in ((0.0, "tree", 0.9), (0.5, "tree", 0.8), (1.0, "plank", 0.4), (65.5, "plank", 0.7))
]


def test_people_read_a_line_a_picture_and_one_for_each_stretch_of_a_video() -> None:
    text = Text(2.0)
    assert list(text.lines([TREE])) == ["a.jpg  tree 93 %  plank 7 %"]
    assert list(text.lines([UNKNOWN])) == ["b.jpg  none of these (tree 31 %  plank 30 %)"]
    assert list(text.lines([BROKEN])) == []
    assert list(text.lines(CLIP)) == [
        "d.mp4  0:00.0 to 0:01.0  tree 85 %",
        "d.mp4  0:01.0 to 1:05.5  none of these",
        "d.mp4  1:05.5 to 1:06.0  plank 70 %",
    ]


def test_json_is_a_line_a_picture_or_frame() -> None:
    told = [json.loads(line) for each in ([TREE], [UNKNOWN], [BROKEN], CLIP) for line in Json().lines(each)]
    assert told[0] == {
        "file": "a.jpg",
        "answer": "tree",
        "top": [{"class": "tree", "probability": 0.934}, {"class": "plank", "probability": 0.066}],
    }
    assert told[1]["answer"] is None
    assert told[1]["top"][0]["class"] == "tree"
    assert told[2] == {"file": "c,\n.jpg", "error": "empty file: no bytes"}
    assert [each["time"] for each in told[3:]] == [0.0, 0.5, 1.0, 65.5]


def test_csv_has_as_many_columns_in_each_row_and_survives_awkward_names() -> None:
    table = Csv(3)
    lines = [*table.head(), *(line for each in ([TREE], [UNKNOWN], [BROKEN], CLIP) for line in table.lines(each))]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    assert [row["answer"] for row in rows] == ["tree", "", "", "tree", "tree", "", "plank"]
    assert rows[0]["probability_2"] == "0.0660"
    assert rows[0]["class_3"] == ""
    assert original(rows[2].pop("file")) == "c,\n.jpg"
    assert rows[2] == dict.fromkeys(rows[2], "") | {"error": "empty file: no bytes"}
    assert rows[4]["time"] == "0.5"
    assert not any(None in row for row in rows)


@pytest.mark.parametrize("writer", [Text(2.0), Json(), Csv(1)])
def test_a_name_cannot_play_with_the_terminal(writer: Text | Json | Csv) -> None:
    (line,) = writer.lines([Answer("\x1b[31m\u202e\x9bred.jpg", top=(("t\x1bree", 1.0),))])
    assert is_seen(line)


def test_a_spreadsheet_runs_nothing_of_a_table() -> None:
    (line,) = Csv(1).lines([Answer("=cmd|'/c calc'!A0.jpg", top=(("+tree", 1.0),), known=True)])
    (row,) = csv.reader([line])
    assert row == ["'=cmd|'/c calc'!A0.jpg", "", "'+tree", "'+tree", "1.0000", ""]
    assert original(row[0]) == "=cmd|'/c calc'!A0.jpg"


@pytest.mark.parametrize("writer", [Text(2.0), Json()])
def test_only_a_table_has_a_head(writer: Text | Json) -> None:
    assert list(writer.head()) == []
