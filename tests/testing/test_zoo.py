"""The properties bite: every mistake is caught, and every property catches one.

Each animal is tried on the properties that it was made for; `zoo/table.py` tries all.
"""

import re

import pytest
import torch
from samples import unchecked
from zoo.table import TOLERANCES, ZOO
from zoo.wrong import Wrong

from dmtheory.testing import PROPERTIES, Declared, Profile
from dmtheory.testing.running import try_property

# A case that fails ends the search; what holds would go through all of them.
SEARCH = Profile(examples=30, same=True, shrinks=False)
ANIMALS = [
    pytest.param(contract, wrong, name, id=f"{contract}-{wrong.mistake}-{name}")
    for contract, animals in ZOO.items()
    for wrong in animals
    for name in wrong.by
]


@pytest.mark.parametrize(("contract", "wrong", "name"), ANIMALS)
def test_a_mistake_is_caught(contract: str, wrong: Wrong, name: str) -> None:
    (tried,) = (each for each in PROPERTIES[contract] if each.name == name)
    declared = Declared(
        estimator=wrong.estimator,
        contract=contract,
        kind=wrong.kind,
        tolerance=TOLERANCES.get(contract, 1e-8),
    )
    with torch.random.fork_rng(devices=[]), unchecked():
        torch.manual_seed(0)
        outcome = try_property(tried, declared, SEARCH)
    assert outcome.verdict == "fails"
    # Caught by what the property says, not by a crash on the way to it.
    assert re.match(r"\w+(Error|Exception):", outcome.reason) is None, outcome.reason


@pytest.mark.parametrize("contract", ZOO)
def test_every_property_catches_a_mistake(contract: str) -> None:
    used = {name for wrong in ZOO[contract] for name in wrong.by}
    assert {each.name for each in PROPERTIES[contract]} == used


def test_the_zoo_is_large_and_its_animals_have_names() -> None:
    assert sum(map(len, ZOO.values())) >= 25
    for animals in ZOO.values():
        assert len({wrong.mistake for wrong in animals}) == len(animals)
