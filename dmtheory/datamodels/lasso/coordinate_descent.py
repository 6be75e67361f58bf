"""LASSO from a Gram matrix: coordinate descent on a growing set, compiled by numba.

A target at a time, along a falling path of penalties, minimise
b'Gb/2 - q'b + alpha |b|_1. Only a set of coordinates that might be non-zero is looked
at, in a copy of their part of the Gram matrix. Sweeps of coordinate descent find the
signs; now and then a few steps of conjugate gradients solve for the coefficients that
have signs, up to the first that would change its own. When the duality gap within the
set is small enough, the gradient of all coordinates is computed; those that violate
their bound enter. The path goes on when the duality gap of the whole problem is small
enough.

The copy is in float32: long supports are bound by the speed of memory. What that leaves
wrong is refined away, since each round starts from a float64 gradient.

References:
    Friedman, Hastie and Tibshirani 2010 (coordinate descent along a path); Massias,
    Gramfort and Salmon 2018 (working sets and the duality gap as the stopping rule).
"""

from typing import Any, no_type_check

import numpy as np
from numba import njit

# A coordinate is looked at when its gradient is this share of the penalty.
_NEAR = 0.9
_MOST_ROUNDS = 100
_MOST_SWEEPS = 50
# Every so many sweeps conjugate gradients follow: at most so many steps, or to this
# share of the first residual's square.
_EVERY = 5
_MOST_STEPS = 20
_SOLVED = 1e-1
# The gap within the set is driven to this share of the tolerance.
_MARGIN = 0.5


@njit(cache=True)
@no_type_check
def descend(
    gram: Any,
    cross: Any,
    squares: Any,
    penalties: Any,
    lengths: Any,
    tolerance: float,
    whole: bool,
    patience: int,
    held_gram: Any,
    held_cross: Any,
    held_squares: Any,
) -> Any:
    """Go down each target's path.

    Args:
        gram: G = X'X/m.
        cross: q = X'y/m, a target a row.
        squares: |y|^2/m, a target.
        penalties: alpha, falling along each target's row.
        lengths: How many of its penalties each target goes down to.
        tolerance: Duality gap over |y|^2/(2m) at which a penalty is done.
        whole: Whether the coefficients of all penalties are returned, or of the last.
        patience: Stop after this many penalties in a row whose held-out error is above
            the least before.
        held_gram: G of the held-out models, about the others' mean; empty if none.
        held_cross: q of the same.
        held_squares: |y|^2/m of the same.

    Returns:
        Coefficients [targets, penalties or 1, train] and held-out mean squared errors
        [targets, penalties], infinite beyond where the path was stopped.
    """
    n_targets, n_penalties = penalties.shape
    n_train = gram.shape[0]
    found = np.zeros((n_targets, n_penalties if whole else 1, n_train))
    errors = np.full((n_targets, n_penalties), np.inf)
    part = np.empty((64, 64), np.float32)
    members = np.empty(n_train, np.int64)
    local = np.zeros((3, n_train))  # coefficients, gradient, q of the members
    for t in range(n_targets):
        size, worse, least = 0, 0, np.inf
        inside = np.zeros(n_train, np.bool_)
        gradient = cross[t].copy()
        for k in range(lengths[t]):
            part, size = _solve(
                gram, cross[t], squares[t], penalties[t, k], tolerance,
                part, size, members, inside, local, gradient,
            )  # fmt: skip
            slot = k if whole else 0
            for a in range(size):
                found[t, slot, members[a]] = local[0, a]
            if held_squares.size == 0:
                continue
            errors[t, k] = _held_out(
                held_gram, held_cross[t], held_squares[t], members, local[0], size
            )
            worse = worse + 1 if errors[t, k] > least else 0
            least = min(least, errors[t, k])
            if worse >= patience:
                break
    return found, errors


@njit(cache=True)
@no_type_check
def _solve(
    gram, cross, square, alpha, tolerance, part, size, members, inside, local, gradient
):
    """Solve one penalty from where the last one ended; return the set, grown."""
    goal = tolerance * 0.5 * square
    threshold = _NEAR * alpha
    work = np.empty((5, len(gradient)))
    for _ in range(_MOST_ROUNDS):
        before = size
        for j in range(len(gradient)):
            if not inside[j] and abs(gradient[j]) > threshold:
                inside[j] = True
                members[size] = j
                size += 1
        part = _grow(gram, part, before, size, members)
        for a in range(before, size):
            local[0, a] = 0.0
            local[1, a] = gradient[members[a]]
            local[2, a] = cross[members[a]]
        _solve_within(part, size, local, square, alpha, _MARGIN * goal, work)
        _refresh(gram, cross, size, members, local, gradient)
        if _gap(size, local, gradient, square, alpha) <= goal:
            break
        threshold = alpha
    return part, size


@njit(cache=True)
@no_type_check
def _solve_within(part, size, local, square, alpha, goal, work):
    """Minimise over the members alone."""
    for sweep in range(1, _MOST_SWEEPS + 1):
        _sweep(part, size, local[0], local[1], alpha)
        if _gap(size, local, local[1, :size], square, alpha) <= goal:
            return
        if sweep % _EVERY == 0:
            _solve_signed(part, size, local[0], local[1], alpha, work)


@njit(cache=True)
@no_type_check
def _sweep(part, size, b, gradient, alpha):
    """Minimise over each member in turn."""
    for a in range(size):
        curvature = part[a, a]
        if curvature <= 0.0:
            continue
        pull = gradient[a] + curvature * b[a]
        new = max(abs(pull) - alpha, 0.0) / curvature
        if pull < 0.0:
            new = -new
        move = new - b[a]
        if move != 0.0:
            b[a] = new
            row = part[a]
            for c in range(size):
                gradient[c] -= move * row[c]


@njit(cache=True)
@no_type_check
def _solve_signed(part, size, b, gradient, alpha, work):
    """Minimise over the non-zero members by conjugate gradients, signs kept."""
    rest, direction, image = work[0], work[1], work[2]
    move, change = work[3], work[4]
    squared = 0.0
    for a in range(size):
        move[a] = change[a] = rest[a] = 0.0
        if b[a] != 0.0:
            rest[a] = gradient[a] - (alpha if b[a] > 0.0 else -alpha)
        direction[a] = rest[a]
        squared += rest[a] * rest[a]
    first = squared
    for _ in range(_MOST_STEPS):
        _multiply(part, size, direction, image)
        curvature = np.dot(direction[:size], image[:size])
        if curvature <= 0.0:
            break
        step, new = squared / curvature, 0.0
        for a in range(size):
            move[a] += step * direction[a]
            change[a] += step * image[a]
            if b[a] != 0.0:
                rest[a] -= step * image[a]
                new += rest[a] * rest[a]
        if new <= _SOLVED * first:
            break
        for a in range(size):
            direction[a] = rest[a] + new / squared * direction[a]
        squared = new
    _move_to_sign_change(size, b, gradient, move, change)


@njit(cache=True)
@no_type_check
def _multiply(part, size, direction, image):
    image[:size] = 0.0
    for a in range(size):
        x = direction[a]
        if x != 0.0:
            row = part[a]
            for c in range(size):
                image[c] += x * row[c]


@njit(cache=True)
@no_type_check
def _move_to_sign_change(size, b, gradient, move, change):
    """Take as much of a step as leaves every sign, the first to change becoming 0."""
    reach, first = 1.0, -1
    for a in range(size):
        if b[a] * move[a] < 0.0 and abs(b[a]) < reach * abs(move[a]):
            reach, first = abs(b[a]) / abs(move[a]), a
    for a in range(size):
        b[a] += reach * move[a]
        gradient[a] -= reach * change[a]
    if first >= 0:
        b[first] = 0.0


@njit(cache=True)
@no_type_check
def _grow(gram, part, before, size, members):
    """Copy the Gram matrix of the members from number `before` on."""
    if size > part.shape[0]:
        larger = np.empty((2 * size, 2 * size), np.float32)
        larger[:before, :before] = part[:before, :before]
        part = larger
    for a in range(before, size):
        row = gram[members[a]]
        for c in range(a + 1):
            part[a, c] = part[c, a] = row[members[c]]
    return part


@njit(cache=True)
@no_type_check
def _refresh(gram, cross, size, members, local, gradient):
    """Compute the gradient q - Gb of all coordinates anew."""
    gradient[:] = cross
    for a in range(size):
        x = local[0, a]
        if x != 0.0:
            row = gram[members[a]]
            for j in range(len(gradient)):
                gradient[j] -= x * row[j]
    for a in range(size):
        local[1, a] = gradient[members[a]]


@njit(cache=True)
@no_type_check
def _gap(size, local, gradient, square, alpha):
    """Return the duality gap, in O(N) from the gradient; see `duality_gap`."""
    fitted = crossed = length = largest = 0.0
    for a in range(size):
        fitted += local[2, a] * local[0, a]
        crossed += local[1, a] * local[0, a]
        length += abs(local[0, a])
    for j in range(len(gradient)):
        largest = max(largest, abs(gradient[j]))
    residual = max(square - fitted - crossed, 0.0)
    aligned = square - fitted
    limit = alpha / largest if largest > 0.0 else np.inf
    scale = 1.0 if residual == 0.0 else aligned / residual
    scale = min(max(scale, -limit), limit)
    primal = 0.5 * residual + alpha * length
    return primal - scale * aligned + 0.5 * scale * scale * residual


@njit(cache=True)
@no_type_check
def _held_out(gram, cross, square, members, b, size):
    """Return the mean squared error |y - Xb|^2/m of held-out models."""
    error = square
    for a in range(size):
        if b[a] != 0.0:
            row = gram[members[a]]
            inner = 0.5 * b[a] * row[members[a]]
            for c in range(a):
                inner += b[c] * row[members[c]]
            error += 2.0 * b[a] * (inner - cross[members[a]])
    return error
