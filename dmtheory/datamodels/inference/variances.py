"""How much of the outputs' variance is linear in the masks, from few models."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.designs import ComplementaryPairs, SubsetDesign
from dmtheory.designs.players import unit_size

# From this many rows an example on, residuals of OLS tell the noise better than
# products of outputs do.
_ROWS_FOR_OLS = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Two parts of the variance over a scale, with what each row contributes.

    A resample that holds row k c_k times has value + (c - 1) @ moves, to first order.

    Attributes:
        linear: The linear part.
        noise: What a fit has to average out.
        linear_moves: Contributions to `linear`.
        noise_moves: Contributions to `noise`.
    """

    linear: Float[Tensor, " targets"]
    noise: Float[Tensor, " targets"]
    linear_moves: Float[Tensor, "rows targets"]
    noise_moves: Float[Tensor, "rows targets"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variances:
    """Parts of the variance of one row's output, a target, all without bias.

    A row is what a design draws: a subset with its replicates averaged, or a
    complementary pair.

    Attributes:
        parts: L, and what a fit has to average out: all else for independent rows, and
            for pairs what remains in half a difference.
        total: V, the variance of an output.
        total_moves: Every row's contribution to it.
        seeds: sigma_r^2 of one training; None without replicates.
        rank: Directions in which masks vary.
    """

    parts: Parts
    total: Float[Tensor, " targets"]
    total_moves: Float[Tensor, "rows targets"]
    seeds: Float[Tensor, " targets"] | None
    rank: int

    def relative(self) -> Parts:
        """Return the parts over V, taken as a scale that does not vary."""
        return Parts(
            linear=self.parts.linear / self.total,
            noise=self.parts.noise / self.total,
            linear_moves=self.parts.linear_moves / self.total,
            noise_moves=self.parts.noise_moves / self.total,
        )

    def shares(self) -> Parts:
        """Return the parts as shares of V.

        A share of two correlated estimates has the bias -sum_k a_k v_k to second
        order, a_k a row's contribution to it and v_k that to V, over V: taken out.
        """
        fixed, moves = self.relative(), self.total_moves / self.total

        def share(value: Tensor, moves_of: Tensor) -> tuple[Tensor, Tensor]:
            own = moves_of - value * moves
            return value + (own * moves).sum(0), own

        linear, linear_moves = share(fixed.linear, fixed.linear_moves)
        noise, noise_moves = share(fixed.noise, fixed.noise_moves)
        return Parts(
            linear=linear,
            noise=noise,
            linear_moves=linear_moves,
            noise_moves=noise_moves,
        )


def variances_of(pilot: SubsetOutputs) -> Variances:
    r"""Estimate the linear part's share without fitting more than the models allow.

    With z = Sigma^{+/2}(x - E x), L = |E z y|^2 = E y y' z'z' over independent pairs
    of models: the average of y_s y_s' z_s'z_s' over s != s' has that mean whatever
    the number of models, also below the number of examples. With outputs centred on
    their sample mean the divisor (m - 1)(m^2 - 2m + 2)/m instead of m(m - 1) keeps it
    unbiased. From two rows an example on, the residual variance of OLS has the smaller
    error, and L is what it leaves of the total.

    Args:
        pilot: Outputs on random subsets.

    Returns:
        The parts, with every row's contribution.

    Raises:
        TypeError: If the design is unknown, or its rows depend on one another and are
            no complements.
    """
    design = pilot.design
    if design is None:
        raise TypeError(
            "design must say how the masks were drawn: state it with the arrays"
        )
    outputs, paired = pilot.mean_outputs(), isinstance(design, ComplementaryPairs)
    if unit_size(design) > 1 and not paired:
        raise TypeError(
            "pilot must have independent rows or complementary pairs, got "
            f"{type(design).__name__}"
        )
    n_train = len(pilot.train_labels)
    rank = n_train - len(design.null_directions(n_train))
    if paired:
        x, y = pilot.weights[::2] - 0.5, (outputs[::2] - outputs[1::2]) / 2
        # Each side about its own mean: that of both would lack the linear part.
        sides = outputs.unflatten(0, (-1, 2))
        squares = (sides - sides.mean(0)).square().mean(1)
    else:
        x, y = pilot.weights - design.inclusion(n_train), outputs - outputs.mean(0)
        squares = y.square()
    n = len(x)
    total = squares.sum(0) / (n - 1)
    spread = y.square().sum(0) / (n if paired else n - 1)
    spread_moves = (y.square() - y.square().mean(0)) / (n if paired else n - 1)
    if n >= _ROWS_FOR_OLS * rank + 10:
        noise, noise_moves = _residual_variance(x, y, rank, intercept=not paired)
        linear, linear_moves = spread - noise, spread_moves - noise_moves
    else:
        linear, linear_moves = _linear_variance(x, y, design, rank, centred=not paired)
        noise, noise_moves = spread - linear, spread_moves - linear_moves
    return Variances(
        parts=Parts(
            linear=linear,
            noise=noise,
            linear_moves=linear_moves,
            noise_moves=noise_moves,
        ),
        total=total,
        total_moves=(squares - squares.mean(0)) / (n - 1),
        seeds=_seeds(pilot),
        rank=rank,
    )


def _residual_variance(
    x: Tensor, y: Tensor, rank: int, *, intercept: bool
) -> tuple[Tensor, Tensor]:
    n, freedom = len(x), len(x) - rank - int(intercept)
    if intercept:
        x = x - x.mean(0)
    solution = torch.linalg.lstsq(x, y, driver="gelsd").solution
    squares = (y - x @ solution).square()
    noise = squares.sum(0) / freedom
    # Squared residuals are smaller than squared errors by freedom/n, but their sum
    # moves as one of `freedom` errors does.
    moves = (squares - squares.mean(0)) / freedom * (n / freedom) ** 0.5
    return noise, moves


def _linear_variance(
    x: Tensor, y: Tensor, design: SubsetDesign, rank: int, *, centred: bool
) -> tuple[Tensor, Tensor]:
    whitened = _whiten(x, design)
    own = (x * whitened).sum(1, keepdim=True) * y.square()
    products = y * (whitened @ (x.T @ y)) - own
    n = len(x)
    pairs = (n - 1) * (n * n - 2 * n + 2) / n if centred else n * (n - 1)
    linear = products.sum(0) / pairs
    moves = 2 * (products - products.mean(0)) / pairs
    # Where noise prevails the products' sum varies by 2 rank V^2/n^2, which such
    # contributions count twice.
    noise = 2 * rank * (y.square().mean(0) / n).square()
    counted = moves.square().sum(0)
    wanted = torch.maximum(counted - noise, noise)
    return linear, moves * (wanted / counted.clamp_min(1e-300)).sqrt()


def _whiten(x: Tensor, design: SubsetDesign) -> Tensor:
    """Return x Sigma^+, one row a mask."""
    n_train = x.shape[1]
    if not len(design.null_directions(n_train)):
        # Independent masks of one variance.
        p = design.inclusion(n_train)
        return x / (p * (1 - p))
    return x @ torch.linalg.pinv(design.covariance(n_train), hermitian=True)


def _seeds(pilot: SubsetOutputs) -> Tensor | None:
    if pilot.deterministic:
        return torch.zeros_like(pilot.outputs[0, 0])
    return pilot.outputs.var(1).mean(0) if pilot.n_seeds > 1 else None
