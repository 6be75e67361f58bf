"""Masks that share a seed at p other than 1/2, where complements do not exist."""

from collections.abc import Callable

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.designs import AntitheticPairs, Bernoulli, DisjointBlocks
from dmtheory.designs.base import SubsetDesign
from dmtheory.responses.collect import collect
from validation.made_up.noisy_sum import NoisySum
from validation.statistics.replicates import mean_of
from validation.studies.study import Json, dot_plot, dots, level

LEVELS = (0.25, 0.5, 0.75)
REPLICATES, MODELS = 16, 200
INDEPENDENT = "independent masks"
# Designs of so many trainings; blocks are disjoint, so p is one over their number.
MASKS: dict[str, Callable[[float, int, int], SubsetDesign]] = {
    INDEPENDENT: lambda p, m, seed: Bernoulli(p=p, n_models=m, seed=seed),
    "antithetic pairs": lambda p, m, seed: AntitheticPairs(
        p=p, n_pairs=m // 2, seed=seed
    ),
    "disjoint blocks": lambda p, m, seed: DisjointBlocks(
        parts=round(1 / p), n_blocks=round(m * p), seed=seed
    ),
}


def pairing_figure() -> Json:
    """Measure squared errors where the coefficients are known."""
    found = {name: gains(name) for name in MASKS if name != INDEPENDENT}
    return dot_plot(
        [
            dots(name, [(_row(p), gain) for p, gain in of.items()])
            for name, of in found.items()
        ],
        rows=[_row(p) for p in LEVELS],
        title="Pairs and blocks with a shared seed, by p",
        x_label="squared error of independent masks over theirs, equal trainings",
        levels=[level("no gain", Interval.exact(1.0))],
        caption=f"OLS on {MODELS} trainings of a noisy sum of twenty examples whose "
        "coefficients are known; most of its noise is the seed's. At p = 1/4 an "
        "antithetic pair leaves half of the examples out of both subsets; blocks have "
        "every example once, and the seed's effect in common.",
    )


def gains(name: str) -> dict[float, Interval]:
    """Return the ratio of mean squared errors at each p that the masks allow."""
    return {p: _gain(name, p) for p in LEVELS if name == "antithetic pairs" or p <= 0.5}


def _gain(name: str, p: float) -> Interval:
    ratio = mean_of((_errors(INDEPENDENT, p) / _errors(name, p)).log())
    ends = torch.tensor([ratio.value, ratio.low, ratio.high]).exp()
    return Interval(*ends.tolist())


def _errors(name: str, p: float) -> Tensor:
    """Return the mean squared error of each replicate, over examples."""
    problem = NoisySum()
    truth = problem.datamodel(p)
    errors = [
        (
            fit_datamodel(collect(problem, MASKS[name](p, MODELS, seed))).scores - truth
        ).square()
        for seed in range(REPLICATES)
    ]
    return torch.stack(errors).mean((1, 2))


def _row(p: float) -> str:
    return f"p = {p:g}"
