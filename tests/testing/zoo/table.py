"""Which property catches which mistake, as the Markdown of docs/testing.md.

Print it: `python tests/testing/zoo/table.py [CONTRACT ...]` from the repository's root.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import torch
from zoo.attributions import ATTRIBUTIONS
from zoo.curvatures import CURVATURES
from zoo.datamodels import DATAMODELS
from zoo.derivatives import DERIVATIVES
from zoo.problems import PROBLEMS
from zoo.wrong import Wrong

from dmtheory.testing import PROPERTIES, Declared, Profile, run_contract

ZOO: dict[str, tuple[Wrong, ...]] = {
    "datamodel": DATAMODELS,
    "attribution": ATTRIBUTIONS,
    "derivative": DERIVATIVES,
    "curvature": CURVATURES,
    "problem": PROBLEMS,
}
# Whether a property fails is asked here, not on what smallest case.
QUICK = Profile(examples=8, same=True, shrinks=False)
# Right but for the mistake, the animals have this error of their own.
TOLERANCES = {"derivative": 1e-4}


def caught(contract: str, wrong: Wrong) -> tuple[str, ...]:
    """Return the properties that the mistake breaks, those it was made for first."""
    declared = Declared(
        estimator=wrong.estimator,
        contract=contract,
        kind=wrong.kind,
        tolerance=TOLERANCES.get(contract, 1e-8),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        table = run_contract(PROPERTIES[contract], declared, QUICK)
    others = [x.property for x in table.failed if x.property not in wrong.by]
    return (*wrong.by, *others)


def markdown(contract: str, rows: dict[str, tuple[str, ...]]) -> str:
    """Return the table of one contract."""
    lines = ["| mistake | seen in | caught by |", "| --- | --- | --- |"]
    lines += [
        f"| {w.mistake} | {w.seen} | {', '.join(rows[w.mistake])} |"
        for w in ZOO[contract]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    for name in sys.argv[1:] or ZOO:
        animals = ZOO[name]
        found = {wrong.mistake: caught(name, wrong) for wrong in animals}
        unused = {each.name for each in PROPERTIES[name]} - {
            prop for row in found.values() for prop in row
        }
        print(f"{name}: {len(animals)} mistakes\n\n{markdown(name, found)}\n")
        print("properties that catch none:", sorted(unused), "\n")
