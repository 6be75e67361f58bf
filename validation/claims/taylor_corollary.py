"""Weights lowered a little follow the derivative; whole removals do so less."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import rank_correlations
from dmtheory.agreement.resampling import interval_of
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
from validation.made_up.lowered import Lowered
from validation.made_up.shared_seeds import SharedSeeds
from validation.statistics.pseudo_values import (
    Jackknifed,
    combined,
    drawn_shares,
    jackknifed,
)
from validation.verdicts.verdict import SUPPORTED, Part

# Shares of the examples that are removed at once.
SHARES = (0.01, 0.05, 0.2, 0.5)
REMOVALS = {"V": 400, "M": 300}
# Networks: seeds that all removals share, seeds of the derivative. Those of removals
# decide how well the fall of the LDS is known: more where they cost little.
REMOVAL_SEEDS = {
    "digits-count": 8,
    "cancer-network-sum": 20,
    "cancer-network-count": 20,
}
DERIVATIVE_SEEDS = 40
# What is taken off the weights of the smallest sets, where first order is the truth:
# least squares changes by g t/(1 - t h), h < 1 the leverage, so a twentieth is off by
# less than 1/.95 whatever the example. A tenth either way leaves as much again for
# chance and is half of what a wrong scale of 1.25 does.
LOWERED_BY = 0.05
FIRST_ORDER = (0.9, 1.1)
RANKED = {"V": 0.95, "M": 0.8}
# Theory's range of use. Removed whole, effects exceed first order by 1/(1 - h). The
# mean leverage is parameters over examples, .03 and .08 at V, so there they must lie
# in it. A network has as many parameters as examples or more: nothing bounds h away
# from 1, so of networks the range is told and not judged.
USEFUL = (0.8, 1.2)
LOWERED = "lowered"


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate at w = 1; retrain without random sets, and with less of them."""
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
        removed = _removed(laboratory, name, design, derivative)
        held_out[f"{share:g}"] = removed
        if place == 0:
            held_out[LOWERED] = _lowered(laboratory, name, design, removed)
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
    responses = laboratory.collected(name, _with_seeds(name, design), "removals")
    return evaluation_of_arrays(
        responses.weights(),
        responses.outputs,
        like=derivative,
        design=design,
        n_replicates=REMOVAL_SEEDS[name],
    )


def _with_seeds(name: str, design: LeaveKOut) -> SharedSeeds:
    seeds = model_seeds(design.seed, torch.arange(REMOVAL_SEEDS[name]))
    return SharedSeeds(subsets=design, training_seeds=tuple(seeds.tolist()))


def _lowered(
    laboratory: Laboratory, name: str, design: LeaveKOut, removed: SubsetOutputs
) -> SubsetOutputs:
    """Return outputs with less weight on each set, by the seeds of its removal."""
    every = design if removed.deterministic else _with_seeds(name, design)
    responses = laboratory.collected(
        name, Lowered(design=every, by=LOWERED_BY), "lowered weights"
    )
    return replace(
        removed,
        weights=1 - LOWERED_BY * (1 - removed.weights),
        outputs=responses.outputs.unflatten(0, (-1, removed.n_seeds)),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Slope at lowered weights, rank of removals; how both go with what is removed."""
    derivative = evidence.estimates["derivative"]
    small, large = (f"{share:g}" for share in (SHARES[0], SHARES[-1]))
    slopes = {
        name: _slope_draws(derivative, outputs)
        for name, outputs in evidence.held_out.items()
    }
    scores = {s: _lds(derivative, evidence.held_out[s], s) for s in (small, large)}
    fall = combined((1.0, scores[small]), (-1.0, scores[large]))
    parts = [
        Part(
            name="slope, 1 % lowered by a twentieth",
            statement="F(1) - F(1 - 1_A/20) on sum_{i in A} dF/dw_i/20: in "
            f"[{FIRST_ORDER[0]}, {FIRST_ORDER[1]}]",
            interval=interval_of(slopes[LOWERED]),
            tolerance=FIRST_ORDER,
        ),
        Part(
            name="rank, 1 % removed",
            statement=f"LDS over removals, at least {RANKED[entry.scale]}",
            interval=scores[small].interval().clipped(-1.0, 1.0),
            tolerance=(RANKED[entry.scale], None),
        ),
        Part(
            name="LDS falls with the share",
            statement=f"from {small} to {large} of the examples",
            interval=fall.interval(),
            tolerance=(0.0, None),
        ),
        Part(
            name="whole removals exceed it",
            statement="slope at 1 % removed less that at 1 % lowered by a twentieth: "
            f"above 0, since fits are worse without. {_of_use(slopes)}",
            interval=interval_of(slopes[small] - slopes[LOWERED]),
            tolerance=(0.0, None),
            headline=False,
        ),
    ]
    if entry.scale == "V":
        useful = Part(
            name="slope, 1 % removed",
            statement="F(1) - F(1 - 1_A) on sum_{i in A} dF/dw_i: in [.8, 1.2]",
            interval=interval_of(slopes[small]),
            tolerance=USEFUL,
            headline=False,
        )
        parts.append(useful)
    return parts


def _of_use(slopes: dict[str, Tensor]) -> str:
    """Return the slope of every share removed, and which lie in the range of use."""
    found = {f"{share:g}": interval_of(slopes[f"{share:g}"]) for share in SHARES}
    told = ", ".join(f"{slope.value:.2f} at {share}" for share, slope in found.items())
    useful = [share for share, slope in found.items() if _inside(slope)]
    return f"Of shares removed: {told}; in [.8, 1.2]: {', '.join(useful) or 'none'}"


def _inside(slope: Interval) -> bool:
    return USEFUL[0] <= slope.low and slope.high <= USEFUL[1]


def _lds(derivative: Attribution, removals: SubsetOutputs, share: str) -> Jackknifed:
    """Return the mean LDS over targets, of which every seed and set can be left out."""
    # Refuses the scores of another problem, or of the same seeds.
    removals.predicted(derivative)
    removals.check_outputs_vary()

    def statistic(units: Tensor, outputs: Tensor, sets: Tensor) -> Tensor:
        predicted = removals.weights @ units.mean(0)
        return rank_correlations([predicted], outputs.mean(1), sets).mean(2)[0]

    names = ("derivative", f"subsets at {share}", f"seeds at {share}")
    return jackknifed(statistic, _units_of(derivative), removals.outputs, names=names)


def _units_of(derivative: Attribution) -> Float[Tensor, "seeds train targets"]:
    return derivative.scores[None] if derivative.units is None else derivative.units


def _slope_draws(
    derivative: Attribution, removals: SubsetOutputs
) -> Float[Tensor, " samples"]:
    """Return the slope of outputs on predictions over removals, pooled over targets.

    Errors in variables: halves of the derivative's seeds in the denominator. Removals,
    their seeds and the derivative's are drawn anew together, alike for as many of them:
    of the same sets and seeds, draws are paired. The first is the sample itself.
    """
    units = _units_of(derivative)
    predicted = _centred(torch.einsum("si,uit->ust", removals.weights, units))
    trained = _centred(removals.outputs.transpose(0, 1))
    middle = max(1, len(units) // 2)
    first, second = predicted[:middle], predicted[-middle:]
    one, two, seeds, sets = (
        drawn_shares(n, place)
        for place, n in enumerate((middle, middle, len(trained), removals.n_units))
    )
    rises = _drawn_products(first, one, trained, seeds)
    rises = (rises + _drawn_products(second, two, trained, seeds)) / 2
    squares = _drawn_products(first, one, second, two)
    return (sets * rises).sum(1) / (sets * squares).sum(1)


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
        "Less weight on a few examples changes the output by the sum of their "
        "derivatives at w = 1, to first order; removed whole, they are ranked by it, "
        "the worse the larger the share removed."
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
