"""A noisy response whose datamodel and derivative are known: for replicated studies."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs.seeds import Purpose, random_words
from dmtheory.identity import digest, numbered
from dmtheory.problems.base import Description

# The first examples matter, the rest do not.
EFFECTS = (1.0, -0.8, 0.6, -0.4, 0.3)


@dataclass(frozen=True, kw_only=True, eq=False)
class NoisySum:
    r"""F(w; r) = sum_i (b_i + s nu_i(r)) w_i + q w_0 w_1 + c e(r).

    nu_i and e are uniform with mean 0 and variance 1, drawn by the training seed r.

    Attributes:
        n_train: Examples, of which five have an effect b_i.
        interaction: q.
        noise: c, which pairs with a shared seed are free of.
        slope_noise: s, which nothing is free of.
    """

    n_train: int = 20
    interaction: float = 0.3
    noise: float = 0.5
    slope_noise: float = 0.1

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        parts = self.n_train, self.interaction, self.noise, self.slope_noise
        return Description(
            name="noisy-sum",
            digest=digest("noisy sum", *parts),
            output="value",
            normalisation="count",
            step_policy="fixed",
            train_labels=numbered("player", self.n_train),
            target_labels=("sum",),
        )

    def effects(self) -> Float[Tensor, " train"]:
        """Return b."""
        effects = torch.zeros(self.n_train, dtype=torch.float64)
        effects[: len(EFFECTS)] = torch.tensor(EFFECTS, dtype=torch.float64)
        return effects

    def datamodel(self, p: float) -> Float[Tensor, "train targets"]:
        """Return beta(p), which is dF/dw at p·1 too: F is quadratic at most."""
        truth = self.effects()
        truth[:2] += p * self.interaction
        return truth[:, None]

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the sum at each weight vector and seed."""
        ids = torch.arange(self.n_train + 1)
        # A seed is a row of its own: equal seeds draw equally.
        words = random_words(0, Purpose.DATA, seeds & 0x7FFFFFFF, ids)
        draws = ((words.double() + 0.5) / 2**32 - 0.5) * 12**0.5
        slopes = self.effects() + self.slope_noise * draws[:, 1:]
        total = (slopes * weights).sum(1) + self.noise * draws[:, 0]
        return (total + self.interaction * weights[:, 0] * weights[:, 1])[:, None]
