"""Studies: masks with the outputs of models trained on them, and what is true."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs import Bernoulli, FixedSize, SubsetDesign
from dmtheory.problems.set_functions import all_masks
from dmtheory.testing.comparing import text_of
from dmtheory.testing.strategies.arrays import matrices
from dmtheory.testing.strategies.games import SpectralGame, games
from dmtheory.testing.strategies.masks import designs, exact_masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """What a datamodel is fitted to.

    Attributes:
        masks: One subset a row.
        outputs: One model a row.
        design: The law of the masks.
        game: Whose outputs they are, where noise is absent.
        said: The case in words.
    """

    masks: Float[Tensor, "models train"]
    outputs: Float[Tensor, "models targets"]
    design: SubsetDesign
    game: SpectralGame
    said: str

    def with_outputs(self, outputs: Float[Tensor, "models targets"]) -> "Study":
        """Return the same masks with other outputs."""
        return replace(self, outputs=outputs)

    def in_order(self, rows: Int64[Tensor, " models"]) -> "Study":
        """Return the same models in another order."""
        return replace(self, masks=self.masks[rows], outputs=self.outputs[rows])

    def with_players(self, order: Int64[Tensor, " train"]) -> "Study":
        """Return the same models with the examples in another order."""
        return replace(self, masks=self.masks[:, order])

    def __str__(self) -> str:
        return self.said

    __repr__ = __str__


@st.composite
def exact_studies(
    draw: Any, *, degree: int = 3, least: int = 60, noise: bool = False
) -> Study:
    """Return a strategy for studies with the exact law of Bernoulli(p).

    Args:
        draw: Given by Hypothesis.
        degree: Largest interaction of the set function.
        least: Fewest models.
        noise: Whether whole numbers in [-2, 2] are added to the outputs.
    """
    game = draw(games(degree=degree, n_train=st.integers(2, 3)))
    masks = exact_masks(game.n_train, game.p, least=least)
    outputs, said = game.values(masks), f"{game}; {len(masks)} models"
    if noise:
        # A pattern against the masks': 7 shares no factor with their number.
        steps = draw(matrices(7, game.n_targets, largest=2))
        outputs = outputs + steps[torch.arange(len(masks)) % 7]
        said += f", noise {text_of(steps)} in turn"
    return Study(
        masks=masks,
        outputs=outputs,
        design=Bernoulli(p=game.p, n_models=len(masks)),
        game=game,
        said=said,
    )


@st.composite
def additive_studies(
    draw: Any, *, design: SearchStrategy[SubsetDesign] | None = None
) -> Study:
    """Return a strategy for additive outputs without noise on drawn masks of a design.

    Args:
        draw: Given by Hypothesis.
        design: Of four examples; any kind by default.
    """
    game = draw(games(degree=1, n_train=st.just(4), p=st.just(0.5)))
    law = draw(design if design is not None else designs(4))
    masks = law.weights(torch.arange(law.n_models), 4)
    return Study(
        masks=masks,
        outputs=game.values(masks),
        design=law,
        game=game,
        said=f"{game}; masks of {law}",
    )


@st.composite
def fixed_size_studies(draw: Any, *, least: int = 60) -> Study:
    """Return a strategy for every subset of one size, each equally often."""
    game = draw(games(n_train=st.just(4), p=st.just(0.5)))
    size = draw(st.integers(1, 3))
    masks = all_masks(4)
    masks = masks[masks.sum(1) == size]
    masks = masks.repeat(-(-least // len(masks)), 1)
    return Study(
        masks=masks,
        outputs=game.values(masks),
        design=FixedSize(size=size, n_models=len(masks)),
        game=game,
        said=f"{game}; every subset of size {size}, {len(masks)} models",
    )
