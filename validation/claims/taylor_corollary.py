"""Small removals follow the derivative to first order, large ones less."""

from math import hypot

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds
from dmtheory.agreement.resampling import as_is_and_resampled, interval_of
from dmtheory.agreement.subset_outputs import (
    SubsetOutputs,
    evaluation_of,
    evaluation_of_arrays,
)
from dmtheory.attribution import Attribution
from dmtheory.designs.leave_out import LeaveKOut
from dmtheory.designs.seeds import model_seeds
from validation.claim import RANK, SCALE, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.shared_seeds import SharedSeeds
from validation.verdict import SUPPORTED, Part

# Shares of the examples that are removed at once.
SHARES = (0.01, 0.05, 0.2, 0.5)
REMOVALS = {"V": 400, "M": 300}
# Networks: seeds that all removals share, seeds of the derivative.
REMOVAL_SEEDS, DERIVATIVE_SEEDS = 8, 40
# Without an example the fit at it is worse by 1/(1-h): removals exceed first order,
# three digits of 300 at once by three tenths.
SMALL = {
    "breast-cancer-sum": (0.95, 1.2),
    "diabetes-sum": (0.95, 1.2),
    "digits-count": (1.1, 1.45),
    "cancer-network-sum": (0.95, 1.35),
    "cancer-network-count": (0.95, 1.35),
}
RANKED = {"V": 0.95, "M": 0.8}
USEFUL = (0.8, 1.2)
# The least share at which the slope is useful; of networks it is reported.
LEAST_SHARE = {"V": 0.05, "M": 0.0}


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate at w = 1; retrain without random sets of several sizes."""
    name = entry.problem
    derivative = (
        laboratory.pathwise(name, at=1.0, n_seeds=DERIVATIVE_SEEDS)
        if entry.scale == "M"
        else laboratory.derivative(name, at=1.0)
    )
    n_train = laboratory.problem(name).description.n_train
    held_out = {}
    for place, share in enumerate(SHARES):
        design = LeaveKOut(
            k=max(1, round(share * n_train)),
            n_models=REMOVALS[entry.scale],
            seed=100 * laboratory.experiment_seed("removals") + place,
        )
        held_out[f"{share:g}"] = _removed(laboratory, name, design, derivative)
    return Evidence(
        estimates={"derivative": derivative},
        held_out=held_out,
        blocked=laboratory.blocked(name),
    )


def _removed(
    laboratory: Laboratory, name: str, design: LeaveKOut, derivative: Attribution
) -> SubsetOutputs:
    """Return outputs without each set; those of networks by seeds that all share.

    Beside what a few examples do, seeds that differ would be all there is to see.
    """
    if derivative.exact:
        return evaluation_of(laboratory.collected(name, design, "removals"))
    seeds = model_seeds(design.seed, torch.arange(REMOVAL_SEEDS))
    shared = SharedSeeds(subsets=design, training_seeds=tuple(seeds.tolist()))
    responses = laboratory.collected(name, shared, "removals")
    return evaluation_of_arrays(
        responses.weights(),
        responses.outputs,
        like=derivative,
        design=design,
        n_replicates=REMOVAL_SEEDS,
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Slope and rank for the smallest share; how both go with the share."""
    derivative = evidence.estimates["derivative"]
    allowed = SMALL[entry.problem]
    slopes = {
        share: _slope(derivative, removals)
        for share, removals in evidence.held_out.items()
    }
    small, large = (f"{share:g}" for share in (SHARES[0], SHARES[-1]))
    scores = {s: lds(derivative, evidence.held_out[s]).mean for s in (small, large)}
    useful = [
        float(share)
        for share, slope in slopes.items()
        if USEFUL[0] <= slope.low and slope.high <= USEFUL[1]
    ]
    fall = _difference(scores[small], scores[large])
    return [
        Part(
            name="slope, 1 % removed",
            statement="F(1) - F(1 - 1_A) on sum_{i in A} dF/dw_i: in "
            f"[{allowed[0]}, {allowed[1]}]",
            interval=slopes[small],
            tolerance=allowed,
        ),
        Part(
            name="rank, 1 % removed",
            statement=f"LDS over removals, at least {RANKED[entry.scale]}",
            interval=scores[small],
            tolerance=(RANKED[entry.scale], None),
        ),
        Part(
            name="LDS falls with the share",
            statement=f"from {small} to {large} of the examples",
            interval=fall,
            tolerance=(0.0, None),
        ),
        Part(
            name="where it is of use",
            statement="largest share whose slope lies in [.8, 1.2], at least "
            f"{LEAST_SHARE[entry.scale]}",
            interval=Interval.exact(max(useful, default=0.0)),
            tolerance=(LEAST_SHARE[entry.scale], None),
            headline=False,
        ),
    ]


def _difference(one: Interval, other: Interval) -> Interval:
    """Return the interval of a difference of two independent numbers.

    References:
        Zou and Donner 2008, Construction of confidence limits about effect measures.
    """
    value = one.value - other.value
    below = hypot(one.value - one.low, other.high - other.value)
    above = hypot(one.high - one.value, other.value - other.low)
    return Interval(value, value - below, value + above)


def _slope(derivative: Attribution, removals: SubsetOutputs) -> Interval:
    """Return the slope of outputs on predictions over removals, pooled over targets.

    Errors in variables: halves of the derivative's seeds in the denominator. Removals,
    their seeds and the derivative's are drawn anew together.
    """
    units = derivative.scores[None] if derivative.units is None else derivative.units
    predicted = _centred(torch.einsum("si,uit->ust", removals.weights, units))
    trained = _centred(removals.outputs.transpose(0, 1))
    middle = max(1, len(units) // 2)
    first, second = predicted[:middle], predicted[-middle:]
    one, two, seeds, sets = (
        as_is_and_resampled(n, 1, seed=place) / n
        for place, n in enumerate((middle, middle, len(trained), removals.n_units))
    )
    rises = _drawn_products(first, one, trained, seeds)
    rises = (rises + _drawn_products(second, two, trained, seeds)) / 2
    squares = _drawn_products(first, one, second, two)
    return interval_of((sets * rises).sum(1) / (sets * squares).sum(1))


def _drawn_products(
    x: Tensor, of_x: Tensor, y: Tensor, of_y: Tensor
) -> Float[Tensor, "draws sets"]:
    """Return the products over targets of the means of x and of y, drawn anew.

    Both are [seeds, sets, targets]; draws say how often each seed counts.
    """
    products = torch.einsum("ust,rst->urs", x, y)
    half = torch.einsum("du,urs->drs", of_x, products)
    return torch.einsum("dr,drs->ds", of_y, half)


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the derivative against itself."""
    return evidence.estimates["derivative"], evidence.estimates["derivative"]


CLAIM = Claim(
    id="taylor-corollary",
    title="Small removals follow the derivative",
    statement=(
        "Removing a few examples changes the output by the sum of their derivatives at "
        "w = 1, to first order; the prediction degrades with the share removed."
    ),
    source="The post's corollary; theory 3.3",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="breast-cancer-sum", suite="thorough"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SCALE, SIGN, RANK),
)
