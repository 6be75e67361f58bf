"""The response along one weight: where secant, tangent and datamodel are slopes."""

from scipy.stats import t as student

from dmtheory.agreement.bootstrap import Interval
from dmtheory.derivatives.curve import Estimate, ResponseCurve, response_curve
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
    return Made(
        figures=[
            _drawn(run, name, target, (one,), alone),
            _drawn(run, name, target, group, together),
        ],
        note=f"The target is {labels.target_labels[target]}, whose output is nearest "
        "zero on subsets; classical influence chose the example and the group.",
    )


def _least_sure(laboratory: Laboratory, name: str) -> int:
    return int(laboratory.responses(name).outputs.mean(0).abs().argmin())


def _drawn(
    run: Run, name: str, target: int, examples: tuple[int, ...], title: str
) -> Json:
    laboratory = run.laboratory
    p = laboratory.settings[name].p
    curves = {
        at: response_curve(
            laboratory.problem(name),
            examples,
            at=at,
            multiples=TWICE,
            step=0.1,
            n_seeds=SEEDS[run.thorough],
            datamodel=laboratory.datamodel(name),
            seed=laboratory.experiment_seed("removals"),
            engine=laboratory.engine,
        )
        for at in (1.0, p)
    }
    laboratory.models_trained += sum(c.n_models for c in curves.values())
    full, matched = curves[1.0], curves[p]
    assert matched.datamodel is not None
    places = [p * t for t in TWICE]
    return chart(
        [
            series("others at weight 1", TWICE, _along(full, target)),
            series(f"others at weight {p:g}", places, _along(matched, target)),
            _line(full, full.secant, target, 1.0, "secant: leaving out"),
            _line(full, full.tangent, target, 1.0, "tangent: dF/dw(1)"),
            _line(matched, matched.tangent, target, p, f"tangent: dF/dw({p:g}·1)"),
            _line(matched, matched.datamodel, target, p, f"datamodel: β({p:g})"),
        ],
        title=title,
        x_label="weight of the example" if len(examples) == 1 else "weight of each",
        y_label="change of the output from that at the others' weight",
        view="marks",
    )


def _along(curve: ResponseCurve, target: int) -> list[Interval]:
    return [
        _interval(curve, curve.change, (place, target)) for place in range(len(TWICE))
    ]


def _line(
    curve: ResponseCurve, slope: Estimate, target: int, at: float, label: str
) -> Json:
    """Return a slope per unit of t as a line through the curve's point t = 1."""
    found = _interval(curve, slope, (target,))
    rise = [_times(found, away) for away in (-1.0, 0.0, 1.0)]
    per_weight = (found.value / at, found.low / at, found.high / at)
    said = format_interval(*per_weight, exact_digits=3)
    return series(f"{label}, {said}", [0.0, at, 2 * at], rise, mark="line")


def _times(slope: Interval, away: float) -> Interval:
    low, high = sorted((away * slope.low, away * slope.high))
    return Interval(away * slope.value, low, high)


def _interval(
    curve: ResponseCurve, found: Estimate, place: tuple[int, ...]
) -> Interval:
    value = found.value[place].item()
    if found.stderr is None:
        raise ValueError("a curve needs at least two seeds for its intervals")
    factor = float(student.ppf(0.975, max(curve.n_seeds - 1, 1)))
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
