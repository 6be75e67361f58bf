"""A laboratory of small size, shared by the tests of claims."""

from dataclasses import replace

import pytest

from dmtheory.engines.local import Serial
from validation.laboratory import Laboratory
from validation.problems import SMALL


def quick_settings():
    """The suite's problems with fewer models: decisive for convex ones still."""
    fewer = {"n_models": 3000, "n_averaged": 60}
    return {
        name: replace(setting, **fewer) if name.startswith("breast") else setting
        for name, setting in SMALL.items()
    }


@pytest.fixture(scope="session")
def laboratory() -> Laboratory:
    return Laboratory(
        quick_settings(), seed=5, engine=Serial(), progress=lambda *_: None
    )
