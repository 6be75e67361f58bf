"""The zoo is importable, and the profiles have names: --hypothesis-profile deep."""

import sys
from pathlib import Path

import pytest

from dmtheory.testing import PROFILES, Profile, profile, register_profiles

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# The suite has a `ci` of its own.
register_profiles("dev", "deep")

# The checker of annotations looks at random entries of sequences, in strategies too.
CHECKER = "ignore:Do not use the `random` module inside strategies"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(CHECKER))


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Profile:
    """How hard contracts are tried: as --hypothesis-profile says, else lightly."""
    stated = request.config.getoption("--hypothesis-profile")
    return profile(stated if stated in PROFILES else "ci")
