"""docs/map.md: every package is on it, and imports point up its lines."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
TOPS = ("dmtheory", "reports", "validation", "benchmarks")
# What the map says imports one another, and what it says points down.
TOGETHER = "These import one another"
DOWN = {("dmtheory.responses.plan", "dmtheory.theory")}


def listed() -> list[tuple[str, str]]:
    """Return (package, heading) of every line of the map."""
    found, heading = [], ""
    for line in TEXT.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        if row := re.match(r"\| `([\w.]+)` \| .+ \|$", line):
            found.append((row[1], heading))
    return found


NAMES = [name for name, _ in listed()]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    return [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]


def test_the_map_holds_every_package_once_and_nothing_else() -> None:
    packages = {name_of(path) for path in sources() if path.name == "__init__.py"}
    alone = {
        name_of(path)
        for path in (ROOT / "dmtheory").glob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(NAMES) == sorted(packages | alone)


def place(module: str) -> int:
    """Return the line of the map that a module belongs to: the nearest package."""
    while module not in NAMES:
        module = module.rpartition(".")[0]
    return NAMES.index(module)


def area(name: str) -> str:
    """Return the package below the top, whose parts count as one."""
    parts = name.split(".")
    return ".".join(parts[:2] if parts[0] == "dmtheory" else parts[:1])


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [
                inner
                if is_module(inner := f"{node.module}.{alias.name}")
                else node.module
                for alias in node.names
            ]
        else:
            continue
        yield from (name for name in found if name.partition(".")[0] in TOPS)


def is_module(name: str) -> bool:
    base = ROOT.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def pointing_down() -> set[tuple[str, str]]:
    """Return (module, area) of every import that the order of the map forbids."""
    together = {
        area(name)
        for name, heading in listed()
        if TOGETHER in TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    }
    assert together
    found = set()
    for path in sources():
        own = name_of(path)
        for other in imports(path):
            areas = area(own), area(other)
            free = areas[0] == areas[1] or set(areas) <= together
            if not free and place(other) > place(own):
                found.add((own, areas[1]))
    return found


def test_imports_point_up_the_map_but_for_what_it_says() -> None:
    assert pointing_down() == DOWN
    for module, other in DOWN:
        assert f"`{module}`" in TEXT and f"`{other}` below" in TEXT


def test_an_import_that_points_down_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TOPS:
        (tmp_path / name).mkdir()
    wrong = tmp_path / "dmtheory" / "designs.py"
    wrong.write_text("def late():\n    from dmtheory.cli import main\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert pointing_down() == {("dmtheory.designs", "dmtheory.cli")}
