"""Rules for removals: first and second order, leverages, and one step of Newton's."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vmap

from dmtheory.influence.at_models.gradients import prediction_slopes
from dmtheory.influence.at_models.linearised import (
    Linearised,
    scaled_motion,
    scaled_weights,
)
from dmtheory.influence.curvature import EKFAC, KFAC
from dmtheory.influence.curvature.losses import loss_hessians

# A group whose leverage is closer to 1 than this decides its own predictions alone.
_LEAST_SLACK = 1e-10
# Groups are taken in chunks of about this many entries of the Jacobian.
_CHUNK_ENTRIES = 2**22

Groups = Float[Tensor, "groups train"]
Contributions = Float[Tensor, "groups targets"]


@dataclass(frozen=True, slots=True)
class FirstOrder:
    """sum over the group of w_i dF/dw_i: what classical influence says of a group.

    References:
        Koh, Ang, Teo, Liang 2019, On the accuracy of influence functions for
        measuring group effects, section 2.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "first order"

    @property
    def quantity(self) -> str:
        """What it estimates."""
        return "leave-one-out"

    def contributions(self, model: Linearised, removed: Groups) -> Contributions:
        """Return the sum of the members' first-order contributions."""
        return -velocities(model, removed)[0] @ model.toward.T


@dataclass(frozen=True, slots=True)
class SecondOrder:
    r"""The second-order Taylor polynomial of F along the removal, -F' - F''/2.

    With s(t) = w(t)/W(t) the scaled weights while the group's weight falls, v and a
    the velocity and acceleration of the minimiser,

        H v = -sum_j s'_j grad l_j,
        H a = -sum_j s''_j grad l_j - 2 (sum_j s'_j grad^2 l_j) v - grad^3 J [v, v],

    so that examples of one group interact through H^-1 H_group H^-1. Its error is
    cubic in the share removed where the model has converged and the Hessian is exact
    and undamped. Basu et al. drop the third derivative, which least squares lacks.

    References:
        Basu, You, Feizi 2020, On second-order group influence functions for black-box
        predictions, section 4.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "second order"

    @property
    def quantity(self) -> str:
        """What it estimates."""
        return "leave-one-out"

    def contributions(self, model: Linearised, removed: Groups) -> Contributions:
        """Return the first-order term with its second-order correction."""
        problem, theta = model.problem, model.params
        scaled = scaled_weights(problem, model.weights)
        v, first, second = velocities(model, removed)

        def data_slope(params: Tensor, s: Tensor) -> Tensor:
            def total(p: Tensor) -> Tensor:
                return problem.prediction_losses(problem.predictions(p)) @ s

            return grad(total)(params)

        def slope(params: Tensor) -> Tensor:
            return data_slope(params, scaled) + grad(problem.penalty)(params)

        def force(v: Tensor, first: Tensor, second: Tensor) -> Tensor:
            def along(params: Tensor) -> Tensor:
                return jvp(slope, (params,), (v,))[1]

            moved = jvp(lambda p: data_slope(p, first), (theta,), (v,))[1]
            bend = jvp(along, (theta,), (v,))[1]
            return data_slope(theta, second) + 2 * moved + bend

        def bend_of_outputs(v: Tensor) -> Tensor:
            def along(params: Tensor) -> Tensor:
                return jvp(problem.target_outputs, (params,), (v,))[1]

            return jvp(along, (theta,), (v,))[1]

        a = -model.solve(vmap(force)(v, first, second).T).T
        curved = a @ model.toward.T + vmap(bend_of_outputs)(v)
        return -v @ model.toward.T - 0.5 * curved


@dataclass(frozen=True, slots=True)
class LeverageCorrected:
    r"""First order, with the slopes that the group would have were it not fitted.

    The group's slopes dl/dz become (I - S K (H + damping I)^-1 K')^-1 of themselves,
    K the Jacobian of its predictions and S its blocks s_j d^2 l_j/dz^2: of a single
    example of least squares, r_i/(1 - h_i). Exact for least squares, but for the
    divisor of the penalty under `sum`; for generalised linear models approximate
    leave-one-out. A leverage of 1 cannot be corrected.

    References:
        Rad and Maleki 2020, A scalable estimate of the out-of-sample prediction error
        via approximate leave-one-out cross-validation, equation 8.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "leverage-corrected"

    @property
    def quantity(self) -> str:
        """What it estimates."""
        return "leave-one-out"

    def contributions(self, model: Linearised, removed: Groups) -> Contributions:
        """Return corrected contributions, a group at a time.

        Raises:
            ValueError: If a group has leverage 1.
        """
        scaled = scaled_weights(model.problem, model.weights)
        slopes = prediction_slopes(model.problem, model.params)
        predictions = model.problem.predictions(model.params)
        blocks = loss_hessians(model.problem, predictions)
        plain = torch.einsum("gj,jp->gp", removed * scaled, model.gradients)
        corrected = []
        for row in removed:
            inside = ((row > 0) & (scaled > 0)).nonzero().flatten()
            jacobian = model.jacobian[inside].flatten(0, 1)
            spread = model.solve(jacobian.T)
            middle = torch.block_diag(*(blocks[inside] * scaled[inside, None, None]))
            system = torch.eye(len(jacobian)).double() - middle @ jacobian @ spread
            force = (slopes[inside] * scaled[inside, None]).flatten()
            if len(inside) and bool(torch.linalg.svdvals(system).min() < _LEAST_SLACK):
                raise ValueError(
                    "groups must not have leverage 1, as they alone decide their own "
                    "predictions: raise the ridge or the damping"
                )
            corrected.append(jacobian.T @ torch.linalg.solve(system, force))
        extra = torch.stack(corrected) - plain
        v, *_ = velocities(model, removed)
        return -(v + model.solve(extra.T).T) @ model.toward.T


@dataclass(frozen=True, slots=True)
class NewtonStep:
    """The output after one Newton step on the objective without the group.

    The step takes the curvature without the group, so it is exact for least squares,
    ridge and divisor included. Elsewhere its error is quadratic in the step. It forms
    one matrix a group.

    References:
        Pregibon 1981, Logistic regression diagnostics, section 3.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "one Newton step"

    @property
    def quantity(self) -> str:
        """What it estimates."""
        return "leave-one-out"

    def contributions(self, model: Linearised, removed: Groups) -> Contributions:
        """Return the change of the output over the step.

        Raises:
            TypeError: If the curvature is Kronecker-factored.
            ValueError: If the damped curvature without a group is not positive
                definite.
        """
        if isinstance(model.curvature, KFAC | EKFAC):
            raise TypeError(
                f"curvature must be known without each group for {self.name}, got "
                f"{model.curvature.name}: use GaussNewton(), or another rule"
            )
        before = scaled_weights(model.problem, model.weights)
        after = scaled_weights(model.problem, model.weights * (1 - removed))
        slopes = (after - before) @ model.gradients
        size = max(1, _CHUNK_ENTRIES // max(model.jacobian.numel(), 1))
        steps = []
        for rows, forces in zip(after.split(size), slopes.split(size), strict=True):
            factors, failed = torch.linalg.cholesky_ex(vmap(model.matrix_at)(rows))
            if bool(failed.any()):
                raise ValueError(
                    "groups must leave a positive definite curvature, but without one "
                    "of them it is not: raise the ridge or the damping"
                )
            steps.append(-torch.cholesky_solve(forces[:, :, None], factors)[:, :, 0])
        moved = vmap(model.problem.target_outputs)(model.params + torch.cat(steps))
        return model.problem.target_outputs(model.params) - moved


def velocities(
    model: Linearised, removed: Groups
) -> tuple[Float[Tensor, "groups params"], Groups, Groups]:
    """Return dtheta/dt while each group's weight falls, with s' and s''."""
    first, second = scaled_motion(
        model.problem, model.weights, -removed * model.weights
    )
    return -model.solve((first @ model.gradients).T).T, first, second
