"""What a study's numbers say, in words."""

from dmtheory.agreement.agreement import Agreement
from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import Row
from dmtheory.agreement.scale_free import ScaleCheck
from dmtheory.rendering.text import format_interval, format_number
from dmtheory.study.plan import LEVEL
from dmtheory.study.study import DATAMODEL, SHRUNK, UNSHRUNK, Study
from dmtheory.study.trainings import AT_ONE, MATCHED

# Slopes within these count as right in scale.
_ABOUT_ONE = (0.9, 1.1)


def advice(found: Study) -> tuple[str, ...]:
    """Say whether training is scale-free, how good influence is, and what it takes.

    Args:
        found: What a study found.

    Returns:
        A paragraph each; every statement is drawn from an interval, and says "not
        decided" where the interval leaves it open.
    """
    said = [_scale(found.scale), _posted(found), _influence(found)]
    said += [_where(found), _against_retraining(found), _price(found)]
    return tuple(paragraph for paragraph in said if paragraph)


def _scale(check: ScaleCheck | None) -> str:
    if check is None:
        return (
            "Steps are in proportion to the subset, so weights are 0 or 1: there is no "
            "derivative to compare the datamodel with. Train with fixed steps to have "
            "one."
        )
    names = {True: "scale-free", False: "not scale-free", None: "perhaps scale-free"}
    largest = max(check.at_one, check.elsewhere, key=lambda change: change.high)
    return (
        f"This training is {names[check.scale_free]}: scaling all weights by "
        f"{check.level:g} changes outputs by {_percent(largest)} of their size. "
        f"{check.remedy[0].upper()}{check.remedy[1:]}."
    )


def _posted(found: Study) -> str:
    """Say how the datamodel relates to the derivative at 1 and at the matched point."""
    at_one = _comparison(found, f"{UNSHRUNK} on dF/dw {AT_ONE}")
    matched = _comparison(found, f"{UNSHRUNK} on dF/dw {MATCHED}")
    if at_one is None or matched is None:
        return ""
    return (
        f"Datamodel coefficients are {_slope(at_one)} times dF/dw at w = 1, where the "
        f"posted identity says 1, and {_slope(matched)} times dF/dw at the matched "
        f"point w = {LEVEL:g}·1."
    )


def _influence(found: Study) -> str:
    held = _comparison(found, f"influence {MATCHED} on dF/dw {MATCHED}")
    if held is None:
        return (
            "Influence was not measured: it takes a differentiable problem with fixed "
            "steps, and time for a model's curvature."
        )
    size = _verdict(held.slope)
    return (
        f"Influence at the matched point is {_slope(held)} times dF/dw by retraining: "
        f"its scale is {size}. Its correlation with it, errors taken out, is "
        f"{_text(held.disattenuated)}."
    )


def _where(found: Study) -> str:
    """Say at which point or over which models influence predicts best."""
    if found.influences is None:
        return ""
    rows = found.influences.rows
    said = "; ".join(f"{_place(row)} {_text(row.lds.mean)}" for row in rows)
    best = found.influences.reference
    open_ = [_place(r) for r in rows if r.name != best and r.difference.high >= 0]
    place = best.removeprefix("influence ")
    text = (
        f"On models of random halves that nothing has seen, influence scores (LDS): "
        f"{said}. The highest is that {place}"
    )
    if open_:
        text += f"; whether it is better than that {' and '.join(open_)} is not decided"
    return text + "."


def _place(row: Row) -> str:
    return row.name.removeprefix("influence ")


def _against_retraining(found: Study) -> str:
    """Say whether the datamodel or influence predicts retraining better."""
    rows = {row.name: row for row in found.scores.rows}
    ceiling = rows[DATAMODEL].lds.ceiling
    text = (
        f"The datamodel of {2 * found.plan.n_pairs:,} trainings scores "
        f"{_text(rows[DATAMODEL].lds.mean)}"
    )
    if ceiling is not None and not found.deterministic:
        text += f"; no attribution can pass {format_number(ceiling.value)}"
    if found.influences is None:
        return text + "."
    ahead = rows[found.influences.reference].difference
    if ahead.low > 0:
        text += ". Influence is better, for a few trainings"
    elif ahead.high < 0:
        text += ". It beats influence"
    else:
        text += ". Which of the two is better is not decided"
    shrunk = rows[SHRUNK].difference
    if shrunk.low > 0:
        text += (
            f"; shrunk toward influence it gains {_text(shrunk)} for "
            "no further training"
        )
    return text + "."


def _price(found: Study) -> str:
    if found.needed is None:
        return ""
    return (
        f"A ridge datamodel from complementary pairs would score what the best "
        f"influence does with: {found.needed}."
    )


def _comparison(found: Study, name: str) -> Agreement | None:
    return next((c.found for c in found.comparisons if c.name == name), None)


def _slope(held: Agreement) -> str:
    return _text(held.slope)


def _verdict(slope: Interval) -> str:
    low, high = _ABOUT_ONE
    if low <= slope.low and slope.high <= high:
        return "right within a tenth"
    if slope.high < low:
        return "too small"
    if slope.low > high:
        return "too large"
    return "not decided within a tenth"


def _percent(change: Interval) -> str:
    percent = Interval(100 * change.value, 100 * change.low, 100 * change.high)
    return f"{_text(percent)} %"


def _text(interval: Interval) -> str:
    if interval.low == interval.high:
        return format_number(interval.value, digits=4)
    return format_interval(interval.value, interval.low, interval.high)
