"""What masks and outputs alone tell: a fit, its score, its ceiling, what stands out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.agreement import statistics
from dmtheory.agreement.agreement import Agreement, agreement
from dmtheory.agreement.bootstrap import Interval, bootstrap
from dmtheory.agreement.lds import LDSTable, lds_table
from dmtheory.agreement.prediction import held_out_prediction
from dmtheory.applications.subpopulations import clusters, embedding, vectors_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.inference.discoveries import discoveries
from dmtheory.interchange.analyses.candidates import Candidate, leakage_candidates
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.imported.using import (
    evaluation_of_runs,
    fit_imported,
    replicates_in,
)

FITTED = "datamodel fitted here"
# Examples up to which a matrix of examples by examples is factored.
_FACTORED = 2000
_MODELS_PER_EXAMPLE = 3
_CANDIDATES = 10
_COMPONENTS, _GROUPS = 8, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two attributions relate.

    Attributes:
        a: Name of the first.
        b: Name of the second.
        found: Slopes and correlations with intervals; None where they are refused.
        refusal: Why they are, such as models in common; empty where they are not.
        pearson: Correlation pooled within targets, errors not taken out.
        spearman: Mean rank correlation.
    """

    a: str
    b: str
    found: Agreement | None
    refusal: str
    pearson: float
    spearman: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """Everything that masks and outputs tell without a model or an image.

    Attributes:
        tags: What the outputs are.
        n_fitted: Models that were fitted.
        n_held_out: Models that judge.
        n_replicates: Trainings of each held-out mask.
        fitted: The datamodel.
        reliability: Share of its coefficients' variance that is no error; None where
            the estimator keeps no units.
        discovered: Share of coefficients that are not zero at a false discovery rate
            of 10 %; None without standard errors.
        scores: Linear datamodeling scores of all attributions, with the ceiling.
        r_squared: Held-out R^2 of those with an intercept, by name.
        comparisons: Every two attributions against one another.
        candidates: Pairs that stand out.
        points: First two components of the examples' embedding.
        groups: A group of every example, by k-means in the embedding.
    """

    tags: Tags
    n_fitted: int
    n_held_out: int
    n_replicates: int
    fitted: Attribution
    reliability: Interval | None
    discovered: float | None
    scores: LDSTable
    r_squared: dict[str, Interval]
    comparisons: tuple[Comparison, ...]
    candidates: tuple[Candidate, ...]
    points: Float[Tensor, "examples components"]
    groups: Int64[Tensor, " examples"]


def analyse(
    runs: ImportedRuns,
    *,
    held_out: tuple[int, int] | None = None,
    estimator: DatamodelEstimator | None = None,
    attributions: Sequence[tuple[str, Attribution]] = (),
    n_replicates: int | None = None,
) -> Analysis:
    """Fit, judge and compare with masks and outputs alone.

    Args:
        runs: Imported models, restricted to the targets of interest. Masks of held-out
            models are held in memory as float64.
        held_out: Rows that judge; those of the tags by default.
        estimator: The regression; by default OLS, ridge where models are few, and a
            difference of means beyond 2,000 examples.
        attributions: Further attributions of the same examples and targets, by name.
        n_replicates: Consecutive held-out rows of one mask; found by default.

    Returns:
        The analysis.
    """
    kept, judges = runs.split(held_out)
    estimator = default_estimator(kept) if estimator is None else estimator
    fitted = fit_imported(kept, estimator=estimator)
    named = [(FITTED, fitted), *attributions]
    n = replicates_in(judges) if n_replicates is None else n_replicates
    evaluation = evaluation_of_runs(judges, n_replicates=n)
    # Scores of zeros, as of a LASSO at targets it gives up, say nothing of examples.
    components = embedding(vectors_of(fitted), _COMPONENTS)
    return Analysis(
        tags=kept.tags,
        n_fitted=kept.n_models,
        n_held_out=judges.n_models,
        n_replicates=n,
        fitted=fitted,
        reliability=_reliability(fitted),
        discovered=_discovered(fitted),
        scores=lds_table(named, evaluation),
        r_squared={
            name: held_out_prediction(a, evaluation).r_squared
            for name, a in named
            if a.intercept is not None
        },
        comparisons=tuple(compare(a, b) for a, b in combinations(named, 2)),
        candidates=leakage_candidates(fitted, _CANDIDATES),
        points=components[:, :2],
        groups=clusters(components, min(_GROUPS, len(components))),
    )


def default_estimator(runs: ImportedRuns) -> DatamodelEstimator:
    """Return OLS, ridge where models are few, difference of means for many examples."""
    if runs.n_train > _FACTORED:
        return DifferenceOfMeans()
    if runs.n_models >= _MODELS_PER_EXAMPLE * runs.n_train:
        return OLS()
    return Ridge()


def compare(
    first: tuple[str, Attribution], second: tuple[str, Attribution]
) -> Comparison:
    """Compare two named attributions, with intervals where they may have them.

    Two of the same models, or without independent units, have no fair slope: only
    their correlations are given then, and why.

    Returns:
        The comparison, over the examples and targets that both have.
    """
    (name_a, a), (name_b, b) = first, second
    found, refusal = None, ""
    try:
        found = agreement(a, b)
    except ValueError as error:
        refusal = str(error)
    common = {
        "train": [x for x in a.train_labels if x in set(b.train_labels)],
        "targets": [x for x in a.target_labels if x in set(b.target_labels)],
    }
    x, y = (each.in_unit("per_weight").restricted(**common).scores for each in (a, b))
    return Comparison(
        a=name_a,
        b=name_b,
        found=found,
        refusal=refusal,
        pearson=statistics.pearson(x, y).item(),
        spearman=statistics.spearman(x, y).item(),
    )


def _reliability(fitted: Attribution) -> Interval | None:
    if fitted.units is None or fitted.exact:
        return None
    found = bootstrap([fitted], lambda s: {"r": statistics.reliability(s[0])})["r"]
    return found.clipped(-1.0, 1.0)


def _discovered(fitted: Attribution) -> float | None:
    if fitted.stderr is None:
        return None
    return discoveries(fitted).found.double().mean().item()
