"""Agreement of operators with their kind, at the parameters that they are of."""

from dataclasses import replace

import torch

from dmtheory.testing.contracts.curvature.calls import (
    check_entries,
    columns_of,
    operated,
    product,
    vectors_of,
)
from dmtheory.testing.contracts.curvature.oracles import DENSE
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.strategies.networks import ParameterCase, parameter_cases

_ANY = parameter_cases()


def _is_positive(declared: Declared, case: ParameterCase) -> None:
    if declared.kind == "hessian":
        raise NotApplicable("a Hessian may be indefinite")
    matrix = columns_of(declared, case)
    least = torch.linalg.eigvalsh((matrix + matrix.T) / 2)[0].item()
    allowed = case.ridge - declared.tolerance * max(1.0, matrix.abs().max().item())
    if least < allowed:
        raise Violation(
            f"eigenvalues must be at least the ridge {case.ridge:g}, got {least:.6g}"
        )


def _agrees_with_dense(declared: Declared, case: ParameterCase) -> None:
    expected = DENSE[declared.kind](case)
    check_entries(
        declared, columns_of(declared, case), expected, f"{declared.kind} matrix"
    )


def _moves_with_the_parameters(declared: Declared, case: ParameterCase) -> None:
    """At other parameters, the operator asked for earlier stays where it was."""
    first, vectors = operated(declared, case), vectors_of(case)
    before = product(first, vectors)
    elsewhere = replace(case, params=case.params.flip(0) + 0.3)
    product(operated(declared, elsewhere), vectors)
    check_entries(
        declared, product(first, vectors), before, "product after another operator"
    )
    again = product(operated(declared, case), vectors)
    check_entries(declared, again, before, "product of the operator made again")


TRUTHS = (
    Property(
        name="positive",
        statement="No eigenvalue lies below the ridge, Hessians excepted.",
        cases=_ANY,
        check=_is_positive,
    ),
    Property(
        name="dense oracle",
        statement="The matrix that the declared kind writes out by autodiff.",
        cases=_ANY,
        check=_agrees_with_dense,
    ),
    Property(
        name="point kept",
        statement="An operator belongs to the parameters that it was made at.",
        cases=_ANY,
        check=_moves_with_the_parameters,
    ),
)
