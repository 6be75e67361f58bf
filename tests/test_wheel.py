"""The built wheel: whole, and at work outside the clone."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Building takes a setuptools of the version that pyproject.toml asks for.
pytest.importorskip("setuptools", minversion="77")
USED = """
import json, sys
import dmtheory
from dmtheory.rendering import environment
from dmtheory.study import page
template = environment(page._TEMPLATES).get_template("study.html")
print(json.dumps([dmtheory.__file__, template.filename, dmtheory.__version__]))
"""


def ours(folder: Path) -> set[str]:
    """Return the files of the package that git would keep."""
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A build leaves files beside its source.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "dmtheory",
        source / "dmtheory",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", out)
    (built,) = out.iterdir()
    return built


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = {name for name in names if ".dist-info/" in name}
        licence = next(archive.read(n) for n in info if n.endswith("/LICENSE"))
    assert names - info == ours(ROOT / "dmtheory")
    assert {"dmtheory/py.typed", "dmtheory/study/templates/study.html"} <= names
    assert licence == (ROOT / "LICENSE").read_bytes()


@pytest.mark.long
def test_it_works_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip("install", wheel, "--no-deps", "--target", site)
    around = {**os.environ, "PYTHONPATH": str(site)}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=elsewhere,
            env=around,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    module, template, version = json.loads(run(sys.executable, "-c", USED))
    assert Path(module).is_relative_to(site) and Path(template).is_relative_to(site)
    assert wheel.name == f"dmtheory-{version}-py3-none-any.whl"
    listed = json.loads(run(site / "bin" / "dmtheory", "problems", "--json"))
    assert "digits-network" in listed
