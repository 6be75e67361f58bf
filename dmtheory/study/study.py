"""Three estimates of one problem, how they agree, and what they predict."""

from dataclasses import dataclass, replace

from dmtheory.agreement.agreement import Agreement, agreement
from dmtheory.agreement.lds import LDSTable, lds, lds_table
from dmtheory.agreement.scale_free import ScaleCheck
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.inference.budget import Budget, Score, models_needed
from dmtheory.designs.replicates import Replicates
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.responses import Responses
from dmtheory.study.plan import StudyPlan
from dmtheory.study.trainings import MATCHED, Report, Trainings
from dmtheory.theory.noise_laws import ridge_law

DATAMODEL, SHRUNK = "datamodel", "datamodel shrunk toward influence"
UNSHRUNK = "unshrunk datamodel"
# Pairs with which OLS is less noisy than differences of means.
_PAIRS_AN_EXAMPLE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One estimate held against another.

    Attributes:
        name: Which, in words.
        found: Slope, correlation, errors.
    """

    name: str
    found: Agreement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """What was found about one problem at p = 1/2.

    Attributes:
        name: The problem's name.
        plan: What was trained.
        seed: The experiment's seed.
        deterministic: Whether seeds do nothing.
        attributions: Every estimate by name.
        scale: Whether training is scale-free; None where weights must be 0 or 1.
        comparisons: The datamodel on both derivatives, influence on each.
        scores: LDS of everything that predicts, on models that nothing has seen.
        influences: Influence's rows alone, beside the best of them; None without.
        needed: Trainings with which a ridge datamodel of pairs would score as much.
        quality: Held-out quality over random halves, by name.
        n_models: Trainings spent, influence's included.
    """

    name: str
    plan: StudyPlan
    seed: int
    deterministic: bool
    attributions: dict[str, Attribution]
    scale: ScaleCheck | None
    comparisons: tuple[Comparison, ...]
    scores: LDSTable
    influences: LDSTable | None
    needed: Budget | None
    quality: dict[str, float]
    n_models: int


def study(
    problem: Problem,
    plan: StudyPlan,
    *,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Report | None = None,
) -> Study:
    """Estimate, compare and judge, all at p = 1/2 and the matched point w = 1/2.

    Datamodel, derivatives, influence, damping and evaluation have seeds of their own:
    nothing is judged on what it was made or chosen from.

    Args:
        problem: The training map and its outputs. Only a differentiable one with fixed
            steps has influence; only fixed steps have derivatives.
        plan: What to train, of `plan_study` or `share_out`.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with (what, models done, models in all).

    Returns:
        Everything that was found; `advice` puts it in words.

    Raises:
        ValueError: If a training diverges where a derivative is taken.
    """
    work = Trainings(problem, plan, seed, engine, progress)
    evaluation = work.evaluation()
    responses = work.pairs()
    datamodel = fit_datamodel(responses, estimator=Ridge())
    influences = work.influences()
    derivatives = work.derivatives()
    unshrunk = fit_datamodel(responses, estimator=_unshrunk(plan, datamodel))
    attributions = {DATAMODEL: datamodel, **influences}
    if influences:
        prior = influences[f"influence {MATCHED}"]
        attributions[SHRUNK] = fit_datamodel(responses, estimator=Ridge(), prior=prior)
    held_out = evaluation_of(evaluation)
    scores = lds_table(list(attributions.items()), held_out)
    ranked = _beside_the_best(influences, scores, held_out)
    return Study(
        name=problem.description.name,
        plan=plan,
        seed=seed,
        deterministic=problem.description.deterministic,
        attributions=attributions | {UNSHRUNK: unshrunk} | derivatives,
        scale=work.scale(),
        comparisons=_comparisons(unshrunk, influences, derivatives),
        scores=scores,
        influences=ranked,
        needed=None
        if ranked is None
        else _needed(responses, influences[ranked.reference], evaluation),
        quality=_quality(responses),
        # The damping's subsets are among the plan's, and counted by each influence.
        n_models=plan.n_models
        + sum(a.n_models - plan.n_tuning for a in influences.values()),
    )


def _unshrunk(plan: StudyPlan, like: Attribution) -> DatamodelEstimator:
    """Return the estimator whose coefficients have the right size.

    Those of ridge are for predictions: they are shrunk, the more the fewer trainings.
    """
    enough = plan.n_pairs >= _PAIRS_AN_EXAMPLE * like.n_train
    return OLS() if enough else DifferenceOfMeans()


def _comparisons(
    datamodel: Attribution,
    influences: dict[str, Attribution],
    derivatives: dict[str, Attribution],
) -> tuple[Comparison, ...]:
    """Hold the datamodel and influence against the derivatives by retraining."""
    found = []
    for name, derivative in derivatives.items():
        rows = derivative.train_labels
        sides = {UNSHRUNK: datamodel}
        same_point = name.replace("dF/dw", "influence")
        if same_point in influences:
            sides[same_point] = influences[same_point]
        for side, attribution in sides.items():
            held = agreement(attribution.restricted(train=rows), derivative)
            found.append(Comparison(name=f"{side} on {name}", found=held))
    return tuple(found)


def _beside_the_best(
    influences: dict[str, Attribution], scores: LDSTable, held_out: SubsetOutputs
) -> LDSTable | None:
    """Return influence's scores with their differences to the best."""
    if not influences:
        return None
    rows = [row for row in scores.rows if row.name in influences]
    best = max(rows, key=lambda row: row.lds.mean.value).name
    return lds_table(list(influences.items()), held_out, reference=best)


def _needed(
    responses: Responses, attribution: Attribution, evaluation: Responses
) -> Budget:
    """Return how many trainings a ridge datamodel of pairs needs to score as much.

    Of the evaluation's first seeds alone: the pairs' trainings tell of single seeds.
    """
    single = evaluation
    if isinstance(evaluation.design, Replicates):
        times = evaluation.design.n_replicates
        single = replace(
            evaluation,
            outputs=evaluation.outputs[::times],
            diverged=evaluation.diverged[::times],
            design=evaluation.design.design,
            qualities=None,
        )
    goal = lds(attribution, single).mean.value
    return models_needed(responses, Score(max(goal, 1e-3)), law=ridge_law)


def _quality(responses: Responses) -> dict[str, float]:
    names = responses.description.qualities if responses.qualities is not None else ()
    return {name: responses.quality(name).nanmean().item() for name in names}
