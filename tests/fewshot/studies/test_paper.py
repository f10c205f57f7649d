"""The paper's tables on a small collection: planned, run, gone on with, and shown with what differs."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from curate.collection.directory import Collection
from curate.foundation import json_files, resources
from curate.foundation.errors import UsageError
from fewshot.reporting.paper import Pages, PaperContent, PaperTable, Row, html, markdown
from fewshot.studies import paper
from fewshot.studies.paper import PaperSettings, make, run_paper

SIZES = {"arch": 4, "boat": 5, "cat": 5, "dog": 4}  # arch has a copy besides
GRID = 2 + 2 + 2 + 1 + 1  # zero-shot, wordings, recipes, few-shot, and the body


@pytest.fixture(scope="module")
def four(
    tmp_path_factory: pytest.TempPathFactory, make_collection: Callable[[Path, dict[str, int]], Collection]
) -> Collection:
    return make_collection(tmp_path_factory.mktemp("paper") / "collection", SIZES)


@pytest.fixture(scope="module")
def settings(four: Collection, tmp_path_factory: pytest.TempPathFactory) -> PaperSettings:
    out = tmp_path_factory.mktemp("made") / "paper"
    return PaperSettings(four.root, out, True, ("boat", "cat"), "tiny/random", device="cpu", splits=1)


@pytest.fixture(scope="module")
def made(settings: PaperSettings) -> Pages:
    return run_paper(settings)


@pytest.mark.slow
def test_the_tables_are_made_and_gone_on_with(settings: PaperSettings, made: Pages) -> None:
    pages = made
    tables = {each.title.split(":")[0]: each for each in pages.content.tables}
    last = "The paper's question, answered with the body"
    assert list(tables) == ["Table 4", "Table 5", "Table 6", "Table 9", "Table 11", "All classes, all images", last]
    assert [len(each.rows) for each in tables.values()] == [2, 2, 2, 6, 4, 0, 9]  # boat is a pose that is known
    assert [row.what for row in tables[last].rows][:2] == ["no image, pose-prior", "6 a class, pose-prior"]
    assert [row.what for row in tables["Table 4"].rows] == ["2 classes", "4 classes"]
    recipe = {row.what: row.paper for row in tables["Table 6"].rows}
    assert recipe == {
        "learning rate 0.0001, weight decay 0.001, epochs 1": "diverges",
        "learning rate 1e-05, weight decay 0.001, epochs 1": "not known here",
    }
    assert {row.what: row.paper for row in tables["Table 11"].rows}["20 a class, filtered"] == "89.9"
    differences = [row for row in tables["Table 9"].rows if "−" in row.what]
    assert [row.paper for row in differences] == ["less than 1 point apart"] * 2
    assert tables["Table 9"].rows[0].images == "4"  # of 20 that are asked for
    text = pages.markdown.read_text()
    assert "tiny/random here, CLIP ViT-B/32 in the paper" in text
    assert "text tower here is untrained" in text
    assert pages.html.read_text().count("<table") == 6
    assert len(pd.read_csv(settings.out / "recipes.csv")["directory"].unique()) == GRID
    before, page = _records(settings.out), pages.html.read_bytes()
    assert run_paper(settings).html.read_bytes() == page
    assert _records(settings.out) == before  # nothing was run again


def _records(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("s*.json") if path.parent.name.startswith("n")}


def test_the_six_are_those_with_most_images_unless_named(four: Collection, tmp_path: Path) -> None:
    plan = make(PaperSettings(four.root, tmp_path, model="tiny/random"))
    assert plan.few == ("arch", "boat", "cat", "dog")
    assert "zero-shot-all" not in plan.grid_points  # the collection has no others
    assert paper._few((), four.images()["label"].value_counts(), 2) == ("arch", "boat")  # 5 each, by name
    with pytest.raises(UsageError, match="--classes: the collection has no owl; it has arch, boat, cat, dog"):
        make(PaperSettings(four.root, tmp_path, classes=("owl", "cat")))
    with pytest.raises(UsageError, match="at least two classes"):
        make(PaperSettings(four.root, tmp_path, classes=("cat",)))


def test_the_whole_grid_is_the_papers(four: Collection, tmp_path: Path) -> None:
    plan = make(PaperSettings(four.root, tmp_path, classes=("boat", "cat"), model="tiny/random"))
    few = plan.grid_points["few-shot"].settings
    grid = few.grid
    assert (grid.splits, grid.shots, grid.sets) == (78, (43, 20, 6), ("filtered", "unfiltered"))
    assert few.data.classes == plan.few
    assert plan.grid_points["all-classes"].settings.data.classes == tuple(SIZES)
    best = plan.grid_points["recipe-lr=1e-05,weight_decay=0.001,epochs=5"]
    assert best.settings.method_settings("finetune")["lr"] == 1e-5
    assert paper._known("6", **best.varied) == "98.8"
    assert best.settings.grid.shots == (5,)  # every image of the largest class


def test_without_a_check_there_is_no_filtered_set_and_the_page_says_so(
    make_collection: Callable[[Path, dict[str, int]], Collection], tmp_path: Path
) -> None:
    made = make_collection(tmp_path / "unchecked", {"boat": 6, "cat": 6})
    for path in made.root.glob("findings*"):
        path.unlink()
    plan = make(PaperSettings(made.root, tmp_path / "paper", True, model="tiny/random"))
    assert plan.grid_points["few-shot"].settings.grid.sets == ("unfiltered",)
    table = paper._table("9", {"title": "x", "says": "y"}, [], plan)
    assert "There is no filtered set here: " in table.notes[0]
    assert "curate check" in table.notes[0]


@pytest.mark.slow
def test_divergence_is_marked(settings: PaperSettings, made: Pages, tmp_path: Path) -> None:
    copied = dataclasses.replace(settings, out=shutil.copytree(settings.out, tmp_path / "paper"))
    plan = make(copied)
    name = "recipe-lr=0.0001,weight_decay=0.001,epochs=1"
    (record,) = (copied.out / name / "trials").rglob("s*.json")
    json_files.write(record, json_files.read(record) | {"status": "failed", "cause": "diverged"})
    pages = paper.write(plan)
    row = pages.content.tables[2].rows[0]
    assert (row.ours, row.note, row.paper) == ("–", "1 split diverged", "diverges")
    assert '<span class="warn">1 split diverged</span>' in pages.html.read_text()


def test_every_number_of_the_paper_is_one_that_stands_in_the_file() -> None:
    """And the file holds but the few that are known: nothing is filled in."""
    facts = yaml.safe_load(resources.path("paper.yaml").read_text())
    numbers = [row["paper"] for table in facts["tables"].values() for row in table["known"]]
    assert [number for number in numbers if isinstance(number, float)] == [98.8, 89.9, 85.9, 89.9]


def test_what_labels_hold_is_shown_as_it_is() -> None:
    hostile = "<script>alert(1)</script> | *b*"
    content = PaperContent([PaperTable(hostile, hostile, [Row(hostile, note=hostile)], [hostile])], [hostile], hostile)
    assert "<script" not in html(content)
    assert "<script" not in markdown(content)
    (row,) = [line for line in markdown(content).splitlines() if line.startswith("| &lt;")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
