"""Convex problems whose response derivative is written out in closed form."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Float
from torch import Tensor

from dmtheory.data.dataset import Dataset
from dmtheory.identity import numbered
from dmtheory.problems import LeastSquares, LogisticRegression
from dmtheory.testing.comparing import text_of
from dmtheory.testing.strategies.arrays import features, matrices, weights

LEAST_SQUARES, LOGISTIC = "least squares", "logistic"
_NEWTON_STEPS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConvexCase:
    r"""A linear model with squared or logistic loss, at weights w.

    J = (1/W) sum_j w_j l_j + ridge/2 |theta|^2, with l = (y - z)^2/2 or
    log(1 + exp(-y z)), z = x'theta and y = -1 or 1. The output is z at each target, for
    the logistic loss times the target's y: its margin.

    Attributes:
        kind: "least squares" or "logistic".
        x: Features of the training examples.
        y: Their responses, or -1 and 1.
        x_target: Features of the targets.
        y_target: -1 and 1 of the targets; of no effect for least squares.
        ridge: Penalty.
        normalisation: "sum" or "count".
        at: w.
    """

    kind: str
    x: Float[Tensor, "train features"]
    y: Float[Tensor, " train"]
    x_target: Float[Tensor, "targets features"]
    y_target: Float[Tensor, " targets"]
    ridge: float
    normalisation: str
    at: Float[Tensor, " train"]

    @property
    def problem(self) -> LeastSquares | LogisticRegression:
        """The case as a problem of this package."""
        labels = (self.y, self.y_target)
        if self.kind == LOGISTIC:
            labels = tuple((y > 0).long() for y in labels)  # type: ignore[assignment]
        y, y_target = labels
        data = Dataset(
            name="case",
            x_train=self.x,
            y_train=y,
            x_target=self.x_target,
            y_target=y_target,
            x_held_out=self.x_target,
            y_held_out=y_target,
            train_labels=numbered("example", len(y)),
            target_labels=numbered("target", len(y_target)),
        )
        made = LogisticRegression if self.kind == LOGISTIC else LeastSquares
        return made(
            data=data,
            ridge=self.ridge,
            normalisation=self.normalisation,  # type: ignore[arg-type]
        )

    @property
    def derivative(self) -> Float[Tensor, "train targets"]:
        """dF/dw_i = -grad f' H^-1 (grad l_i - [sum only] mean gradient)/W."""
        theta = self.parameters
        slopes, bends = self._slopes(theta), self._bends(theta)
        total = self._total
        forces = slopes[:, None] * self.x
        if self.normalisation == "sum":
            forces = forces - self.at @ forces / total
        hessian = self._hessian(bends)
        return -torch.linalg.solve(hessian, forces.T / total).T @ self._outputs.T

    @property
    def parameters(self) -> Float[Tensor, " features"]:
        """The minimiser, by Newton's method from 0: one step for least squares."""
        theta = torch.zeros(self.x.shape[1], dtype=torch.float64)
        for _ in range(_NEWTON_STEPS if self.kind == LOGISTIC else 2):
            pull = self.x.T @ (self.at * self._slopes(theta)) / self._total
            theta = theta - torch.linalg.solve(
                self._hessian(self._bends(theta)), pull + self.ridge * theta
            )
        return theta

    def of_examples(self, rows: Tensor) -> "ConvexCase":
        """Return the case of these training examples, in this order."""
        return replace(self, x=self.x[rows], y=self.y[rows], at=self.at[rows])

    def of_targets(self, rows: Tensor) -> "ConvexCase":
        """Return the case of these targets, in this order."""
        return replace(self, x_target=self.x_target[rows], y_target=self.y_target[rows])

    @property
    def _total(self) -> Tensor:
        everything = torch.tensor(float(len(self.y)), dtype=torch.float64)
        return self.at.sum() if self.normalisation == "sum" else everything

    @property
    def _outputs(self) -> Tensor:
        """Gradients of the outputs."""
        signs = (
            self.y_target if self.kind == LOGISTIC else torch.ones_like(self.y_target)
        )
        return signs[:, None] * self.x_target

    def _slopes(self, theta: Tensor) -> Tensor:
        z = self.x @ theta
        if self.kind == LOGISTIC:
            return -self.y * torch.sigmoid(-self.y * z)
        return z - self.y

    def _bends(self, theta: Tensor) -> Tensor:
        if self.kind != LOGISTIC:
            return torch.ones_like(self.y)
        chance = torch.sigmoid(self.x @ theta)
        return chance * (1 - chance)

    def _hessian(self, bends: Tensor) -> Tensor:
        curvature = self.x.T @ (self.x * (self.at * bends)[:, None]) / self._total
        return curvature + self.ridge * torch.eye(len(curvature)).double()

    def __str__(self) -> str:
        return (
            f"{self.kind}, ridge {self.ridge:g}, {self.normalisation}, "
            f"w = {text_of(self.at)}, x = {text_of(self.x)}, y = {text_of(self.y)}, "
            f"targets {text_of(self.x_target)}"
            + (f" of {text_of(self.y_target)}" if self.kind == LOGISTIC else "")
        )

    __repr__ = __str__


@st.composite
def convex_cases(
    draw: Any,
    *,
    kinds: tuple[str, ...] = (LEAST_SQUARES, LOGISTIC),
    ridges: tuple[float, ...] = (0.5, 0.1, 2.0),
    normalisations: tuple[str, ...] = ("sum", "count"),
    condition: float = 3.0,
    at: SearchStrategy[Tensor] | None = None,
) -> ConvexCase:
    """Return a strategy for small regressions with known derivatives.

    Args:
        draw: Given by Hypothesis.
        kinds: "least squares", "logistic" or both.
        ridges: Penalties.
        normalisations: "sum", "count" or both.
        condition: Condition number of the features; 1e6 is deliberately bad.
        at: Weights; all 1 in half of the cases and from 1/2 to 2 in the rest.
    """
    n_train, n_features = draw(st.integers(4, 6)), draw(st.integers(1, 2))
    n_targets = draw(st.integers(1, 2))
    kind = draw(st.sampled_from(kinds))
    x = draw(features(n_train, n_features, condition=condition))
    labels = draw(matrices(n_train + n_targets, 1, largest=4))[:, 0]
    if kind == LOGISTIC:
        labels = torch.where(labels > 0, 1.0, -1.0).double()
    ones = torch.ones(n_train, dtype=torch.float64)
    here = at if at is not None else st.just(ones) | weights(n_train)
    return ConvexCase(
        kind=kind,
        x=x,
        y=labels[:n_train],
        x_target=draw(matrices(n_targets, n_features, largest=2)) + 1.0,
        y_target=labels[n_train:],
        ridge=draw(st.sampled_from(ridges)),
        normalisation=draw(st.sampled_from(normalisations)),
        at=draw(here),
    )
