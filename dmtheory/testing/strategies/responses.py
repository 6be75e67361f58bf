"""Responses F(w; seed) whose derivatives are known, as problems of one function."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Float
from torch import Tensor

from dmtheory.identity import numbered
from dmtheory.problems import BlackBox, Description, Problem, SampleMean
from dmtheory.problems.set_functions import multilinear_extension
from dmtheory.testing.comparing import text_of
from dmtheory.testing.strategies.arrays import matrices, weights
from dmtheory.testing.strategies.games import games

Respond = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseCase:
    """A problem with the derivative of its expected output at a point.

    Attributes:
        problem: The problem.
        at: w.
        derivative: dF/dw_i there.
        said: The case in words.
    """

    problem: Problem
    at: Float[Tensor, " train"]
    derivative: Float[Tensor, "train targets"]
    said: str

    def through(
        self, change: Callable[[Respond], Respond], derivative: Tensor, said: str
    ) -> "ResponseCase":
        """Return the case of a response made from this one's."""
        description = self.problem.description
        return replace(
            self,
            problem=black_box(
                change(self.problem.respond),
                *derivative.shape,
                deterministic=description.deterministic,
                normalisation=description.normalisation,
            ),
            derivative=derivative,
            said=f"{said} of {self.said}",
        )

    def __str__(self) -> str:
        return f"{self.said} at w = {text_of(self.at)}"

    __repr__ = __str__


def black_box(
    respond: Respond,
    n_train: int,
    n_targets: int,
    *,
    deterministic: bool,
    normalisation: str = "count",
) -> BlackBox:
    """Return a function of (weights, seeds) as a problem."""
    return BlackBox(
        description=Description(
            name="case",
            digest="case",
            output="value",
            normalisation=normalisation,  # type: ignore[arg-type]
            step_policy="fixed",
            train_labels=numbered("example", n_train),
            target_labels=numbered("target", n_targets),
            deterministic=deterministic,
        ),
        train_and_measure=respond,
    )


@st.composite
def set_functions(draw: Any, *, zeros: bool = False) -> ResponseCase:
    """Return a strategy for multilinear extensions of set functions.

    Args:
        draw: Given by Hypothesis.
        zeros: Whether a weight may be 0.
    """
    game = draw(games(p=st.just(0.5)))
    at = draw(weights(game.n_train, zeros=zeros))
    table = game.problem.values

    def slope(i: int) -> Tensor:
        ends = at.repeat(2, 1)
        ends[:, i] = torch.tensor([0.0, 1.0])
        low, high = multilinear_extension(table, ends)
        return high - low

    return ResponseCase(
        problem=game.problem,
        at=at,
        derivative=torch.stack([slope(i) for i in range(game.n_train)]),
        said=str(game),
    )


@st.composite
def sample_means(draw: Any) -> ResponseCase:
    """Return a strategy for weighted means: dF/dw_i = (y_i - F)/sum w."""
    y = draw(matrices(draw(st.integers(2, 4)), 1))[:, 0]
    at = draw(weights(len(y)))
    mean = at @ y / at.sum()
    return ResponseCase(
        problem=SampleMean(values=y),
        at=at,
        derivative=((y - mean) / at.sum())[:, None],
        said=f"the mean of {text_of(y)}",
    )


@st.composite
def squares(draw: Any) -> ResponseCase:
    """Return a strategy for F(w) = (b'w)^2: its slope changes along each weight."""
    b = draw(matrices(draw(st.integers(2, 3)), 1)) + 1.0
    at = draw(weights(len(b)))
    return ResponseCase(
        problem=black_box(lambda w, _: (w @ b).square(), len(b), 1, deterministic=True),
        at=at,
        derivative=2 * (at @ b) * b,
        said=f"the square of {text_of(b[:, 0])}'w",
    )


def normals(seeds: Tensor, *shape: int) -> Tensor:
    """Return standard normals of each seed, the same wherever it is asked for."""
    rows = [
        torch.randn(
            *shape,
            generator=torch.Generator().manual_seed(seed),
            dtype=torch.float64,
        )
        for seed in seeds.tolist()
    ]
    return torch.stack(rows)


@st.composite
def noisy(draw: Any, *, slope: float, level: float, n_targets: int = 1) -> ResponseCase:
    """Return a strategy for F(w; r) = sum_i (b_i + slope u_ri) w_i + level n_r.

    u and n are standard normals of the seed r: n cancels between runs that share a
    seed, u does not.
    """
    b = draw(matrices(3, n_targets))
    at = torch.ones(3, dtype=torch.float64)

    def respond(w: Tensor, seeds: Tensor) -> Tensor:
        drawn = normals(seeds, 4, n_targets)
        moved = torch.einsum("mi,mit->mt", w, b + slope * drawn[:, :3])
        return moved + level * drawn[:, 3]

    return ResponseCase(
        problem=black_box(respond, 3, n_targets, deterministic=False),
        at=at,
        derivative=b,
        said=f"slopes {text_of(b[:, :3])} with noise {slope:g}, level noise {level:g}",
    )


def smooth_responses() -> SearchStrategy[ResponseCase]:
    """Return a strategy for every kind of response without randomness."""
    return set_functions() | sample_means() | squares()
