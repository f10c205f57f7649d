"""What the packages may import, and when: one way, late, and nothing heavy for `--help`."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("curate", "fewshot", "synth")
PACKAGES = COMMANDS  # each command is a package of the same name

# Each takes longer to load than `--help` may take to answer.
HEAVY = {
    *("torch", "torchvision", "open_clip", "timm", "transformers", "diffusers"),
    *("numpy", "scipy", "sklearn", "pandas", "pyarrow", "PIL", "matplotlib"),
    *("fiftyone", "ray", "cv2", "captum", "onnx", "onnxruntime", "onnxscript"),
}
# Each is an optional extra: its one module imports it when it is needed, and says what to install where it is missing.
OPTIONAL = (
    *("fiftyone", "diffusers", "ray", "ultralytics", "cv2", "captum", "matplotlib"),
    *("onnx", "onnxruntime", "onnxscript"),
)


class Import(NamedTuple):
    file: Path  # relative to the checkout
    module: str  # in full: "fiftyone.operators"
    early: bool  # done as soon as the file is loaded, not when a function is called

    @property
    def package(self) -> str:
        return self.module.split(".")[0]


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(file: Path) -> list[Import]:
    found = _found(ast.parse(file.read_text(encoding="utf-8")), early=True)
    return [Import(file.relative_to(ROOT), module, early) for module, early in found]


def _found(node: ast.AST, early: bool) -> Iterator[tuple[str, bool]]:
    """The imports under `node`. Relative ones stay in their package, those for type checkers alone never run."""
    yield from ((module, early) for module in _modules(node))
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return
    inside = early and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _found(child, inside)


def _modules(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.Call(func=function, args=[ast.Constant(value=str(module)), *_]):
            called = ast.unparse(function).split(".")[-1]
            return [module] if called in ("import_module", "__import__") else []
    return []


def loaded_by_its_own_program(file: Path) -> bool:
    """A FiftyOne plugin: FiftyOne loads it from its folder, and none of our modules does."""
    return (ROOT / file.parent / "fiftyone.yml").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"][command]
    module, function = entry.split(":")
    code = f"""
import sys
sys.argv = ["{command}", "--help"]
from {module} import {function} as start
try:
    start()
except SystemExit as stop:
    assert not stop.code, stop.code
print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "others"),
    [("curate", {"fewshot", "synth"}), ("synth", {"fewshot"}), ("fewshot", {"synth", "fiftyone"})],
)
def test_imports_go_one_way(package: str, others: set[str]) -> None:
    found = {(i.file, i.package) for file in files(package) for i in imports(file) if i.package in others}
    assert found == set()


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("optional", OPTIONAL)
def test_an_optional_package_is_imported_in_one_module_when_it_is_needed(package: str, optional: str) -> None:
    found = [
        i
        for file in files(package)
        for i in imports(file)
        if i.package == optional and not loaded_by_its_own_program(i.file)
    ]
    assert [i for i in found if i.early] == []
    assert len({i.file for i in found}) <= 1, found


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(file) for package in PACKAGES for file in files(package)}


def room(name: str) -> str:
    """The folder of a module; a module that stands in a package itself is a room of its own."""
    folder = name if (ROOT / name.replace(".", "/")).is_dir() else name.rpartition(".")[0]
    return name if folder in PACKAGES else folder


def ours(file: Path) -> set[str]:
    """The modules of ours that a file imports at any time, or only for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=str(source), names=names):
                found |= {whole if (whole := f"{source}.{name.name}") in MODULES else source for name in names}
    return found & MODULES


@pytest.mark.slow
@pytest.mark.parametrize("unit", [str, room], ids=["modules", "rooms"])
def test_imports_run_in_no_circle(unit: Callable[[str], str]) -> None:
    order: TopologicalSorter[str] = TopologicalSorter()
    for package in PACKAGES:
        for file in files(package):
            here = unit(module(file))
            order.add(here, *{unit(name) for name in ours(file)} - {here})
    order.prepare()  # raises CycleError, which names the circle


def test_every_room_says_what_it_holds() -> None:
    rooms = {file.parent for package in PACKAGES for file in files(package)}
    said = {
        folder: ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) for folder in rooms
    }
    assert [str(folder.relative_to(ROOT)) for folder, line in said.items() if not line] == []


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_tests_or_benchmarks(package: str) -> None:
    found = {(i.file, i.package) for file in files(package) for i in imports(file)}
    assert {(file, name) for file, name in found if name in ("tests", "benchmarks")} == set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import ray", [("ray", True)]),
        ("import fiftyone.operators as foo, os", [("fiftyone.operators", True), ("os", True)]),
        ("from ray.util import queue", [("ray.util", True)]),
        ("try:\n    import ray\nexcept ImportError:\n    ray = None", [("ray", True)]),
        ("class A:\n    import ray", [("ray", True)]),
        ("class A:\n    def f(self):\n        if self:\n            import ray", [("ray", False)]),
        ("async def f():\n    import ray", [("ray", False)]),
        ("def f():\n    return importlib.import_module('ray')", [("ray", False)]),
        ("__import__('ray')", [("ray", True)]),
        ("from . import ray", []),
        ("from .ray import run", []),
        ("if TYPE_CHECKING:\n    import ray", []),
        ("print('ray')", []),
    ],
)
def test_the_reader_of_imports_sees_them(source: str, expected: list[tuple[str, bool]]) -> None:
    assert list(_found(ast.parse(source), early=True)) == expected
