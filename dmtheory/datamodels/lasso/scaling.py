"""Moments per model, in which the LASSO's objective is written."""

from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.rows.moments import Centred, Moments

# Outputs that vary less than this, relative to their level, are constant.
_FLAT = 1e-13


def scaled(moments: Centred, shift: Tensor | None) -> Centred:
    """Divide by the number of blocks, in place; constant outputs become exactly so."""
    n = moments.columns.n_blocks
    cross, squares = moments.cross.div_(n), moments.output_squares / n
    if shift is not None:
        kept = varies(squares, shift)
        cross, squares = cross.mul_(kept), squares * kept
    return Centred(moments.columns, moments.gram.div_(n), cross, squares)


def scaled_cross(moments: Moments, shift: Tensor) -> Float[Tensor, "train targets"]:
    """Return the cross products alone, centred and scaled, the moments unharmed."""
    columns, n = moments.columns, moments.columns.n_blocks
    cross, squares = moments.cross / n, moments.output_squares / n
    if columns.n_means:
        cross.addr_(columns.x_mean, columns.y_mean, alpha=-1)
        squares = squares - columns.y_mean.square()
    return cross.mul_(varies(squares, shift))


def varies(squares: Tensor, shift: Tensor) -> Tensor:
    """Return 1 where outputs vary by more than the rounding of their level, else 0."""
    return (squares > (_FLAT * shift.abs()).square()).to(squares)
