"""Ridge regression of outputs on masks, a penalty a target by exact leave-one-out."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.checks import check_positive
from dmtheory.datamodels.estimators.linear_fit import (
    Certificate,
    LinearFit,
    relative_residual,
)
from dmtheory.datamodels.estimators.standard_errors import (
    Units,
    check_errors,
    clustered_squares,
    residual_rows,
)
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.moments import intercept_of
from dmtheory.datamodels.rows.sample import Sample
from dmtheory.datamodels.rows.spectrum import Spectrum, spectrum_of

# Penalties of the path, in units of the mean variance of a weight.
_PATH = (1e-4, 1e4, 33)
_RESIDUAL = 1e-8
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

    Standard errors are those of A^-1 X'(y - E y), A = X'X + m lambda: intervals cover
    E beta-hat at the penalty taken, which is shrunk toward 0, and not beta. The choice
    of the penalty is not in them, and the bias that residuals contain widens them.

    Attributes:
        l2_penalties: Candidates lambda for every target; 33 over 8 decades around the
            variance of a weight by default. A single one is taken as it is.
        errors: "homoscedastic" standard errors, or "robust" ones (HC1).

    References:
        Allen 1974 for the leave-one-out residual; Hoerl and Kennard 1970.
    """

    l2_penalties: tuple[float, ...] | None = None
    errors: str = "homoscedastic"

    def __post_init__(self) -> None:
        check_errors(self.errors)
        check_penalties(self.l2_penalties)

    def fit(self, sample: Sample) -> LinearFit:
        """Choose a penalty a target and fit.

        Returns:
            Coefficients with their sampling law at the penalty chosen.

        Raises:
            ValueError: If columns of masks are constant or equal.
        """
        found = chosen_ridge(sample, self.l2_penalties)
        spectrum, penalty = found.spectrum.with_basis(), found.penalty
        coefficients, columns = found.coefficients, spectrum.columns
        share = spectrum.values[:, None] * spectrum.shrunk(penalty)
        stderr, units, freedom, residual = _law(
            spectrum, coefficients, penalty, robust=self.errors == "robust"
        )
        return LinearFit(
            coefficients=coefficients,
            intercept=intercept_of(sample, columns, coefficients),
            stderr=stderr,
            units=units,
            degrees_of_freedom=max(int(freedom.min()), 1),
            effective_parameters=share.sum(0) + float(sample.has_mean),
            penalty=penalty,
            certificate=Certificate(
                kind="residual", value=residual, tolerance=_RESIDUAL
            ),
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


def _law(
    spectrum: Spectrum,
    coefficients: Float[Tensor, "train targets"],
    penalty: Float[Tensor, " targets"],
    *,
    robust: bool,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Return standard errors, units, their freedom and the certificate's value."""
    sample, columns = spectrum.sample, spectrum.columns
    shrunk = spectrum.shrunk(penalty)
    share = spectrum.values[:, None] * shrunk
    left, freedom = spectrum.freedom(share)
    units = Units(columns.n_blocks, coefficients.numel())
    scores = torch.zeros_like(coefficients)
    squares = torch.zeros_like(penalty)
    variance = torch.zeros_like(coefficients)
    for rows in residual_rows(sample, columns, coefficients):
        units.add(rows)
        scores += torch.einsum("brj,brt->jt", rows.x, rows.residuals)
        squares += rows.residuals.square().sum((0, 1))
        if robust:
            variance += _robust(spectrum, rows.x, rows.residuals, penalty)
    inflation = columns.n_rows / left
    if robust:
        variance = variance * inflation
    else:
        spread = spectrum.basis.square() @ (spectrum.values[:, None] * shrunk.square())
        variance = spread * squares / left
    rest = scores - columns.n_blocks * penalty * coefficients
    residual = relative_residual(
        rest, spectrum.cross_size, sample.shift, columns.n_rows
    )
    found = _units(spectrum, units, coefficients, penalty, inflation)
    return variance.sqrt(), found, freedom, residual


def _robust(
    spectrum: Spectrum, x: Tensor, residuals: Tensor, penalty: Tensor
) -> Float[Tensor, "train targets"]:
    """Return sum over blocks of (A^-1 x'e)^2, for each distinct penalty at once."""
    total = x.new_zeros(x.shape[2], residuals.shape[2])
    turned = x @ spectrum.basis
    for value in penalty.unique():
        mine = penalty == value
        moves = (turned * spectrum.shrunk(value)[:, 0]) @ spectrum.basis.T
        total[:, mine] = clustered_squares(moves, residuals[:, :, mine])
    return total


def _units(
    spectrum: Spectrum,
    units: Units,
    coefficients: Tensor,
    penalty: Tensor,
    inflation: Tensor,
) -> Float[Tensor, "units train targets"] | None:
    """Return beta + B c A^-1 (X_b'e_b - m_b lambda beta), whose mean is beta.

    As for OLS, but scores sum to m lambda beta; c^2 is rows over residual freedom.
    """
    if not units.wanted:
        return None
    sizes = units.sizes.to(penalty)[:, None, None]
    scores = units.sums() - sizes * penalty * coefficients
    turned = torch.einsum("jr,ujt->urt", spectrum.basis, scores)
    moves = spectrum.basis @ (spectrum.shrunk(penalty) * turned)
    return coefficients + units.n * inflation.sqrt() * moves
