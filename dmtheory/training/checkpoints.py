"""Go back over a chain of steps with few of its states kept: the rest is made anew."""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

from dmtheory.checks import check_at_least

State = TypeVar("State")

# States that are no burden; with more, steps are the cheaper ones to repeat.
_MANY = 32


def few_snapshots(n_steps: int) -> int:
    """Return how many states to keep so that few steps are taken again.

    The least c with (c + 2 choose 2) > n_steps, about the square root of twice the
    steps: each is taken twice at most. Where those are more than 32 states, the least
    c >= 32 with (c + 3 choose 3) > n_steps, about the cube root of six times the
    steps: each is taken three times at most.
    """
    twice = max(1, math.ceil((math.sqrt(8 * n_steps + 9) - 3) / 2))
    if twice <= _MANY:
        return twice
    thrice = _MANY
    while math.comb(thrice + 3, 3) <= n_steps:
        thrice += 1
    return thrice


def backwards(
    advance: Callable[[State, int], State],
    start: State,
    n_steps: int,
    n_snapshots: int,
) -> Iterator[tuple[int, State]]:
    """Yield (k, state before step k) for k = n_steps, ..., 0.

    State n_steps is the last one, behind all steps. With c snapshots, each step is
    taken at most r times, the least r with (c + r choose c) > n_steps; where the
    snapshots stand makes the steps taken the fewest possible.

    Args:
        advance: Takes step k from the state before it, which it leaves as it is.
        start: The state before step 0; it is one of the snapshots.
        n_steps: Length of the chain, >= 0.
        n_snapshots: States kept at a time, >= 1, the one that is yielded beside them.

    Yields:
        Every state, from last to first.

    References:
        Griewank and Walther 2000, Algorithm 799: Revolve, section 2.
    """
    check_at_least(n_snapshots, 1, "n_snapshots")
    kept = [(0, start)]
    for step in range(n_steps, -1, -1):
        if kept[-1][0] > step:
            kept.pop()
        place, state = kept[-1]
        while place < step:
            # Snapshots still free, with the one that stands here.
            free = n_snapshots - len(kept) + 1
            to = step if free == 1 else place + _stride(step - place + 1, free)
            for k in range(place, to):
                state = advance(state, k)
            place = to
            if free > 1 and place < step:
                kept.append((place, state))
        yield step, state


def _stride(length: int, n_snapshots: int) -> int:
    """Return where the next snapshot stands in a chain of so many states."""
    c, r = n_snapshots, 1
    while math.comb(c + r, c) < length:
        r += 1
    before = math.comb(c + r - 2, c) if r >= 2 else 0
    return max(before, length - math.comb(c + r - 1, c - 1), 1)
