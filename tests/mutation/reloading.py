"""A module's source changed in memory, and whoever imports it imported anew."""

import ast
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from beartype._cache.cacheclear import clear_caches

from mutation.modules import ROOT


def name_of(file: str) -> str:
    """Return a file's module name."""
    parts = list(Path(file).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def importers(package: str = "dmtheory") -> dict[str, set[str]]:
    """Return, module by module, those whose import statements name it."""
    files = {
        name_of(str(path.relative_to(ROOT))): path
        for path in (ROOT / package).rglob("*.py")
    }
    found: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for named in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            if named in found:
                found[named].add(name)
    return found


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reached(name: str, by: dict[str, set[str]]) -> set[str]:
    """Return a module with all that import it, directly or not."""
    found, left = set(), [name]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += by[each]
    return found


def change(file: str, source: str, by: dict[str, set[str]]) -> None:
    """Let the next import of a file's module see another source."""
    _serve(str(ROOT / file), source.encode())
    for name in reached(name_of(file), by):
        module = sys.modules.pop(name, None)
        package, _, last = name.rpartition(".")
        # `from package import module` would find the old one as an attribute.
        if (
            module is not None
            and vars(sys.modules.get(package, ast)).get(last) is module
        ):
            delattr(sys.modules[package], last)
    # It finds annotations by their text, and so would keep the old classes.
    clear_caches()


def _serve(path: str, data: bytes) -> None:
    read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

    def get_data(self: Any, asked: str) -> bytes:
        return data if asked == path else read(self, asked)

    def path_stats(self: Any, asked: str) -> Any:
        # A date that no compiled file has.
        found = {"mtime": 1, "size": len(data)}
        return found if asked == path else stats(self, asked)

    sys.dont_write_bytecode = True
    SourceFileLoader.get_data = get_data  # type: ignore[method-assign]
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]
