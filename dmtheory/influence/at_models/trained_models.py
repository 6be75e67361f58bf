"""The models that an attribution is taken at: trained at a point, or given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_finite
from dmtheory.derivatives.method import At, resolved_point
from dmtheory.derivatives.units import from_labelled_units, point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import check_seed, model_seeds
from dmtheory.estimand import Point
from dmtheory.influence.arguments import check_differentiable
from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import first_rows
from dmtheory.problems.base import Description, DifferentiableProblem
from dmtheory.responses.collect import Progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Models:
    """Parameters, one row a model, with the weights that they belong to.

    Attributes:
        params: One parameter vector a model.
        weights: The weights that each was trained with.
        point: Where they are, in words and numbers.
        n_trained: Trainings spent here; 0 where the parameters were given.
        seed: The experiment's seed; None where nothing was drawn, or nothing is known.
        exact: Whether another training would give the same models.
    """

    params: Float[Tensor, "models params"]
    weights: Float[Tensor, "models train"]
    point: Point
    n_trained: int
    seed: int | None
    exact: bool

    def each(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        progress: Progress | None = None,
    ) -> Float[Tensor, "models ..."]:
        """Return a function of every model's parameters and weights, stacked."""
        return torch.stack(list(self._each(function, progress)))

    def _each(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        progress: Progress | None,
    ) -> Iterator[Tensor]:
        for params, weights in zip(self.params, self.weights, strict=True):
            yield function(params, weights)
            if progress is not None:
                progress(1)

    def attribution(
        self,
        units: Float[Tensor, "models rows targets"],
        description: Description,
        *,
        quantity: str,
        method: str,
        labels: tuple[str, ...] | None = None,
    ) -> Attribution:
        """Return the mean over models, with its standard error where it is known.

        Args:
            units: One estimate a model.
            description: The problem.
            quantity: What is estimated.
            method: How, in words; the number of models is added.
            labels: One label a row; the training examples' by default.
        """
        train = description.train_labels
        found = from_labelled_units(
            units,
            description,
            train if labels is None else labels,
            n_train=len(train if labels is None else labels),
            quantity=quantity,
            point=self.point,
            n_models=self.n_trained,
            seed=self.seed,
            method=f"{method}, {len(units)} {'given ' * (self.n_trained == 0)}model(s)",
        )
        # One model of many that might have been trained has an error nobody knows.
        return found if len(units) > 1 or self.exact else replace(found, stderr=None)


def models_at(
    problem: DifferentiableProblem,
    *,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
) -> Models:
    """Train models at a point or at random subsets, or take those that are given.

    Args:
        problem: A differentiable problem in float64.
        at: The point w: a common weight, one weight an example, or a subset law, at
            `at.n_models` subsets of it (drawn with `seed`, not with the law's own).
        n_seeds: Models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One parameter vector a model, trained elsewhere with weights `at`;
            nothing is trained then.

    Returns:
        The models.

    Raises:
        ValueError: If an argument is out of range, the problem is not in float64, or a
            training did not converge.
    """
    check_differentiable(problem)
    check_at_least(n_seeds, 1, "n_seeds")
    check_seed(seed)
    description = problem.description
    point = resolved_point(at, description.n_train)
    if parameters is not None:
        return _given(problem, parameters, point)
    n_seeds = 1 if description.deterministic else n_seeds
    if isinstance(point, Bernoulli):
        law, rows = replace(point, seed=seed), torch.arange(point.n_models)
        weights, seeds = law.weights(rows, description.n_train), law.seeds(rows)
    else:
        weights = point.repeat(n_seeds, 1)
        seeds = model_seeds(seed, torch.arange(n_seeds))
    fit = problem.fit(weights, seeds)
    check_double(fit.params, "fit")
    if not bool(fit.converged.all()):
        raise ValueError(
            f"training must converge, but {int((~fit.converged).sum())} of "
            f"{len(weights)} models did not: lower the learning rate or raise the ridge"
        )
    exact = description.deterministic and not isinstance(point, Bernoulli)
    return Models(
        params=fit.params,
        weights=weights,
        point=point_of(point),
        n_trained=len(weights),
        seed=None if exact else seed,
        exact=exact,
    )


def _given(
    problem: DifferentiableProblem, parameters: Tensor, point: Tensor | Bernoulli
) -> Models:
    if isinstance(point, Bernoulli):
        raise ValueError(
            "at must be a point where parameters are given, got a subset law: give "
            "the weights that they were trained with, one model a call"
        )
    params = check_parameters(problem, parameters)
    return Models(
        params=params,
        weights=point.repeat(len(params), 1),
        point=point_of(point),
        n_trained=0,
        seed=None,
        exact=problem.description.deterministic,
    )


def check_parameters(
    problem: DifferentiableProblem, parameters: Tensor, name: str = "parameters"
) -> Float[Tensor, "models params"]:
    """Return one parameter vector a row.

    Raises:
        TypeError: If they are no tensor.
        ValueError: If they are not finite float64 parameters of the problem.
    """
    if not isinstance(parameters, Tensor):
        raise TypeError(
            f"{name} must be a float64 tensor, one parameter vector a model, got a "
            f"{type(parameters).__name__}: use torch.tensor(..., dtype=torch.float64)"
        )
    check_double(parameters, name)
    rows = parameters[None] if parameters.ndim == 1 else parameters
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(
            f"{name} must be one parameter vector a model, got shape "
            f"{tuple(parameters.shape)}"
        )
    check_finite(rows, name)
    try:
        # Of one example: all at once may be more than fits.
        first_rows(problem, rows.device, 1).predictions(rows[0], Budget())
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be parameter vectors of the problem, got {rows.shape[1]} "
            f"entries each: {str(error).splitlines()[0]}"
        ) from error
    return rows.detach()


def check_double(params: Tensor, name: str) -> None:
    """Raise ValueError unless parameters are in float64."""
    if params.dtype != torch.float64:
        raise ValueError(
            f"{name} must give parameters in float64, got {params.dtype}: say "
            "dtype=torch.float64 of a network, or cast them"
        )


def check_fixed_steps(description: Description, what: str) -> None:
    """Raise ValueError under proportional steps, which have no derivative."""
    if description.step_policy == "proportional":
        raise ValueError(
            f"problem must train with fixed steps for {what}: proportional steps know "
            "weights of 0 and 1 alone, so there is no derivative"
        )
