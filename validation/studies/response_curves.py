"""The response along one weight: where secant, tangent and datamodel are slopes."""

from dataclasses import dataclass

from scipy.stats import norm as normal
from scipy.stats import t as student

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.derivatives.curve import Estimate, ResponseCurve, response_curve
from dmtheory.engines.base import run_all
from dmtheory.problems.base import Problem
from dmtheory.rendering import format_interval
from validation.laboratory import Laboratory
from validation.studies.study import Json, Made, Run, Study, chart, series

GROUP = 10
CONVEX = {False: ("breast-cancer-sum",), True: ("breast-cancer-sum", "diabetes-sum")}
NEURAL = {False: ("digits-count",), True: ("digits-count", "digits-sum")}
SEEDS = {False: 12, True: 40}
TWICE = tuple(k / 4 for k in range(9))


def make(run: Run, name: str) -> Made:
    """Draw one example and one group, both around w = 1 and around w = p·1."""
    laboratory = run.laboratory
    target = _least_sure(laboratory, name)
    labels = laboratory.problem(name).description
    p = laboratory.settings[name].p
    # Chosen by none of the estimates that the figures compare.
    scores = laboratory.influence(name, at=p).scores[:, target]
    one = int(scores.abs().argmax())
    group = tuple(sorted(scores.argsort(descending=True)[:GROUP].tolist()))
    alone = f"One example: {labels.train_labels[one]}"
    together = f"The {GROUP} most helpful examples together"
    chosen = {alone: (one,), together: group}
    tasks = [t for examples in chosen.values() for t in _tasks(run, name, examples)]
    curves = run_all(laboratory.engine, _trained, tasks)
    laboratory.models_trained += sum(curve.n_models for curve in curves)
    pairs = zip(curves[::2], curves[1::2], strict=True)
    return Made(
        figures=[
            _drawn(full, matched, target, p, title)
            for title, (full, matched) in zip(chosen, pairs, strict=True)
        ],
        note=f"The target is {labels.target_labels[target]}, whose output is nearest "
        "zero on subsets; classical influence chose the example and the group.",
    )


def _least_sure(laboratory: Laboratory, name: str) -> int:
    return int(laboratory.responses(name).outputs.mean(0).abs().argmin())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A curve to be trained."""

    problem: Problem
    examples: tuple[int, ...]
    at: float
    n_seeds: int
    datamodel: Attribution
    seed: int


def _tasks(run: Run, name: str, examples: tuple[int, ...]) -> list[_Task]:
    """Return the curve around w = 1 and that around w = p·1."""
    laboratory = run.laboratory
    problem = laboratory.problem(name)
    labels = tuple(problem.description.train_labels[i] for i in examples)
    # The other rows need not travel to another process.
    rows = laboratory.datamodel(name).restricted(labels)
    return [
        _Task(
            problem=problem,
            examples=examples,
            at=at,
            n_seeds=SEEDS[run.thorough],
            datamodel=rows,
            seed=laboratory.experiment_seed("removals"),
        )
        for at in (1.0, laboratory.settings[name].p)
    ]


def _trained(task: _Task) -> ResponseCurve:
    return response_curve(
        task.problem,
        task.examples,
        at=task.at,
        multiples=TWICE,
        step=0.1,
        n_seeds=task.n_seeds,
        datamodel=task.datamodel,
        seed=task.seed,
    )


def _drawn(
    full: ResponseCurve, matched: ResponseCurve, target: int, p: float, title: str
) -> Json:
    assert matched.datamodel is not None
    # Seeds are few; the datamodel has units of its own, and many.
    over_seeds = float(student.ppf(0.975, max(full.n_seeds - 1, 1)))
    over_units = float(normal.ppf(0.975))

    def along(curve: ResponseCurve) -> list[Interval]:
        places = range(len(TWICE))
        return [_interval(curve.change, (k, target), over_seeds) for k in places]

    def line(slope: Estimate, at: float, label: str, factor: float) -> Json:
        return _line(_interval(slope, (target,), factor), at, label)

    places = [p * t for t in TWICE]
    return chart(
        [
            series("others at weight 1", TWICE, along(full)),
            series(f"others at weight {p:g}", places, along(matched)),
            line(full.secant, 1.0, "secant: leaving out", over_seeds),
            line(full.tangent, 1.0, "tangent: dF/dw(1)", over_seeds),
            line(matched.tangent, p, f"tangent: dF/dw({p:g}·1)", over_seeds),
            line(matched.datamodel, p, f"datamodel: β({p:g})", over_units),
        ],
        title=title,
        x_label="weight of the example, or of each in the group",
        y_label="change of the output from that at the others' weight",
        view="marks",
    )


def _line(found: Interval, at: float, label: str) -> Json:
    """Return a slope per unit of t as a line through the curve's point t = 1."""
    rise = [_times(found, away) for away in (-1.0, 0.0, 1.0)]
    per_weight = (found.value / at, found.low / at, found.high / at)
    said = format_interval(*per_weight, exact_digits=3)
    return series(f"{label}, {said}", [0.0, at, 2 * at], rise, mark="line")


def _times(slope: Interval, away: float) -> Interval:
    low, high = sorted((away * slope.low, away * slope.high))
    return Interval(away * slope.value, low, high)


def _interval(found: Estimate, place: tuple[int, ...], factor: float) -> Interval:
    value = found.value[place].item()
    if found.stderr is None:
        raise ValueError("a curve needs at least two seeds for its intervals")
    error = factor * found.stderr[place].item()
    return Interval(value, value - error, value + error)


def _study(scale: str, problems: dict[bool, tuple[str, ...]]) -> Study:
    return Study(
        id="response-curve",
        title="Secant, tangent and datamodel on one response",
        text="The weight of one example, or of a group, moves from removal to double, "
        "the others kept at 1 or at p. The derivative is the tangent, leaving out the "
        "secant; a datamodel's coefficient is the slope of a secant too, averaged over "
        "random subsets, and so belongs to the steeper curve of others at weight p.",
        scale=scale,
        explains=("posted-identity", "matched-derivative"),
        problems=lambda run: problems[run.thorough],
        make=make,
    )


OF_CONVEX, OF_NETWORKS = _study("V", CONVEX), _study("M", NEURAL)
