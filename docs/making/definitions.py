"""Where a public name is defined, from the source alone: nothing is imported."""

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Node = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a public name stands for.

    Attributes:
        module: The module that defines it, or the package that it is.
        name: Its name there; empty where it is a package.
        node: The class or function; None for a constant or a package.
    """

    module: str
    name: str
    node: Node | None = None


def packages(top: str) -> list[str]:
    """Return the packages that list public names, the top one first."""
    folders = sorted(path.parent for path in (ROOT / top).rglob("__init__.py"))
    names = [".".join(folder.relative_to(ROOT).parts) for folder in folders]
    return [name for name in names if public(name)]


def public(module: str) -> list[str]:
    """Return the names in a module's `__all__`, in its order."""
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and _targets(node) == ["__all__"]:
            return list(ast.literal_eval(node.value))
    return []


def definition(module: str, name: str) -> Definition:
    """Follow imports from a module to where a name is defined.

    Returns:
        The definition; of a package, the package itself.

    Raises:
        LookupError: If the name leads nowhere.
    """
    for node in tree(module).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _imported(module, node.module, alias.name)
        if isinstance(node, Node) and node.name == name:
            return Definition(module=module, name=name, node=node)
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            return Definition(module=module, name=name)
    raise LookupError(f"{name} must be defined or imported in {module}")


def _imported(by: str, module: str, name: str) -> Definition:
    """Return what an import means: a package's own name, or a module in its folder."""
    if module != by:
        try:
            return definition(module, name)
        except LookupError:
            if _path(f"{module}.{name}") is None:
                raise
    return Definition(module=f"{module}.{name}", name="")


@functools.cache
def tree(module: str) -> ast.Module:
    """Return the parsed source of a module."""
    return ast.parse(source(module))


@functools.cache
def source(module: str) -> str:
    """Return the source of a module.

    Raises:
        LookupError: If there is no such module.
    """
    path = _path(module)
    if path is None:
        raise LookupError(f"{module} must be a module of {ROOT}")
    return path.read_text(encoding="utf-8")


def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [one.id for one in targets if isinstance(one, ast.Name)]
