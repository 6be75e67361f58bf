"""Records that come in many copies: exact datamodels at any number of examples.

With c copies of each of r records F(S) depends on how many copies of each S holds.
Those (c + 1)^r counts are enumerated with their probabilities, where the subsets would
be 2^(rc): so one response is followed over N = rc, and nothing but N changes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.problems.base import Problem

Records = Float[Tensor, "records targets"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """F at every count of copies.

    Attributes:
        counts: How many copies of each record a subset holds.
        outputs: F there.
        ways: Subsets with these counts, over all 2^N of them.
        copies: c.
    """

    counts: Float[Tensor, "vectors records"]
    outputs: Float[Tensor, "vectors targets"]
    ways: Float[Tensor, " vectors"]
    copies: int

    @property
    def n_train(self) -> int:
        """N = rc."""
        return self.counts.shape[1] * self.copies


def counted(problem: Problem, copies: int) -> Counted:
    """Return F of so many copies of each of a problem's records.

    A record with weight k is k copies of it, so the records themselves are trained on.

    Raises:
        ValueError: If training is random.
    """
    description = problem.description
    if not description.deterministic:
        raise ValueError("problem must be deterministic to be enumerated")
    each = torch.arange(copies + 1, dtype=torch.float64)
    counts = torch.cartesian_prod(*[each] * description.n_train)
    ways = _log_ways(counts, copies).sum(1) - description.n_train * copies * _LOG_2
    return Counted(
        counts=counts,
        outputs=problem.respond(counts, torch.zeros(len(counts), dtype=torch.int64)),
        ways=ways.exp(),
        copies=copies,
    )


_LOG_2 = torch.tensor(2.0, dtype=torch.float64).log()


def _log_ways(counts: Tensor, copies: int) -> Tensor:
    """Return log(c choose k)."""
    every = torch.tensor(copies + 1.0, dtype=torch.float64)
    return every.lgamma() - (counts + 1).lgamma() - (every - counts).lgamma()


def of_half(found: Counted) -> Records:
    """Return the minimum-norm datamodel on subsets of N/2, a copy of each record."""
    law = found.ways * (found.counts.sum(1) == found.n_train // 2)
    return _regression(found, law / law.sum())


def of_one_half(found: Counted) -> Records:
    """Return the datamodel on Bernoulli(1/2) subsets, less its mean over examples."""
    coefficients = _regression(found, found.ways)
    return coefficients - coefficients.mean(0)


def _regression(found: Counted, law: Tensor) -> Records:
    """Return the least-squares coefficients of a copy, of least norm.

    Copies of a record share a coefficient, so that of its count is that of each copy,
    and the norm over examples is sqrt(c) times that over records.
    """
    x = found.counts - law @ found.counts
    y = found.outputs - law @ found.outputs
    weighted = x.T * law
    return torch.linalg.pinv(weighted @ x, rtol=1e-10, hermitian=True) @ (weighted @ y)
