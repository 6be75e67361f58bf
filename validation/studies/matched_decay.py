"""How the gap of the matched derivative falls with the number of examples."""

from collections.abc import Sequence
from math import exp, log
from statistics import fmean

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.engines.base import run_all
from dmtheory.influence.curvature import effective_parameters
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.rendering import format_interval
from dmtheory.theory.closed_forms import matched_slope_tolerance
from validation.claims import matched_derivative
from validation.problems import resized
from validation.statistics.relate import Relation, relate
from validation.studies.study import Json, Made, Run, Study, chart, series

CLAIM = "matched-derivative"
TARGETS = 12
# The name of the claim's part that fits the exponent.
_EXPONENT = "decay with N"


def make(run: Run, name: str) -> Made:
    """Draw the sizes that the claim measured, each side as it is."""
    finding = next(f for f in run.of_claim(CLAIM) if f.entry.problem == name)
    sizes = matched_derivative.SIZES[name]
    evidence, p = finding.evidence, run.laboratory.settings[name].p
    names = [f" {n}" for n in sizes[:-1]] + [""]
    pairs = [
        (evidence.estimates[f"datamodel{n}"], evidence.references[f"derivative{n}"])
        for n in names
    ]
    found = run_all(run.laboratory.engine, _related, pairs)
    d = [_effective(name, n, p) for n in sizes]
    return Made(
        figures=[
            _errors(sizes, found, d, p, _exponent(finding.judged)),
            _slopes(sizes, found, d, p),
        ]
    )


def _errors(
    sizes: Sequence[int],
    found: list[Relation],
    d: list[float],
    p: float,
    exponent: Interval | None,
) -> Json:
    errors = [relation.corrected_relative_error for relation in found]
    law = [one / (p * n) for n, one in zip(sizes, d, strict=True)]
    drawn = [
        series("relative error of dF/dw(p·1)", sizes, errors),
        series("d/(pN), its order", sizes, law, mark="line"),
    ]
    values = [error.value for error in errors]
    if exponent is not None and min(values) > 0:
        said = format_interval(exponent.value, exponent.low, exponent.high)
        fitted = _power(sizes, values, exponent.value)
        drawn.append(series(f"fitted exponent {said}", sizes, fitted, mark="line"))
    return chart(
        drawn,
        title="The gap at the matched point, against N",
        x_label="training examples N",
        y_label="relative error, the noise's share taken out",
        caption="The exponent is the claim's, over all targets.",
        log="xy",
        x_ticks=sizes,
    )


def _power(
    sizes: Sequence[int], values: Sequence[float], exponent: float
) -> list[float]:
    """Return the power law with this exponent through the middle of the values."""
    place = fmean(map(log, sizes))
    height = fmean(map(log, values))
    return [exp(height + exponent * (log(n) - place)) for n in sizes]


def _slopes(
    sizes: Sequence[int], found: list[Relation], d: list[float], p: float
) -> Json:
    allowed = [
        matched_slope_tolerance(one, p, n) for n, one in zip(sizes, d, strict=True)
    ]
    return chart(
        [
            series("slope of β(p) on dF/dw(p·1)", sizes, [one.slope for one in found]),
            series(
                "1, and what the claim allows",
                sizes,
                [Interval(1.0, 1 - delta, 1 + delta) for delta in allowed],
                mark="line",
            ),
        ],
        title="The slope at the matched point, against N",
        x_label="training examples N",
        y_label="slope, errors in variables",
        caption="Here the band is no interval: it is the tolerance, 2d/(pN) + .01 and "
        "at most .15.",
        log="x",
        x_ticks=sizes,
    )


def _exponent(judged: Json) -> Interval | None:
    for part in judged["parts"]:
        if part["name"] == _EXPONENT and part["value"] is not None:
            return Interval(part["value"], part["low"], part["high"])
    return None


def _effective(name: str, n_train: int, p: float) -> float:
    problem = resized(name, n_train)
    assert isinstance(problem, DifferentiableProblem)
    return effective_parameters(problem, at=p)


def _related(pair: tuple[Attribution, Attribution]) -> Relation:
    labels = pair[0].target_labels[:TARGETS]
    return relate(*(side.restricted(targets=labels) for side in pair))


STUDY = Study(
    id="matched-decay",
    title="The matched derivative comes closer as N grows",
    text="β(p) is the derivative at w = p·1 up to a gap of order d/(pN), d the "
    "effective number of parameters there: half the examples, twice the gap.",
    scale="V",
    explains=(CLAIM,),
    problems=lambda run: [
        finding.entry.problem
        for finding in run.of_claim(CLAIM)
        if finding.entry.problem in matched_derivative.SIZES
    ],
    make=make,
)
