"""A Gram matrix in several precisions."""

from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.lasso.working_sets import WorkingSets

# Power iterations, and what the eigenvalue they find may be short of.
_ITERATIONS = 60
MARGIN = 1.05
TINY = 1e-300
# Coefficients of which less than this share are not 0 are multiplied as sparse.
_SPARSE = 0.01


class Gram:
    """X'X/m, copies of it for fast products, and its largest eigenvalue.

    A copy is made when it is first asked for, and kept.

    Attributes:
        exact: The matrix in float64.
        precisions: Types of fast products, from the fastest on. The last is float64,
            in which nothing is left to be refined.
    """

    def __init__(self, exact: Float[Tensor, "train train"]) -> None:
        """Take a matrix; bfloat16 is for devices with units for it."""
        self.exact = exact
        self.precisions = [torch.float32, torch.float64]
        if sums_bfloat16(exact.device):
            self.precisions.insert(0, torch.bfloat16)
        self._copies = {torch.float64: exact}
        self._largest: float | None = None

    @property
    def largest_eigenvalue(self) -> float:
        """An upper bound in practice: what power iterations find, and 5 % more."""
        if self._largest is None:
            found = largest_eigenvalue(lambda v: self.exact @ v, self.exact[0])
            self._largest = max(MARGIN * found, TINY)
        return self._largest

    def copy(self, precision: torch.dtype) -> Tensor:
        """Return the matrix in a precision."""
        if precision not in self._copies:
            self._copies[precision] = self.exact.to(precision)
        return self._copies[precision]

    def product(self, precision: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Return the product with [1, train, targets] in a precision."""
        matrix = self.copy(precision)[None]
        return lambda moves: fast_product(matrix, moves)

    def within(self, sets: WorkingSets, precision: torch.dtype) -> Tensor:
        """Return each set's part of the matrix; rows and columns outside are 0."""
        return sets.matrices(self.exact, precision)

    def times(
        self, coefficients: Float[Tensor, "train targets"]
    ) -> Float[Tensor, "train targets"]:
        """Return the product in float64; few non-zero rows cost little."""
        filled = int(torch.count_nonzero(coefficients))
        if filled > _SPARSE * coefficients.numel():
            return self.exact @ coefficients
        return torch.sparse.mm(coefficients.T.to_sparse(), self.exact).T


def fast_product(
    matrix: Tensor, vectors: Float[Tensor, "sets members columns"]
) -> Float[Tensor, "sets members columns"]:
    """Multiply in the matrix's precision, sums never in less than 32 bits.

    Args:
        matrix: One symmetric matrix a set [sets, members, members].
        vectors: What it is multiplied with, in float64.

    Returns:
        Products in float64.
    """
    low = vectors.to(matrix.dtype)
    if matrix.dtype != torch.bfloat16:
        return torch.bmm(matrix, low).double()
    if sums_bfloat16(matrix.device):
        return torch.bmm(matrix, low, out_dtype=torch.float32).double()
    return torch.bmm(matrix.float(), low.float()).double()


@lru_cache
def sums_bfloat16(device: torch.device) -> bool:
    """Return whether a device sums products of bfloat16 in float32, by trying."""
    ones = torch.ones(1, 512, 512, dtype=torch.bfloat16)
    ones[0, 0] = 1.0078125  # 1 and the last bit
    try:
        there = ones.to(device)
        found = torch.bmm(there, there, out_dtype=torch.float32).cpu()
    except (RuntimeError, TypeError):
        return False
    return torch.equal(found.double(), ones.double() @ ones.double())


def largest_eigenvalue(
    times: Callable[[Tensor], Tensor], like: Float[Tensor, " train"]
) -> float:
    """Return the largest eigenvalue of a positive semi-definite matrix, from below.

    Args:
        times: The matrix's product with [train, 1].
        like: A vector of its size, type and device.
    """
    start = torch.Generator().manual_seed(0)
    vector = torch.randn(len(like), 1, generator=start, dtype=torch.float64).to(like)
    value = 0.0
    for _ in range(_ITERATIONS):
        size = float(torch.linalg.vector_norm(vector))
        if size == 0.0:
            break
        vector = vector / size
        image = times(vector)
        value = float(vector[:, 0] @ image[:, 0])
        vector = image
    return value
