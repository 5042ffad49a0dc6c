"""Imports go one way: a package imports only from those before it, whether at the top of a module or inside a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import edgesr

ROOT = Path(edgesr.__file__).parent
# Modules beside the packages, such as errors.py and presets.py, come first: they import each other alone.
ORDER = [
    "model",
    "pretrained",
    "images",
    "upscaling",
    "video",
    "data",
    "train",
    "export",
    "evaluate",
    "serve",
    "batch",
    "commands",
    "cli",
    "__main__",
]


def modules() -> dict[str, Path]:
    """Every module by its dotted name; a package is its __init__."""
    names = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("edgesr", *path.relative_to(ROOT).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """The modules of edgesr that a file imports anywhere, type checking included, each with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            module = name if name in known else name.rpartition(".")[0]  # a name inside the module
            if module.startswith("edgesr."):
                yield module, node.lineno


def rank(module: str) -> int:
    top = module.split(".")[1]
    assert top in ORDER or not (ROOT / top).is_dir(), f"{top}: a new package; give it a place in ORDER"
    return ORDER.index(top) if top in ORDER else -1


def test_no_import_leads_up():
    known = modules()
    upward = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for module, path in known.items()
        if module != "edgesr"  # the facade, which imports on first use
        for name, line in imported(path, known)
        if rank(name) > rank(module)
    ]
    assert not upward


def test_no_modules_import_each_other_in_a_circle():
    known = modules()
    graph = {module: {name for name, _ in imported(path, known)} - {module} for module, path in known.items()}
    graph["edgesr"] = set()
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_the_pages_modules_do_not_import_each_other_in_a_circle():
    pages = Path(__file__).parents[1] / "web" / "src"
    graph = {}
    for path in pages.rglob("*.ts"):
        names = re.findall(r'(?:from|import) "(\.[^"]+)"', path.read_text(encoding="utf-8"))
        graph[path] = {
            (path.parent / name).resolve().with_suffix(".ts") for name in names if not name.endswith((".css", "?worker"))
        }
    assert sum(len(imports) for imports in graph.values()) > 30
    assert {path for imports in graph.values() for path in imports} <= set(graph)
    list(TopologicalSorter(graph).static_order())
