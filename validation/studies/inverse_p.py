"""The posted slope against 1/p: what the factor between the two points is."""

from collections.abc import Sequence

from dmtheory.agreement.bootstrap import Interval
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.implicit import Implicit
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import run_all
from dmtheory.responses.collect import collect
from validation.statistics.relate import Relation, relate
from validation.studies.smaller import Linear, with_targets
from validation.studies.study import Json, Made, Run, Study, chart, series

LEVELS = (0.25, 0.35, 0.5, 0.7, 0.9)
MODELS_A_LEVEL = {False: 3000, True: 12000}
TARGETS = 6
SMALL, MORE = ("diabetes-sum",), ("diabetes-sum", "breast-cancer-sum")


def make(run: Run, name: str) -> Made:
    """Regress beta(p) on g(1) and on g(p·1) at several p."""
    laboratory, n_models = run.laboratory, MODELS_A_LEVEL[run.thorough]
    whole = laboratory.problem(name)
    assert isinstance(whole, Linear)
    problem = with_targets(whole, TARGETS)
    seed = laboratory.experiment_seed("masks")
    tasks = [(problem, p, n_models, seed) for p in LEVELS]
    found = run_all(laboratory.engine, related, tasks)
    laboratory.models_trained += len(LEVELS) * n_models
    posted, matched_points = zip(*found, strict=True)
    inverse = [1 / p for p in LEVELS]
    return Made(
        figures=[
            _slopes(inverse, posted, matched_points),
            _errors(posted, matched_points),
        ]
    )


def _slopes(
    inverse: list[float], posted: Sequence[Relation], matched: Sequence[Relation]
) -> Json:
    ends = [1.0, 1.05 * max(inverse)]
    return chart(
        [
            series("slope of β(p) on dF/dw(1)", inverse, _of(posted, "slope")),
            series("slope of β(p) on dF/dw(p·1)", inverse, _of(matched, "slope")),
            series("1/p: scale-free training", ends, ends, mark="line"),
            series("1: the post", ends, [1.0, 1.0], mark="line"),
        ],
        title="The slope of the datamodel on the derivative, against 1/p",
        x_label="1/p",
        y_label="slope, errors in variables",
        caption="Each mark is a datamodel of its own, at another p.",
    )


def _errors(posted: Sequence[Relation], matched: Sequence[Relation]) -> Json:
    return chart(
        [
            series("from dF/dw(1)", LEVELS, _of(posted, "corrected_relative_error")),
            series("from dF/dw(p·1)", LEVELS, _of(matched, "corrected_relative_error")),
            series(
                "1/p less 1: the scale alone",
                LEVELS,
                [1 / p - 1 for p in LEVELS],
                mark="line",
            ),
        ],
        title="How far the datamodel is from the derivative, against p",
        x_label="p",
        y_label="relative error, the noise's share taken out",
        log="y",
        x_ticks=LEVELS,
    )


def _of(found: Sequence[Relation], name: str) -> list[Interval]:
    return [getattr(relation, name) for relation in found]


def related(task: tuple[Linear, float, int, int]) -> tuple[Relation, Relation]:
    """Hold one datamodel against the exact derivative at w = 1 and at w = p·1."""
    problem, p, n_models, seed = task
    design = Bernoulli(p=p, n_models=n_models, seed=seed)
    datamodel = fit_datamodel(collect(problem, design))
    at_one, matched = (
        relate(datamodel, response_derivative(problem, Implicit(), at=at))
        for at in (1.0, p)
    )
    return at_one, matched


STUDY = Study(
    id="inverse-p",
    title="The factor between the two points is 1/p",
    text="The post puts the derivative at w = 1, a slope of 1 at every p. Under "
    "scale-free training (`sum`) the slope on dF/dw(1) follows 1/p, and that on the "
    "derivative at the matched point w = p·1 stays near 1.",
    scale="V",
    explains=("posted-identity", "inverse-p-scaling", "matched-derivative"),
    problems=lambda run: MORE if run.thorough else SMALL,
    make=make,
)
