"""The path of `coordinate_descent` for all targets at once, on any torch device.

At each penalty targets are solved together, in rounds. A round computes every target's
gradient in float64, and from it the duality gap; targets that are done leave. The
others move by `corrections`: those with few coordinates that might be non-zero within
these, by a Gram matrix of their own, and the rest within all, by one product for them
all. Where a round gains a target next to nothing, precision is raised.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.datamodels.lasso.correction import corrections
from dmtheory.datamodels.lasso.duality_gap import gap_at
from dmtheory.datamodels.lasso.gram import Gram, fast_product
from dmtheory.datamodels.lasso.rows_gram import RowMoments, RowsGram
from dmtheory.datamodels.lasso.working_sets import WorkingSets, working_sets
from dmtheory.datamodels.rows.moments import Centred

# A coordinate is looked at when its gradient is this share of the penalty.
_NEAR = 0.9
# Sets are solved by themselves up to this share of all coordinates.
_NARROW = 0.05
# Steps of the first rounds, within sets and within all coordinates. Later ones take
# more, up to so many times as many: what is ill-conditioned needs long momentum.
_STEPS_WITHIN = 60
_STEPS_OVERALL = 25
_LONGEST = 4
_MOST_ROUNDS = 200
# Precision is raised when a gap stays above this share of what it was.
_SLOW = 0.9
# Entries of a matrix of coefficients of targets that go down the path together: 1 GiB
# in float64. There are about fifteen such matrices at a time.
_AT_ONCE = 2**27


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    """Several targets at a penalty each.

    Attributes:
        coefficients: b.
        gaps: Relative duality gaps of these.
        overall: Products with the whole Gram matrix in low precision.
        exact: Those in float64.
    """

    coefficients: Float[Tensor, "train targets"]
    gaps: Float[Tensor, " targets"]
    overall: int
    exact: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathPoint:
    """Some targets at one of their penalties.

    Attributes:
        targets: Their numbers.
        place: The penalty's number along the path.
        solved: Coefficients, gaps and the work they took.
        errors: Held-out mean squared errors; None where no models were held out.
    """

    targets: Int64[Tensor, " targets"]
    place: int
    solved: Solved
    errors: Float[Tensor, " targets"] | None


def walk(
    moments: Centred | RowMoments,
    penalties: Float[Tensor, "targets penalties"],
    lengths: Int64[Tensor, " targets"],
    tolerance: float,
    *,
    held: Centred | RowMoments | None = None,
    patience: int = 1,
) -> Iterator[PathPoint]:
    """Go down each target's path, each penalty from where the last one ended.

    Args:
        moments: G = X'X/m, as a matrix or by rows, q = X'y/m and |y|^2/m, centred.
        penalties: lambda, falling along each target's row.
        lengths: How many of its penalties each target goes down to.
        tolerance: Relative duality gap at which a penalty is done.
        held: The same moments of held-out models, about the others' mean.
        patience: A target stops after this many penalties in a row whose held-out error
            is above the least before.

    Yields:
        Targets that go down together, penalty by penalty.
    """
    gram, device = _multiplied(moments), moments.cross.device
    size = max(_AT_ONCE // len(moments.cross), 1)
    for part in torch.arange(len(penalties), device=device).split(size):
        yield from _walk(
            gram, moments, penalties.to(device), lengths.to(device), tolerance,
            held, patience, part,
        )  # fmt: skip


def _multiplied(moments: Centred | RowMoments) -> Gram | RowsGram:
    return moments.gram if isinstance(moments, RowMoments) else Gram(moments.gram)


def solve(
    gram: Gram | RowsGram,
    cross: Float[Tensor, "train targets"],
    squares: Float[Tensor, " targets"],
    l1_penalty: Float[Tensor, " targets"],
    start: Float[Tensor, "train targets"],
    tolerance: float,
) -> Solved:
    """Solve each target at its penalty.

    Args:
        gram: G = X'X/m.
        cross: q = X'y/m.
        squares: |y|^2/m.
        l1_penalty: lambda, a target.
        start: Coefficients to start from.
        tolerance: Relative duality gap at which a target is done.

    Returns:
        The solution; gaps say where it was not reached.
    """
    found, gaps = start.clone(), torch.full_like(squares, torch.inf)
    left = torch.arange(len(squares), device=cross.device)
    coefficients, level, overall, exact = start, 0, 0, 0
    for turn in range(1, _MOST_ROUNDS + 1):
        gradient = cross[:, left] - gram.times(coefficients)
        exact += 1
        before = gaps[left]
        gaps[left] = gap_at(
            gradient, cross[:, left], squares[left], coefficients, l1_penalty[left]
        )
        found[:, left] = coefficients
        more = gaps[left] > tolerance
        if not bool(more.any()):
            break
        slow = bool((gaps[left] > _SLOW * before)[more].any())
        level = min(level + int(slow), len(gram.precisions) - 1)
        left = left[more]
        coefficients, gradient = coefficients[:, more], gradient[:, more]
        overall += _move(
            gram,
            coefficients,
            gradient,
            l1_penalty[left] / 2,
            precision=gram.precisions[level],
            longer=min(max(turn - 1, 1), _LONGEST),
        )
    return Solved(coefficients=found, gaps=gaps, overall=overall, exact=exact)


def _walk(
    gram: Gram | RowsGram,
    moments: Centred | RowMoments,
    penalties: Tensor,
    lengths: Tensor,
    tolerance: float,
    held: Centred | RowMoments | None,
    patience: int,
    targets: Tensor,
) -> Iterator[PathPoint]:
    coefficients = torch.zeros_like(moments.cross[:, targets])
    worse = torch.zeros_like(targets)
    least = torch.full_like(moments.output_squares[targets], torch.inf)
    for place in range(penalties.shape[1]):
        stays = (lengths[targets] > place) & (worse < patience)
        targets, worse, least = targets[stays], worse[stays], least[stays]
        if not len(targets):
            return
        solved = solve(
            gram,
            moments.cross[:, targets],
            moments.output_squares[targets],
            penalties[targets, place],
            coefficients[:, stays],
            tolerance,
        )
        coefficients, errors = solved.coefficients, None
        if held is not None:
            errors = _held_out(held, targets, coefficients)
            worse = torch.where(errors > least, worse + 1, 0)
            least = torch.minimum(least, errors)
        yield PathPoint(targets=targets, place=place, solved=solved, errors=errors)


def _held_out(
    held: Centred | RowMoments, targets: Tensor, coefficients: Tensor
) -> Float[Tensor, " targets"]:
    """Return the mean squared error |y - Xb|^2/m of held-out models."""
    image = _multiplied(held).times(coefficients)
    inner = coefficients * (image - 2 * held.cross[:, targets])
    return held.output_squares[targets] + inner.sum(0)


def _move(
    gram: Gram | RowsGram,
    coefficients: Float[Tensor, "train targets"],
    gradient: Float[Tensor, "train targets"],
    alpha: Float[Tensor, " targets"],
    *,
    precision: torch.dtype,
    longer: int,
) -> int:
    """Move the coefficients in place; return how many products took all of them."""
    marked = (coefficients != 0) | (gradient.abs() > _NEAR * alpha)
    narrow = marked.sum(0) <= _NARROW * len(marked)
    for sets in working_sets(marked, narrow.nonzero().flatten()):
        moves = _within(gram, sets, coefficients, gradient, alpha, precision, longer)
        sets.add_to(coefficients, moves)
    wide = (~narrow).nonzero().flatten()
    if not len(wide):
        return 0
    coefficients[:, wide] += corrections(
        gram.product(precision),
        coefficients[None][:, :, wide],
        gradient[None][:, :, wide],
        alpha[wide][None, None],
        coefficients.new_full((1, 1, 1), gram.largest_eigenvalue),
        steps=longer * _STEPS_OVERALL,
    )[0]
    return longer * _STEPS_OVERALL


def _within(
    gram: Gram | RowsGram,
    sets: WorkingSets,
    coefficients: Tensor,
    gradient: Tensor,
    alpha: Tensor,
    precision: torch.dtype,
    longer: int,
) -> Float[Tensor, "sets width 1"]:
    """Return corrections within each set alone.

    Sets are small, so there is nothing to gain by less than 32 bits. A principal part
    of a matrix has no larger eigenvalue than the whole, nor than its own rows' sums.
    """
    single = torch.float64 if precision == torch.float64 else torch.float32
    matrices = gram.within(sets, single)
    rows = torch.linalg.vector_norm(matrices, ord=1, dim=2).amax(1).double()
    curvature = rows.clamp(max=gram.largest_eigenvalue)
    return corrections(
        lambda moves: fast_product(matrices, moves),
        sets.gathered(coefficients),
        sets.gathered(gradient),
        alpha[sets.targets][:, None, None],
        curvature[:, None, None],
        steps=longer * _STEPS_WITHIN,
    )
