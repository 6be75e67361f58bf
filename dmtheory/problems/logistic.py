"""Weighted binary logistic regression: batched Newton for many weight vectors."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import softplus

from dmtheory.checks import check_choice, check_positive, check_weights
from dmtheory.data.dataset import Dataset
from dmtheory.identity import digest
from dmtheory.problems.base import (
    NORMALISATIONS,
    Description,
    Fit,
    Normalisation,
    normaliser,
)

_MAX_STEPS = 50
_MAX_HALVINGS = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticRegression:
    r"""Ridge-penalised logistic regression; the output is the margin at each target.

    J(theta; w) = (1/W) sum_j w_j log(1 + exp(-s_j x_j' theta)) + ridge/2 |theta|^2
    with s = +1 for class 1 and -1 for class 0. The margin of a target is
    s x' theta = log(p_correct / (1 - p_correct)). Training is deterministic: seeds
    have no effect. F(empty) is the response of theta = 0.

    Attributes:
        data: Training examples and targets of classes 0 and 1; add a column of ones
            for an intercept (it is penalised like the rest).
        ridge: Penalty, > 0, so that the minimiser exists for separable subsets.
        normalisation: "sum" or "count".
        tolerance: Largest absolute gradient entry of a converged model.
    """

    data: Dataset
    ridge: float
    normalisation: Normalisation = "sum"
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_positive(self.ridge, "ridge")
        check_positive(self.tolerance, "tolerance")
        classes = set(torch.cat([self.data.y_train, self.data.y_target]).tolist())
        if not classes <= {0, 1}:
            raise ValueError(f"data must have classes 0 and 1, got {sorted(classes)}")

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name=f"{self.data.name}-logistic",
            digest=digest("logistic", self.data.digest, self.ridge, self.normalisation),
            output="margin",
            normalisation=self.normalisation,
            step_policy="fixed",
            train_labels=self.data.train_labels,
            target_labels=self.data.target_labels,
            deterministic=True,
        )

    @property
    def _signed(self) -> Tensor:
        """Rows s_j x_j: the loss depends on nothing else.

        Not cached: a tensor first computed inside a torch.func transform would be
        kept as that transform's wrapper.
        """
        return self.data.x_train * (2.0 * self.data.y_train - 1.0)[:, None]

    @cached_property
    def _outer(self) -> Tensor:
        x = self.data.x_train
        return (x[:, :, None] * x[:, None, :]).flatten(1)

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Fit:
        """Minimise J for every row at once by Newton's method.

        The Hessians of all models are one matrix product. Models that have converged
        take one more full step, which squares their error, and stay.

        Returns:
            Parameters with the gradient norm that was reached, a model.
        """
        check_weights(weights, self.description.n_train)
        scaled = weights * normaliser(weights, self.normalisation)[:, None]
        params = torch.zeros(len(weights), self.data.x_train.shape[1]).double()
        active = torch.arange(len(weights))
        for _ in range(_MAX_STEPS):
            here, w = params[active], scaled[active]
            gradient, direction = self._newton(here, w)
            params[active] = self._search(here, w, gradient, direction)
            active = active[gradient.abs().amax(1) > self.tolerance]
            if not len(active):
                break
        norm = self._gradient(params, scaled).abs().amax(1)
        return Fit(params=params, gradient_norm=norm, converged=norm <= self.tolerance)

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the margin at every target; NaN for a model that did not converge."""
        fit = self.fit(weights, seeds)
        margins = fit.params @ self._signed_targets.T
        return margins.masked_fill(~fit.converged[:, None], torch.nan)

    @property
    def _signed_targets(self) -> Tensor:
        return self.data.x_target * (2.0 * self.data.y_target - 1.0)[:, None]

    def held_out_accuracy(
        self, params: Float[Tensor, "models params"]
    ) -> Float[Tensor, " models"]:
        """Return the share of held-out examples that each model classifies rightly."""
        positive = params @ self.data.x_held_out.T > 0
        return (positive == (self.data.y_held_out == 1)).double().mean(1)

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the logit of each example's own class as one column."""
        return (self._signed @ params).unsqueeze(-1)

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return log(1 + exp(-logit of the own class))."""
        return softplus(-predictions.squeeze(-1))

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return the margin at every target."""
        return self._signed_targets @ params

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return ridge/2 |theta|^2."""
        return 0.5 * self.ridge * (params**2).sum()

    def _objective(self, params: Tensor, scaled: Tensor) -> Tensor:
        losses = softplus(-(params @ self._signed.T))
        return (scaled * losses).sum(1) + 0.5 * self.ridge * params.square().sum(1)

    def _gradient(self, params: Tensor, scaled: Tensor) -> Tensor:
        signed = self._signed
        wrong = torch.sigmoid(-(params @ signed.T))
        return -(scaled * wrong) @ signed + self.ridge * params

    def _newton(self, params: Tensor, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """Return gradient and Newton direction of every model."""
        signed = self._signed
        wrong = torch.sigmoid(-(params @ signed.T))
        gradient = -(scaled * wrong) @ signed + self.ridge * params
        size = params.shape[1]
        hessian = (scaled * wrong * (1 - wrong)) @ self._outer
        hessian = hessian.unflatten(1, (size, size))
        hessian = hessian + self.ridge * torch.eye(size, dtype=params.dtype)
        factor = torch.linalg.cholesky(hessian)
        return gradient, -torch.cholesky_solve(gradient[:, :, None], factor)[:, :, 0]

    def _search(
        self, params: Tensor, scaled: Tensor, gradient: Tensor, direction: Tensor
    ) -> Tensor:
        """Halve each model's step until it decreases J enough (Armijo)."""
        start = self._objective(params, scaled)
        decrease = (gradient * direction).sum(1)
        step = torch.ones_like(start)
        # At rounding level no step decreases J: the full Newton step is right there.
        slack = 1e-14 * start.abs().clamp_min(1.0)
        for _ in range(_MAX_HALVINGS):
            moved = self._objective(params + step[:, None] * direction, scaled)
            bad = moved > start + 1e-4 * step * decrease + slack
            if not bool(bad.any()):
                break
            step = torch.where(bad, step / 2, step)
        return params + step[:, None] * direction
