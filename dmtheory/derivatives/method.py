"""What a method of differentiating the response is, and the point it is asked at."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import as_tensor, check_finite, check_positive
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.points import check_coordinates
from dmtheory.designs.seeds import check_seed
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress

# A common weight, one weight an example, or a subset law to average over.
At = float | Sequence[float] | Tensor | Bernoulli


@runtime_checkable
class DerivativeMethod(Protocol):
    """A way of estimating dF/dw_i, per unit of w_i; positive: more weight raises F."""

    def derive(
        self,
        problem: Problem,
        *,
        at: Float[Tensor, " train"] | Bernoulli,
        coordinates: tuple[int, ...],
        seed: int,
        engine: Engine | None,
        progress: Progress | None,
    ) -> Attribution:
        """Return the derivative at a point, or averaged over a subset law.

        `response_derivative` calls this with its arguments checked and resolved.

        Args:
            problem: The training map and its outputs.
            at: The point w, or a subset law to average over, of which only p counts.
            coordinates: Distinct examples, at least one.
            seed: The experiment's seed.
            engine: Where trainings run; in this process if None.
            progress: Called with the number of models that were just finished.
        """
        ...


def resolved(
    problem: Problem, at: At, coordinates: Sequence[int] | None, seed: int
) -> tuple[Float[Tensor, " train"] | Bernoulli, tuple[int, ...]]:
    """Check what a caller stated and return the point and the coordinates.

    Args:
        problem: The problem.
        at: A common weight > 0, one weight >= 0 an example, or a subset law.
        coordinates: Which examples; all by default.
        seed: The experiment's seed.

    Returns:
        One weight an example, or the law; and the examples.

    Raises:
        TypeError: If coordinates are no whole numbers.
        ValueError: If a coordinate, a weight or the seed is out of range.
    """
    n_train = problem.description.n_train
    chosen = _whole(range(n_train) if coordinates is None else coordinates)
    check_coordinates(chosen, n_train)
    check_seed(seed)
    return resolved_point(at, n_train), chosen


def _whole(coordinates: Sequence[int]) -> tuple[int, ...]:
    """Return numbers of examples as plain integers; a mask is none."""
    entries = torch.as_tensor(coordinates).tolist()
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, int):
            raise TypeError(
                f"coordinates must be numbers of examples, got {entry!r}: those of a "
                "mask are mask.nonzero()"
            )
    return tuple(entries)


def resolved_point(at: At, n_train: int) -> Float[Tensor, " train"] | Bernoulli:
    """Return the weight vector that a point names; a subset law as it is.

    Args:
        at: A common weight > 0, one weight >= 0 an example, or a subset law.
        n_train: N.

    Returns:
        One weight an example, or the law.

    Raises:
        ValueError: If a weight is out of range or not finite, all are zero, or there
            is not one an example.
    """
    if isinstance(at, Bernoulli):
        return at
    if isinstance(at, float | int):
        check_positive(at, "at")
        return torch.full((n_train,), float(at), dtype=torch.float64)
    weights = as_tensor(at, "at").cpu()
    if tuple(weights.shape) != (n_train,):
        raise ValueError(
            f"at must be a number, or one weight an example ({n_train}), got shape "
            f"{tuple(weights.shape)}"
        )
    check_finite(weights, "at")
    if bool((weights < 0).any()):
        raise ValueError(f"at must hold weights >= 0, got {weights.min().item():g}")
    if not bool(weights.any()):
        raise ValueError(
            "at must have a weight > 0, got zeros alone: nothing is trained on there"
        )
    return weights
