"""The reference in docs/reference: whole, true to the code, and up to date."""

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import dmtheory

DOCS = Path(__file__).parents[2] / "docs"
PLACE = DOCS / "reference"
REMEDY = "run: python docs/making/reference.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as the code is now."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "making"))
        importlib.import_module("reference").write(folder)
    for name in ("reference", "definitions", "docstrings"):
        del sys.modules[name]
    return folder


def test_what_is_committed_is_what_the_code_says(made: Path) -> None:
    kept, now = (
        {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        for folder in (PLACE, made)
    )
    assert kept.keys() == now.keys(), REMEDY
    assert [name for name in now if kept[name] != now[name]] == [], REMEDY


def public_packages() -> list[str]:
    """Return the packages that list public names, by importing them all."""
    walked = pkgutil.walk_packages(dmtheory.__path__, "dmtheory.")
    names = ["dmtheory", *(found.name for found in walked if found.ispkg)]
    return [n for n in names if getattr(importlib.import_module(n), "__all__", None)]


def entries(text: str) -> dict[str, str]:
    """Return the blocks of a page under their headings."""
    parts = re.split(r"^## (.*)\n", text.replace(r"\_", "_"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("package", public_packages())
def test_every_public_name_is_there_with_all_its_arguments(package: str) -> None:
    module = importlib.import_module(package)
    found = entries((PLACE / f"{package}.md").read_text(encoding="utf-8"))
    assert list(found) == list(module.__all__)
    for name, text in found.items():
        thing = getattr(module, name)
        if text.strip().startswith("The same as ["):
            home, other = re.search(r"\[(.*)\.(\w+)\]", text).groups()
            assert getattr(importlib.import_module(home), other) is thing
        elif inspect.isfunction(thing) or inspect.isclass(thing):
            code = text.partition("```python\n")[2].partition("```")[0]
            first = inspect.getdoc(thing).partition("\n")[0]
            assert plain(first) in plain(text)
            if inspect.isfunction(thing) or "dataclass" in code:
                own = arguments(thing)
                assert all(re.search(rf"\b{one}\b", code) for one in own), name
                # Every argument that the docstring explains is a line of the page.
                told = re.findall(r"^- `\*{0,2}(\w+)`:", text, flags=re.MULTILINE)
                for one in own:
                    if re.search(rf"^ +\*{{0,2}}{one}: ", thing.__doc__, re.MULTILINE):
                        assert one in told, (name, one)


def arguments(thing: object) -> list[str]:
    """Return the names that a call takes; of a class, those that it adds itself."""
    if inspect.isfunction(thing):
        return list(inspect.signature(thing).parameters)
    return [name for name in vars(thing).get("__annotations__", ()) if name[0] != "_"]


def plain(text: str) -> str:
    return re.sub(r"[\\\s]+", " ", text.replace("\\", ""))


def test_the_index_names_every_package() -> None:
    text = (PLACE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.*?)\]\((.*?)\) \| (\d+) \|", text, flags=re.MULTILINE)
    assert sorted(row[0] for row in rows) == sorted(public_packages())
    for package, link, count in rows:
        assert (PLACE / link).is_file()
        assert int(count) == len(importlib.import_module(package).__all__)
