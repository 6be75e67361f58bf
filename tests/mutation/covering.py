"""Which tests execute which functions, and how long they take."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation.children import run_tests
from mutation.modules import ROOT, Module

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True, kw_only=True)
class Covering:
    """What one run of a module's tests showed.

    Attributes:
        seconds: CPU time by test.
        lines: Tests by line, by file.
    """

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Covering":
        lines = {
            file: {int(line): tests for line, tests in by_line.items()}
            for file, by_line in found["lines"].items()
        }
        return cls(seconds=found["seconds"], lines=lines)

    def tests_of(self, file: str, line: int, budget: float) -> list[str]:
        """Return the tests that execute the function around a line, quick ones first.

        Args:
            file: The file.
            line: The line; outside of functions, all tests that execute the file.
            budget: CPU seconds that they may take together; at least one is returned.
        """
        inside = function_around(Path(ROOT / file).read_text(encoding="utf-8"), line)
        by_line = self.lines.get(file, {})
        found = {test for k in inside for test in by_line.get(k, ())}
        exact = set(by_line.get(line, ()))
        order = sorted(found, key=lambda x: (x not in exact, self.seconds[x], x))
        # Of those on the line the quickest come first, then the function's others.
        chosen, spent = [], 0.0
        for test in order:
            if chosen and spent + self.seconds[test] > budget:
                continue
            chosen.append(test)
            spent += self.seconds[test]
        return chosen


def function_around(source: str, line: int) -> range:
    """Return the lines of the innermost function's body around one, or all lines."""
    around = range(1, len(source.splitlines()) + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _FUNCTIONS):
            first = min(each.lineno for each in (node, *node.decorator_list))
            if first <= line <= (node.end_lineno or 0) and len(around) > (
                (node.end_lineno or 0) - first
            ):
                around = range(node.body[0].lineno, (node.end_lineno or 0) + 1)
    return around


def observed(module: Module) -> dict[str, Any]:
    """Run a module's tests under coverage, each a context of its own."""
    import coverage

    files = module.files()
    watching = coverage.Coverage(
        data_file=None, include=[str(ROOT / file) for file in files]
    )
    watching.start()
    found = run_tests(
        list(module.tests),
        before=watching.switch_context,
        leaving_out=module.leaving_out,
    )
    watching.stop()
    data = watching.get_data()
    lines = {
        file: {
            line: [context for context in contexts if context]
            for line, contexts in data.contexts_by_lineno(str(ROOT / file)).items()
        }
        for file in files
    }
    return {**found, "lines": lines}
