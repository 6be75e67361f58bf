"""A made-up run as fixtures."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import synthetic_environment, synthetic_results

Json = dict[str, Any]


@pytest.fixture(scope="session")
def whole_run() -> Json:
    """A run's data, not to be changed."""
    return synthetic_results()


@pytest.fixture
def results(whole_run: Json) -> Json:
    """A run's data, free to change."""
    return copy.deepcopy(whole_run)


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[[Json], Path]:
    """Write a run's data into a folder and return the folder."""

    def write(data: Json) -> Path:
        (tmp_path / "results.json").write_text(json.dumps(data))
        (tmp_path / "environment.json").write_text(json.dumps(synthetic_environment()))
        return tmp_path

    return write
