"""Methods beside each other, class by class: the numbers of classes.csv, the hardest class first."""

from collections.abc import Callable

import pandas as pd

from curate.sweeps.records import read_sweep
from fewshot.reporting import write_report
from fewshot.reporting.elements.wording import percent
from fewshot.reporting.sections.content import Content
from fewshot.reporting.sections.side_by_side import SideBySide
from fewshot.sweeping.run import run_sweep
from fewshot.sweeping.settings import SweepSettings


def test_each_method_has_its_fewest_and_its_most_images(settings: Callable[..., SweepSettings]) -> None:
    asked = settings()
    run_sweep(asked)
    section = SideBySide(Content.of(read_sweep(asked.out)))
    table = pd.read_csv(write_report(asked.out).csv["classes"]).set_index(["method", "shots", "class"])["mean"]
    (text,) = section.markdown()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    assert [each.replace("\\", "") for each in head] == ["class", "zero-shot", "linear-probe, 2 → 5"]
    focus = section.content.focus
    assert focus is not None
    shares = [table[focus.method, focus.shots, name] for name, *_ in rows]
    assert shares == sorted(shares)
    for name, zero, probe in rows:
        assert zero == percent(table["zero-shot", 0, name])
        assert probe == f"{percent(table['linear-probe', 2, name])} → {percent(table['linear-probe', 5, name])}"
    assert "Methods, class by class" in write_report(asked.out).html.read_text()


def test_of_one_method_there_is_nothing_to_compare(settings: Callable[..., SweepSettings]) -> None:
    asked = settings(methods=("linear-probe",), shots=(2,))
    run_sweep(asked)
    section = SideBySide(Content.of(read_sweep(asked.out)))
    assert section.html() == ""
    assert section.markdown() == []
