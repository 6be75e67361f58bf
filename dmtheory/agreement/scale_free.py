"""Is a training procedure scale-free, F(c w) = F(w), and what follows if it is not."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.derivatives.units import check_none_diverged
from dmtheory.designs.nudges import Nudges
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect

_LEAST_WEIGHT = 0.25
_FEWEST_SEEDS = 4
_REMEDIES = {
    True: "the matched point changes only the scale: divide derivatives and influence "
    "at w = 1 by p; no rank changes",
    False: "the matched point is needed: take derivatives and influence at w = p·1, or "
    "over models of random subsets",
    None: "not decided: more seeds would tell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCheck:
    """How much a response changes when all weights are scaled alike.

    Changes are root mean squares over targets of F(c w) - F(w), the noise of seeds
    taken out, over those of F; with 95 % intervals.

    Attributes:
        level: c.
        at_one: From F(1) to F(c·1).
        elsewhere: The same at one random w in [1/4, 1)^N. A response may agree at 1
            and c·1 without being scale-free.
        tolerance: The change up to which a procedure counts as scale-free.
        n_seeds: Training seeds.
        n_models: Trainings spent.
    """

    level: float
    at_one: Interval
    elsewhere: Interval
    tolerance: float
    n_seeds: int
    n_models: int

    @property
    def scale_free(self) -> bool | None:
        """Whether both changes are within the tolerance; None if that is open."""
        both = self.at_one, self.elsewhere
        if all(change.high <= self.tolerance for change in both):
            return True
        if any(change.low > self.tolerance for change in both):
            return False
        return None

    @property
    def remedy(self) -> str:
        """What to do so that influence predicts models of random subsets."""
        return _REMEDIES[self.scale_free]


def scale_free(
    problem: Problem,
    *,
    level: float = 0.5,
    n_seeds: int = 20,
    tolerance: float = 0.01,
    seed: int = 0,
    draws: int = 1000,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ScaleCheck:
    r"""Check F(c w) = F(w) at w = 1 and at a random w, both sides sharing their seeds.

    Any procedure that divides by the sum of the weights is scale-free; then g(c w) =
    g(w)/c, and influence at w = 1 ranks as influence at the matched point w = p·1 does.

    Args:
        problem: The training map and its outputs; any that takes weights.
        level: c, the p of the subsets that are to be predicted, in (0, 1).
        n_seeds: Training seeds, at least 4; one where training is deterministic.
        tolerance: The relative change up to which a procedure counts as scale-free.
        seed: The experiment's seed.
        draws: Bootstrap draws over seeds, at least 1,000.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Both changes with intervals, whether they are small, and what follows.

    Raises:
        ValueError: If an argument is out of range or a training diverged.

    References:
        theory.md 2.8 and 3.5.
    """
    check_open_unit(level, "level")
    check_positive(tolerance, "tolerance")
    description = problem.description
    if description.deterministic:
        n_seeds = 1
    else:
        check_at_least(n_seeds, _FEWEST_SEEDS, "n_seeds")
    n_train = description.n_train
    drawn = uniforms(seed, Purpose.DIRECTION, torch.arange(1), torch.arange(n_train))
    points = torch.ones_like(drawn[0]), _LEAST_WEIGHT + (1 - _LEAST_WEIGHT) * drawn[0]
    changes = []
    for point in points:
        design = _both_sides(point, level, n_seeds, seed)
        responses = collect(problem, design, engine=engine, progress=progress)
        check_none_diverged(responses.diverged)
        before, after = responses.outputs.unflatten(0, (n_seeds, 2)).unbind(1)
        changes.append(_relative_change(before, after, draws))
    return ScaleCheck(
        level=level,
        at_one=changes[0],
        elsewhere=changes[1],
        tolerance=tolerance,
        n_seeds=n_seeds,
        n_models=4 * n_seeds,
    )


def _both_sides(
    point: Float[Tensor, " train"], level: float, n_seeds: int, seed: int
) -> Nudges:
    scaled = tuple(enumerate(((level - 1) * point).tolist()))
    at = tuple(point.tolist())
    return Nudges(at=at, moves=((), scaled), n_seeds=n_seeds, seed=seed)


def _relative_change(
    before: Float[Tensor, "seeds targets"],
    after: Float[Tensor, "seeds targets"],
    draws: int,
) -> Interval:
    once = torch.ones(1, len(before), dtype=torch.float64)
    value = _squared(before, after, once)[0]
    if len(before) == 1:
        return Interval.exact(value.sqrt().item())
    counts = resample_counts(len(before), 1, draws=draws, seed=0)
    found = centred_interval(value, _squared(before, after, counts))
    ends = torch.tensor([found.value, found.low, found.high], dtype=torch.float64)
    return Interval(*ends.clamp_min(0).sqrt().tolist())


def _squared(
    before: Tensor, after: Tensor, counts: Float[Tensor, "draws seeds"]
) -> Float[Tensor, " draws"]:
    """Return |E after - E before|^2 over the larger |E output|^2, unbiased above."""
    n = len(before)
    share = counts / n
    change = after - before
    mean = share @ change
    square = mean.square().mean(1)
    if n > 1:
        # What the noise of n seeds adds to the square of a mean.
        spread = (share @ change.square() - mean.square()) / (n - 1)
        square = square - spread.mean(1)
    sizes = [(share @ outputs).square().mean(1) for outputs in (before, after)]
    return square / torch.maximum(*sizes).clamp_min(torch.finfo(torch.float64).tiny)
