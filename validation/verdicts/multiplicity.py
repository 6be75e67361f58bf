"""Which verdicts of a run stand together: errors over all of its entries controlled.

Every part is judged by its 95 % interval, alone. "Supported" says that the number lies
inside the tolerance: two one-sided tests, one an end, each at level alpha, reject its
being outside when the 1 - 2 alpha interval lies inside (the interval of an equivalence
test; no 1 - alpha one is needed, since outside is on one side only). The suite's 95 %
intervals are thus tests at 2.5 %. "Refuted" says that it lies outside, on a side that
is not stated beforehand: of a truth on one end both tails count, the farther one beyond
the whole tolerance, so that these tests are at 2.5 to 5 %.

What is tested is fixed before the run: that some part of an entry is not as expected.
Its p-value is the largest of its parts', without correction, since the entry errs only
where a part does (an intersection-union test). Over the entries of a run Holm's method
adjusts them, whatever their dependence: the probability that any entry stands of which
some part is in truth not as expected is at most 5 %. A verdict that nobody expected
stands nowhere: it is no test but a finding, to be repeated with another seed.

Some levels are below what a thousand draws can tell, so p-values come from the interval
itself: each side of it is taken as 1.96 standard errors of a normal law. That follows
skewness, not heavy tails. A number without width, exact or a count that no draw
changed, has p-value 0; Holm's method lets such entries cost the others nothing.

References:
    Holm 1979; Schuirmann 1987; Berger 1982.
"""

from typing import Any

from scipy.special import ndtr, ndtri

from validation.verdicts.verdict import INCONCLUSIVE, SUPPORTED, Part, part_of

LEVEL = 0.05
# Standard errors from the value to an end of a 95 % interval.
_ENDS = float(ndtri(0.975))


def chance_of_error(part: Part) -> float:
    """Return the p-value of a part's expected verdict; 1 where it came out otherwise.

    Of a supported part it is the level alpha at which the 1 - 2 alpha interval would
    just lose the verdict.
    """
    if not part.passed:
        return 1.0
    interval = part.interval
    low, high = part.edges
    below, above = interval.value - interval.low, interval.high - interval.value
    if part.verdict == SUPPORTED:
        return max(
            _tail(interval.value - low, below), _tail(high - interval.value, above)
        )
    room, reach = (
        (interval.value - high, below)
        if interval.value > high
        else (low - interval.value, above)
    )
    return _tail(room, reach) + _tail(room + high - low, reach)


def _tail(room: float, reach: float) -> float:
    """Return the normal tail beyond an end that is `room` from the value."""
    return float(ndtr(-_ENDS * room / reach)) if reach > 0 else 0.0


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's adjusted p-values: at most a level for what stands at it.

    The k-th smallest of n is multiplied by n + 1 - k, and never falls below those
    before it.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def family_wise(claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each entry of results.json whether its verdict stands in the family.

    Args:
        claims: The entries of a run; those that are not as expected, or that did not
            notice a wrong estimate, stand nowhere.

    Returns:
        The p-value, its adjusted value, and whether that is at most 5 %, an entry.
    """
    alone = [_of_entry(claim) for claim in claims]
    return [
        {"p": p, "adjusted": adjusted, "stands": adjusted <= LEVEL}
        for p, adjusted in zip(alone, holm(alone), strict=True)
    ]


def _of_entry(claim: dict[str, Any]) -> float:
    """Return the largest p-value of what is judged; 1 where a control was missed."""
    parts = [part for part in map(part_of, claim["parts"]) if part.judged]
    if claim["verdict"] == INCONCLUSIVE or not claim["passed"] or not parts:
        return 1.0
    return max(map(chance_of_error, parts))
