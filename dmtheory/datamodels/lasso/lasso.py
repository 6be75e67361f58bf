"""LASSO of outputs on masks, a penalty a target, each column certified."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.datamodels.estimators.linear_fit import Certificate, LinearFit
from dmtheory.datamodels.estimators.selection import HeldOut, Selection
from dmtheory.datamodels.lasso.duality_gap import duality_gap, gap_at
from dmtheory.datamodels.lasso.engine import descend, descend_together
from dmtheory.datamodels.lasso.path import ROUNDING, penalty_path
from dmtheory.datamodels.lasso.rows_gram import row_moments
from dmtheory.datamodels.lasso.scaling import scaled, scaled_cross
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.moments import (
    Columns,
    Moments,
    columns_of,
    intercept_of,
    moments_of,
)
from dmtheory.datamodels.rows.sample import Sample

# From so many examples on a Gram matrix is not made where half as many models are more
# than there are.
WIDE = 20_000


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

    The Gram matrix of the examples is held: up to three N x N matrices of float64 while
    a penalty is chosen (one for the models fitted to, one for those held out, and their
    sum) and one when it is stated. That is 2.4 GB at 10,000 examples. Where the rows
    are on a GPU, so are the matrices and the descent, with working copies besides (see
    `iter_lasso_path`). From 20,000 examples on, and with fewer models than half of
    them, the models themselves take its place: 1 byte an entry of masks, 4 to 6 more
    for fast products and 1 GB at most, 4.5 GB at 50,000 examples and 10,000 models. So
    wide a problem is for a GPU: on a CPU take few targets, groups of examples as
    players, or `Ridge`.

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
        if _is_wide(sample):
            return self._fit_by_rows(sample)
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
        gaps = duality_gap(
            whole.gram, whole.cross, whole.output_squares, coefficients, penalty
        )
        return self._fitted(sample, columns, coefficients, penalty, gaps)

    def _fit_by_rows(self, sample: Sample) -> LinearFit:
        """Do the same without a Gram matrix."""
        columns = columns_of(sample)
        check_columns(columns)
        whole = row_moments(sample, columns, columns)
        path = self._path(whole.cross)
        chosen = torch.zeros(len(path), dtype=torch.int64)
        goal = ROUNDING * self.tolerance
        if path.shape[1] > 1:
            total = torch.zeros(path.shape, dtype=torch.float64)
            lengths = torch.full((len(path),), path.shape[1])
            for out in self.selection.held_out(sample.n_blocks):
                apart, kept = sample.only(out), sample.only(~out)
                held, rest = columns_of(apart), columns_of(kept)
                _, errors = descend_together(
                    row_moments(kept, rest, rest),
                    path,
                    lengths,
                    goal,
                    row_moments(apart, held, rest, flat_is_zero=False),
                    self.patience,
                    every=False,
                )
                total += held.n_blocks * errors
            chosen = total.argmin(1)
        found, _ = descend_together(
            whole, path, chosen + 1, goal, None, self.patience, every=False
        )
        coefficients = found[:, 0].T.contiguous()
        penalty = path[torch.arange(len(path)), chosen].to(coefficients)
        gaps = gap_at(
            whole.cross - whole.gram.times(coefficients),
            whole.cross,
            whole.output_squares,
            coefficients,
            penalty,
        )
        return self._fitted(sample, columns, coefficients, penalty, gaps)

    def _fitted(
        self,
        sample: Sample,
        columns: Columns,
        coefficients: Float[Tensor, "train targets"],
        penalty: Float[Tensor, " targets"],
        gaps: Float[Tensor, " targets"],
    ) -> LinearFit:
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
                value=gaps,
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


def _is_wide(sample: Sample) -> bool:
    """Return whether products by rows are cheaper and a Gram matrix is large."""
    return sample.n_train >= WIDE and 2 * sample.n_blocks < sample.n_train
