"""What linear models share: a penalty, and how a fit becomes outputs and quality."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.data.dataset import Dataset
from dmtheory.problems.base import Fit
from dmtheory.problems.convex.lanes import LANES, in_lanes
from dmtheory.problems.convex.tables import Tabular
from dmtheory.problems.quality import Quality
from dmtheory.weighting import Normalisation


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel(Tabular, ABC):
    """A model whose predictions are linear in its parameters.

    Attributes:
        data: Training examples and targets, a row of features each.
        ridge: Penalty.
        normalisation: "sum" or "count".
    """

    data: Dataset
    ridge: float
    normalisation: Normalisation = "sum"

    @abstractmethod
    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        *,
        keep_factor: bool = False,
    ) -> Fit:
        """Train one model a row; on request return the Hessian's factor too."""

    @abstractmethod
    def quality(self, params: Float[Tensor, "models params"]) -> Quality:
        """Return how good models are on the held-out examples."""

    @abstractmethod
    def target_outputs(
        self, params: Float[Tensor, "*models params"]
    ) -> Float[Tensor, "*models targets"]:
        """Return the output at every target."""

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the output at every target; NaN for a model that did not converge."""
        return self._outputs(self.fit(weights, seeds))

    def measure(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> tuple[Float[Tensor, "models targets"], Quality]:
        """Return what `respond` does, with the models' held-out quality."""
        fit = self.fit(weights, seeds)
        return self._outputs(fit), self.quality(fit.params)

    def features(self, device: torch.device) -> Float[Tensor, "train features"]:
        """Return the training examples' features on a device."""
        return self.table(device).x_train

    def targets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the targets' features on a device, with classes or responses."""
        data = self.table(device)
        return data.x_target, data.y_target

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return ridge/2 |theta|^2."""
        return 0.5 * self.ridge * (params**2).sum()

    @property
    def _lanes(self) -> int:
        """Models that are computed together."""
        return LANES

    def _outputs(self, fit: Fit) -> Float[Tensor, "models targets"]:
        (outputs,) = in_lanes(
            lambda rows: (self.target_outputs(rows),), fit.params, lanes=self._lanes
        )
        return outputs.masked_fill(~fit.converged[:, None], torch.nan)
