"""The properties of curvature operators."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.curvature_oracles import DENSE
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.strategies.arrays import permutations
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


def _check(declared: Declared, found: Tensor, expected: Tensor, what: str) -> None:
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


def _is_linear(declared: Declared, case: ParameterCase) -> None:
    operator, vectors = operated(declared, case), vectors_of(case)
    found = product(operator, 2 * vectors - 3 * vectors.roll(1, 1))
    whole = product(operator, vectors)
    _check(declared, found, 2 * whole - 3 * whole.roll(1, 1), "product of 2u - 3v")


def _takes_sides_one_by_one(declared: Declared, case: ParameterCase) -> None:
    operator, vectors = operated(declared, case), vectors_of(case)
    whole = product(operator, vectors)
    for side in range(vectors.shape[1]):
        alone = product(operator, vectors[:, [side]])
        _check(declared, alone, whole[:, [side]], f"product of side {side} alone")


def _is_symmetric(declared: Declared, case: ParameterCase) -> None:
    matrix = columns_of(declared, case)
    _check(declared, matrix, matrix.T, "C")


def _is_its_own_matrix(declared: Declared, case: ParameterCase) -> None:
    operator = operated(declared, case)
    if not hasattr(operator, "dense"):
        raise NotApplicable("the operator has no dense form")
    dense = torch.as_tensor(operator.dense()).detach().double()
    _check(declared, columns_of(declared, case), dense, "C")


@dataclass(frozen=True, slots=True)
class _Reordered:
    case: ParameterCase
    order: Tensor

    def __str__(self) -> str:
        return f"{self.case}; order {self.order.tolist()}"

    __repr__ = __str__


@st.composite
def _reordered(draw: Any) -> _Reordered:
    case = draw(_ANY)
    return _Reordered(case, draw(permutations(len(case.x))))


def _of_examples(case: ParameterCase, rows: Tensor) -> ParameterCase:
    return replace(
        case, x=case.x[rows], y=case.y[rows], scaled_weights=case.scaled_weights[rows]
    )


def _forgets_the_order(declared: Declared, found: _Reordered) -> None:
    moved = _of_examples(found.case, found.order)
    _check(declared, columns_of(declared, moved), columns_of(declared, found.case), "C")


def _adds_examples_up(declared: Declared, case: ParameterCase) -> None:
    """The losses' part is linear in the weights, the regulariser's has none."""
    penalty = case.ridge * torch.eye(len(case.params)).double()
    other = case.scaled_weights.flip(0) / 3
    parts = [
        columns_of(declared, replace(case, scaled_weights=shares)) - penalty
        for shares in (case.scaled_weights, other, case.scaled_weights + other)
    ]
    _check(declared, parts[2], parts[0] + parts[1], "curvature of the losses")


def _takes_weight_zero_as_absent(declared: Declared, case: ParameterCase) -> None:
    shares = case.scaled_weights.clone()
    shares[-1] = 0.0
    found = columns_of(declared, replace(case, scaled_weights=shares))
    without = _of_examples(case, torch.arange(len(case.x) - 1))
    _check(declared, found, columns_of(declared, without), "C beside weight 0")


def _has_the_penalty_once(declared: Declared, case: ParameterCase) -> None:
    more = replace(case, ridge=case.ridge + 1.0)
    grown = columns_of(declared, more) - columns_of(declared, case)
    _check(declared, grown, torch.eye(len(grown)).double(), "growth of C per ridge")


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
    _check(declared, columns_of(declared, case), expected, f"{declared.kind} matrix")


def _moves_with_the_parameters(declared: Declared, case: ParameterCase) -> None:
    """At other parameters, the operator asked for earlier stays where it was."""
    first, vectors = operated(declared, case), vectors_of(case)
    before = product(first, vectors)
    elsewhere = replace(case, params=case.params.flip(0) + 0.3)
    product(operated(declared, elsewhere), vectors)
    _check(declared, product(first, vectors), before, "product after another operator")
    again = product(operated(declared, case), vectors)
    _check(declared, again, before, "product of the operator made again")


@dataclass(frozen=True, slots=True)
class _Bad:
    case: ParameterCase
    extra: int

    def __str__(self) -> str:
        return f"vectors with {self.extra:+d} entries; {self.case}"

    __repr__ = __str__


def _refuses_bad_input(declared: Declared, bad: _Bad) -> None:
    operator = operated(declared, bad.case)
    n = len(bad.case.params) + bad.extra
    try:
        operator.product(torch.ones(n, 2, dtype=torch.float64))
    except (ValueError, TypeError, RuntimeError):
        return
    raise Violation(f"vectors of {n} entries must be refused")


CURVATURE = (
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
    Property(
        name="train permutation",
        statement="The order of the examples does not matter.",
        cases=_reordered(),
        check=_forgets_the_order,
    ),
    Property(
        name="weights add up",
        statement="The losses' curvature is linear in the weights w_j / W.",
        cases=_ANY,
        check=_adds_examples_up,
    ),
    Property(
        name="weight 0 = removal",
        statement="An example of weight 0 adds nothing.",
        cases=_ANY,
        check=_takes_weight_zero_as_absent,
    ),
    Property(
        name="penalty once",
        statement="C grows by the identity as the ridge grows by 1.",
        cases=_ANY,
        check=_has_the_penalty_once,
    ),
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
    Property(
        name="bad input refused",
        statement="Vectors of another length raise.",
        cases=st.builds(_Bad, _ANY, st.sampled_from([1, -1])),
        check=_refuses_bad_input,
    ),
)
