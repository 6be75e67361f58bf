"""What so many models will reach, told from few of them and no evaluation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.agreement.resampling import resample_counts
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


# From rows, linear part and noise, a draw and target.
Quantity = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """What grows with the number of rows, by the noise law, a draw of the pilot.

    The estimate itself comes first, then the bootstrap draws.

    Attributes:
        sample: The pilot's outputs.
        models_a_row: Trainings behind a row of the law: a subset or a pair.
        quantity: The goal's, minus its square for a standard error.
        single: L and sigma^2 as shares of V (or over V), a draw and target.
        joint: The same with the spread over targets that the truth has.
    """

    sample: SubsetOutputs
    models_a_row: int
    quantity: Quantity
    single: "Drawn"
    joint: "Drawn"

    def mean(self, rows: Tensor) -> Tensor:
        """Return the mean over targets at so many rows, `[draws, 1]`."""
        return _mean_over_targets(self.quantity, rows, self.joint)

    def each(self, rows: Tensor) -> Tensor:
        """Return every target's own, `[draws, targets]`."""
        return self.quantity(rows, *self.single.moved(1.0))


def forecast_of(
    pilot: Responses | SubsetOutputs,
    goal: Goal,
    *,
    law: Law | None,
    draws: int,
    seed: int,
) -> Forecast:
    """Return what the pilot tells of a goal; see `models_needed` for the arguments.

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
    counts = resample_counts(sample.n_units, 1, draws=draws, seed=seed) - 1
    # A squared standard error is linear in the variances: nothing to undo.
    exact = isinstance(goal, StandardError)
    single = Drawn.of(found.relative() if exact else found.shares(), counts)
    return Forecast(
        sample=sample,
        models_a_row=sample.n_seeds * (2 if paired else 1),
        quantity=_quantity(goal, law, found, sample),
        single=single,
        joint=single if exact else single.without_error(found.shares()),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """Two parts of the variance, and how they move: not at all, then by draws."""

    linear: Tensor
    noise: Tensor
    linear_moves: Tensor
    noise_moves: Tensor

    @staticmethod
    def of(parts: Parts, counts: Tensor) -> "Drawn":
        """Return what draws of the rows, by how often more than once, move."""

        def moves(of_rows: Tensor) -> Tensor:
            shift = counts @ of_rows
            shift = shift - shift.median(0).values
            return torch.cat([torch.zeros_like(shift[:1]), shift])

        return Drawn(
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

    def without_error(self, parts: Parts) -> "Drawn":
        """Return the parts with the spread over targets that the truth has.

        A mean over targets of a curved function of noisy shares is off by the noise's
        variance; deviations times sqrt(true variance/observed variance) undo that.
        """
        linear = _spread_factor(parts.linear, parts.linear_moves)
        noise = _spread_factor(parts.noise, parts.noise_moves)
        return Drawn(
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


def _mean_over_targets(quantity: Quantity, rows: Tensor, drawn: Drawn) -> Tensor:
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
