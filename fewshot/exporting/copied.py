"""Copies of modules of ours that work in a folder of their own: their imports of each other are made relative."""

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

_OURS = ("curate", "fewshot")


def copies(modules: Iterable[str]) -> dict[str, str]:
    """The source of these modules and of all modules of ours that they import, by path below the folder's package.

    A module that is imported for type checkers alone is none of them.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        file = _file(name)
        package = file.name == "__init__.py"
        place = f"{name.replace('.', '/')}{'/__init__' if package else ''}.py"
        if place in found:
            continue
        source = file.read_text(encoding="utf-8")
        found[place] = relative(source, levels=name.count(".") + 1 + package)
        waiting += [each for node in _imports(ast.parse(source)) for each in _imported(node)]
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
    return found


def relative(source: str, *, levels: int, package: str = "") -> str:
    """A module's source, with `from curate.x import y` made relative, `levels` folders below the package that holds
    `curate`; or with `package` before the name, where levels is 0.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            prefix = "." * levels if levels else f"{package}."
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace(f"from {node.module} ", f"from {prefix}{node.module} ", 1)
    return "".join(lines)


def _imports(node: ast.AST) -> Iterator[ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and _is_ours(child.module):
            yield child
        if isinstance(child, ast.Import) and any(_is_ours(each.name) for each in child.names):
            raise ValueError(
                f"line {child.lineno}: of our modules, names are imported: from {child.names[0].name} import"
            )
        yield from _imports(child)


def _imported(node: ast.ImportFrom) -> Iterator[str]:
    """The modules: `from curate.pose import posture` names one, `from curate.pose.posture import views`, too."""
    module = str(node.module)
    if _file(module).name != "__init__.py":
        yield module
        return
    for each in node.names:
        whole = f"{module}.{each.name}"
        yield whole if importlib.util.find_spec(whole) else module


def _is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _OURS


def _file(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {module}")
    return Path(spec.origin)
