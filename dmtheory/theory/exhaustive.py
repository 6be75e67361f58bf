"""Population quantities of a set function by enumeration: exact, for any F, N <= 14."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_open_unit
from dmtheory.problems.base import Problem
from dmtheory.problems.set_functions import all_masks, multilinear_extension

# A weight this small moves a continuous response by very little.
_TOUCH = 1e-6

Table = Float[Tensor, "subsets targets"]
Coefficients = Float[Tensor, "train targets"]


def tabulate(problem: Problem) -> Table:
    """Return F at every vertex of the cube, for a deterministic problem.

    Raises:
        ValueError: If training is random, or N > 14.
    """
    if not problem.description.deterministic:
        raise ValueError("problem must be deterministic to be tabulated")
    masks = all_masks(problem.description.n_train)
    return problem.respond(masks, torch.zeros(len(masks), dtype=torch.int64))


def population_regression(table: Table, p: float) -> tuple[Tensor, Coefficients]:
    """Return (beta_0, beta) of the least-squares regression over S ~ Bernoulli(p).

    By brute force: the weighted normal equations over all 2^N subsets, with no use of
    any identity.
    """
    masks, law = _masks_and_law(table, p)
    columns = torch.cat([torch.ones(len(masks), 1).double(), masks], dim=1)
    weighted = columns * law[:, None]
    solution = torch.linalg.solve(columns.T @ weighted, weighted.T @ table)
    return solution[0], solution[1:]


def weighted_banzhaf(table: Table, p: float) -> Coefficients:
    """Return E[F(S + i) - F(S - i)], S ~ Bernoulli(p).

    References:
        Li and Yu 2024, One sample fits all, proposition 5.
    """
    masks, law = _masks_and_law(table, p)
    n_train = masks.shape[1]
    subsets = torch.arange(len(table))
    bits = [1 << i for i in range(n_train)]
    rises = [table[subsets | bit] - table[subsets & ~bit] for bit in bits]
    return torch.stack([law @ rise for rise in rises])


def fourier_coefficients(table: Table, p: float) -> Coefficients:
    """Return the degree-1 p-biased Fourier coefficients E[F phi_i].

    phi_i = (1_i - p)/sqrt(p(1-p)), orthonormal under Bernoulli(p).

    References:
        Saunshi et al. 2023, section 2.
    """
    masks, law = _masks_and_law(table, p)
    basis = (masks - p) / math.sqrt(p * (1 - p))
    return (basis * law[:, None]).T @ table


def multilinear_gradient(
    table: Table, weights: Float[Tensor, " train"]
) -> Coefficients:
    """Return dF~/dw at a weight vector, by differentiating the extension."""

    def extension(w: Tensor) -> Tensor:
        return multilinear_extension(table, w[None])[0]

    return torch.func.jacrev(extension)(weights).T


def variance_share_of_degree_one(table: Table, p: float) -> Float[Tensor, " targets"]:
    """Return sum_i Fhat(i)^2 / Var F, the R^2 of the best linear datamodel."""
    _, law = _masks_and_law(table, p)
    variance = law @ table**2 - (law @ table) ** 2
    return fourier_coefficients(table, p).square().sum(0) / variance


def population_r2(table: Table, p: float) -> Float[Tensor, " targets"]:
    """Return the R^2 of the population regression, from its residuals."""
    masks, law = _masks_and_law(table, p)
    intercept, beta = population_regression(table, p)
    residual = law @ (table - intercept - masks @ beta) ** 2
    return 1 - residual / (law @ table**2 - (law @ table) ** 2)


def fixed_size_datamodel(table: Table, size: int) -> Coefficients:
    """Return the minimum-norm datamodel with free intercept over subsets of one size.

    By brute force: centred masks and the pseudo-inverse.

    Raises:
        ValueError: If the size is not in [1, N).
    """
    n_train = len(table).bit_length() - 1
    if not 1 <= size < n_train:
        raise ValueError(f"size must lie in [1, {n_train}), got {size}")
    masks = all_masks(n_train)
    chosen = masks.sum(1) == size
    centred = masks[chosen] - size / n_train
    return torch.linalg.pinv(centred, rtol=1e-10) @ table[chosen]


def path_averaged_derivative(
    problem: Problem, p: float, *, n_nodes: int = 100
) -> Coefficients:
    r"""Return E_S int_0^1 g_i(1_{S-i} + t e_i) dt, by enumeration and quadrature.

    g is found by differentiating `respond` itself, so the problem must be
    differentiable in its weights; nothing here knows that the result is a datamodel.
    The term with S - i empty is F(e_i) - F(empty) itself, since F may jump there (it
    does under `sum`).

    Args:
        problem: A deterministic problem, N <= 14.
        p: Inclusion probability.
        n_nodes: Nodes of the Gauss-Legendre rule on [0, 1].

    Returns:
        The average, per weight.

    Raises:
        ValueError: If F jumps elsewhere too, as minimum-norm solutions do: then the
            bridge does not hold.
    """
    n_train = problem.description.n_train
    nodes, node_weights = _gauss_legendre(n_nodes)
    rest = all_masks(n_train - 1)
    law = subset_law(rest, p)
    rows = []
    for i in range(n_train):
        masks = torch.cat([rest[:, :i], torch.zeros(len(rest), 1), rest[:, i:]], dim=1)
        along = masks[:, None, :].repeat(1, n_nodes, 1)
        along[:, :, i] = nodes
        _check_continuous(problem, masks, i)
        slopes = _derivative_along(problem, along.flatten(0, 1), i)
        integrals = torch.einsum(
            "snt,n->st", slopes.unflatten(0, (len(rest), n_nodes)), node_weights
        )
        # With no other example in, F may jump as i enters; its rise is known anyway.
        integrals[0] = _rise_from_empty(problem, i)
        rows.append(law @ integrals)
    return torch.stack(rows)


def subset_law(
    masks: Float[Tensor, "subsets train"], p: float
) -> Float[Tensor, " subsets"]:
    """Return the probability of each subset under Bernoulli(p)."""
    check_open_unit(p, "p")
    size = masks.sum(1)
    return p**size * (1 - p) ** (masks.shape[1] - size)


def _derivative_along(
    problem: Problem, weights: Tensor, i: int
) -> Float[Tensor, "models targets"]:
    """Return dF/dw_i at each row, by forward mode through `respond`."""
    tangent = torch.zeros_like(weights)
    tangent[:, i] = 1.0
    seeds = torch.zeros(len(weights), dtype=torch.int64)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(weights, tangent)
        outputs = problem.respond(dual, seeds)
        return torch.autograd.forward_ad.unpack_dual(outputs).tangent


def _check_continuous(problem: Problem, masks: Tensor, i: int) -> None:
    """Refuse an F that jumps as example i enters, but for the empty set."""
    entering = masks.clone()
    entering[:, i] = _TOUCH
    seeds = torch.zeros(len(masks), dtype=torch.int64)
    before, after = problem.respond(masks, seeds), problem.respond(entering, seeds)
    size = before.abs().max().clamp_min(1e-300)
    jumps = (after - before).abs().amax(1) > 1e-3 * size
    jumps[0] = False
    if bool(jumps.any()):
        raise ValueError(
            "problem must have a response that is continuous in each weight, but it "
            f"jumps as example {i} enters: use a penalty"
        )


def _rise_from_empty(problem: Problem, i: int) -> Float[Tensor, " targets"]:
    ends = torch.zeros(2, problem.description.n_train).double()
    ends[1, i] = 1.0
    empty, single = problem.respond(ends, torch.zeros(2, dtype=torch.int64))
    return single - empty


def _gauss_legendre(n_nodes: int) -> tuple[Tensor, Tensor]:
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return torch.from_numpy(nodes + 1) / 2, torch.from_numpy(weights) / 2


def _masks_and_law(table: Table, p: float) -> tuple[Tensor, Tensor]:
    masks = all_masks(len(table).bit_length() - 1)
    return masks, subset_law(masks, p)
