"""Modules of ours in another folder: they import each other there, and nothing else of ours."""

import ast

import pytest

from fewshot.exporting.copied import copies, relative


def test_all_that_is_imported_comes_along_and_nothing_else() -> None:
    found = copies(["curate.pose.in_files"])
    assert {f"curate/{name}.py" for name in ("__init__", "pose/in_files", "pose/people", "images/work")} <= set(found)
    assert not any("sklearn" in source or "fewshot" in name for name, source in found.items())


def test_their_imports_of_each_other_are_relative() -> None:
    for name, source in copies(["fewshot.exporting.alone"]).items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("curate", "fewshot"):
                assert node.level == name.count("/") + 1, (name, ast.unparse(node))


def test_only_the_imports_change() -> None:
    source = """'from curate.pose import x'
from curate.pose.people import (
    JOINTS,
)
def f():
    from fewshot.logits import mixed  # from fewshot.logits import
"""
    assert relative(source, levels=2) == source.replace(
        "from curate.pose.people import (", "from ..curate.pose.people import ("
    ).replace("    from fewshot.logits import mixed", "    from ..fewshot.logits import mixed")
    assert "from fewpose.fewshot.logits import mixed" in relative(source, levels=0, package="fewpose")


def test_a_module_that_there_is_not_is_a_fault() -> None:
    with pytest.raises(ValueError, match=r"there is no module curate\.nothing"):
        copies(["curate.nothing"])
