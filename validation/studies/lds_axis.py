"""Every factor of a good linear datamodeling score on one axis, with the ceiling."""

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds_table, noise_ceiling
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.theory.noise_laws import spearman_map
from validation.claims.why_datamodels_win import SEEDS, fixed_damping
from validation.studies.study import (
    Json,
    Made,
    Run,
    Study,
    dot_plot,
    dots,
    level,
)
from validation.verdicts.verdict import interval_to_json

CLAIM = "why-datamodels-win"
# More seeds than the claim judges.
MOST_SEEDS = 30
AXIS = (*SEEDS, MOST_SEEDS)
SUBSETS, REPLICATES = 250, 4
# What a dot's kind is called, and how the claim names the part of so many seeds.
POINTS = {
    "influence at w = 1": lambda n: f"influence at 1, {n} seed(s)",
    "influence at w = p·1": lambda n: f"influence at p, {n} seed(s)",
    "influence over subsets": lambda n: f"influence over {max(2, n)} subsets",
}
OTHERS = {
    "datamodel": "datamodel",
    "fixed damping, w = 1": fixed_damping("1"),
    "fixed damping, w = p·1": fixed_damping("p"),
    "derivative at p": "derivative at p",
    "gradient product": "gradient product at p",
    "permuted": "random scores",
}
LIMITS = (-0.1, 1.0)


def make(run: Run, _: str) -> Made:
    """Draw one plot a problem, all on the same axis."""
    figures = []
    for finding in run.of_claim(CLAIM):
        name = finding.entry.problem
        parts = {part["name"]: part for part in finding.judged["parts"]}
        parts |= of_most_seeds(run, name, finding.evidence.held_out["held out"])
        outputs = run.laboratory.replicated(name, n_subsets=SUBSETS, n_seeds=REPLICATES)
        found = ceiling(outputs)
        figures.append(axis(parts, name, found))
    return Made(
        figures=figures,
        legend=(
            ("ceiling", "What no attribution can pass on outputs of one seed a subset"),
            ("n seeds", "Models, or subsets (at least 2), behind the influence"),
            (
                "fixed damping",
                "Influence of 10 seeds with one damping at both points; elsewhere a "
                "pilot chose it at each point",
            ),
            (
                "permuted",
                "The datamodel's coefficients, their mean taken out, given to others",
            ),
        ),
    )


def of_most_seeds(run: Run, name: str, held_out: SubsetOutputs) -> dict[str, Json]:
    """Return the scores of influence of most seeds, as parts of the claim."""
    laboratory, p = run.laboratory, run.laboratory.settings[name].p
    points = (1.0, p, Bernoulli(p=p, n_models=MOST_SEEDS))
    found = [laboratory.influence(name, at=at, n_models=MOST_SEEDS) for at in points]
    named = [
        (part(MOST_SEEDS), a) for part, a in zip(POINTS.values(), found, strict=True)
    ]
    rows = lds_table(named, held_out).rows
    return {row.name: interval_to_json(row.lds.mean) for row in rows}


def axis(parts: dict[str, Json], name: str, found: Interval) -> Json:
    """Return the plot of one problem from the parts of the claim."""
    kinds = [
        dots(kind, [(_seeds(n), _interval(parts[part(n)])) for n in AXIS])
        for kind, part in POINTS.items()
    ]
    others = [(row, _interval(parts[part])) for row, part in OTHERS.items()]
    return dot_plot(
        [*kinds, dots("others", others)],
        rows=[*map(_seeds, AXIS), *OTHERS],
        title=f"LDS on {name}",
        x_label="linear datamodeling score on held-out subsets",
        levels=[level("ceiling", found)],
        limits=LIMITS,
    )


def ceiling(replicated: SubsetOutputs) -> Interval:
    """Return the ceiling on outputs of one seed a subset, from replicates."""
    once = torch.ones(1, len(replicated.outputs), dtype=torch.float64)
    counts = resample_counts(
        replicated.n_units, replicated.unit_size, draws=1000, seed=0
    )
    value = _of_one_seed(noise_ceiling(replicated, once), replicated.n_seeds)
    sample = _of_one_seed(noise_ceiling(replicated, counts), replicated.n_seeds)
    return centred_interval(value.mean(), sample.mean(1)).clipped(0.0, 1.0)


def _of_one_seed(found: Tensor, n_seeds: int) -> Tensor:
    """Return V/(V + s^2) on the scale of ranks, from V/(V + s^2/R) on that scale."""
    share = (2 * torch.sin(torch.pi * found / 6)).square().clamp_min(1e-12)
    noise = n_seeds * (1 / share - 1)
    return spearman_map((1 / (1 + noise)).sqrt())


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def _interval(part: Json) -> Interval:
    return Interval(part["value"], part["low"], part["high"])


STUDY = Study(
    id="lds-axis",
    title="The factors of a good score, on one axis",
    text="The point (w = 1, w = p·1, or averaged over random subsets), the seeds "
    "averaged, and the normalisation (`sum`, `count`): which of them raises the score "
    "of influence toward the datamodel's, and how far both are from the ceiling.",
    scale="M",
    explains=(CLAIM,),
    problems=lambda run: ("",) if run.of_claim(CLAIM) else (),
    make=make,
)
