"""The house: files import downward alone, in no circle, and no room reaches up into one that stands on it.

Every import counts, those inside functions and for types alone too, but for those of the package's face, which hands on
names of every room. `CONTRIBUTING.md` has the map.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import fastcolor

ROOT = Path(fastcolor.__file__).parent
MOST_FLAT = 14
# From the ground up: a room may import those before it, and flat files that import none after it.
ROOMS = (
    "options",
    "formats",
    "ops",
    "models",
    "engines",
    "steering",
    "pictures",
    "film",
    "vapoursynth",
    "batch",
    "training",
    "evaluation",
    "web",
    "commands",
)


def modules_of(root: Path) -> dict[str, Path]:
    """Every module of a package folder by its name below the package: "" is the package, "film.read" a file in a room.
    The benchmarks are linked into the package and stand above it all."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] != "bench":
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: Iterable[str]) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        bases: list[tuple[str, list[str]]] = []
        if isinstance(node, ast.Import):
            bases = [(alias.name.removeprefix("fastcolor").lstrip("."), [])
                     for alias in node.names if alias.name.split(".")[0] == "fastcolor"]  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "fastcolor"):
            module = node.module or ""
            if node.level:
                assert node.level <= len(package.split(".")) * bool(package) + 1, (
                    f"{path}:{node.lineno} leaves the package"
                )
                parents = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
                base = ".".join([*parents, *filter(None, [module])])
            else:
                base = module.removeprefix("fastcolor").lstrip(".")
            bases = [(base, [alias.name for alias in node.names])]
        for base, names in bases:
            inside = [f"{base}.{one}".lstrip(".") for one in names]
            found |= {one for one in inside if one in known}
            if not names or any(one not in known for one in inside):
                found.add(base)
    return found - {name, "_C", "bench"}


def graph_of(root: Path) -> dict[str, set[str]]:
    modules = modules_of(root)
    graph = {name: imports_of(name, path, modules) for name, path in modules.items()}
    unknown = {f"{name} imports {other}" for name, others in graph.items() for other in others - modules.keys()}
    assert not unknown, unknown
    # `from . import _C` names the package, but imports the extension alone: nobody below may need the package itself.
    graph["_native"] = graph["_native"] - {""} if "_native" in graph else set()
    return graph


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Every set of nodes that reach each other (Tarjan's strongly connected components of more than one node)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = [stack.pop()]
            while circle[-1] != node:
                circle.append(stack.pop())
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def rooms_of(graph: Mapping[str, Iterable[str]], root: Path) -> dict[str, set[str]]:
    """The same among rooms; a flat file is a room of its own."""

    def room(name: str) -> str:
        head = name.split(".")[0]
        return head if (root / head).is_dir() and head else name

    found: dict[str, set[str]] = {}
    for name, others in graph.items():
        found.setdefault(room(name), set()).update(room(other) for other in others if room(other) != room(name))
    return found


def test_no_circle_of_files() -> None:
    assert circles(graph_of(ROOT)) == []


def test_no_room_imports_one_that_stands_on_it() -> None:
    assert circles(rooms_of(graph_of(ROOT), ROOT)) == []


def test_the_rooms_stand_in_their_order() -> None:
    graph = rooms_of(graph_of(ROOT), ROOT)
    assert {name for name in graph if (ROOT / name).is_dir() and name} == set(ROOMS)

    def reached(name: str) -> set[str]:
        """Rooms that a room needs, through flat files too."""
        return {name} if name in ROOMS else {one for other in graph[name] for one in reached(other)}

    upward = {f"{room} imports {one}" for i, room in enumerate(ROOMS) for other in graph[room] if other
              for one in reached(other) - set(ROOMS[:i])}  # fmt: skip
    assert not upward


def test_only_the_first_line_of_a_program_is_above_the_commands() -> None:
    above = {name for name, others in graph_of(ROOT).items() if any(o.split(".")[0] == "commands" for o in others)}
    assert {name for name in above if not name.startswith("commands")} == {"__main__"}


def test_few_files_lie_flat() -> None:
    flat = [path.name for path in ROOT.glob("*.py")]
    assert len(flat) <= MOST_FLAT, sorted(flat)


@pytest.mark.parametrize(
    "planted",
    [  # the circles that once were there, in today's rooms; each line closes one
        ("batch/items.py", "from .ray import on_ray"),
        ("engines/exported.py", "def f():\n    from .export import export"),
        ("film/read.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .video import video"),
        ("bins.py", "from . import ops"),
    ],
    ids=["batch", "engines", "film", "palette"],
)
def test_each_of_the_old_circles_would_be_found(planted: tuple[str, str], tmp_path: Path) -> None:
    for path in modules_of(ROOT).values():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    assert circles(graph_of(tmp_path)) == []
    file = tmp_path / planted[0]
    file.write_text(f"{file.read_text()}\n{planted[1]}\n")
    graph = graph_of(tmp_path)
    assert circles(graph) or circles(rooms_of(graph, tmp_path))


def test_an_import_upward_between_rooms_would_be_found(tmp_path: Path) -> None:
    """Without a circle of files: a low room's lowest file takes something from a room above."""
    for path, text in {
        "__init__.py": "", "low/__init__.py": "", "high/__init__.py": "", "_native.py": "",
        "low/a.py": "from ..high.b import x", "low/c.py": "", "high/b.py": "x = 1", "high/d.py": "from ..low import c",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    graph = graph_of(tmp_path)
    assert circles(graph) == [] and circles(rooms_of(graph, tmp_path)) == [["high", "low"]]
