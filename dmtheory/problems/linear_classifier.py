"""Ridge-penalised linear classifiers of two or more classes."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_choice, check_positive
from dmtheory.identity import digest
from dmtheory.problems.base import Description, Fit
from dmtheory.problems.convex.families import Family
from dmtheory.problems.convex.solve import LinearSolver
from dmtheory.problems.convex.tables import check_table, checked_weights
from dmtheory.problems.linear_model import LinearModel
from dmtheory.problems.outputs import OF_CLASSES
from dmtheory.problems.quality import OF_CLASSIFIERS, Quality
from dmtheory.weighting import NORMALISATIONS, normaliser


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearClassifier(LinearModel):
    """A ridge-penalised linear classifier, trained by Newton's method.

    Attributes:
        data: Training examples and targets, a row of features each, of any real type
            (all is computed in float64); add a column of ones for an intercept (it is
            penalised like the rest).
        ridge: Penalty, > 0, so that the minimiser exists for separable subsets.
        normalisation: "sum" or "count".
        output: The output function: margin, max-margin, logit, log-likelihood, loss
            or probability.
        tolerance: Largest absolute gradient entry of a converged model. Its last
            Newton step was also at most 1e-7 of its parameters, measured in the units
            of predictions: with a tiny ridge a small gradient says little, as the
            parameters may be off by gradient / ridge. A model that float64 cannot solve
            so far, because ridge is near the rounding of its curvature, does not count
            as converged.
    """

    y_dtype: ClassVar[torch.dtype] = torch.int64
    output: str = "margin"
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        check_table(self.data)
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.output, tuple(OF_CLASSES), "output")
        check_positive(self.ridge, "ridge")
        check_positive(self.tolerance, "tolerance")
        self.table(self.data.x_train.device)

    @property
    @abstractmethod
    def family(self) -> Family:
        """The loss."""

    @abstractmethod
    def logits(
        self, z: Float[Tensor, "*models examples outputs"]
    ) -> Float[Tensor, "*models examples classes"]:
        """Return one logit a class from the model's predictions."""

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        name = type(self).__name__
        return Description(
            name=f"{self.data.name}-{name.removesuffix('Regression').lower()}",
            digest=digest(
                name, self.data.digest, self.ridge, self.normalisation, self.output
            ),
            output=self.output,
            normalisation=self.normalisation,
            step_policy="fixed",
            train_labels=self.data.train_labels,
            target_labels=self.data.target_labels,
            deterministic=True,
            qualities=OF_CLASSIFIERS,
        )

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        *,
        start: Float[Tensor, "#models params"] | None = None,
        keep_factor: bool = False,
    ) -> Fit:
        """Minimise J for every row by Newton's method, many at once.

        Args:
            weights: One weight vector a model.
            seeds: Without effect: training is deterministic.
            start: Parameters to begin from (a warm start), for all or for each.
            keep_factor: Whether to return the Hessian's Cholesky factor.

        Returns:
            Parameters with the gradient norm that was reached, a model. A model whose
            Hessian is singular to rounding has not converged.

        Raises:
            ValueError: If weights are no weights, or start is no place to begin.
        """
        weights = checked_weights(weights, self.description.n_train)
        scaled = weights * normaliser(weights, self.normalisation)[:, None]
        solver = self.on(weights.device, _solver)
        return solver.fit(scaled, start=start, keep_factor=keep_factor)

    def quality(self, params: Float[Tensor, "models params"]) -> Quality:
        """Return accuracy and mean cross-entropy on the held-out examples."""
        data = self.table(params.device)
        logits = self.logits(self.predictions_at(params, data.x_held_out))
        return Quality.of_classes(logits, data.y_held_out)

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the model's predictions z at every example."""
        return self.predictions_at(params, self.features(params.device))

    def predictions_at(
        self, params: Float[Tensor, "*models params"], x: Float[Tensor, "rows features"]
    ) -> Float[Tensor, "*models rows outputs"]:
        """Return the model's predictions z at any features."""
        return x @ params.double().unflatten(-1, (-1, self.family.n_outputs))

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return l_j as a function of the prediction at example j."""
        return self.label_losses(predictions, self.table(predictions.device).y_train)

    @property
    def n_labels(self) -> int:
        """Number of classes."""
        return max(self.family.n_outputs, 2)

    def label_losses(
        self, predictions: Float[Tensor, "rows outputs"], labels: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the loss of each prediction if its class were this."""
        y = self.family.encode(labels)
        return self.family.losses(predictions[:, :, None], y)[:, 0]

    def target_outputs(
        self, params: Float[Tensor, "*models params"]
    ) -> Float[Tensor, "*models targets"]:
        """Return the output at every target."""
        return self.outputs_at(params, *self.targets(params.device))

    def outputs_at(
        self, params: Float[Tensor, "*models params"], x: Tensor, y: Tensor
    ) -> Float[Tensor, "*models rows"]:
        """Return the output at any features with their classes."""
        logits = self.logits(self.predictions_at(params, x))
        return OF_CLASSES[self.output](logits, y)


def _solver(problem: LinearClassifier, device: torch.device) -> LinearSolver:
    data = problem.table(device)
    return LinearSolver(
        x=data.x_train,
        y=data.y_train,
        family=problem.family,
        ridge=problem.ridge,
        tolerance=problem.tolerance,
    )
