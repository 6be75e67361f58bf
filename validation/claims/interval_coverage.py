"""Do stated 95 % intervals contain the truth 95 % of the time?"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.inference.debiasing import debiased
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.differences.random_directions import RandomDirections
from dmtheory.derivatives.method import DerivativeMethod
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.pairs import ComplementaryPairs
from dmtheory.estimand import Point
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import collect
from validation.claim import Claim, Entry, Evidence
from validation.claims.exact import exact_attribution
from validation.laboratory import Laboratory
from validation.made_up.noisy_sum import NoisySum
from validation.statistics.relate import relate
from validation.verdicts.verdict import SUPPORTED, Part

# A study has one slope, so their coverage is known to .01 from 1,600 of them.
STUDIES = {"C": 1600, "V": 400}
COVERAGE = (0.92, 0.98)
# Of a normal interval, as attributions state it.
_REACH = 1.959964
MODELS, PENALTY = 120, 0.05
SEEDS = 40
# Of the real problem: models of a study, models behind its truth.
RECORD_MODELS, TRUTH_MODELS = 200, 200_000

Study = Callable[[int], Attribution]


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Repeat small studies, each with seeds of its own; keep estimates and errors."""
    first, n_studies = 10_000 * (1 + laboratory.seed), STUDIES[entry.scale]
    if entry.scale == "V":
        problem, truths, studies = _of_records(laboratory)
    else:
        problem, truths, studies = _of_sum(laboratory)
    estimates: dict[str, Attribution] = {}
    references: dict[str, Attribution] = {}
    kept: dict[str, list[Attribution]] = {}
    for number, (name, study) in enumerate(studies.items()):
        count = laboratory.counter(f"coverage: {name}", n_studies)
        made = kept[name] = []
        for place in range(n_studies):
            made.append(study(first + n_studies * number + place))
            count(1)
        estimates[name] = _together(made, [a.scores for a in made])
        errors = [a.stderr for a in made if a.stderr is not None]
        references[f"{name}, errors"] = _together(made, errors)
        laboratory.models_trained += sum(a.n_models for a in made)
    for name, truth in truths.items():
        references[f"{name}, truth"] = exact_attribution(
            problem,
            truth,
            quantity="datamodel",
            point=Point("subsets", 0.5),
            method="known",
        )
    numbers: dict[str, float] = {}
    if "finite differences" in kept:
        share = _share(_slopes(kept["pairs"], kept["finite differences"]))
        limits = {"": share.value, " low": share.low, " high": share.high}
        numbers = {f"slopes{end}": value for end, value in limits.items()}
    return Evidence(estimates=estimates, references=references, numbers=numbers)


def _together(studies: list[Attribution], values: list[Tensor]) -> Attribution:
    """Return one attribution whose units are the studies'."""
    units = torch.stack(values)
    return replace(studies[0], scores=units.mean(0), stderr=None, units=units)


def _of_sum(
    laboratory: Laboratory,
) -> tuple[Problem, dict[str, Tensor], dict[str, Study]]:
    problem = laboratory.problem("noisy-sum")
    assert isinstance(problem, NoisySum)

    def fitted(design: Callable[[int], Design], seed: int) -> Attribution:
        return fit_datamodel(collect(problem, design(seed)))

    def independent(seed: int) -> Design:
        return Bernoulli(p=0.5, n_models=MODELS, seed=seed)

    def paired(seed: int) -> Design:
        return ComplementaryPairs(n_pairs=MODELS // 2, seed=seed)

    def lasso(seed: int) -> Attribution:
        responses = collect(problem, independent(seed))
        estimator = Lasso(l1_penalties=(PENALTY,))
        return debiased(fit_datamodel(responses, estimator=estimator), responses)

    def derivative(method: DerivativeMethod, seed: int) -> Attribution:
        return response_derivative(problem, method, at=0.5, seed=seed)

    truth = problem.datamodel(0.5)
    studies: dict[str, Study] = {
        "OLS": partial(fitted, independent),
        "pairs": partial(fitted, paired),
        "de-biased LASSO": lasso,
        "finite differences": partial(derivative, FiniteDifference(n_seeds=SEEDS)),
        "random directions": partial(
            derivative, RandomDirections(step=0.1, n_pairs=MODELS // 2)
        ),
    }
    # A quadratic response has one datamodel and one derivative at the matched point.
    return problem, dict.fromkeys(studies, truth), studies


def _of_records(
    laboratory: Laboratory,
) -> tuple[Problem, dict[str, Tensor], dict[str, Study]]:
    problem = laboratory.problem("few-records")
    law = Bernoulli(
        p=0.5, n_models=TRUTH_MODELS, seed=laboratory.experiment_seed("efficiency")
    )
    truth = fit_datamodel(collect(problem, law, engine=laboratory.engine)).scores
    laboratory.models_trained += TRUTH_MODELS

    def independent(seed: int) -> Attribution:
        design = Bernoulli(p=0.5, n_models=RECORD_MODELS, seed=seed)
        return fit_datamodel(collect(problem, design))

    def paired(seed: int) -> Attribution:
        design = ComplementaryPairs(n_pairs=RECORD_MODELS // 2, seed=seed)
        return fit_datamodel(collect(problem, design))

    studies: dict[str, Study] = {"OLS": independent, "pairs": paired}
    return problem, dict.fromkeys(studies, truth), studies


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Count the intervals that contain the truth, a study at a time."""
    parts = []
    for name, estimate in evidence.estimates.items():
        errors = evidence.references[f"{name}, errors"].units
        truth = evidence.references[f"{name}, truth"].scores
        assert errors is not None and estimate.units is not None
        inside = (estimate.units - truth).abs() <= _REACH * errors
        for what, rows in _rows(name, truth).items():
            parts.append(
                Part(
                    name=f"{name}{what}",
                    statement="share of 95 % intervals that contain the truth, "
                    f"{len(inside)} studies",
                    interval=_share(inside[:, rows].double().mean((1, 2))),
                    tolerance=COVERAGE,
                )
            )
    if "slopes" in evidence.numbers:
        slopes = (evidence.numbers[f"slopes{end}"] for end in ("", " low", " high"))
        parts.append(
            Part(
                name="slopes",
                statement="of the datamodel of pairs on the finite differences, "
                "errors in variables: share that contain 1",
                interval=Interval(*slopes),
                tolerance=COVERAGE,
            )
        )
    return parts


def _rows(name: str, truth: Tensor) -> dict[str, Tensor]:
    if name != "de-biased LASSO":
        return {"": torch.arange(len(truth))}
    zero = (truth == 0).all(1)
    return {", zero": zero.nonzero()[:, 0], ", not zero": (~zero).nonzero()[:, 0]}


def _slopes(pairs: list[Attribution], derivatives: list[Attribution]) -> Tensor:
    """Return which studies' slopes of the datamodel on the derivative contain 1."""
    found = [relate(*pair).slope for pair in zip(pairs, derivatives, strict=True)]
    return torch.tensor([slope.low <= 1 <= slope.high for slope in found]).double()


def _share(shares: Tensor) -> Interval:
    """Return the mean over studies with its interval over studies."""
    counts = resample_counts(len(shares), 1, draws=1000, seed=0)
    return centred_interval(shares.mean(), counts @ shares / len(shares))


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the studies' mean against the truth."""
    mean = evidence.estimates["OLS"]
    return mean, evidence.references["OLS, truth"]


CLAIM = Claim(
    id="interval-coverage",
    title="Intervals contain the truth",
    statement=(
        "Stated 95 % intervals of datamodels by OLS, by complementary pairs and by "
        "de-biased LASSO, of derivatives by finite differences and by random "
        "directions, and of slopes contain the truth in .92 to .98 of small studies."
    ),
    source="Theory section 4",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="noisy-sum", suite="thorough"),
        Entry(scale="V", problem="few-records", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: no bias"),
)
