"""The linear datamodeling score against trainings, for every way of spending them."""

from dataclasses import replace

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import noise_ceiling
from dmtheory.agreement.resampling import centred_interval, interval_of, resample_counts
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.attribution import Attribution
from validation.claims.sample_efficiency import SHARE_OF_CEILING, prior_cost, scores
from validation.studies.pairing import pairing_figure
from validation.studies.stopping import stopping_figure
from validation.studies.study import Json, Made, Run, Study, chart, series

CLAIM = "sample-efficiency"
# Where the figure stands that is of no problem of the suite.
SHOWN_ONCE = "digits-sum"
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
    one_seed = replace(held_out, outputs=held_out.outputs[:, :1])
    figures = [_chart(drawn, top), stopping_figure(run.laboratory, name, one_seed)]
    if name == SHOWN_ONCE:
        figures.append(pairing_figure())
    return Made(figures=figures)


def curves(
    estimates: dict[str, Attribution], held_out: SubsetOutputs, counts: Tensor
) -> dict[str, Curve]:
    """Return each side's score at every number of trainings, priors' own included.

    Fits to disjoint sets of one size are averaged; intervals are over held-out
    subsets.
    """
    once = torch.ones(1, len(held_out.outputs), dtype=torch.float64)
    scored = scores(estimates, held_out, torch.cat([once, counts]))
    found: dict[str, Curve] = {
        side: [
            (size + prior_cost(side), interval_of(sets.mean(0)))
            for size, sets in sizes.items()
        ]
        for side, sizes in scored.items()
    }
    return {side: sorted(curve, key=lambda at: at[0]) for side, curve in found.items()}


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
    "claim reads off where a curve first reaches .8 of the ceiling. A rule that stops "
    "by itself takes more than hindsight would, and looks at no evaluation.",
    scale="M",
    explains=(CLAIM,),
    problems=lambda run: [f.entry.problem for f in run.of_claim(CLAIM)],
    make=make,
)
