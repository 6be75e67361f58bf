"""Fit a linear model to each weight vector, by factors or by conjugate gradients."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_finite
from dmtheory.problems.base import Fit
from dmtheory.problems.convex.conjugate_gradients import (
    ConjugateGradients,
    preconditioner,
)
from dmtheory.problems.convex.families import Family
from dmtheory.problems.convex.lanes import LANES, in_lanes
from dmtheory.problems.convex.newton import Minimum, minimise
from dmtheory.problems.convex.objective import Objective, Params, feature_products
from dmtheory.problems.convex.systems import Factors, NewtonSystem, cholesky

# With more parameters conjugate gradients are faster than one Hessian a model.
MOST_FACTORED = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearSolver:
    """Minimisers of J(Theta; w) for many weight vectors of one data set.

    Attributes:
        x: Examples.
        y: Classes or responses.
        family: The loss.
        ridge: Penalty, > 0.
        tolerance: Largest absolute gradient entry of a converged model.
    """

    x: Float[Tensor, "train features"]
    y: Tensor
    family: Family
    ridge: float
    tolerance: float

    def fit(
        self,
        scaled: Float[Tensor, "models train"],
        *,
        start: Float[Tensor, "#models params"] | None = None,
        keep_factor: bool = False,
    ) -> Fit:
        """Minimise J for every row of scaled weights w_j / W.

        Args:
            scaled: One row a model.
            start: Where Newton's method begins, for all or for each; at the full-data
                optimum by default, which halves the steps of models of large subsets.
            keep_factor: Whether to return the Hessian's Cholesky factor.

        Returns:
            Parameters with the gradient norm that was reached, a model. Where a
            factor is asked for and the Hessian has none, the model counts as not
            converged.

        Raises:
            ValueError: If start is not finite, or no row of parameters for all models
                or for each.
        """
        first = self._start if start is None else self._checked(start, len(scaled))
        starts = first.to(scaled.device).expand(len(scaled), -1)
        lanes = LANES if self._factored else LANES // 2
        params, norm, converged = in_lanes(self._minimise, scaled, starts, lanes=lanes)
        factor = None
        if keep_factor:
            factor = self._factor(scaled, params)
            converged = converged & factor.isfinite().all(2).all(1)
        return Fit(
            params=params, gradient_norm=norm, converged=converged, factor=factor
        )

    def _minimise(self, scaled: Tensor, starts: Tensor) -> tuple[Tensor, ...]:
        objective = self.objective(scaled.T.contiguous())
        found = minimise(
            objective, self._matrix(starts), self._system(), tolerance=self.tolerance
        )
        return found.params.flatten(0, 1).T, found.gradient_norm, found.converged

    def _checked(self, start: Tensor, n_models: int) -> Float[Tensor, "#models params"]:
        """Return where to begin in float64, or say why that is no place."""
        shape, size = tuple(start.shape), self._n_params
        if shape not in {(1, size), (n_models, size)}:
            raise ValueError(
                f"start must have shape (1, {size}) for all models or ({n_models}, "
                f"{size}) for each, got {shape}"
            )
        if not start.is_floating_point():
            raise ValueError(
                f"start must be real, got {start.dtype}: cast it to torch.float64"
            )
        check_finite(start, "start")
        return start.double()

    def _matrix(self, params: Float[Tensor, "models params"]) -> Params:
        return params.T.unflatten(0, (-1, self.family.n_outputs))

    def _factor(self, scaled: Tensor, params: Tensor) -> Tensor:
        objective = self.objective(scaled.T)
        means = self.family.means(objective.predictions(self._matrix(params)))
        return cholesky(objective.hessians(means))

    @property
    def _n_params(self) -> int:
        return self.x.shape[1] * self.family.n_outputs

    @property
    def _factored(self) -> bool:
        return self._n_params <= MOST_FACTORED

    def _system(self) -> NewtonSystem:
        return Factors() if self._factored else self._conjugate_gradients

    @cached_property
    def _conjugate_gradients(self) -> ConjugateGradients:
        found = self._full_data
        full = self._full_objective
        means = self.family.means(full.predictions(found.params))
        return ConjugateGradients(preconditioner=preconditioner(full, means))

    @property
    def _start(self) -> Float[Tensor, "1 params"]:
        return self._full_data.params.flatten(0, 1).T

    @cached_property
    def _products(self) -> Float[Tensor, "train pairs"] | None:
        return feature_products(self.x) if self._factored else None

    @cached_property
    def _full_data(self) -> Minimum:
        """The optimum at w = 1, where the shared preconditioner is taken."""
        shape = self.x.shape[1], self.family.n_outputs, 1
        start = self.x.new_zeros(shape)
        return minimise(
            self._full_objective, start, Factors(), tolerance=self.tolerance
        )

    @property
    def _full_objective(self) -> Objective:
        n_train = len(self.x)
        return self.objective(self.x.new_full((n_train, 1), 1 / n_train))

    def objective(self, scaled: Float[Tensor, "train models"]) -> Objective:
        """Return J of models with these scaled weights."""
        return Objective(
            x=self.x,
            y=self.family.encode(self.y),
            family=self.family,
            scaled=scaled,
            ridge=self.ridge,
            products=self._products,
        )
