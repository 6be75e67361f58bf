"""LASSO of outputs on masks, a penalty a target, each column certified."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.datamodels.estimators.linear_fit import Certificate, LinearFit
from dmtheory.datamodels.estimators.selection import HeldOut, Selection
from dmtheory.datamodels.lasso.duality_gap import duality_gap
from dmtheory.datamodels.lasso.engine import descend
from dmtheory.datamodels.lasso.path import ROUNDING, penalty_path
from dmtheory.datamodels.lasso.scaling import scaled, scaled_cross
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.moments import Moments, intercept_of, moments_of
from dmtheory.datamodels.rows.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasso:
    r"""LASSO with an intercept: min |y - beta_0 - X beta|^2/m + lambda |beta|_1.

    Without the 1/2: scikit-learn's alpha is lambda/2. The population solution under
    Bernoulli(p) is beta(p) soft-thresholded at lambda/(2p(1-p)). Under a fixed size it
    picks the unidentified constant by its L1 norm.

    Each target's penalty is chosen by the squared error on held-out models, along a
    path from the least penalty at which all its coefficients vanish; the solution is
    then fitted anew to all models. A path ends early, when the error has been above its
    least for `patience` penalties in a row.

    Attributes:
        l1_penalties: Candidates lambda for every target; a path of each target's own
            by default. A single one is taken without selection.
        n_penalties: Penalties of the path.
        least_penalty: Its end, relative to its beginning.
        selection: On which models the choice is made.
        tolerance: Largest duality gap, relative to the objective at 0.
        patience: See above.

    The Gram matrix of the examples is held, also where models are fewer: up to three
    N x N matrices of float64 while a penalty is chosen (one for the models fitted to,
    one for those held out, and their sum) and one when it is stated. That is 2.4 GB at
    10,000 examples; beyond, take groups of examples as players, `Ridge`, or a device
    with the memory: where the rows are on a GPU, so are the matrices and the descent,
    with working copies besides (see `iter_lasso_path`).

    References:
        Tibshirani 1996; Ilyas et al. 2022, section 3.
    """

    l1_penalties: tuple[float, ...] | None = None
    n_penalties: int = 40
    least_penalty: float = 1e-3
    selection: Selection = HeldOut()  # noqa: RUF009 -- frozen
    tolerance: float = 1e-6
    patience: int = 5

    def __post_init__(self) -> None:
        for penalty in self.l1_penalties or ():
            check_positive(penalty, "l1_penalties")
        if self.l1_penalties == ():
            raise ValueError("l1_penalties must hold at least one penalty, got none")
        check_at_least(self.n_penalties, 2, "n_penalties")
        check_open_unit(self.least_penalty, "least_penalty")
        check_open_unit(self.tolerance, "tolerance")
        check_at_least(self.patience, 1, "patience")

    def fit(self, sample: Sample) -> LinearFit:
        """Choose a penalty a target and fit to all models.

        Returns:
            Coefficients without standard errors, the penalties, and the duality gaps
            in `certificate`, from the coefficients returned.

        Raises:
            ValueError: If columns of masks are constant or equal, or there are too few
                models to choose on.
        """
        moments = moments_of(sample)
        columns = moments.columns
        check_columns(columns)
        path = self._path(scaled_cross(moments, sample.shift))
        chosen = torch.zeros(len(path), dtype=torch.int64)
        if path.shape[1] > 1:
            chosen = self._chosen(sample, moments, path)
        whole = scaled(moments.centred(), sample.shift)
        coefficients, _ = descend(whole, path, chosen + 1, ROUNDING * self.tolerance)
        coefficients = coefficients[:, 0].T.to(whole.gram)
        penalty = path[torch.arange(len(path)), chosen].to(whole.gram)
        support = (coefficients != 0).sum(0)
        return LinearFit(
            coefficients=coefficients,
            intercept=intercept_of(sample, columns, coefficients),
            stderr=None,
            units=None,
            degrees_of_freedom=None,
            effective_parameters=support.double() + float(sample.has_mean),
            penalty=penalty,
            certificate=Certificate(
                kind="duality gap",
                value=duality_gap(
                    whole.gram, whole.cross, whole.output_squares, coefficients, penalty
                ),
                tolerance=self.tolerance,
            ),
        )

    def _path(
        self, cross: Float[Tensor, "train targets"]
    ) -> Float[Tensor, "targets penalties"]:
        """Return penalties, largest first."""
        n_targets = cross.shape[1]
        if self.l1_penalties is not None:
            falling = sorted(self.l1_penalties, reverse=True)
            given = torch.tensor(falling, dtype=torch.float64)
            return given.repeat(n_targets, 1)
        return penalty_path(cross, self.n_penalties, self.least_penalty).cpu()

    def _chosen(
        self, sample: Sample, moments: Moments, path: Float[Tensor, "targets penalties"]
    ) -> Int64[Tensor, " targets"]:
        """Return the place of each target's penalty with the least held-out error."""
        total = torch.zeros(path.shape, dtype=torch.float64)
        lengths = torch.full((len(path),), path.shape[1])
        for out in self.selection.held_out(sample.n_blocks):
            held = moments_of(sample.only(out))
            rest = moments - held
            centre = rest.columns
            _, errors = descend(
                scaled(rest.centred(), sample.shift),
                path,
                lengths,
                ROUNDING * self.tolerance,
                held=scaled(held.about(centre.x_mean, centre.y_mean), None),
                patience=self.patience,
            )
            total += held.columns.n_blocks * errors
        return total.argmin(1)
