"""The sampling law of a ridge fit, by a spectrum or by one inverse."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.estimators.linear_fit import (
    Certificate,
    LinearFit,
    relative_residual,
)
from dmtheory.datamodels.estimators.standard_errors import (
    Units,
    add_scores,
    clustered_squares,
    residual_rows,
)
from dmtheory.datamodels.rows.moments import Columns, intercept_of
from dmtheory.datamodels.rows.sample import Sample
from dmtheory.datamodels.rows.spectrum import Spectrum

_RESIDUAL = 1e-8
# Columns of an inverse squared at a time.
_STRIP = 1024


@runtime_checkable
class Resolvent(Protocol):
    """A^-1 off the null directions, A = X'X + m lambda, lambda of each target."""

    def used(self) -> Float[Tensor, "*targets"]:
        """Return tr H, H = X A^-1 X'."""
        ...

    def freedom(self) -> tuple[Float[Tensor, "*targets"], Float[Tensor, "*targets"]]:
        """Return tr M and (tr M)^2/tr M^2, M = (I - H)^2."""
        ...

    def spread(self) -> Float[Tensor, "train some"]:
        """Return the diagonal of A^-1 X'X A^-1."""
        ...

    def applied(
        self, scores: Float[Tensor, "units train targets"]
    ) -> Float[Tensor, "units train targets"]:
        """Return A^-1 times scores."""
        ...

    def robust(
        self,
        x: Float[Tensor, "blocks rows train"],
        residuals: Float[Tensor, "blocks rows targets"],
    ) -> Float[Tensor, "train targets"]:
        """Return sum over blocks of (A^-1 x'e)^2."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BySpectrum:
    """For any penalties, in the eigenbasis.

    Attributes:
        spectrum: With its basis in memory.
        penalty: lambda, a target.
    """

    spectrum: Spectrum
    penalty: Float[Tensor, " targets"]

    @property
    def _share(self) -> Float[Tensor, "rank targets"]:
        values = self.spectrum.values[:, None]
        return values * self.spectrum.shrunk(self.penalty)

    def used(self) -> Float[Tensor, " targets"]:
        """Return tr H."""
        return self._share.sum(0)

    def freedom(self) -> tuple[Float[Tensor, " targets"], Float[Tensor, " targets"]]:
        """Return tr M and (tr M)^2/tr M^2."""
        return self.spectrum.freedom(self._share)

    def spread(self) -> Float[Tensor, "train targets"]:
        """Return the diagonal of A^-1 X'X A^-1."""
        weights = self._share * self.spectrum.shrunk(self.penalty)
        return self.spectrum.basis.square() @ weights

    def applied(
        self, scores: Float[Tensor, "units train targets"]
    ) -> Float[Tensor, "units train targets"]:
        """Return A^-1 times scores."""
        basis = self.spectrum.basis
        turned = torch.einsum("jr,ujt->urt", basis, scores)
        return basis @ (self.spectrum.shrunk(self.penalty) * turned)

    def robust(
        self,
        x: Float[Tensor, "blocks rows train"],
        residuals: Float[Tensor, "blocks rows targets"],
    ) -> Float[Tensor, "train targets"]:
        """Return sum over blocks of (A^-1 x'e)^2, each distinct penalty at once."""
        total = x.new_zeros(x.shape[2], residuals.shape[2])
        turned = x @ self.spectrum.basis
        for value in self.penalty.unique():
            mine = self.penalty == value
            weights = self.spectrum.shrunk(value)[:, 0]
            moves = (turned * weights) @ self.spectrum.basis.T
            total[:, mine] = clustered_squares(moves, residuals[:, :, mine])
        return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByInverse:
    """For one penalty: no eigenvectors, which take several matrices of memory.

    With R = A^-1 off the null directions and r of them: tr H = N - r - m lambda tr R,
    tr M = n - (N - r) + (m lambda)^2 tr R^2 for n rows less the intercept, and
    A^-1 X'X A^-1 = R - m lambda R^2.

    Attributes:
        inverse: R.
        ridge: m lambda.
        n_rows: n.
        rank: N - r.
    """

    inverse: Float[Tensor, "train train"]
    ridge: float
    n_rows: int
    rank: int

    def used(self) -> Float[Tensor, ""]:
        """Return tr H."""
        return self.rank - self.ridge * self.inverse.diagonal().sum()

    def freedom(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return tr M and (tr M)^2/tr M^2."""
        others, fourth = self.n_rows - self.rank, self.inverse.new_zeros(())
        for strip in self.inverse.split(_STRIP, dim=1):
            fourth += (self.inverse @ strip).square().sum()
        trace = others + self.ridge**2 * self._squares().sum()
        return trace, trace.square() / (others + self.ridge**4 * fourth)

    def spread(self) -> Float[Tensor, "train 1"]:
        """Return the diagonal of A^-1 X'X A^-1."""
        found = self.inverse.diagonal() - self.ridge * self._squares()
        return found.clamp_min(0.0)[:, None]

    def applied(
        self, scores: Float[Tensor, "units train targets"]
    ) -> Float[Tensor, "units train targets"]:
        """Return A^-1 times scores."""
        return self.inverse @ scores

    def robust(
        self,
        x: Float[Tensor, "blocks rows train"],
        residuals: Float[Tensor, "blocks rows targets"],
    ) -> Float[Tensor, "train targets"]:
        """Return sum over blocks of (A^-1 x'e)^2."""
        return clustered_squares(x @ self.inverse, residuals)

    def _squares(self) -> Float[Tensor, " train"]:
        """Return the diagonal of R^2."""
        return torch.linalg.vector_norm(self.inverse, dim=0).square()


def fit_with_law(
    sample: Sample,
    columns: Columns,
    coefficients: Float[Tensor, "train targets"],
    penalty: Float[Tensor, " targets"],
    resolvent: Resolvent,
    *,
    cross_size: Float[Tensor, " targets"],
    robust: bool,
) -> LinearFit:
    """Add standard errors, units and the certificate, from one more pass over the rows.

    A unit is beta + B c A^-1 (X_b'e_b - m_b lambda beta), whose mean is beta. As for
    OLS, but scores sum to m lambda beta; c^2 is rows over residual freedom.

    Returns:
        The fit.
    """
    units = Units(columns.n_blocks, coefficients.numel())
    scores = torch.zeros_like(coefficients)
    squares = torch.zeros_like(penalty)
    variance = torch.zeros_like(coefficients) if robust else None
    for rows in residual_rows(sample, columns, coefficients):
        units.add(rows)
        add_scores(scores, rows)
        squares += rows.residuals.square().sum((0, 1))
        if variance is not None:
            variance += resolvent.robust(rows.x, rows.residuals)
    left, freedom = resolvent.freedom()
    inflation = columns.n_rows / left
    if variance is None:
        variance = resolvent.spread() * (squares / left)
    else:
        variance *= inflation
    found = None
    if units.wanted:
        sizes = units.sizes.to(penalty)[:, None, None]
        moves = resolvent.applied(units.sums() - sizes * penalty * coefficients)
        found = coefficients + units.n * inflation.sqrt() * moves
    rest = scores.sub_(columns.n_blocks * penalty * coefficients)
    used = resolvent.used() + float(sample.has_mean)
    return LinearFit(
        coefficients=coefficients,
        intercept=intercept_of(sample, columns, coefficients),
        stderr=variance.sqrt_(),
        units=found,
        degrees_of_freedom=max(int(freedom.min()), 1),
        effective_parameters=used.expand_as(penalty),
        penalty=penalty,
        certificate=Certificate(
            kind="residual",
            value=relative_residual(rest, cross_size, columns, squares, sample.shift),
            tolerance=_RESIDUAL,
        ),
    )
