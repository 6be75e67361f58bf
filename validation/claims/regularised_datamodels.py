"""What ridge and LASSO do to a datamodel: shrink it, and threshold it."""

from dataclasses import replace

import numpy as np
import torch
from scipy.special import chdtri
from sklearn.linear_model import Lasso as Reference
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.estimand import Point
from dmtheory.problems.base import Problem
from dmtheory.problems.set_functions import all_masks
from dmtheory.responses.collect import collect
from dmtheory.theory import exhaustive
from dmtheory.theory.regularised import (
    fixed_size_ridge_population,
    lasso_population,
    ridge_population,
    ridge_shrinkage,
)
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, largest_error
from validation.laboratory import Laboratory
from validation.statistics.relate import relate
from validation.verdicts.verdict import SUPPORTED, Part

P = 0.3
L2 = 0.1
L1 = 0.01
EXACT = 1e-10
# Coordinate descent stops at a duality gap.
LASSO_TOLERANCE = 1e-7
# Of independent values, in units of their variance, a coefficient has mean square
# 2 (p^2 + q^2)^9, q = 1 - p, and an error of variance 1/(m p q): fifty of them tell a
# slope to 2.5/sqrt(m) = .018. Five times that is less than the tolerance.
FINITE_MODELS = 20_000
# Within half, in logarithms, of the least wrong scale that a claim has to notice.
FINITE_SLOPE = (1.25**-0.5, 1.25**0.5)
# Fifty squared deviations tell a variance to a factor exp(.2); 1.96 of those for the
# interval and 3.3 for one false alarm in a thousand make a factor of three.
SQUARED_DEVIATION = (1 / 3, 3.0)
SLOPE = (0.95, 1.05)


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Solve the penalised population problems by brute force; on real data, fit."""
    if entry.scale == "V":
        return _measured(laboratory, entry)
    problem = laboratory.problem(entry.problem)
    table = exhaustive.tabulate(problem)
    n_train = problem.description.n_train
    masks = all_masks(n_train)
    size = masks.sum(1)
    law = exhaustive.subset_law(masks, P)
    half = (size == n_train // 2).double() / (size == n_train // 2).sum()
    beta = exhaustive.population_regression(table, P)[1]
    fixed = exhaustive.fixed_size_datamodel(table, n_train // 2)
    brute = {
        "ridge": _ridge(masks, table, law),
        "lasso": _lasso(masks, table, law),
        "fixed size": _ridge(masks, table, half),
    }
    closed = {
        "ridge": ridge_population(beta, P, L2),
        "lasso": lasso_population(beta, P, L1),
        "fixed size": fixed_size_ridge_population(fixed, n_train // 2, L2),
    }
    estimates = {name: _exactly(problem, s, name) for name, s in brute.items()}
    estimates["finite"] = _sampled(laboratory, problem)
    return Evidence(
        estimates=estimates,
        references={name: _exactly(problem, s, name) for name, s in closed.items()},
    )


def _ridge(masks: Tensor, table: Tensor, law: Tensor) -> Tensor:
    """Minimise E (F - b0 - x'beta)^2 + L2 |beta|^2 by its normal equations."""
    x, y = masks - law @ masks, table - law @ table
    gram = x.T @ (law[:, None] * x) + L2 * torch.eye(x.shape[1]).double()
    return torch.linalg.solve(gram, x.T @ (law[:, None] * y))


def _lasso(masks: Tensor, table: Tensor, law: Tensor) -> Tensor:
    """Minimise E (F - b0 - x'beta)^2 + L1 |beta|_1 by coordinate descent."""
    reference = Reference(alpha=L1 / 2, tol=1e-14, max_iter=100_000)
    columns = [
        reference.fit(masks.numpy(), y, sample_weight=law.numpy()).coef_.copy()
        for y in table.T.numpy()
    ]
    return torch.from_numpy(np.stack(columns, axis=1))


def _exactly(problem: Problem, scores: Tensor, name: str) -> Attribution:
    return exact_attribution(
        problem,
        scores,
        quantity="datamodel",
        point=Point("subsets", 0.5 if name == "fixed size" else P),
        method=f"{name}, population",
    )


def _sampled(laboratory: Laboratory, problem: Problem) -> Attribution:
    """Fit ridge to a few thousand subsets drawn at random."""
    seed = laboratory.experiment_seed("masks")
    design = Bernoulli(p=P, n_models=FINITE_MODELS, seed=seed)
    responses = collect(problem, design)
    return fit_datamodel(responses, estimator=Ridge(l2_penalties=(L2,)))


def _measured(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Fit ridge to one half of the models and OLS to the other."""
    responses = laboratory.responses(entry.problem)
    design = responses.design
    assert isinstance(design, Bernoulli)
    n_train = responses.description.n_train
    masks = design.weights(torch.arange(design.n_models), n_train)
    first, second = torch.arange(design.n_models).chunk(2)
    p = design.p

    def fit(rows: Tensor, estimator: Ridge | None) -> Attribution:
        return fit_datamodel(
            masks[rows],
            responses.outputs[rows],
            design=replace(design, n_models=len(rows)),
            estimator=estimator,
            problem=entry.problem,
        )

    # The penalty that halves coefficients where models are many.
    penalty = p * (1 - p)
    factor = ridge_shrinkage(p, penalty, n_train, len(first))
    shrunk = fit(first, Ridge(l2_penalties=(penalty,)))
    return Evidence(
        estimates={"ridge": shrunk.scaled(1 / factor)},
        references={"OLS": fit(second, None)},
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Hold brute force against the closed forms, and samples within their errors."""
    if entry.scale == "V":
        found = relate(evidence.estimates["ridge"], evidence.references["OLS"])
        return [
            Part(
                name="ridge shrinks as it should",
                statement="ridge at lambda = p(1-p) over what the law multiplies by, "
                "on OLS of other models: 1 within .05",
                interval=found.slope,
                tolerance=SLOPE,
            )
        ]

    def error(name: str) -> float:
        return largest_error(evidence.estimates[name], evidence.references[name])

    return [
        exact_part("ridge", "beta_i/(1 + lambda/(p(1-p)))", error("ridge"), EXACT),
        exact_part(
            "LASSO",
            "soft threshold of beta_i at lambda/(2p(1-p))",
            error("lasso"),
            LASSO_TOLERANCE,
        ),
        exact_part(
            "ridge on one size",
            "beta/(1 + lambda/a), a = k(N-k)/(N(N-1))",
            error("fixed size"),
            EXACT,
        ),
        Part(
            name="finite m, slope",
            statement=f"ridge on {FINITE_MODELS:,} subsets on its population, all "
            "targets: 1 within the root of 1.25",
            interval=relate(
                evidence.estimates["finite"], evidence.references["ridge"]
            ).slope,
            tolerance=FINITE_SLOPE,
        ),
        Part(
            name="finite m, standard errors",
            statement="mean squared deviation from the population in standard errors, "
            "all coefficients and targets: 1 within a factor of 3",
            interval=_squared_deviation(
                evidence.estimates["finite"], evidence.references["ridge"]
            ),
            tolerance=SQUARED_DEVIATION,
        ),
    ]


def _squared_deviation(found: Attribution, population: Attribution) -> Interval:
    """Return the mean squared z with its interval by chi-square, as of normal errors.

    Errors count as independent: columns of Bernoulli masks are, and what is not linear
    differs at random from target to target.
    """
    assert found.stderr is not None
    z = ((found.scores - population.scores) / found.stderr).flatten()
    total, n = z.square().sum().item(), len(z)
    # chdtri takes the upper tail.
    low, high = (total / float(chdtri(n, tail)) for tail in (0.025, 0.975))
    return Interval(total / n, low, high)


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    if "finite" in evidence.estimates:
        return evidence.estimates["finite"], evidence.references["ridge"]
    return evidence.estimates["ridge"], evidence.references["OLS"]


CLAIM = Claim(
    id="regularised-datamodels",
    title="What a penalty does to a datamodel",
    statement=(
        "On Bernoulli(p) masks ridge multiplies every coefficient by 1/(1 + "
        "lambda/(p(1-p))) and LASSO thresholds it at lambda/(2p(1-p)): a penalty moves "
        "the scale, which has to be undone before slopes are compared."
    ),
    source="Theory 2.6",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="random-functions"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="diabetes-sum", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the population law"),
)
