"""Products that are those of one symmetric matrix."""

import torch

from dmtheory.testing.contracts.curvature.calls import (
    check_entries,
    columns_of,
    operated,
    product,
    vectors_of,
)
from dmtheory.testing.properties import Declared, NotApplicable, Property
from dmtheory.testing.strategies.networks import ParameterCase, parameter_cases

_ANY = parameter_cases()


def _is_linear(declared: Declared, case: ParameterCase) -> None:
    operator, vectors = operated(declared, case), vectors_of(case)
    found = product(operator, 2 * vectors - 3 * vectors.roll(1, 1))
    whole = product(operator, vectors)
    check_entries(
        declared, found, 2 * whole - 3 * whole.roll(1, 1), "product of 2u - 3v"
    )


def _takes_sides_one_by_one(declared: Declared, case: ParameterCase) -> None:
    operator, vectors = operated(declared, case), vectors_of(case)
    whole = product(operator, vectors)
    for side in range(vectors.shape[1]):
        alone = product(operator, vectors[:, [side]])
        check_entries(
            declared, alone, whole[:, [side]], f"product of side {side} alone"
        )


def _is_symmetric(declared: Declared, case: ParameterCase) -> None:
    matrix = columns_of(declared, case)
    check_entries(declared, matrix, matrix.T, "C")


def _is_its_own_matrix(declared: Declared, case: ParameterCase) -> None:
    operator = operated(declared, case)
    if not hasattr(operator, "dense"):
        raise NotApplicable("the operator has no dense form")
    dense = torch.as_tensor(operator.dense()).detach().double()
    check_entries(declared, columns_of(declared, case), dense, "C")


MATRIX = (
    Property(
        name="linearity",
        statement="C(2u - 3v) = 2Cu - 3Cv.",
        cases=_ANY,
        check=_is_linear,
    ),
    Property(
        name="chunk invariance",
        statement="Columns together or alone: the same products.",
        cases=_ANY,
        check=_takes_sides_one_by_one,
    ),
    Property(
        name="symmetry", statement="u'Cv = v'Cu.", cases=_ANY, check=_is_symmetric
    ),
    Property(
        name="dense form",
        statement="`dense()` is the matrix whose products these are.",
        cases=_ANY,
        check=_is_its_own_matrix,
    ),
)
