"""Which property catches which mistake, as the tables of docs/testing.md.

Print them: `python tests/testing/zoo/table.py [CONTRACT ...]`, from the root of the
repository; with `--write` they go into the document.
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

from dmtheory.testing import PROPERTIES, Declared, Outcome, Profile, Property
from dmtheory.testing.running import try_property

ZOO: dict[str, tuple[Wrong, ...]] = {
    "datamodel": DATAMODELS,
    "attribution": ATTRIBUTIONS,
    "derivative": DERIVATIVES,
    "curvature": CURVATURES,
    "problem": PROBLEMS,
}
DOCUMENT = Path(__file__).parents[3] / "docs" / "testing.md"
# Whether a property fails is asked here, not on what smallest case. A case that fails
# ends the search; what holds would go through all of them.
SEARCH = Profile(examples=30, same=True, shrinks=False)
QUICK = Profile(examples=8, same=True, shrinks=False)
# Right but for the mistake, the animals have this error of their own.
TOLERANCES = {"derivative": 1e-4}


def tried(contract: str, wrong: Wrong, each: Property, profile: Profile) -> Outcome:
    """Return what became of a property of a wrong estimator."""
    declared = Declared(
        estimator=wrong.estimator,
        contract=contract,
        kind=wrong.kind,
        tolerance=TOLERANCES.get(contract, 1e-8),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return try_property(each, declared, profile)


def caught(contract: str, wrong: Wrong) -> tuple[str, ...]:
    """Return the properties that fail, those that the mistake was made for first."""
    found = []
    for each in PROPERTIES[contract]:
        profile = SEARCH if each.name in wrong.by else QUICK
        if tried(contract, wrong, each, profile).verdict == "fails":
            found.append(each.name)
    own = [name for name in wrong.by if name in found]
    return (*own, *(name for name in found if name not in own))


def row(wrong: Wrong, found: tuple[str, ...]) -> str:
    """Return a mistake's row; of many properties the first six are named."""
    more = "" if len(found) < 10 else f", and {len(found) - 6} more"
    named = found if not more else found[:6]
    return f"| {wrong.mistake} | {wrong.seen} | {', '.join(named)}{more} |"


def markdown(contract: str) -> str:
    """Return the table of one contract.

    Raises:
        ValueError: If a mistake is not caught, or a property catches none.
    """
    rows = {wrong.mistake: caught(contract, wrong) for wrong in ZOO[contract]}
    missed = [mistake for mistake, found in rows.items() if not found]
    idle = {each.name for each in PROPERTIES[contract]}.difference(*rows.values())
    if missed or idle:
        raise ValueError(f"not caught: {missed}; properties that catch none: {idle}")
    lines = ["| mistake | seen in | caught by |", "| --- | --- | --- |"]
    lines += [row(wrong, rows[wrong.mistake]) for wrong in ZOO[contract]]
    return "\n".join(lines)


def heading(contract: str) -> str:
    """Return the heading above a contract's table."""
    return f"### {contract.capitalize()}s\n\n"


def said(text: str, contract: str) -> str:
    """Return the table that a document has for a contract."""
    _, _, rest = text.partition(heading(contract))
    return rest.partition("\n\n")[0].strip()


def main(words: list[str]) -> None:
    for contract in [word for word in words if word != "--write"] or ZOO:
        table = markdown(contract)
        print(f"{heading(contract)}{table}\n")
        if "--write" in words:
            text = DOCUMENT.read_text(encoding="utf-8")
            changed = text.replace(said(text, contract), table)
            DOCUMENT.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
