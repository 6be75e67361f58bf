"""Ordinary least squares of outputs on masks, for many targets at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# A unit is a block of models. More than these many add nothing to an interval.
_MAX_UNITS = 200
_MAX_UNIT_ENTRIES = 2**26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFit:
    """Coefficients of a linear datamodel with their sampling law.

    Attributes:
        coefficients: beta, in units of the raw mask.
        intercept: beta_0.
        stderr: Standard errors of the coefficients.
        units: Contributions of independent blocks of models, whose mean is the
            coefficients; None where they would not fit in memory.
        degrees_of_freedom: Residual degrees of freedom.
    """

    coefficients: Float[Tensor, "train targets"]
    intercept: Float[Tensor, " targets"]
    stderr: Float[Tensor, "train targets"]
    units: Float[Tensor, "units train targets"] | None
    degrees_of_freedom: int


@dataclass(frozen=True, slots=True)
class OLS:
    r"""Ordinary least squares with an intercept.

    beta = (X_c' X_c)^-1 X_c' Y, X_c the column-centred masks. Consistent for beta(p),
    with bias O(1/m) since higher-degree residuals depend on the masks. Homoscedastic
    standard errors with m - N - 1 degrees of freedom.
    """

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        outputs: Float[Tensor, "models targets"],
        *,
        null_directions: Float[Tensor, "directions train"] | None = None,
    ) -> LinearFit:
        """Regress outputs on weights.

        Args:
            weights: One weight vector a model.
            outputs: Outputs of the models.
            null_directions: Orthonormal directions in which the design never varies;
                the solution has minimum norm, so none of it lies along them.

        Returns:
            Coefficients with their sampling law.

        Raises:
            ValueError: If there are too few models, or a column of weights is
                constant or depends linearly on the others.
        """
        n_models, n_train = weights.shape
        rank = n_train - (0 if null_directions is None else len(null_directions))
        freedom = n_models - rank - 1
        _check_freedom(freedom, n_models, rank + 2, "models")
        _check_varies(weights)
        means = weights.mean(0), outputs.mean(0)
        x, y = weights - means[0], outputs - means[1]
        return _solve(x, y, means, freedom, null_directions)

    def fit_pairs(
        self,
        weights: Float[Tensor, "models train"],
        outputs: Float[Tensor, "models targets"],
    ) -> LinearFit:
        """Regress half the difference of each complementary pair on x - 1/2.

        Without intercept, so even-degree terms and the pair's common seed effect
        cancel; M - N degrees of freedom for M pairs. The standard errors of a
        regression on the stacked models would be wrong.

        Returns:
            Coefficients with their sampling law.

        Raises:
            ValueError: If there are too few pairs, or columns depend linearly.
        """
        n_pairs, n_train = len(weights) // 2, weights.shape[1]
        freedom = n_pairs - n_train
        _check_freedom(freedom, n_pairs, n_train + 1, "complementary pairs")
        means = weights.mean(0), outputs.mean(0)
        half_difference = (outputs[::2] - outputs[1::2]) / 2
        return _solve(weights[::2] - 0.5, half_difference, means, freedom)


def _solve(
    x: Tensor,
    y: Tensor,
    means: tuple[Tensor, Tensor],
    freedom: int,
    null: Tensor | None = None,
) -> LinearFit:
    """Solve the normal equations of y on x, both without a constant.

    x'y has no part along null directions, so curvature may be added there: it makes
    the matrix regular and leaves the minimum-norm solution as it is.

    Returns:
        Coefficients with their sampling law.

    Raises:
        ValueError: If columns of x depend linearly beyond the null directions.
    """
    gram = x.T @ x
    spare = torch.zeros_like(gram) if null is None else null.T @ null
    scale = gram.diagonal().mean()
    factor, failed = torch.linalg.cholesky_ex(gram + scale * spare)
    # A duplicated column leaves a pivot at rounding level, or a failure.
    pivots = factor.diagonal().square() / gram.diagonal()
    if failed or bool(pivots.min() < 1e-10):
        raise ValueError(
            "masks must have linearly independent columns, got a column that depends "
            "on others (duplicates, or rows of one fixed size): merge such examples "
            "into one group, or state the design that fixes the size"
        )
    coefficients = torch.cholesky_solve(x.T @ y, factor)
    residuals = y - x @ coefficients
    variance = residuals.square().sum(0) / freedom
    spread = (torch.cholesky_inverse(factor) - spare / scale).diagonal()
    return LinearFit(
        coefficients=coefficients,
        intercept=means[1] - means[0] @ coefficients,
        stderr=(spread[:, None] * variance).sqrt(),
        units=_units(coefficients, factor, x, residuals, freedom),
        degrees_of_freedom=freedom,
    )


def _units(
    coefficients: Tensor,
    factor: Tensor,
    centred: Tensor,
    residuals: Tensor,
    freedom: int,
) -> Tensor | None:
    r"""Return the linearised contribution of each block of models.

    Block b contributes beta + B c A^-1 X_b' e_b, whose mean over the B blocks is beta
    since X'e = 0. Residuals are smaller than errors by the factor that c^2 = m/(m-N-1)
    undoes (the HC1 correction): then split halves have the covariance of two
    independent fits on average.
    """
    n_models = len(centred)
    n_units = min(_MAX_UNITS, n_models // 2, _MAX_UNIT_ENTRIES // coefficients.numel())
    if n_units < 2:
        return None
    inflation = (n_models / freedom) ** 0.5
    blocks = torch.arange(n_models).tensor_split(n_units)
    scores = torch.stack([centred[b].T @ residuals[b] for b in blocks], dim=1)
    moves = torch.cholesky_solve(scores.flatten(1), factor).unflatten(
        1, scores.shape[1:]
    )
    return coefficients + n_units * inflation * moves.transpose(0, 1)


def _check_varies(weights: Tensor) -> None:
    constant = (weights == weights[0]).all(0).nonzero().flatten()
    if len(constant):
        raise ValueError(
            f"masks must vary in every column, got a constant column "
            f"{constant[0].item()} ({len(constant)} such): leave out the example, or "
            "draw more models"
        )


def _check_freedom(freedom: int, got: int, needed: int, what: str) -> None:
    if freedom < 1:
        raise ValueError(
            f"outputs must come from at least {needed} {what} for OLS on this many "
            f"examples, got {got}: train more, or use groups of examples as players"
        )
