"""A difference quotient of sixth order, for comparison with exact derivatives."""

from itertools import pairwise

import torch
from torch import Tensor

from dmtheory.problems import Problem


def quotients(problem: Problem, at: Tensor, seed: int, *, step: float) -> Tensor:
    """Return dF/dw_i of one seed, [train, targets], extrapolated from three steps.

    Central differences of h, h/2 and h/4; two extrapolations leave an error of O(h^6).
    """
    n = len(at)
    by_step = []
    for h in (step, step / 2, step / 4):
        moved = h * torch.eye(n, dtype=torch.float64)
        rows = torch.cat([at + moved, at - moved])
        outputs = problem.respond(rows, torch.full((2 * n,), seed))
        by_step.append((outputs[:n] - outputs[n:]) / (2 * h))
    first = [(4 * b - a) / 3 for a, b in pairwise(by_step)]
    return (16 * first[1] - first[0]) / 15


def worst_gap(found: Tensor, truth: Tensor) -> float:
    """Return the largest relative distance of a target's column."""
    return ((found - truth).norm(dim=0) / truth.norm(dim=0)).max().item()
