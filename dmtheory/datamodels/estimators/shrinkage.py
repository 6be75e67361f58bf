"""Shrinkage of a datamodel toward a prior attribution, such as influence."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.datamodels.estimators.linear_fit import (
    Certificate,
    LinearFit,
    relative_residual,
)
from dmtheory.datamodels.estimators.ridge import (
    candidates,
    check_penalties,
    leave_one_out_errors,
    leaving_residuals,
)
from dmtheory.datamodels.estimators.standard_errors import add_scores, residual_rows
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.moments import intercept_of
from dmtheory.datamodels.rows.sample import Sample
from dmtheory.datamodels.rows.spectrum import Spectrum, spectrum_of

_RESIDUAL = 1e-8
# What other targets say about the strength counts like so many more models.
_POOLED = 30
# Evidence, as chi^2 with one degree of freedom, without which the prior is left out. A
# useless prior has it once in seventy targets.
_PROOF = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shrinkage:
    r"""Ridge toward a multiple of a prior.

    min |y - beta_0 - X beta|^2/m + lambda |beta - s b|^2 over beta_0, beta and s.

    The scale s of the prior b is free, a target each, so a prior may be in other units
    or of the other sign. lambda is chosen by exact leave-one-out, and so is whether the
    prior is used at all (s = 0 is ridge), so one of no use does no harm.

    Standard errors hold the prior, s's penalty and lambda fixed: intervals cover
    E beta-hat, and what the prior is wrong by is not in them.

    Attributes:
        prior: b, in units of the raw mask up to a factor a target.
        l2_penalties: Candidates lambda, as for `Ridge`.

    References:
        Theory page, section 5, for what it gains.
    """

    prior: Float[Tensor, "train targets"]
    l2_penalties: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_penalties(self.l2_penalties)

    def fit(self, sample: Sample) -> LinearFit:
        """Choose strength and scale a target, and fit.

        Returns:
            Coefficients; `penalty` is lambda.

        Raises:
            ValueError: If the prior has another shape than the coefficients, or columns
                of masks are constant or equal.
        """
        spectrum = spectrum_of(sample).with_basis()
        check_columns(spectrum.columns)
        penalties = candidates(self.l2_penalties, spectrum)
        penalties = penalties[leaving_residuals(spectrum, penalties)]
        plain = leave_one_out_errors(spectrum, penalties)
        toward = _errors(spectrum, self._prior(sample), penalties)
        best, helps = _choice(toward, plain, spectrum.columns.n_rows)
        penalty = penalties[best]
        prior = self._prior(sample) * helps
        fit = _Toward(spectrum, prior, spectrum.basis.T @ prior, penalty)
        coefficients = fit.coefficients
        stderr, freedom, residual = fit.law()
        return LinearFit(
            coefficients=coefficients,
            intercept=intercept_of(sample, spectrum.columns, coefficients),
            stderr=stderr,
            units=None,
            degrees_of_freedom=max(int(freedom.min()), 1),
            effective_parameters=fit.used_parameters,
            penalty=penalty,
            certificate=Certificate(
                kind="residual", value=residual, tolerance=_RESIDUAL
            ),
        )

    def _prior(self, sample: Sample) -> Float[Tensor, "train targets"]:
        """Return the prior, each target's divided by its length."""
        shape = sample.n_train, len(sample.shift)
        if tuple(self.prior.shape) != shape:
            raise ValueError(
                f"prior must have shape {shape} (players, targets), got "
                f"{tuple(self.prior.shape)}"
            )
        # What lies along null directions is not identified.
        null = sample.null_directions
        prior = self.prior.to(null) - null.T @ (null @ self.prior.to(null))
        size = prior.square().sum(0).sqrt()
        return prior / torch.where(size > 0, size, 1.0)


class _Toward:
    """The solution for one prior and one penalty a target, in the eigenbasis.

    With z = Xb and H = X A^-1 X': s = z'(I-H)y / z'(I-H)z, and
    beta = s b + A^-1 X'(y - s z).
    """

    def __init__(
        self, spectrum: Spectrum, prior: Tensor, along: Tensor, penalty: Tensor
    ) -> None:
        """Solve for the scale; `along` is V'b."""
        values = spectrum.values[:, None]
        self.spectrum, self.prior, self.penalty = spectrum, prior, penalty
        self.weights = spectrum.shrunk(penalty)
        # m lambda/(values + m lambda), what I - H leaves of each direction.
        self.kept = spectrum.columns.n_blocks * penalty * self.weights
        self.along = along
        self.curvature = (values * self.along.square() * self.kept).sum(0)
        pull = (self.along * spectrum.turned * self.kept).sum(0)
        used = self.curvature > 0
        self.scale = torch.where(used, pull / self.curvature, 0.0)
        self.used = used.to(penalty)

    @property
    def coefficients(self) -> Float[Tensor, "train targets"]:
        """S b + A^-1 X'(y - s z)."""
        values = self.spectrum.values[:, None]
        rest = self.spectrum.turned - self.scale * values * self.along
        return self.scale * self.prior + self.spectrum.basis @ (self.weights * rest)

    @property
    def used_parameters(self) -> Float[Tensor, " targets"]:
        """Trace of what maps outputs to fitted values."""
        share = self.spectrum.values[:, None] * self.weights
        return share.sum(0) + self.used + float(self.spectrum.sample.has_mean)

    def law(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return standard errors, their freedom and the normal equations' residual.

        beta is linear in y: A^-1 X'y + g z'(I-H)y/c, g = b - A^-1 X'z, c = z'(I-H)z.
        """
        spectrum, values = self.spectrum, self.spectrum.values[:, None]
        sample, columns, beta = spectrum.sample, spectrum.columns, self.coefficients
        share = values * self.weights
        left, freedom = spectrum.freedom(share)
        # The scale takes one more.
        left = (left - self.used).clamp_min(1e-6 * columns.n_rows)
        scores, squares = torch.zeros_like(beta), torch.zeros_like(self.penalty)
        for rows in residual_rows(sample, columns, beta):
            add_scores(scores, rows)
            squares += rows.residuals.square().sum((0, 1))
        g = self.prior - spectrum.basis @ (share * self.along)
        c = torch.where(self.curvature > 0, self.curvature, 1.0)
        rest = values * self.along * self.kept
        spread = spectrum.basis.square() @ (values * self.weights.square())
        spread += 2 * g / c * (spectrum.basis @ (self.weights * rest)) * self.used
        spread += (g / c).square() * (rest * self.along * self.kept).sum(0) * self.used
        variance = spread.clamp_min(0.0) * squares / left
        away = beta - self.scale * self.prior
        residual = relative_residual(
            scores - columns.n_blocks * self.penalty * away,
            spectrum.cross_size,
            columns,
            squares,
            sample.shift,
        )
        return variance.sqrt(), freedom, residual


def _choice(
    toward: Float[Tensor, "penalties targets"],
    plain: Float[Tensor, "penalties targets"],
    n_rows: int,
) -> tuple[Int64[Tensor, " targets"], Bool[Tensor, " targets"]]:
    """Return each target's penalty, by number, and whether the prior helps it.

    With few models a target's own errors hardly tell penalties apart, but the prior is
    about as good for one target as for another: log errors, averaged over targets, are
    added as if they came from 30 more models. If the prior does not help on average,
    a target must show that it does.
    """
    logs = [errors.clamp_min(1e-300).log() for errors in (toward, plain)]
    pooled = [log.mean(1, keepdim=True) for log in logs]
    with_prior, without = (
        n_rows * log + _POOLED * mean for log, mean in zip(logs, pooled, strict=True)
    )
    gain = n_rows * (pooled[1].min() - pooled[0].min())
    demand = 0.0 if gain > _PROOF / toward.shape[1] ** 0.5 else _PROOF
    helps = with_prior.amin(0) < without.amin(0) - demand
    return torch.where(helps, with_prior.argmin(0), without.argmin(0)), helps


def _errors(
    spectrum: Spectrum, prior: Tensor, penalties: Float[Tensor, " penalties"]
) -> Float[Tensor, "penalties targets"]:
    """Return the sum of squared errors at rows that were left out, scale included.

    The leverage of row k is h_k + (z - Hz)_k^2 / z'(I-H)z, the second from the scale.
    """
    along = spectrum.basis.T @ prior
    fits = [
        _Toward(spectrum, prior, along, penalty.expand(prior.shape[1]))
        for penalty in penalties
    ]
    total = prior.new_zeros(len(penalties), prior.shape[1])
    for rows in spectrum.rows():
        squared = rows.scores.square()
        for k, fit in enumerate(fits):
            weights = fit.weights[:, :1]
            aside = rows.scores @ (fit.along * fit.kept)
            rest = rows.y - rows.scores @ (weights * spectrum.turned)
            rest = rest - fit.scale * aside
            leverage = rows.leverage + squared @ weights
            curvature = torch.where(fit.curvature > 0, fit.curvature, 1.0)
            leverage = leverage + fit.used * aside.square() / curvature
            total[k] += (rest / (1 - leverage)).square().sum(0)
    return total
