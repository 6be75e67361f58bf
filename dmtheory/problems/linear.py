"""Weighted least squares and ridge regression, in closed form for many weights."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_choice, check_weights
from dmtheory.data.dataset import Dataset
from dmtheory.identity import digest
from dmtheory.problems.base import (
    NORMALISATIONS,
    Description,
    Fit,
    Normalisation,
    normaliser,
)

# Largest relative gradient of a model that counts as solved.
_SOLVED = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastSquares:
    r"""Linear regression; the output is the prediction at each target.

    J(theta; w) = (1/W) sum_j w_j (y_j - x_j' theta)^2 / 2 + ridge/2 |theta|^2.
    Without ridge the minimum-norm solution is taken, so F is defined at every vertex;
    F(empty) is the response of theta = 0. Training is deterministic: seeds have no
    effect.

    Attributes:
        data: Training examples and targets; add a column of ones for an intercept
            (it is penalised like the rest).
        ridge: Penalty, >= 0.
        normalisation: "sum" or "count".
    """

    data: Dataset
    ridge: float = 0.0
    normalisation: Normalisation = "sum"

    def __post_init__(self) -> None:
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        if not self.ridge >= 0:
            raise ValueError(f"ridge must be >= 0, got {self.ridge}")

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name=f"{self.data.name}-{'ridge' if self.ridge > 0 else 'least-squares'}",
            digest=digest(
                "least squares", self.data.digest, self.ridge, self.normalisation
            ),
            output="prediction",
            normalisation=self.normalisation,
            step_policy="fixed",
            train_labels=self.data.train_labels,
            target_labels=self.data.target_labels,
            deterministic=True,
        )

    @cached_property
    def _products(self) -> tuple[Tensor, Tensor]:
        x, y = self.data.x_train, self.data.y_train
        outer = (x[:, :, None] * x[:, None, :]).flatten(1)
        return outer, x * y[:, None]

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Fit:
        """Solve the normal equations of every row at once."""
        check_weights(weights, self.description.n_train)
        outer, moments = self._products
        scaled = weights * normaliser(weights, self.normalisation)[:, None]
        size = self.data.x_train.shape[1]
        curvature = (scaled @ outer).unflatten(1, (size, size))
        curvature = curvature + self.ridge * torch.eye(size, dtype=weights.dtype)
        target = (scaled @ moments).unsqueeze(-1)
        if self.ridge > 0:
            factor = torch.linalg.cholesky(curvature)
            params = torch.cholesky_solve(target, factor).squeeze(-1)
        else:
            # Subsets with fewer examples than features are singular.
            inverse = torch.linalg.pinv(curvature, hermitian=True, rtol=1e-12)
            params = (inverse @ target).squeeze(-1)
        slope = torch.einsum("mij,mj->mi", curvature, params) - target.squeeze(-1)
        # |X'Wy| <= sqrt(X'WX) sqrt(y'Wy) a feature: relative to that, so that features
        # in small units are solved or refused like others.
        response = scaled @ self.data.y_train.square()
        bound = curvature.diagonal(dim1=1, dim2=2).sqrt() * response.sqrt()[:, None]
        norm = slope.abs().amax(1)
        solved = (slope.abs() <= _SOLVED * bound + 1e-300).all(1)
        return Fit(params=params, gradient_norm=norm, converged=solved)

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the prediction at every target; NaN where no solution was found."""
        fit = self.fit(weights, seeds)
        predictions = fit.params @ self.data.x_target.T
        return predictions.masked_fill(~fit.converged[:, None], torch.nan)

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return x_j' theta as one column."""
        return (self.data.x_train @ params).unsqueeze(-1)

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return half the squared error."""
        return 0.5 * (self.data.y_train - predictions.squeeze(-1)) ** 2

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return x' theta at every target."""
        return self.data.x_target @ params

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return ridge/2 |theta|^2."""
        return 0.5 * self.ridge * (params**2).sum()
