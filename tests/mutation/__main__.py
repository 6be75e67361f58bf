"""Try a sample of mutants: python -m mutation MODULE [--number 150] [--seed 0].

Results are appended as they come, so that a run that was cut short goes on. `--again`
tries the survivors once more, on files of tests that were added.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from mutation.figures import RESULTS, figures_of, statement
from mutation.modules import MODULES, ROOT
from mutation.mutants import Mutant, sample
from mutation.trying import WarmProcess


def main() -> None:
    asked = _asked()
    Path(asked.scratch).mkdir(parents=True, exist_ok=True)
    module = MODULES[asked.module]
    if asked.again:
        # These tests only, so these alone are observed.
        module = replace(module, tests=tuple(asked.again))
    sources = {
        file: (ROOT / file).read_text(encoding="utf-8") for file in module.files()
    }
    drawn = sample(sources, asked.number, asked.seed)
    log = Log(Path(asked.scratch) / f"{asked.module}-{asked.seed}.jsonl")
    known = log.read()
    if asked.again:
        left = [x for x in drawn if x.key in known and not known[x.key]["killed"]]
    else:
        left = [x for x in drawn if x.key not in known]
    if left and not asked.only_keep:
        process = WarmProcess(module, Path(asked.scratch), asked.budget)
        if asked.control:
            process.control({mutant.file for mutant in left}, sources)
        for number, mutant in enumerate(left):
            found = process.tried(mutant, sources[mutant.file], asked.again)
            log.add(mutant.key, found)
            print(number + 1, len(left), found["verdict"], mutant.file, mutant.line)
    kept = _kept(asked, drawn, log.read())
    print(statement(kept))
    if asked.keep or asked.only_keep:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{asked.module}.json"
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _kept(
    asked: argparse.Namespace, drawn: list[Mutant], known: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return figures of the mutants tried, a sample of any length as they are drawn."""
    tried = list(takewhile(lambda mutant: mutant.key in known, drawn))
    rows = [known[mutant.key] for mutant in tried]
    return {
        "module": asked.module,
        "seed": asked.seed,
        "asked": asked.number,
        "verdicts": Counter(row["verdict"] for row in rows),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in known.values())),
        **figures_of(rows),
        "mutants": rows,
    }


class Log:
    """What is known of mutants, a line each; of two lines the later counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, Any]]:
        if not self._path.exists():
            return {}
        lines = self._path.read_text(encoding="utf-8").splitlines()
        found: dict[str, dict[str, Any]] = {}
        for key, row in map(json.loads, lines):
            first = found.get(key, row)
            found[key] = {**row, "killed_at_first": first["killed_at_first"]}
        return found

    def add(self, key: str, row: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([key, {**row, "killed_at_first": row["killed"]}]))
            stream.write("\n")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", choices=sorted(MODULES))
    parser.add_argument("--number", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--scratch", default=str(ROOT / "runs" / "mutation"))
    parser.add_argument("--again", nargs="+", default=(), metavar="TESTS")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only-keep", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
