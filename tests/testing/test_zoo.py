"""The properties bite: every mistake is caught, and every property catches one.

Each animal is tried on the properties that it was made for; the tables of the document
are compared with a search over all of them, a few rows in every run and all in long
tests.
"""

import re

import pytest
from samples import unchecked
from zoo.attributions import right as influence
from zoo.curvatures import exact
from zoo.datamodels import least_squares
from zoo.derivatives import right as differences
from zoo.table import DOCUMENT, SEARCH, TOLERANCES, ZOO, caught, row, said, tried
from zoo.wrong import Wrong

from dmtheory.testing import PROPERTIES, Declared, profile, run_contract

ANIMALS = [
    pytest.param(contract, wrong, name, id=f"{contract}-{wrong.mistake}-{name}")
    for contract, animals in ZOO.items()
    for wrong in animals
    for name in wrong.by
]
TEXT = DOCUMENT.read_text(encoding="utf-8")
# Rows searched anew in every run: half a second each.
SOME = {"masks z-scored in place", "divides by N and says `sum`"}
ROWS = [
    pytest.param(
        contract,
        wrong,
        id=f"{contract}-{wrong.mistake}",
        marks=[] if wrong.mistake in SOME else [pytest.mark.long],
    )
    for contract, animals in ZOO.items()
    for wrong in animals
]


@pytest.mark.parametrize(("contract", "wrong", "name"), ANIMALS)
def test_a_mistake_is_caught(contract: str, wrong: Wrong, name: str) -> None:
    (each,) = (each for each in PROPERTIES[contract] if each.name == name)
    with unchecked():
        outcome = tried(contract, wrong, each, SEARCH)
    assert outcome.verdict == "fails"
    # Caught by what the property says, not by a crash on the way to it.
    assert re.match(r"\w+(Error|Exception):", outcome.reason) is None, outcome.reason


@pytest.mark.parametrize("contract", ZOO)
def test_every_property_catches_a_mistake(contract: str) -> None:
    used = {name for wrong in ZOO[contract] for name in wrong.by}
    assert {each.name for each in PROPERTIES[contract]} == used


@pytest.mark.parametrize("contract", ZOO)
def test_the_document_has_a_row_for_every_mistake(contract: str) -> None:
    rows = said(TEXT, contract).splitlines()[2:]
    assert len(rows) == len(ZOO[contract])
    for line, wrong in zip(rows, ZOO[contract], strict=True):
        start = f"| {wrong.mistake} | {wrong.seen} | {', '.join(wrong.by)}"
        assert line.startswith(start), line


@pytest.mark.parametrize(("contract", "wrong"), ROWS)
def test_a_row_of_the_document_is_what_a_search_finds(
    contract: str, wrong: Wrong
) -> None:
    with unchecked():
        found = caught(contract, wrong)
    assert row(wrong, found) in said(TEXT, contract).splitlines()


RIGHT = {
    "datamodel": least_squares,
    "attribution": influence,
    "derivative": differences,
    "curvature": exact,
}


@pytest.mark.parametrize("contract", RIGHT)
def test_what_the_mistakes_are_a_step_away_from_is_right(contract: str) -> None:
    """Or a mistake might be caught for another reason than the mistake."""
    declared = Declared(
        estimator=RIGHT[contract],
        contract=contract,
        tolerance=TOLERANCES.get(contract, 1e-8),
    )
    with unchecked():
        run_contract(PROPERTIES[contract], declared, profile("ci")).check()


def test_the_zoo_is_large_and_its_animals_have_names() -> None:
    assert sum(map(len, ZOO.values())) >= 25
    for animals in ZOO.values():
        assert len({wrong.mistake for wrong in animals}) == len(animals)
