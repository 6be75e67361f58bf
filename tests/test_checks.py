"""Checks at the boundary, as a user meets them: without checked annotations."""

import inspect

import numpy as np
import pytest

from dmtheory import checks

# Annotations are checked in tests alone, before the function itself is asked.
check_at_least = inspect.unwrap(checks.check_at_least)


@pytest.mark.parametrize("value", [2, np.int64(3)])
def test_a_whole_number_that_is_large_enough_passes(value: object) -> None:
    check_at_least(value, 2, "n_seeds")


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (1, ValueError, "n_seeds must be at least 2, got 1"),
        (2.5, TypeError, "n_seeds must be a whole number of at least 2, got 2.5"),
        (3.0, TypeError, "whole number of at least 2, got 3.0"),
        (float("nan"), TypeError, "whole number of at least 2, got nan"),
        ("3", TypeError, "whole number of at least 2, got '3'"),
    ],
)
def test_other_values_are_refused_in_a_line(
    value: object, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        check_at_least(value, 2, "n_seeds")
