"""One mutant after another, each in a child of a process that is warm."""

import hashlib
import importlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook

from mutation import reloading
from mutation.children import in_child, run_tests
from mutation.covering import Covering, observed
from mutation.modules import ROOT, Module
from mutation.mutants import Mutant, mutated

_OBSERVING_SECONDS = 1800.0
# A mutant that loops is ended after so much more than its tests take unchanged.
_STARTING_SECONDS, _SLOWER = 15.0, 3.0
_CONTROL_SECONDS = 2.0


class WarmProcess:
    """A process that has imported what a module's tests import."""

    def __init__(self, module: Module, scratch: Path, budget: float) -> None:
        self._module, self._budget = module, budget
        self._importers = reloading.importers()
        found = self._observed(scratch)
        self._covering = Covering.from_json(found)
        torch.set_num_threads(1)
        install_import_hook("dmtheory", "checked.typed")
        for name in found["modules"]:
            importlib.import_module(name)

    def tried(
        self, mutant: Mutant, source: str, added: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return what became of a mutant, on all tests of added files if there are."""
        tests = list(added)
        if not added:
            tests = self._covering.tests_of(mutant.file, mutant.line, self._budget)
        changed = mutated(source, mutant.operator, mutant.occurrence)
        assert changed is not None
        verdict, found, used = self._verdict(mutant.file, changed, tests)
        return {
            **asdict(mutant),
            "verdict": verdict,
            "killed": verdict.startswith("killed"),
            "test": found.get("failed"),
            "why": found.get("why"),
            "tests": len(tests),
            "cpu_seconds": round(used, 2),
        }

    def control(self, files: set[str], sources: dict[str, str]) -> None:
        """Raise AssertionError unless tests pass on files reloaded as they are."""
        for file in sorted(files):
            tests = self._covering.tests_of(file, 1, _CONTROL_SECONDS)
            verdict, found, _ = self._verdict(file, sources[file] + "\n", tests)
            assert verdict in {"survived", "no test"}, (file, found)

    def _verdict(
        self, file: str, source: str, tests: list[str]
    ) -> tuple[str, dict[str, Any], float]:
        if not tests:
            return "no test", {}, 0.0

        def work() -> dict[str, Any]:
            reloading.change(file, source, self._importers)
            files = sorted({test.split("::")[0] for test in tests})
            return run_tests(files, None if files == sorted(tests) else tests)

        expected = sum(self._covering.seconds.get(test, 10.0) for test in tests)
        found, used = in_child(work, _STARTING_SECONDS + _SLOWER * expected)
        if found is None:
            return "killed by time", {}, used
        verdicts = {
            pytest.ExitCode.OK: "survived",
            pytest.ExitCode.TESTS_FAILED: "killed by a test",
        }
        verdict = verdicts.get(pytest.ExitCode(found["code"]), "killed at import")
        return verdict, found, used

    def _observed(self, scratch: Path) -> dict[str, Any]:
        files = [*self._module.files(), *self._module.tests]
        text = "".join(_text(ROOT / file) for file in files)
        mark = hashlib.sha256(text.encode()).hexdigest()[:12]
        kept = scratch / f"covering-{mark}.json"
        if not kept.exists():
            start = time.monotonic()
            found, used = in_child(self._watch, _OBSERVING_SECONDS)
            assert found is not None, "the tests must end"
            assert found["code"] == 0, found["failed"]
            print(f"observed {used:.0f} s, {time.monotonic() - start:.0f} s passed")
            kept.write_text(json.dumps(found), encoding="utf-8")
        found = json.loads(kept.read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        return found

    def _watch(self) -> dict[str, Any]:
        found = observed(self._module)
        tops = {"dmtheory", "numpy", "scipy", "sklearn", "statsmodels", "hypothesis"}
        tops |= {"torch", "xarray", "zarr", "matplotlib", "numba", "pandas", "mpmath"}
        modules = [
            name
            for name, module in sys.modules.items()
            if name.split(".")[0] in tops and getattr(module, "__file__", None)
        ]
        return {**found, "modules": modules}


def _text(path: Path) -> str:
    """Return the text of a file, or of the Python files below a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return "".join(file.read_text(encoding="utf-8") for file in files)
