"""Which engine goes down the path: the device of the moments decides.

On the CPU a target at a time, compiled; elsewhere all targets together in torch.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.datamodels.lasso.batched import PathPoint, Solved, walk
from dmtheory.datamodels.lasso.duality_gap import duality_gap
from dmtheory.datamodels.lasso.rows_gram import RowMoments
from dmtheory.datamodels.rows.moments import Centred

# Coefficients that the compiled engine returns at a time, 1 GiB in float64.
_AT_ONCE = 2**27


def descend(
    moments: Centred,
    path: Float[Tensor, "targets penalties"],
    lengths: Int64[Tensor, " targets"],
    tolerance: float,
    *,
    held: Centred | None = None,
    patience: int = 1,
    every: bool = False,
) -> tuple[Float[Tensor, "targets some train"], Float[Tensor, "targets penalties"]]:
    """Go down each target's path.

    Args:
        moments: Centred, per model.
        path: Penalties lambda, falling along each target's row.
        lengths: How many of its penalties each target goes down to.
        tolerance: Relative duality gap at which a penalty is done.
        held: The same moments of held-out models, about the others' mean.
        patience: Stop after this many penalties in a row whose held-out error is above
            the least before.
        every: Whether the coefficients of all penalties are returned, or of the last.

    Returns:
        Coefficients, and held-out mean squared errors on the CPU, infinite beyond where
        a path was stopped.
    """
    down = _compiled if _is_compiled_for(moments.gram.device) else descend_together
    return down(moments, path, lengths, tolerance, held, patience, every)


def points(
    moments: Centred, path: Float[Tensor, "targets penalties"], tolerance: float
) -> Iterator[PathPoint]:
    """Go down whole paths, with one penalty's coefficients of some targets at a time.

    Yields:
        Targets at one of their penalties.
    """
    lengths = torch.full((len(path),), path.shape[1])
    if not _is_compiled_for(moments.gram.device):
        yield from walk(moments, path, lengths, tolerance)
        return
    size = max(_AT_ONCE // (path.shape[1] * len(moments.gram)), 1)
    for targets in torch.arange(len(path)).split(size):
        part = Centred(
            moments.columns,
            moments.gram,
            moments.cross[:, targets],
            moments.output_squares[targets],
        )
        found, _ = descend(part, path[targets], lengths[targets], tolerance, every=True)
        for place in range(path.shape[1]):
            solved = Solved(
                coefficients=found[:, place].T,
                gaps=duality_gap(
                    part.gram,
                    part.cross,
                    part.output_squares,
                    found[:, place].T,
                    path[targets, place],
                ),
                overall=0,
                exact=0,
            )
            yield PathPoint(targets=targets, place=place, solved=solved, errors=None)


def _is_compiled_for(device: torch.device) -> bool:
    return device.type == "cpu"


def descend_together(
    moments: Centred | RowMoments,
    path: Tensor,
    lengths: Tensor,
    tolerance: float,
    held: Centred | RowMoments | None,
    patience: int,
    every: bool,
) -> tuple[Tensor, Tensor]:
    """Do the same as `descend` for all targets at once, on any device."""
    n_targets, n_penalties = path.shape
    slots = n_penalties if every else 1
    found = moments.cross.new_zeros(n_targets, slots, len(moments.cross))
    errors = torch.full((n_targets, n_penalties), torch.inf, dtype=torch.float64)
    for point in walk(moments, path, lengths, tolerance, held=held, patience=patience):
        slot = point.place if every else 0
        found[point.targets, slot] = point.solved.coefficients.T
        if point.errors is not None:
            errors[point.targets.cpu(), point.place] = point.errors.cpu()
    return found, errors


def _compiled(
    moments: Centred,
    path: Tensor,
    lengths: Tensor,
    tolerance: float,
    held: Centred | None,
    patience: int,
    every: bool,
) -> tuple[Tensor, Tensor]:
    none = np.zeros((0, 0))
    out = (none, none, np.zeros(0))
    if held is not None:
        out = _arrays(held)
    found, errors = _engine()(
        *_arrays(moments),
        np.ascontiguousarray(path.numpy() / 2),
        lengths.numpy(),
        tolerance,
        every,
        patience,
        *out,
    )
    return torch.from_numpy(found), torch.from_numpy(errors)


def _arrays(moments: Centred) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(moments.gram.numpy()),
        np.ascontiguousarray(moments.cross.T.numpy()),
        moments.output_squares.numpy(),
    )


def _engine() -> Callable[..., Any]:
    """Return the compiled descent, or scikit-learn's where numba is absent."""
    try:
        from dmtheory.datamodels.lasso.coordinate_descent import descend
    except ImportError:
        from dmtheory.datamodels.lasso.gram_path import descend
    return descend
