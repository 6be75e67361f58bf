"""dF/dw of converged convex problems, by the implicit function theorem."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import hessian, jacrev, jvp, vjp, vmap

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.along import Along, Examples
from dmtheory.derivatives.averages.by_models import contracted
from dmtheory.derivatives.averages.subset_average import at_point_or_over_subsets
from dmtheory.derivatives.strategies import check_strategy
from dmtheory.derivatives.units import from_labelled_units, point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Factored, Fit, Problem
from dmtheory.responses.collect import Progress
from dmtheory.weighting import Normalisation, normaliser

# Models are taken in chunks of about this many numbers.
_CHUNK_ENTRIES = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class Implicit:
    r"""The derivative of the minimiser, from the equation that it solves.

    theta*(w) solves G(theta, w) = (1/W) sum_j w_j grad l_j(theta) + grad R(theta) = 0,
    so that with H = dG/dtheta

        df/dw = -(H^-1 grad f)' dG/dw,

    the derivative by w of -<v, G(theta*, w)> at v = H^-1 grad f, the divisor W
    included. Exact up to the convergence of training.

    Attributes:
        n_subsets: Random subsets, where an average over subsets is asked for.
        along: What moves: `Examples()`, `Groups()` or `Directions()`. The rows of the
            attribution are these.
    """

    n_subsets: int = 20
    along: Along = Examples()  # noqa: RUF009 -- frozen, without state

    def __post_init__(self) -> None:
        check_at_least(self.n_subsets, 1, "n_subsets")
        check_strategy(self.along, Along, "along", "Groups(groups=...)")

    @property
    def name(self) -> str:
        """The way in words, for results."""
        return "implicit function theorem"

    @property
    def quantity(self) -> str:
        """What an estimand calls it."""
        return "response derivative"

    def derive(
        self,
        problem: Problem,
        *,
        at: Float[Tensor, " train"] | Bernoulli,
        coordinates: tuple[int, ...],
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Attribution:
        """Return the derivative at a point, exact, or averaged by the trapezoid.

        Raises:
            ValueError: If the problem is not convex with a penalty, or a training did
                not converge.
        """
        paths = self.along.paths(problem.description, coordinates)
        drawn = isinstance(at, Bernoulli)
        units = at_point_or_over_subsets(
            self,
            problem,
            at,
            paths,
            n_units=self.n_subsets if drawn else 1,
            seed=seed,
            engine=engine,
            progress=progress,
        )
        return from_labelled_units(
            units,
            problem.description,
            paths.labels,
            n_train=paths.n_players,
            quantity=self.quantity,
            point=point_of(at),
            n_models=len(units),
            seed=seed if drawn else None,
            method=f"{self.name}, {len(units)} model(s)",
        )

    def at_models(
        self,
        problem: Problem,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        directions: Float[Tensor, "models directions train"] | None = None,
        *,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "models directions targets"]:
        """Return each model's derivative along directions of its weights.

        Args:
            problem: A convex problem.
            weights: One weight vector a model.
            seeds: Without effect: training is deterministic.
            directions: Directions in weight space; every example's own by default.
            engine: Without effect: models are solved together in this process.
            progress: Called with the number of models that were just finished.

        Returns:
            Derivatives per unit of weight.

        Raises:
            ValueError: If the problem is not convex with a penalty, or a training did
                not converge.
        """
        if not isinstance(problem, Factored):
            raise ValueError(
                "problem must be convex and solved to its optimum for the implicit "
                f"derivative, got {type(problem).__name__}: use Pathwise() for a "
                "network, FiniteDifference() for a black box"
            )
        normalisation = problem.description.normalisation
        if normalisation == "sum" and bool((weights.sum(1) == 0).any()):
            raise ValueError(
                "weights must not be all zero under the normalisation 'sum': the "
                "response jumps there; take normalisation='count', or a larger p"
            )
        fit = problem.fit(weights, seeds, keep_factor=True)
        if not bool(fit.converged.all()):
            raise ValueError(
                "training must converge for the implicit derivative, but "
                f"{int((~fit.converged).sum())} of {len(weights)} models did not"
            )
        found = []
        each = vmap(partial(_at_one_model, problem, normalisation))
        size = max(1, _CHUNK_ENTRIES // _entries_a_model(problem, fit))
        for block in torch.arange(len(weights)).split(size):
            factors = _factors(problem, fit, weights, block)
            derivatives = each(fit.params[block], weights[block], factors)
            part = None if directions is None else directions[block]
            found.append(contracted(derivatives, part))
            if progress is not None:
                progress(len(block))
        return torch.cat(found)


def _at_one_model(
    problem: Factored,
    normalisation: Normalisation,
    params: Tensor,
    weights: Tensor,
    factor: Tensor,
) -> Float[Tensor, "targets train"]:
    """Return the derivative of every output by every weight."""
    slopes = jacrev(problem.target_outputs)(params)
    solved = torch.cholesky_solve(slopes.T, factor).T

    def losses(theta: Tensor) -> Tensor:
        return problem.prediction_losses(problem.predictions(theta))

    def moved(way: Tensor) -> Tensor:
        return jvp(losses, (params,), (way,))[1]

    # -<v, G> is -sum_j (w_j / W) <v, grad l_j> and a part that no weight moves.
    rises = vmap(moved)(solved)
    pull = vjp(lambda w: w * normaliser(w[None], normalisation), weights)[1]
    return -vmap(lambda row: pull(row)[0])(rises)


def _factors(
    problem: Factored, fit: Fit, weights: Tensor, block: Tensor
) -> Float[Tensor, "models params params"]:
    """Return the Hessian's Cholesky factors, where training left none made here."""
    if fit.factor is not None:
        return fit.factor[block]
    normalisation = problem.description.normalisation
    shares = weights * normaliser(weights, normalisation)[:, None]

    def objective(theta: Tensor, share: Tensor) -> Tensor:
        losses = problem.prediction_losses(problem.predictions(theta))
        return share @ losses + problem.penalty(theta)

    matrix = vmap(hessian(objective))(fit.params[block], shares[block])
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        raise ValueError(
            "problem must have a positive definite Hessian for the implicit "
            f"derivative, but {int((failed > 0).sum())} of {len(failed)} models lack "
            "it: give it ridge > 0"
        )
    return factor


def _entries_a_model(problem: Factored, fit: Fit) -> int:
    n_params = fit.params.shape[1]
    n_outputs = problem.predictions(fit.params[0]).numel()
    return n_params**2 + problem.description.n_targets * (n_params + 3 * n_outputs)
