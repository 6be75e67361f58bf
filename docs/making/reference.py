"""Write docs/reference: every public name, from its signature and its docstring.

Run `python docs/making/reference.py` after a change of a signature or a docstring; a
test compares what is committed with what the code says.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from definitions import Definition, Node, definition, packages, public, source, tree
from docstrings import escaped, prose

PLACE = Path(__file__).resolve().parents[1] / "reference"
TOP = "dmtheory"
_INDEX = """# Reference

Every public name: what a package's `__init__` lists. Made from docstrings by
`python docs/making/reference.py`. What symbols, signs and units mean is in the
[conventions](../conventions.md); what each package is for, on the [map](../map.md). Of
methods only the first sentence is here; `help` has the whole.

| package | names | what |
| --- | --- | --- |
"""


def pages() -> dict[str, str]:
    """Return the text of every page by the name of its file."""
    homes: dict[tuple[str, str], str] = {}
    texts = {"README.md": _INDEX}
    for package in packages(TOP):
        docstring = ast.get_docstring(tree(package)) or ""
        blocks = [f"# {package}", *prose(docstring)]
        for name in public(package):
            found = definition(package, name)
            home = homes.setdefault((found.module, found.name), package)
            blocks.append(f"## {escaped(name)}")
            blocks += _entry(found) if home == package else [_see(home, found.name)]
        texts[f"{package}.md"] = "\n\n".join(blocks) + "\n"
        link, first = f"[{package}]({package}.md)", docstring.partition("\n")[0]
        texts["README.md"] += f"| {link} | {len(public(package))} | {first} |\n"
    return texts


def write(place: Path) -> None:
    """Write all pages into a folder, and take away those of packages that are gone."""
    place.mkdir(exist_ok=True)
    texts = pages()
    for path in place.glob("*.md"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (place / name).write_text(text, encoding="utf-8")


def _see(home: str, name: str) -> str:
    return f"The same as [{home}.{escaped(name)}]({home}.md#{name.lower()})."


def _entry(found: Definition) -> Iterator[str]:
    if not found.name:
        yield f"The package [{found.module}]({found.module}.md)."
    elif found.node is None:
        yield f"A constant of `{found.module}`."
    else:
        yield from _documented(found.module, found.node)


def _documented(module: str, node: Node) -> Iterator[str]:
    yield f"```python\n{_signature(module, node)}\n```"
    yield from prose(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef) and (methods := list(_methods(node))):
        yield "**Methods**"
        yield "\n".join(methods)


def _signature(module: str, node: Node) -> str:
    """Return a definition without its body, as it is written; of a class, its fields.

    Written as in the source, and without a function's colon, it stays as it is where
    code in documents is formatted.
    """
    lines = source(module).splitlines()
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    head = "\n".join(lines[first - 1 : node.body[0].lineno - 1])
    fields = [
        "    " + (ast.get_source_segment(source(module), one) or "")
        for one in node.body
        if isinstance(one, ast.AnnAssign) and not ast.unparse(one).startswith("_")
    ]
    head = re.sub(r"  # .*", "", head).rstrip()
    if isinstance(node, ast.FunctionDef):
        return head.removesuffix(":")
    return "\n".join([head, *fields]) if fields else f"{head} ..."


def _methods(node: ast.ClassDef) -> Iterator[str]:
    """Yield a line on each public method: how it is called, its first sentence."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            first = (ast.get_docstring(one) or "").partition("\n\n")[0]
            yield f"- `{_call(one)}`: {escaped(' '.join(first.split()))}"


def _call(method: ast.FunctionDef) -> str:
    if any(ast.unparse(one).endswith("property") for one in method.decorator_list):
        return method.name
    given = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
    names = (one.arg for one in given if one.arg not in {"self", "cls"})
    return f"{method.name}({', '.join(names)})"


if __name__ == "__main__":
    write(PLACE)
