"""A section of the report is one file and its line in a list: what that promises, and one more section to prove it."""

import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from curate.foundation import atomic
from curate.foundation.markdown import table
from curate.sweeps import records
from curate.sweeps.records import Predictions, Record, Trial, read_sweep
from fewshot.reporting import sections, write_report
from fewshot.reporting.elements import templates
from fewshot.reporting.sections import SECTIONS
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.section import Section

HOSTILE = "<script>alert(1)</script> | *b* {{ 7*7 }}"


def store(directory: Path) -> Path:
    """A sweep of one method on two classes, of which one has an awkward name."""
    trials = [Trial("unfiltered", "linear-probe", 5, split) for split in range(3)]
    for trial in trials:
        labels = np.arange(10) % 2
        called = np.where(np.arange(10) < 6 + trial.split, labels, 1 - labels)
        keys = np.array([f"{label}/{trial.split}/{number}" for number, label in enumerate(labels)])
        records.write(
            directory, Record(trial, "done", "lite0"), Predictions(np.eye(2, dtype=np.float32)[called], labels, keys)
        )
    fields = {"format": 1, "classes": ["boat", HOSTILE], "trials": [vars(trial) for trial in trials]}
    atomic.write_json(directory / "sweep.json", fields | {"methods": ["linear-probe"], "sets": {"unfiltered": {}}})
    return directory


class Coins(Section):
    """A toy: what a coin would say."""

    anchor = "coins"
    heading = "What a coin would say"
    markdown_heading = "Coins"

    def tables(self) -> dict[str, pd.DataFrame]:
        classes = self.content.measured.sweep.classes
        return {"coins": pd.DataFrame({"class": classes, "share": 1 / len(classes)})}

    def html(self) -> str:
        return f"Of a coin: {self.content.measured.sweep.classes}"

    def markdown(self) -> list[str]:
        rows = [(name, "50 %") for name in self.content.measured.sweep.classes]
        return [table(("class", "right"), rows, numeric=(1,))]


class Silent(Section):
    """A toy that has nothing to say of any sweep."""

    anchor = "silent"
    heading = "Silence"


def test_one_more_section_is_in_both_documents_and_has_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_report(store(tmp_path / "sweep"), tmp_path / "before")
    monkeypatch.setattr(sections, "SECTIONS", [*SECTIONS, Coins, Silent])
    files = write_report(tmp_path / "sweep", tmp_path / "after")
    assert files.csv.keys() == before.csv.keys() | {"coins"}
    assert files.csv["coins"].read_text().splitlines()[:2] == ["class,share", "boat,0.500000"]
    html, text = files.html.read_text(), files.markdown.read_text()
    assert '<section id="coins">\n<h2>What a coin would say</h2>\nOf a coin: ' in html
    assert text.startswith(
        before.markdown.read_text() + "\n## Coins\n\n| class | right |\n| --- | --: |\n| boat | 50 % |"
    )
    assert "Silence" not in html + text
    assert all(files.csv[name].read_bytes() == file.read_bytes() for name, file in before.csv.items())


def test_what_a_section_forgets_to_escape_is_escaped_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", [Coins])
    files = write_report(store(tmp_path))
    html, text = files.html.read_text(), files.markdown.read_text()
    assert "<script>alert" not in html + text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert r"\| \*b\* \{\{ 7\*7 \}\}" in text
    assert "{{ 7*7 }}" in html


def test_every_section_of_the_folder_is_in_the_list_once() -> None:
    modules = [
        importlib.import_module(f"{sections.__name__}.{each.name}") for each in pkgutil.iter_modules(sections.__path__)
    ]
    found = {each for module in modules for each in vars(module).values() if _is_section(each)}
    assert found == set(SECTIONS)
    assert len(SECTIONS) == len(found) == len({each.anchor for each in SECTIONS})


def _is_section(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Section) and value is not Section


def test_no_two_sections_write_the_same_table(tmp_path: Path) -> None:
    content = Content.of(read_sweep(store(tmp_path)))
    names = [name for section in SECTIONS for name in section(content).tables()]
    assert sorted(names) == ["classes", "curves", "differences", "influence", "results", "wrong"]


def test_the_two_documents_have_the_sections_in_their_order(tmp_path: Path) -> None:
    """The page begins with pictures; report.md, which has none, with the table of results."""
    files = write_report(store(tmp_path))
    headings = [line for line in files.markdown.read_text().splitlines() if line.startswith("## ")]
    assert headings == ["## Results", "## Mistakes", "## Calibration", "## What the intervals cover"]
    anchors = [part.split('"')[0] for part in files.html.read_text().split('<section id="')[1:]]
    assert anchors == ["results", "mistakes", "calibration", "wrong", "intervals", "reproduce"]
    assert [each.anchor for each in SECTIONS if each.anchor in anchors] == anchors


def test_a_template_escapes_what_it_is_given_and_knows_no_other_name(tmp_path: Path) -> None:
    template = tmp_path / "toy.html.j2"
    template.write_text("{% for each in names %}\n<p>{{ each | breakable }} {{ percent(0.5) }}</p>\n{% endfor %}\n")
    assert templates.render(template, names=["a_b<c"]) == "<p>a_<wbr>b&lt;c 50.0</p>\n"
    with pytest.raises(UndefinedError, match="'names' is undefined"):
        templates.render(template)
