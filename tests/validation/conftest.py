"""A laboratory of small size, shared by the tests of claims."""

import pytest
from quick import quick_settings

from dmtheory.engines.local import Serial
from validation.laboratory import Laboratory


@pytest.fixture(scope="session")
def laboratory() -> Laboratory:
    return Laboratory(
        quick_settings(), seed=5, engine=Serial(), progress=lambda *_: None
    )
