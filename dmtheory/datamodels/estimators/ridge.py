"""Ridge regression of outputs on masks, a penalty a target by exact leave-one-out."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.checks import check_choice, check_positive
from dmtheory.datamodels.estimators.linear_fit import LinearFit
from dmtheory.datamodels.estimators.ridge_law import (
    ByInverse,
    BySpectrum,
    fit_with_law,
)
from dmtheory.datamodels.estimators.ridge_without_law import (
    LEAST_PIVOT,
    fit_without_law,
    solve_one_penalty,
)
from dmtheory.datamodels.estimators.standard_errors import ERRORS
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.cholesky import (
    cholesky_in_place,
    inverse_in_place,
    least_pivot,
    solve_by,
)
from dmtheory.datamodels.rows.moments import moments_of
from dmtheory.datamodels.rows.sample import Sample
from dmtheory.datamodels.rows.spectrum import Spectrum, spectrum_of

# Penalties of the path, in units of the mean variance of a weight.
_PATH = (1e-4, 1e4, 33)
# Effective degrees of freedom that a candidate's residuals have, at least; of few rows
# this share. A chi^2 of 10 is below a third of its mean once in 500 times.
_LEAST_FREEDOM = 10.0
_LEAST_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    r"""Ridge regression: min |y - beta_0 - X beta|^2/m + lambda |beta|^2.

    Without a 1/2 and divided by m: scikit-learn's alpha is m lambda. The population
    solution under Bernoulli(p) is beta(p)/(1 + lambda/(p(1-p))). Needs no more models
    than examples: with fewer the kernel of the models is used.

    Each target's penalty minimises its exact leave-one-out squared error, found for
    all penalties and targets from one eigendecomposition: leaving row k out changes
    its residual e_k to e_k/(1 - h_k), h_k the leverage. Penalties whose residuals have
    fewer than 10 effective degrees of freedom are no candidates: with about as many
    rows as examples a vanishing penalty leaves of the outputs little more than one
    direction, whose share is by luck small for some targets. There alone choices may
    differ from those of scikit-learn's RidgeCV.

    A single penalty takes one Cholesky factor, and one Gram matrix of memory, instead
    of the eigendecomposition's four.

    Standard errors are those of A^-1 X'(y - E y), A = X'X + m lambda: intervals cover
    E beta-hat at the penalty taken, which is shrunk toward 0, and not beta. The choice
    of the penalty is not in them, and the bias that residuals contain widens them.

    At the size of 50,000 examples and 10,000 targets take a single penalty and
    `errors="none"`: one Cholesky factor, of the Gram matrix or, with fewer models, of
    the models' kernel, solves for all targets. Besides the outputs it holds that matrix
    and one of coefficients, then two of coefficients, and chunks of rows. The inverse
    that standard errors need costs several times as much.

    Attributes:
        l2_penalties: Candidates lambda for every target; 33 over 8 decades around the
            variance of a weight by default. A single one is taken as it is.
        errors: "homoscedastic" standard errors, "robust" ones (HC1), or "none".

    References:
        Allen 1974 for the leave-one-out residual; Hoerl and Kennard 1970.
    """

    l2_penalties: tuple[float, ...] | None = None
    errors: str = "homoscedastic"

    def __post_init__(self) -> None:
        check_choice(self.errors, (*ERRORS, "none"), "errors")
        check_penalties(self.l2_penalties)

    def fit(self, sample: Sample) -> LinearFit:
        """Choose a penalty a target and fit.

        Returns:
            Coefficients, with their sampling law at the penalty chosen unless `errors`
            is "none".

        Raises:
            ValueError: If columns of masks are constant or equal.
        """
        robust = self.errors == "robust"
        if self.l2_penalties is not None and len(self.l2_penalties) == 1:
            penalty = self.l2_penalties[0]
            if self.errors == "none":
                fit = solve_one_penalty(sample, penalty)
            else:
                fit = _by_inverse(sample, penalty, robust=robust)
            if fit is not None:
                return fit
        found = chosen_ridge(sample, self.l2_penalties)
        if self.errors == "none":
            return fit_without_law(
                sample,
                found.spectrum.columns,
                found.coefficients,
                found.penalty,
                used=BySpectrum(found.spectrum, found.penalty).used(),
                cross_size=found.spectrum.cross_size,
            )
        spectrum = found.spectrum.with_basis()
        return fit_with_law(
            sample,
            spectrum.columns,
            found.coefficients,
            found.penalty,
            BySpectrum(spectrum, found.penalty),
            cross_size=spectrum.cross_size,
            robust=robust,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Penalties chosen and the coefficients at them.

    Attributes:
        spectrum: What both were found from.
        penalty: lambda, a target.
        coefficients: A target a column.
    """

    spectrum: Spectrum
    penalty: Float[Tensor, " targets"]
    coefficients: Float[Tensor, "train targets"]


def chosen_ridge(sample: Sample, l2_penalties: tuple[float, ...] | None) -> Chosen:
    """Choose a penalty a target by exact leave-one-out, without a sampling law.

    Returns:
        Penalties and coefficients.

    Raises:
        ValueError: If columns of masks are constant or equal.
    """
    spectrum = spectrum_of(sample)
    check_columns(spectrum.columns)
    penalties = candidates(l2_penalties, spectrum)
    chosen = torch.zeros_like(spectrum.turned[0], dtype=torch.int64)
    if len(penalties) > 1:
        penalties = penalties[leaving_residuals(spectrum, penalties)]
        chosen = leave_one_out_errors(spectrum, penalties).argmin(0)
    penalty = penalties[chosen]
    coefficients = spectrum.back(spectrum.shrunk(penalty) * spectrum.turned)
    return Chosen(spectrum, penalty, coefficients)


def check_penalties(penalties: tuple[float, ...] | None) -> None:
    """Raise ValueError unless penalties are None, or positive and at least one."""
    if penalties == ():
        raise ValueError("l2_penalties must hold at least one penalty, got none")
    for penalty in penalties or ():
        check_positive(penalty, "l2_penalties")


def candidates(
    stated: tuple[float, ...] | None, spectrum: Spectrum
) -> Float[Tensor, " penalties"]:
    """Return the penalties stated, or those of the path."""
    if stated is not None:
        return torch.tensor(stated, dtype=torch.float64).to(spectrum.values)
    first, last, n = _PATH
    shape = torch.logspace(
        torch.tensor(first).log10().item(),
        torch.tensor(last).log10().item(),
        n,
        dtype=torch.float64,
    )
    return spectrum.scale * shape.to(spectrum.values)


def leaving_residuals(
    spectrum: Spectrum, penalties: Float[Tensor, " penalties"]
) -> Bool[Tensor, " penalties"]:
    """Return which penalties leave enough residual for leave-one-out to mean anything.

    Squared residuals sum to a mixture of chi^2 with (tr M)^2/tr M^2 degrees of freedom,
    M = (I - H)^2. They are few where the rows about equal the columns: one eigenvalue
    is then far below the others. All penalties where none leaves enough.
    """
    share = spectrum.values[:, None] * spectrum.shrunk(penalties)
    _, freedom = spectrum.freedom(share)
    least = min(_LEAST_FREEDOM, _LEAST_SHARE * spectrum.columns.n_rows)
    enough = freedom >= least
    return enough if bool(enough.any()) else torch.ones_like(enough)


def leave_one_out_errors(
    spectrum: Spectrum, penalties: Float[Tensor, " penalties"]
) -> Float[Tensor, "penalties targets"]:
    """Return the sum of squared errors at rows that were left out of the fit."""
    total = spectrum.turned.new_zeros(len(penalties), spectrum.turned.shape[1])
    weights = spectrum.shrunk(penalties)
    for rows in spectrum.rows():
        left = 1 - rows.leverage - rows.scores.square() @ weights
        for k in range(len(penalties)):
            rest = rows.y - rows.scores @ (weights[:, k, None] * spectrum.turned)
            total[k] += left[:, k].square().reciprocal() @ rest.square()
    return total


def _by_inverse(sample: Sample, l2_penalty: float, *, robust: bool) -> LinearFit | None:
    """Fit one penalty by a Cholesky factor, in about one Gram matrix of memory.

    Returns:
        The fit; None where there are fewer rows than columns, so that the kernel is
        smaller, or where the matrix is singular but for rounding.

    Raises:
        ValueError: If columns of masks are constant or equal.
    """
    if sample.n_blocks < sample.n_train:
        return None
    centred, null = moments_of(sample).centred(), sample.null_directions
    columns, gram = centred.columns, centred.gram
    check_columns(columns)
    ridge = columns.n_blocks * l2_penalty
    diagonal = gram.diagonal().add_(ridge).clone()
    cross_size = centred.cross.abs().amax(0)
    factor = cholesky_in_place(gram)
    if factor is None or least_pivot(factor, diagonal) < LEAST_PIVOT:
        return None
    coefficients = solve_by(factor, centred.cross)
    inverse_in_place(factor)
    if len(null):
        coefficients -= null.T @ (null @ coefficients)
        factor.addmm_(null.T, null, alpha=-1 / ridge)
    resolvent = ByInverse(
        inverse=factor,
        ridge=ridge,
        n_rows=columns.n_rows - int(sample.has_mean),
        rank=sample.n_train - len(null),
    )
    return fit_with_law(
        sample,
        columns,
        coefficients,
        torch.full_like(cross_size, l2_penalty),
        resolvent,
        cross_size=cross_size,
        robust=robust,
    )
