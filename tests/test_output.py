"""What leaves us is made harmless in one place each: on the terminal, in CSV, and in commands to copy."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(file for package in ("curate", "synth", "fewshot") for file in (ROOT / package).rglob("*.py"))
COMMAND = re.compile(r"(?:^|[\s:;`'\"(])(?:curate|synth|fewshot) [a-z]+(?: [A-Z.]+| --[a-z-]+)* $")


def calls(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every call, as it is written: "console.out.print"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def prints(source: str) -> list[int]:
    names = r"print|pprint|(?:.*\.)?(?:out|err)\.print(?:_json)?|(?:typer|click)\.s?echo|sys\.std(?:out|err)\.write"
    return [line for line, name in calls(source) if re.fullmatch(names, name)]


def writes_csv(source: str) -> list[int]:
    return [
        line
        for line, name in calls(source)
        if re.fullmatch(r"(?!tables\.).*\.to_csv|csv\.writer|(?:csv\.)?DictWriter", name)
    ]


def unquoted(source: str) -> list[int]:
    """Where a value is set into the text of a command of ours, as in f"next: curate status {path}"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before += str(part.value)
            elif COMMAND.search(before):
                found.append(node.lineno)
    return found


def places(find: Callable[[str], list[int]]) -> list[str]:
    return [f"{file.relative_to(ROOT)}:{line}" for file in FILES for line in find(file.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("find", "homes"),
    [
        # An exported folder prints without fewpose's console, which takes rich.
        (prints, {"curate/foundation/console.py", "fewshot/exporting/alone.py"}),
        (writes_csv, {"curate/foundation/csv_files.py", "fewshot/measuring/tables.py"}),
        (unquoted, set()),
    ],
)
def test_text_leaves_through_the_one_place_for_it(find: Callable[[str], list[int]], homes: set[str]) -> None:
    found = places(find)
    assert [place for place in found if place.rpartition(":")[0] not in homes] == []
    assert homes <= {place.rpartition(":")[0] for place in found}


@pytest.mark.parametrize(
    ("find", "source"),
    [
        (prints, "console.out.print(x)"),
        (prints, "from rich import print\nprint(x)"),
        (prints, "typer.echo(x)"),
        (writes_csv, "import csv\ncsv.writer(file)"),
        (writes_csv, "table.to_csv()"),
        (unquoted, 'f"next: curate status {path}"'),
        (unquoted, 'f"{a} is empty; curate import PHOTOS {path}"'),
        (unquoted, 'f"fewshot export {name} --onnx {name}.onnx"'),
    ],
)
def test_the_finders_find_what_they_are_for(find: Callable[[str], list[int]], source: str) -> None:
    assert find(source)


@pytest.mark.parametrize(
    "source",
    ['f"next: {command_line(1)}"', 'f"go on with fewshot sweep; {x}"', 'f"another synth generate works on {x}"'],
)
def test_what_is_no_command_with_a_value_is_passed_over(source: str) -> None:
    assert unquoted(source) == []
