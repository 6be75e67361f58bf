"""Weighted least squares and ridge regression, in closed form for many weights."""

import math
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.checks import check_choice
from dmtheory.identity import digest
from dmtheory.problems.base import Description, Fit
from dmtheory.problems.convex.families import Gaussian
from dmtheory.problems.convex.lanes import LANES, in_lanes
from dmtheory.problems.convex.minimum_norm import pseudo_inverse
from dmtheory.problems.convex.newton import minimise
from dmtheory.problems.convex.solve import MOST_FACTORED, LinearSolver
from dmtheory.problems.convex.systems import cholesky, with_factors, with_inverses
from dmtheory.problems.convex.tables import check_table, checked_weights
from dmtheory.problems.linear_model import LinearModel
from dmtheory.problems.outputs import OF_RESPONSES
from dmtheory.problems.quality import OF_REGRESSIONS, Quality
from dmtheory.weighting import NORMALISATIONS, normaliser

# Largest relative gradient of a model that counts as solved.
_SOLVED = 1e-7
# Training entries of a tiny problem.
_TINY = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastSquares(LinearModel):
    r"""Linear regression; the output is the prediction at each target.

    J(theta; w) = (1/W) sum_j w_j (y_j - x_j' theta)^2 / 2 + ridge/2 |theta|^2.
    Without ridge the minimum-norm solution is taken, so F is defined at every vertex;
    F(empty) is the response of theta = 0. Training is deterministic: seeds have no
    effect.

    Attributes:
        data: Training examples and targets, a row of features each, of any real type
            (all is computed in float64); add a column of ones for an intercept (it is
            penalised like the rest).
        ridge: Penalty, >= 0.
        normalisation: "sum" or "count".
        output: The output function: prediction or squared-error.
    """

    ridge: float = 0.0
    output: str = "prediction"

    def __post_init__(self) -> None:
        check_table(self.data)
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.output, tuple(OF_RESPONSES), "output")
        if not (self.ridge >= 0 and math.isfinite(self.ridge)):
            raise ValueError(f"ridge must be >= 0 and finite, got {self.ridge}")
        self.table(self.data.x_train.device)

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name=f"{self.data.name}-{'ridge' if self.ridge > 0 else 'least-squares'}",
            digest=digest(
                "least squares",
                self.data.digest,
                self.ridge,
                self.normalisation,
                self.output,
            ),
            output=self.output,
            normalisation=self.normalisation,
            step_policy="fixed",
            train_labels=self.data.train_labels,
            target_labels=self.data.target_labels,
            deterministic=True,
            qualities=OF_REGRESSIONS,
        )

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        *,
        keep_factor: bool = False,
    ) -> Fit:
        """Solve the normal equations of every row, many at once.

        With a penalty and many features, by conjugate gradients with one shared
        preconditioner.

        Args:
            weights: One weight vector a model.
            seeds: Without effect: training is deterministic.
            keep_factor: Whether to return the Hessian's Cholesky factor, where there
                is a penalty.

        Returns:
            Parameters with the gradient norm that was reached, a model. A model has
            converged where its gradient is small beside its terms and the last
            correction was at most 1e-7 of the parameters, measured in the units of
            predictions; never where ridge leaves its curvature singular to rounding.

        Raises:
            ValueError: If weights are no weights.
        """
        weights = checked_weights(weights, self.description.n_train)
        scaled = weights * normaliser(weights, self.normalisation)[:, None]
        if self.ridge > 0 and self.data.x_train.shape[1] > MOST_FACTORED:
            solver = self.on(weights.device, _solver)
            return solver.fit(scaled, keep_factor=keep_factor)
        params, norm, solved, *factor = in_lanes(
            partial(self._solve, keep_factor and self.ridge > 0),
            scaled,
            lanes=self._lanes,
        )
        return Fit(
            params=params,
            gradient_norm=norm,
            converged=solved,
            factor=factor[0] if factor else None,
        )

    def _solve(
        self, keep_factor: bool, scaled: Float[Tensor, "models train"]
    ) -> tuple[Tensor, ...]:
        objective = self.on(scaled.device, _solver).objective(scaled.T.contiguous())
        start = scaled.new_zeros(objective.x.shape[1], 1, len(scaled))
        curvature = objective.hessians(objective.predictions(start))
        if self.ridge > 0:
            factor = cholesky(curvature)
            system = with_factors(factor)
        else:
            # Subsets with fewer examples than features are singular.
            system = with_inverses(pseudo_inverse(curvature))
        # Its gradients are from the examples' residuals: they see what the curvature
        # rounded, so that each step after the first corrects that.
        found = minimise(objective, start, system, tolerance=math.inf)
        params = found.params[:, 0].T
        slope = objective.gradient(found.params, objective.predictions(found.params))
        vanishes = self._vanishes(slope[:, 0].T, scaled, curvature)
        certified = params, found.gradient_norm, found.converged & vanishes
        return (*certified, factor) if keep_factor else certified

    @property
    def _lanes(self) -> int:
        """Models solved together; of tiny problems, which are enumerated, many."""
        return LANES if self.data.x_train.numel() > _TINY else 16 * LANES

    def _vanishes(
        self, slope: Tensor, scaled: Tensor, curvature: Tensor
    ) -> Bool[Tensor, " models"]:
        """Return whether every entry of the gradient is small.

        |X'Wy| <= sqrt(X'WX) sqrt(y'Wy) a feature: relative to that, so that features in
        small units are solved or refused like others.
        """
        response = scaled @ self.table(scaled.device).y_train.square()
        bound = curvature.diagonal(dim1=1, dim2=2).sqrt() * response.sqrt()[:, None]
        return (slope.abs() <= _SOLVED * bound + 1e-300).all(1)

    def quality(self, params: Float[Tensor, "models params"]) -> Quality:
        """Return half the mean squared error on the held-out examples."""
        data = self.table(params.device)
        return Quality.of_responses(
            params.double() @ data.x_held_out.T, data.y_held_out
        )

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return x_j' theta as one column."""
        return self.predictions_at(params, self.features(params.device))

    def predictions_at(
        self, params: Float[Tensor, " params"], x: Float[Tensor, "rows features"]
    ) -> Float[Tensor, "rows 1"]:
        """Return x' theta as one column, at any features."""
        return (x @ params.double()).unsqueeze(-1)

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return half the squared error."""
        return self.label_losses(predictions, self.table(predictions.device).y_train)

    @property
    def n_labels(self) -> None:
        """None: responses are real."""
        return

    def label_losses(
        self, predictions: Float[Tensor, "rows 1"], labels: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return half the squared error of each prediction from a response."""
        return 0.5 * (labels - predictions.squeeze(-1)) ** 2

    def target_outputs(
        self, params: Float[Tensor, "*models params"]
    ) -> Float[Tensor, "*models targets"]:
        """Return the output at every target."""
        return self.outputs_at(params, *self.targets(params.device))

    def outputs_at(
        self, params: Float[Tensor, "*models params"], x: Tensor, y: Tensor
    ) -> Float[Tensor, "*models rows"]:
        """Return the output at any features with their responses."""
        predictions = (params.double() @ x.T).unsqueeze(-1)
        return OF_RESPONSES[self.output](predictions, y)


def _solver(problem: LeastSquares, device: torch.device) -> LinearSolver:
    data = problem.table(device)
    # The gradient's scale is that of X'y/N: a tolerance free of the data's units.
    scale = (data.x_train.T @ data.y_train).abs().max().item() / data.n_train
    return LinearSolver(
        x=data.x_train,
        y=data.y_train,
        family=Gaussian(),
        ridge=problem.ridge,
        tolerance=1e-10 * max(scale, 1e-300),
    )
