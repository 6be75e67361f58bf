"""Calling an operator: products of the right shape, the same again, nothing touched."""

from typing import Any

import torch
from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.networks import ParameterCase, parameter_cases

_ANY = parameter_cases()


def operated(declared: Declared, case: ParameterCase) -> Any:
    """Return the operator of a case."""
    return declared(case.problem, case.params.clone(), case.scaled_weights.clone())


def product(operator: Any, vectors: Tensor) -> Tensor:
    """Return C times each column.

    Raises:
        Violation: If the result has another shape or type, or is not finite.
    """
    found = torch.as_tensor(operator.product(vectors.clone())).detach().cpu()
    if found.shape != vectors.shape:
        raise Violation(
            f"product must have shape {tuple(vectors.shape)} (params, sides), got "
            f"{tuple(found.shape)}"
        )
    if not bool(torch.isfinite(found).all()):
        raise Violation("product must be finite, got entries that are not")
    return found.double()


def vectors_of(case: ParameterCase) -> Tensor:
    """Return three columns that are no eigenvectors of anything."""
    n = len(case.params)
    grid = torch.arange(3 * n, dtype=torch.float64).reshape(n, 3)
    return torch.sin(1.0 + grid) + 0.1


def columns_of(declared: Declared, case: ParameterCase) -> Tensor:
    """Return C itself, by its products with the unit vectors."""
    return product(operated(declared, case), torch.eye(len(case.params)).double())


def check_entries(
    declared: Declared, found: Tensor, expected: Tensor, what: str
) -> None:
    """Raise unless entries are as expected, within the stated error."""
    check_same(found, expected, what, tolerance=declared.tolerance, size=0.1)


def _returns_products(declared: Declared, case: ParameterCase) -> None:
    product(operated(declared, case), vectors_of(case))


def _is_deterministic(declared: Declared, case: ParameterCase) -> None:
    first, second = (
        product(operated(declared, case), vectors_of(case)) for _ in range(2)
    )
    check_again(second, first, "the second product")


def _keeps_its_inputs(declared: Declared, case: ParameterCase) -> None:
    params, shares = case.params.clone(), case.scaled_weights.clone()
    operator, vectors = declared(case.problem, params, shares), vectors_of(case)
    operator.product(vectors)
    check_same(params, case.params, "params after the product", tolerance=0.0)
    check_same(shares, case.scaled_weights, "weights after it", tolerance=0.0)
    check_same(vectors, vectors_of(case), "vectors after it", tolerance=0.0)


CALLS = (
    Property(
        name="shape of products",
        statement="A product with columns has their shape and is finite.",
        cases=_ANY,
        check=_returns_products,
    ),
    Property(
        name="determinism",
        statement="The same product twice, from an operator made twice: to 12 digits.",
        cases=_ANY,
        check=_is_deterministic,
    ),
    Property(
        name="inputs kept",
        statement="Parameters, weights and vectors are as before the product.",
        cases=_ANY,
        check=_keeps_its_inputs,
    ),
)
