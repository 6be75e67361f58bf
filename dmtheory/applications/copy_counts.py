"""A design of numbers of copies: none of a target's copies, one, ..., all."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import model_seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCounts:
    """For each target 0, 1, ..., K of its copies present; sharing draw and seed.

    Rows come in the order (draw, target, [none of its copies, one, ..., all]). Other
    examples, copies of other targets too, are all there or in a random subset.

    Attributes:
        copies: The K copies of each target.
        n_draws: Training seeds.
        seed: The experiment's seed.
        p: Inclusion probability of the other examples; None if all are there.
    """

    copies: tuple[tuple[int, ...], ...]
    n_draws: int = 1
    seed: int = 0
    p: float | None = None

    @property
    def n_counts(self) -> int:
        """How many numbers of copies: K + 1."""
        return len(self.copies[0]) + 1

    @property
    def rows_a_draw(self) -> int:
        """One a target and number of copies."""
        return len(self.copies) * self.n_counts

    @property
    def n_models(self) -> int:
        """Trainings in all."""
        return self.n_draws * self.rows_a_draw

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the draw's subset with as many copies as the row says."""
        weights = torch.ones(len(rows), n_train, dtype=torch.float64)
        if self.p is not None:
            law = Bernoulli(p=self.p, n_models=self.n_draws, seed=self.seed)
            weights = law.weights(rows // self.rows_a_draw, n_train)
        for row, place in zip(weights, (rows % self.rows_a_draw).tolist(), strict=True):
            copies = list(self.copies[place // self.n_counts])
            row[copies] = 0.0
            row[copies[: place % self.n_counts]] = 1.0
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's draw."""
        return model_seeds(self.seed, rows // self.rows_a_draw)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance over subsets and over the rows of a draw."""
        p = 1.0 if self.p is None else self.p
        means = torch.full((self.rows_a_draw, n_train), p, dtype=torch.float64)
        free = torch.ones_like(means)
        for place in range(self.rows_a_draw):
            copies = list(self.copies[place // self.n_counts])
            free[place, copies] = means[place, copies] = 0.0
            means[place, copies[: place % self.n_counts]] = 1.0
        between = torch.cov(means.T, correction=0).reshape(n_train, n_train)
        return between + torch.diag(p * (1 - p) * free.mean(0))
