"""How a budget of time is spent: stages in order of worth, none too long."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmtheory.designs import Bernoulli, Nudges
from dmtheory.theory import noise_laws
from validation.cifar10.sizes import Sizes
from validation.cifar10.works import Work

# Halvings of the interval in which the level of all shares is sought.
_HALVINGS = 50
# Noise over signal before anything is known: as much noise as signal.
UNKNOWN_RATIO = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a stage does beside training for a design: attributions, fits.

    Attributes:
        name: Its name.
        seconds: How long it is expected to take.
        serves: The claims that it serves.
        bytes: Memory that it takes on the device at most; None where nobody counted.
    """

    name: str
    seconds: float
    serves: str
    bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One resumable step of the suite.

    Attributes:
        name: The work or task.
        models: How many models of the work there are afterwards; 0 of a task.
        seconds: How long it is expected to take.
    """

    name: str
    models: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Seconds that a model takes, by problem."""

    seconds_a_model: Mapping[str, float]

    def seconds(self, work: Work, n_models: int) -> float:
        """Return how long so many models of a piece of work take."""
        return n_models * self.seconds_a_model[work.problem]


def stages(
    items: Sequence[Work | Task],
    *,
    done: Mapping[str, int],
    speed: Speed,
    seconds: float,
    sizes: Sizes,
) -> list[Stage]:
    """Plan what is left to do within so many seconds.

    Everybody first gets the fewest models that are of use, in order of worth, up to
    the first who does not fit: those after it may need it. What is left of the time
    goes to all who were begun and can use it, by their shares.

    Args:
        items: Work and tasks, in order of worth.
        done: Models that are there; 1 for a finished task.
        speed: How long a model takes.
        seconds: How much time there is.
        sizes: Models a block, and the longest stage.

    Returns:
        Stages in the order in which they are done; each fits into what is left.
    """
    aims: dict[str, int] = {}
    left = seconds
    for item in items:
        least = 1 if isinstance(item, Task) else _whole(item, item.least, sizes)
        cost = _cost(item, done, least, speed)
        if cost > left:
            break
        aims[item.name] = max(least, done.get(item.name, 0))
        left -= cost
    first = _split(items, done, aims, speed, sizes)
    more = _shared(items, aims, speed, left, sizes)
    return first + _split(items, dict(done) | aims, more, speed, sizes)


def _whole(work: Work, n_models: int, sizes: Sizes) -> int:
    block = work.block(sizes)
    return -(-n_models // block) * block


def _cost(item: Work | Task, done: Mapping[str, int], aim: int, speed: Speed) -> float:
    missing = aim - done.get(item.name, 0)
    if missing <= 0:
        return 0.0
    return item.seconds if isinstance(item, Task) else speed.seconds(item, missing)


def _shared(
    items: Sequence[Work | Task],
    aims: Mapping[str, int],
    speed: Speed,
    left: float,
    sizes: Sizes,
) -> dict[str, int]:
    """Return how many models there should be with the time that is left.

    What a piece of work has beyond the fewest counts toward its share, so that a plan
    that is made anew after each stage stays the same plan.
    """
    begun = [i for i in items if isinstance(i, Work) and i.name in aims]

    def aim(work: Work, level: float) -> int:
        block, least = work.block(sizes), _whole(work, work.least, sizes)
        blocks = level * work.share / speed.seconds(work, block)
        most = _whole(work, work.wanted, sizes)
        return max(min(least + math.floor(blocks) * block, most), aims[work.name])

    def cost(level: float) -> float:
        more = (speed.seconds(w, aim(w, level) - aims[w.name]) for w in begun)
        return sum(more)

    low, high = (
        0.0,
        max(left, 0.0)
        + sum(speed.seconds(work, aims[work.name]) / work.share for work in begun),
    )
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        low, high = (level, high) if cost(level) <= left else (low, level)
    return dict(aims) | {work.name: aim(work, low) for work in begun}


def _split(
    items: Sequence[Work | Task],
    done: Mapping[str, int],
    aims: Mapping[str, int],
    speed: Speed,
    sizes: Sizes,
) -> list[Stage]:
    """Return stages from what is there to the aims, none longer than it may be."""
    found = []
    for item in items:
        at, aim = done.get(item.name, 0), aims.get(item.name, 0)
        if isinstance(item, Task):
            if at < aim:
                found.append(Stage(name=item.name, models=0, seconds=item.seconds))
            continue
        block = item.block(sizes)
        step = math.floor(sizes.stage_seconds / speed.seconds(item, block)) * block
        step = max(step, block)
        while at < aim:
            to = min(at + step, aim)
            seconds = speed.seconds(item, to - at)
            found.append(Stage(name=item.name, models=to, seconds=seconds))
            at = to
    return found


def promise(work: Work, n_models: int, n_players: int, ratio: float) -> str:
    """Say what precision the noise laws promise of so many models.

    Args:
        work: The piece of work.
        n_models: Models.
        n_players: Groups or images.
        ratio: Noise variance over that of the linear part.
    """
    if work.judges:
        n = n_models // work.unit
        return f"LDS within {1.96 / max(n - 3, 1) ** 0.5:.2f} a target"
    if isinstance(work.design, Nudges):
        n = n_models // work.unit
        return f"standard error {n**-0.5:.2f} of the spread over seeds"
    if isinstance(work.design, Bernoulli):
        r = noise_laws.ridge_correlation(1.0, ratio, n_players, n_models)
    else:
        r = noise_laws.pairs_correlation(1.0, ratio, n_players, n_models // 2)
    return f"r = {r:.2f} with the linear part, at noise/signal {ratio:.2g}"
