"""How many models reach a given error, correlation or score, from a small pilot."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import Intervals, resample_counts
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.datamodels.inference.variances import Parts, Variances, variances_of
from dmtheory.designs import ComplementaryPairs
from dmtheory.responses.responses import Responses
from dmtheory.theory.noise_laws import (
    Law,
    ols_law,
    pairs_law,
    ridge_law,
    spearman_map,
)

# More rows than anyone trains count as unreachable.
_MOST_ROWS = 2**30
# A linear share below this is none.
_LEAST_SHARE = 1e-9


@dataclass(frozen=True, slots=True)
class StandardError:
    """A standard error of single coefficients, root mean square over examples.

    Attributes:
        value: The error, in units of the output per unit of weight.
    """

    value: float

    def __post_init__(self) -> None:
        check_positive(self.value, "value")


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation of the datamodel with the true linear part on new subsets.

    Attributes:
        value: The correlation, in (0, 1).
    """

    value: float

    def __post_init__(self) -> None:
        check_open_unit(self.value, "value")


@dataclass(frozen=True, slots=True)
class Score:
    """A linear datamodeling score on new subsets.

    Attributes:
        value: The rank correlation, in (0, 1).
        n_seeds: Training seeds averaged for a held-out subset.
    """

    value: float
    n_seeds: int = 1

    def __post_init__(self) -> None:
        check_open_unit(self.value, "value")
        check_at_least(self.n_seeds, 1, "n_seeds")


Goal = StandardError | Correlation | Score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Budget:
    """How many trainings reach a goal; infinite where none do.

    Attributes:
        goal: What is to be reached, by the mean over targets.
        models: Trainings in all, of the pilot's kind.
        more: Trainings beyond the pilot's.
        per_target: Trainings in all for each target to reach the goal alone.
        bound: The best value that any number of trainings reaches.
        linear_share: L/V, the share of an output's variance that is linear in the
            mask, mean over targets.
        target_labels: One label a target.
        n_pilot: The pilot's trainings.
    """

    goal: Goal
    models: Interval
    more: Interval
    per_target: Intervals
    bound: Interval
    linear_share: Interval
    target_labels: tuple[str, ...]
    n_pilot: int

    @property
    def reachable(self) -> bool:
        """Whether the estimate of the bound lies beyond the goal."""
        return self.models.value < float("inf")

    def __str__(self) -> str:
        if not self.reachable:
            return (
                f"unreachable: at most {self.bound.value:.3f} "
                f"({self.bound.low:.3f} to {self.bound.high:.3f}) by any number of "
                "models"
            )
        low, high = (_count(x) for x in (self.models.low, self.models.high))
        return (
            f"{_count(self.models.value)} models ({low} to {high}), "
            f"{_count(self.more.value)} more than the pilot's"
        )


def models_needed(
    pilot: Responses | SubsetOutputs,
    goal: Goal,
    *,
    law: Law | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Budget:
    r"""Say how many models of the pilot's design reach a goal.

    The pilot tells L and sigma^2 of every target without bias, with fewer models than
    examples too; the noise law r(m; L, sigma^2) is then solved for m, so that the mean
    over targets of r, of LDS = (6/pi) asin(r sqrt(L/(L + V_high + s^2/R))/2), or the
    root mean square of the standard errors, meets the goal. Targets' shares are drawn
    together by what the pilot's own error adds to their spread. A nominal .95 covers
    .86 to .98 in simulations, the lower end for targets of very different linear
    shares and pilots with fewer models than examples.

    Example: models_needed(pilot, Score(0.6, n_seeds=4)), the goals from this module.

    Args:
        pilot: Responses on random subsets: independent rows or complementary pairs,
            with replicates if a score of other than the pilot's seeds is the goal.
        goal: `StandardError`, `Correlation` or `Score`.
        law: The noise law of the estimator, from `dmtheory.theory.noise_laws`; that of
            OLS on the pilot's design by default. `ridge_law` assumes isotropic
            coefficients and the best penalty.
        draws: Bootstrap draws over the pilot's subsets or pairs, at least 1,000.
        seed: Seed of the resampling.

    Returns:
        The number of models with a 95 % interval, and the bound.

    Raises:
        ValueError: If the goal asks for what the pilot cannot tell.
    """
    sample = evaluation_of(pilot)
    sample.check_outputs_vary()
    found = variances_of(sample)
    paired = isinstance(sample.design, ComplementaryPairs)
    law = law or (pairs_law if paired else ols_law)
    if isinstance(goal, StandardError) and law is ridge_law:
        raise ValueError(
            "goal must be a Correlation or Score for ridge: the standard error of a "
            "shrunk coefficient does not tell its error"
        )
    quantity = _quantity(goal, law, found, sample)
    per_row = sample.n_seeds * (2 if paired else 1)
    counts = resample_counts(sample.n_units, 1, draws=draws, seed=seed) - 1
    # A squared standard error is linear in the variances: nothing to undo.
    exact = isinstance(goal, StandardError)
    single = _Drawn.of(found.relative() if exact else found.shares(), counts)
    joint = single if exact else single.without_error(found.shares())
    wanted = -(goal.value**2) if exact else goal.value

    def mean(rows: Tensor) -> Tensor:
        return _mean_over_targets(quantity, rows, joint)

    def each(rows: Tensor) -> Tensor:
        return quantity(rows, *single.moved(1.0))

    models = per_row * _rows_needed(mean, wanted, (draws + 1, 1))
    share = single.moved(1.0)[0].mean(1, keepdim=True)
    most = torch.full((draws + 1, 1), float(_MOST_ROWS), dtype=torch.float64)
    return Budget(
        goal=goal,
        models=_interval(models),
        more=_interval((models - sample.n_units * per_row).clamp_min(0)),
        per_target=_intervals(
            per_row * _rows_needed(each, wanted, tuple(single.linear_moves.shape))
        ),
        bound=_interval(0 * most if exact else mean(most)),
        linear_share=_interval(share).clipped(0.0, 1.0),
        target_labels=sample.target_labels,
        n_pilot=sample.n_models,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Drawn:
    """Two parts of the variance, and how they move: not at all, then by draws."""

    linear: Tensor
    noise: Tensor
    linear_moves: Tensor
    noise_moves: Tensor

    @staticmethod
    def of(parts: Parts, counts: Tensor) -> "_Drawn":
        def moves(of_rows: Tensor) -> Tensor:
            shift = counts @ of_rows
            shift = shift - shift.median(0).values
            return torch.cat([torch.zeros_like(shift[:1]), shift])

        return _Drawn(
            linear=parts.linear,
            noise=parts.noise,
            linear_moves=moves(parts.linear_moves),
            noise_moves=moves(parts.noise_moves),
        )

    def moved(self, own: float) -> tuple[Tensor, Tensor]:
        """Return both parts after what targets move in common and `own` of the rest."""
        return (
            self.linear + _drawn_in(self.linear_moves, own),
            self.noise + _drawn_in(self.noise_moves, own),
        )

    def without_error(self, parts: Parts) -> "_Drawn":
        """Return the parts with the spread over targets that the truth has.

        A mean over targets of a curved function of noisy shares is off by the noise's
        variance; deviations times sqrt(true variance/observed variance) undo that.
        """
        linear = _spread_factor(parts.linear, parts.linear_moves)
        noise = _spread_factor(parts.noise, parts.noise_moves)
        return _Drawn(
            linear=_drawn_in(self.linear, linear),
            noise=_drawn_in(self.noise, noise),
            linear_moves=_drawn_in(self.linear_moves, linear),
            noise_moves=_drawn_in(self.noise_moves, noise),
        )


def _spread_factor(shares: Tensor, moves: Tensor) -> float:
    if len(shares) == 1:
        return 1.0
    error = moves.square().sum(0).mean()
    spread = shares.var(correction=0).clamp_min(1e-300)
    return (1 - error / spread).clamp_min(0).sqrt().item()


def _drawn_in(shares: Tensor, factor: float) -> Tensor:
    centre = shares.mean(-1, keepdim=True)
    return centre + factor * (shares - centre)


# From rows, linear part and noise, a draw and target.
Quantity = Callable[[Tensor, Tensor, Tensor], Tensor]


def _mean_over_targets(quantity: Quantity, rows: Tensor, drawn: _Drawn) -> Tensor:
    """Return the mean where targets move in common, and what their own moves change.

    Own moves and their opposites bend a curved quantity alike: half their difference
    is what a draw changes, without the bias that it adds.
    """
    here = quantity(rows, *drawn.moved(0.0)).mean(1, keepdim=True)
    up = quantity(rows, *drawn.moved(1.0)).mean(1, keepdim=True)
    down = quantity(rows, *drawn.moved(-1.0)).mean(1, keepdim=True)
    return here + (up - down) / 2


def _quantity(
    goal: Goal, law: Law, found: Variances, sample: SubsetOutputs
) -> Quantity:
    """Return what grows with the number of rows.

    For a standard error that is minus its square, whose mean over targets is that of
    the goal.

    Returns:
        A function of rows, linear part and noise.
    """
    rank = found.rank

    def squared(rows: Tensor, linear: Tensor, noise: Tensor) -> Tensor:
        ratio = noise.clamp_min(0) / linear.clamp_min(_LEAST_SHARE)
        return law(ratio, rank, rows)

    if isinstance(goal, Correlation):
        return lambda rows, linear, noise: squared(rows, linear, noise).sqrt()
    if isinstance(goal, Score):
        total = 1 + _other_seeds(found, sample, goal.n_seeds)

        def score(rows: Tensor, linear: Tensor, noise: Tensor) -> Tensor:
            share = linear.clamp_min(0) / total.clamp_min(_LEAST_SHARE)
            reached = squared(rows, linear, noise) * share
            return spearman_map(reached.clamp(0, 1).sqrt())

        return score
    assert sample.design is not None
    p = sample.design.inclusion(len(sample.train_labels))

    def precision(rows: Tensor, linear: Tensor, noise: Tensor) -> Tensor:
        # A coefficient's squared error is (1/r^2 - 1) L/(rank p(1-p)).
        excess = 1 / squared(rows, linear, noise).clamp_min(1e-300) - 1
        signal = linear.clamp_min(_LEAST_SHARE) * found.total
        return -excess * signal / (rank * p * (1 - p))

    return precision


def _other_seeds(found: Variances, sample: SubsetOutputs, n_seeds: int) -> Tensor:
    """Return sigma_r^2 (1/R - 1/R_pilot)/V: what other seeds add to the variance.

    Raises:
        ValueError: If the pilot cannot tell, for want of replicates.
    """
    if n_seeds == sample.n_seeds:
        return torch.zeros_like(found.total)
    if found.seeds is None:
        raise ValueError(
            f"pilot must have replicates to tell a score of {n_seeds} seeds a subset: "
            "collect it with Replicates, or ask for n_seeds=1"
        )
    return found.seeds / found.total * (1 / n_seeds - 1 / sample.n_seeds)


def _rows_needed(
    reached: Callable[[Tensor], Tensor], wanted: float, shape: tuple[int, ...]
) -> Tensor:
    """Return the smallest number of rows that reaches what is wanted, by bisection."""
    low = torch.zeros(shape, dtype=torch.float64)
    high = torch.full(shape, float(_MOST_ROWS), dtype=torch.float64)
    reachable = reached(high) >= wanted
    for _ in range(_MOST_ROWS.bit_length()):
        middle = ((low + high) / 2).floor().clamp_min(1)
        enough = reached(middle) >= wanted
        high = torch.where(enough, middle, high)
        low = torch.where(enough, low, middle)
    return torch.where(reachable, high, float("inf"))


def _interval(values: Tensor) -> Interval:
    found = _intervals(values)
    return Interval(found.value.item(), found.low.item(), found.high.item())


def _intervals(values: Tensor) -> Intervals:
    """Return the estimate in the first row with percentiles of the draws below it."""
    ordered = values[1:].sort(0).values
    tail = int(0.025 * len(ordered))
    # No interpolation: between a number and infinity there is none.
    return Intervals(
        value=values[0],
        low=torch.minimum(ordered[tail], values[0]),
        high=torch.maximum(ordered[-1 - tail], values[0]),
    )


def _count(number: float) -> str:
    return "unreachable" if number == float("inf") else f"{number:,.0f}"
