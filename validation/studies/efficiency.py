"""The linear datamodeling score against trainings, for every way of spending them."""

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import noise_ceiling, rank_correlations
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.attribution import Attribution
from validation.claims.sample_efficiency import PRIOR_SEEDS, SHARE_OF_CEILING, SIDES
from validation.studies.study import Json, Made, Run, Study, chart, series

CLAIM = "sample-efficiency"
Curve = list[tuple[int, Interval]]


def make(run: Run, name: str) -> Made:
    """Draw the curves that the claim reads its trainings from."""
    finding = next(f for f in run.of_claim(CLAIM) if f.entry.problem == name)
    evidence = finding.evidence
    held_out = evidence.held_out["held out"]
    counts = resample_counts(held_out.n_units, held_out.unit_size, draws=1000, seed=0)
    once = torch.ones(1, len(held_out.outputs), dtype=torch.float64)
    sample = noise_ceiling(held_out, counts).mean(1)
    top = centred_interval(noise_ceiling(held_out, once).mean(), sample)
    drawn = curves(evidence.estimates, held_out, counts)
    return Made(figures=[_chart(drawn, top)])


def curves(
    estimates: dict[str, Attribution], held_out: SubsetOutputs, counts: Tensor
) -> dict[str, Curve]:
    """Return each side's score at every number of trainings, priors' own included.

    Fits to disjoint sets of one size are averaged; intervals are over held-out
    subsets.
    """
    names = list(estimates)
    trained = held_out.mean_outputs()
    once = torch.ones(1, len(trained), dtype=torch.float64)
    predicted = [held_out.weights @ estimates[name].scores for name in names]
    both = torch.cat([once, counts])
    scored = rank_correlations(predicted, trained, both).mean(2)
    grouped: dict[tuple[str, int], list[Tensor]] = {}
    for name, values in zip(names, scored, strict=True):
        side, size, _ = name.split(" | ")
        grouped.setdefault((side, int(size)), []).append(values)
    found: dict[str, Curve] = {}
    for (side, n_models), sets in grouped.items():
        mean = torch.stack(sets).mean(0)
        interval = centred_interval(mean[0], mean[1:])
        found.setdefault(side, []).append((n_models + _prior(side), interval))
    return {side: sorted(curve, key=lambda at: at[0]) for side, curve in found.items()}


def _prior(side: str) -> int:
    kind = SIDES[side][2] if side in SIDES else None
    return 0 if kind is None else PRIOR_SEEDS[kind]


def _chart(drawn: dict[str, Curve], top: Interval) -> Json:
    most = [m for curve in drawn.values() for m, _ in curve]
    ends = [min(most), max(most)]
    goal = SHARE_OF_CEILING * top.value
    return chart(
        [
            *(
                series(side, [m for m, _ in curve], [i for _, i in curve])
                for side, curve in drawn.items()
            ),
            series("ceiling", ends, [top, top], mark="line"),
            series(f"{SHARE_OF_CEILING:g} of it", ends, [goal, goal], mark="line"),
        ],
        title="Score against trainings",
        x_label="trainings, those of a prior included",
        y_label="linear datamodeling score on held-out subsets",
        log="x",
    )


STUDY = Study(
    id="efficiency",
    title="What a training buys",
    text="The score of every design and prior against the trainings that it took. The "
    "claim reads off where a curve first reaches .8 of the ceiling.",
    scale="M",
    explains=(CLAIM,),
    problems=lambda run: [f.entry.problem for f in run.of_claim(CLAIM)],
    make=make,
)
