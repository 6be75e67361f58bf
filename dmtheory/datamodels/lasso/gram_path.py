"""The path of `coordinate_descent` by scikit-learn, for machines without numba."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

Array = np.ndarray
_MOST_SWEEPS = 20_000


def descend(
    gram: Array,
    cross: Array,
    squares: Array,
    penalties: Array,
    lengths: Array,
    tolerance: float,
    whole: bool,
    patience: int,
    held_gram: Array,
    held_cross: Array,
    held_squares: Array,
) -> tuple[Array, Array]:
    """Go down each target's path; arguments and result as in `coordinate_descent`."""
    n_targets, n_penalties = penalties.shape
    found = np.zeros((n_targets, n_penalties if whole else 1, len(gram)))
    errors = np.full((n_targets, n_penalties), np.inf)
    for t in range(n_targets):
        path = _path(gram, cross[t], squares[t], penalties[t, : lengths[t]], tolerance)
        if whole:
            found[t, : lengths[t]] = path
        elif lengths[t]:
            found[t, 0] = path[-1]
        if held_squares.size:
            images = path @ held_gram
            errors[t, : lengths[t]] = (
                held_squares[t]
                - 2 * path @ held_cross[t]
                + np.einsum("kj,kj->k", images, path)
            )
    return found, errors


def _path(
    gram: Array, cross: Array, square: float, penalties: Array, tolerance: float
) -> Array:
    """Return coefficients [penalties, train].

    With a Gram matrix the rows matter only through y'y and their number: a made-up y
    of one entry, repeated, has both.
    """
    n = len(gram)
    y = np.full(n, np.sqrt(square))
    placeholder = np.zeros((n, n))
    with warnings.catch_warnings():
        # Whoever calls checks the duality gap of what comes back.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, path, _ = lasso_path(
            placeholder,
            y,
            alphas=penalties,
            precompute=n * gram,
            Xy=n * cross,
            tol=tolerance / 2,
            max_iter=_MOST_SWEEPS,
            check_input=False,
        )
    return path.T
