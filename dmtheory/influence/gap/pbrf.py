"""The proximal Bregman response: what damped Gauss-Newton influence estimates."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import grad, vmap

from dmtheory.checks import check_at_least, check_positive, check_weights
from dmtheory.influence.at_models.gradients import prediction_slopes
from dmtheory.influence.at_models.linearised import Linearised, scaled_weights
from dmtheory.influence.gap.minimisers import minimisers
from dmtheory.problems.base import DifferentiableProblem


@dataclass(frozen=True, kw_only=True, eq=False)
class BregmanObjective:
    r"""What is minimised in place of J(.; w) when weights change, around theta_s.

    Q(theta; c) = sum_j s_j D_j(theta) + D_R(theta) + damping/2 |theta - theta_s|^2
                  + sum_j c_j l_j(theta),

    s = w/W the scaled weights, c their change, D_j(theta) = l_j(z_j) - l_j(z_j^s)
    - dl_j(z_j^s)/dz (z_j - z_j^s) the Bregman divergence of the prediction from the
    trained model's, D_R that of the penalty. Without a change theta_s is its minimiser,
    converged or not, and its Hessian there is the damped Gauss-Newton matrix: so the
    derivative of its minimiser is what damped Gauss-Newton influence states.

    Attributes:
        problem: Losses, outputs and penalty.
        params: theta_s.
        scaled: s.
        damping: Of the proximal term, >= 0.

    References:
        Bae, Ng, Lo, Ghassemi, Grosse 2022, If influence functions are the answer, then
        what is the question?, section 4.
    """

    problem: DifferentiableProblem
    params: Float[Tensor, " params"]
    scaled: Float[Tensor, " train"]
    damping: float

    def value(
        self, theta: Float[Tensor, " params"], change: Float[Tensor, " train"]
    ) -> Float[Tensor, ""]:
        """Return Q for one change of the scaled weights, up to a constant."""
        z = self.problem.predictions(theta)
        losses = self.problem.prediction_losses(z)
        data = losses @ (self.scaled + change) - (self._forces * z).sum()
        penalty = self.problem.penalty(theta) - self._penalty_slope @ theta
        distance = 0.5 * self.damping * (theta - self.params).square().sum()
        return data + penalty + distance

    @cached_property
    def _forces(self) -> Float[Tensor, "train classes"]:
        return self.scaled[:, None] * prediction_slopes(self.problem, self.params)

    @cached_property
    def _penalty_slope(self) -> Float[Tensor, " params"]:
        return grad(self.problem.penalty)(self.params)

    def __post_init__(self) -> None:
        # Outside of transforms: a tensor first computed inside one is its wrapper.
        _ = self._forces, self._penalty_slope


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProximalResponse:
    """Minimisers of the proximal Bregman objective, with their certificates.

    Attributes:
        params: One minimiser a change of the weights.
        outputs: f there.
        gradient_norm: Largest absolute entry of the gradient there.
        iterations: Steps that were taken.
    """

    params: Float[Tensor, "changes params"]
    outputs: Float[Tensor, "changes targets"]
    gradient_norm: Float[Tensor, " changes"]
    iterations: Int64[Tensor, " changes"]


def proximal_response(
    model: Linearised,
    weights: Float[Tensor, "changes train"],
    *,
    tolerance: float = 1e-10,
    most_iterations: int = 200,
) -> ProximalResponse:
    """Minimise the proximal Bregman objective of a model for other weights.

    Args:
        model: A trained model with its damping; its factor preconditions.
        weights: The weights that take the place of the model's own.
        tolerance: Largest gradient entry, beside sum_j s_j |grad l_j|.
        most_iterations: Steps at most.

    Returns:
        Minimisers, certified.

    Raises:
        ValueError: If weights are no weights, or a minimiser is not found to the
            tolerance.
    """
    check_positive(tolerance, "tolerance")
    check_at_least(most_iterations, 1, "most_iterations")
    check_weights(weights, len(model.weights))
    if not bool(weights.any(1).all()):
        raise ValueError(
            "weights must have an entry > 0 in each row, got zeros alone in row "
            f"{int((~weights.any(1)).nonzero()[0])}: nothing is left there"
        )
    before = scaled_weights(model.problem, model.weights)
    objective = BregmanObjective(
        problem=model.problem,
        params=model.params,
        scaled=before,
        damping=model.damping,
    )
    changes = scaled_weights(model.problem, weights) - before
    unit = (before @ model.gradients.abs()).max().item()
    found = minimisers(
        objective.value,
        model.params.expand(len(changes), -1),
        changes,
        factor=model.factor,
        tolerance=tolerance * unit,
        most_iterations=most_iterations,
    )
    if not bool(found.converged.all()):
        raise ValueError(
            "the proximal Bregman objective must be solved to a gradient of "
            f"{tolerance:g}, but {int((~found.converged).sum())} of {len(changes)} "
            f"changes reached {found.gradient_norm.max().item() / unit:.2g} only: "
            "raise damping, or change less"
        )
    return ProximalResponse(
        params=found.params,
        outputs=vmap(model.problem.target_outputs)(found.params),
        gradient_norm=found.gradient_norm,
        iterations=found.iterations,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProximalBregman:
    """f(theta_s) less f at the proximal Bregman response without the group.

    The answer to the question that damped Gauss-Newton influence approximates to first
    order; where a model is not converged, or damped, it is not that of retraining.

    Attributes:
        tolerance: Largest gradient entry of a solution, beside sum_j s_j |grad l_j|.
    """

    tolerance: float = 1e-10

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "proximal Bregman response"

    @property
    def quantity(self) -> str:
        """What it states: of a converged convex problem, undamped, leave-one-out."""
        return "proximal Bregman response"

    def contributions(
        self, model: Linearised, removed: Float[Tensor, "groups train"]
    ) -> Float[Tensor, "groups targets"]:
        """Return f(theta_s) - f(theta without the group)."""
        found = proximal_response(
            model, model.weights * (1 - removed), tolerance=self.tolerance
        )
        return model.problem.target_outputs(model.params) - found.outputs
