"""What a problem is: a randomised training map and the outputs that are measured.

The least that a user writes is `respond`. A problem that also gives its parameters,
losses and outputs as differentiable functions can be asked for influence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.checks import check_choice, check_weights
from dmtheory.problems.quality import Quality
from dmtheory.weighting import (
    NORMALISATIONS,
    STEP_POLICIES,
    Normalisation,
    StepPolicy,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What identifies a problem and labels its axes; recorded with every number.

    Attributes:
        name: A short name for people.
        digest: A digest of data and training procedure.
        output: The output function f, such as "margin".
        normalisation: W in J(theta; w) = (1/W) sum_j w_j l_j(theta) + R(theta):
            "sum" is W = sum_j w_j, "count" is W = N.
        step_policy: "fixed" visits all examples whatever their weight;
            "proportional" takes steps in proportion to the subset's size.
        train_labels: One label a training example.
        target_labels: One label a target.
        deterministic: Whether training has no randomness, so that seeds do nothing.
        qualities: What `measure` says of each model beside its outputs, such as
            "held-out loss" and "held-out accuracy"; empty where there is no `measure`.
    """

    name: str
    digest: str
    output: str
    normalisation: Normalisation
    step_policy: StepPolicy
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    deterministic: bool = False
    qualities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.step_policy, STEP_POLICIES, "step_policy")
        for axis in ("train", "target"):
            labels = getattr(self, f"{axis}_labels")
            if not labels:
                raise ValueError(f"{axis}_labels must not be empty")
            if len(set(labels)) != len(labels):
                raise ValueError(f"{axis}_labels must be unique")

    @property
    def n_train(self) -> int:
        """Number of training examples N."""
        return len(self.train_labels)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return len(self.target_labels)


@runtime_checkable
class Problem(Protocol):
    """A randomised training map Phi(r; w) with its outputs f."""

    @property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        ...

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Train one model a row and return f(Phi(seed; weights)) at every target."""
        ...


@runtime_checkable
class Measured(Problem, Protocol):
    """A problem that also says how good its models are on held-out data."""

    def measure(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> tuple[Float[Tensor, "models targets"], Quality]:
        """Return what `respond` does, with the qualities that the description names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Trained parameters, with the certificate of their training.

    Attributes:
        params: One flat parameter vector a model.
        gradient_norm: Largest absolute entry of the objective's gradient, a model.
        converged: Whether the training reached what it promises: for a convex
            problem the gradient norm it was asked for, for a network finite values.
        factor: Lower Cholesky factor of the objective's Hessian there, where it was
            asked for and the training has one.
    """

    params: Float[Tensor, "models params"]
    gradient_norm: Float[Tensor, " models"]
    converged: Bool[Tensor, " models"]
    factor: Float[Tensor, "models params params"] | None = None


@runtime_checkable
class DifferentiableProblem(Problem, Protocol):
    """A problem whose losses and outputs are smooth functions of its parameters."""

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Fit:
        """Train one model a row and return its parameters."""
        ...

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the model's prediction (a logit vector, a mean) at every example."""
        ...

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return l_j as a function of the prediction at example j."""
        ...

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return f at every target."""
        ...

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return R(theta)."""
        ...


@runtime_checkable
class Factored(DifferentiableProblem, Protocol):
    """A convex problem whose training ends with its Hessian's Cholesky factor."""

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        *,
        keep_factor: bool = False,
    ) -> Fit:
        """Train one model a row; on request return the factor too."""
        ...

    @property
    def ridge(self) -> float:
        """The penalty that makes the Hessian positive definite."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class BlackBox:
    """A problem made of one function: the least that a user has to write.

    Attributes:
        description: What identifies the problem and labels its axes.
        train_and_measure: A function of (weights, seeds) that trains one model a row
            and returns its outputs, [models, targets].
    """

    description: Description
    train_and_measure: Callable[[Tensor, Tensor], Tensor]

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Train one model a row and return its outputs.

        Returns:
            What the function returned, in float64.

        Raises:
            ValueError: If the function returns another shape.
        """
        check_weights(weights, self.description.n_train)
        outputs = torch.as_tensor(self.train_and_measure(weights, seeds)).double()
        expected = (len(weights), self.description.n_targets)
        if tuple(outputs.shape) != expected:
            raise ValueError(
                f"train_and_measure must return shape {expected} (models, targets), "
                f"got {tuple(outputs.shape)}"
            )
        return outputs
