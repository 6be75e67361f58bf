"""The expansion of a datamodel coefficient around the derivative at p·1."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_open_unit, check_positive
from dmtheory.influence.classical import weight_derivatives
from dmtheory.problems.base import DifferentiableProblem


def second_order_terms(
    problem: DifferentiableProblem, p: float, *, step: float = 1e-2
) -> Float[Tensor, "train targets"]:
    r"""Return the terms that follow g_i(p·1) in the expansion of beta_i(p).

    (1/2)(1-2p) F_ii + (1/2) p(1-p) sum_{j != i} F_ijj + (1/6)(1-3p(1-p)) F_iii, the
    partial derivatives of F at w = p·1 from central differences of implicit
    derivatives at 2N + 1 weight vectors.

    Args:
        problem: A convex problem whose training is deterministic.
        p: Inclusion probability in (0, 1).
        step: Difference step in weight.

    Returns:
        The correction, per weight.

    Raises:
        ValueError: If training is random.
    """
    check_open_unit(p, "p")
    check_positive(step, "step")
    if not problem.description.deterministic:
        raise ValueError("problem must be deterministic for second differences")
    n_train = problem.description.n_train
    centre = torch.full((1, n_train), p, dtype=torch.float64)
    moves = step * torch.eye(n_train, dtype=torch.float64)
    points = torch.cat([centre, centre + moves, centre - moves])
    seeds = torch.zeros(len(points), dtype=torch.int64)
    here, up, down = weight_derivatives(problem, points, seeds).split([
        1,
        n_train,
        n_train,
    ])
    third = (up + down - 2 * here) / step**2  # [j, i, target] is F_ijj
    own = torch.arange(n_train)
    others = third.sum(0) - third[own, own]
    second = (up - down)[own, own] / (2 * step)
    variance = p * (1 - p)
    return (
        0.5 * (1 - 2 * p) * second
        + 0.5 * variance * others
        + (1 - 3 * variance) / 6 * third[own, own]
    )
