"""Set functions with a known Fourier spectrum, so with all their values known."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Float
from torch import Tensor

from dmtheory.problems.set_functions import SetFunction, all_masks

# Inclusion probabilities whose law a few hundred rows can have exactly.
LEVELS = (0.5, 0.25, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectralGame:
    r"""F(S) = sum_A c_A prod_{i in A} (1_i - p)/sqrt(p(1-p)), c_A one a target.

    Attributes:
        n_train: Players.
        p: Inclusion probability under which the basis is orthonormal.
        terms: c_A, one entry a target, by the players in A.
    """

    n_train: int
    p: float
    terms: dict[tuple[int, ...], tuple[float, ...]]

    @property
    def n_targets(self) -> int:
        """Targets."""
        return len(next(iter(self.terms.values())))

    @property
    def problem(self) -> SetFunction:
        """The set function as a problem."""
        return SetFunction(values=self.values(all_masks(self.n_train)))

    def values(
        self, masks: Float[Tensor, "models train"]
    ) -> Float[Tensor, "models targets"]:
        """Return F at each mask, and its multilinear extension at other weights."""
        basis = (masks - self.p) / self._sigma
        found = torch.zeros(len(masks), self.n_targets, dtype=torch.float64)
        for players, coefficients in self.terms.items():
            part = basis[:, list(players)].prod(1)
            found = found + part[:, None] * torch.tensor(coefficients).double()
        return found

    @property
    def datamodel(self) -> Float[Tensor, "train targets"]:
        """beta_i(p) = c_{i}/sqrt(p(1-p))."""
        return self._by_player(lambda size: float(size == 1) / self._sigma)

    @property
    def intercept(self) -> Float[Tensor, " targets"]:
        """beta_0 = F~(p·1) - p sum beta, with F~(p·1) the constant of the spectrum."""
        mean = torch.tensor(self.terms.get((), (0.0,) * self.n_targets)).double()
        return mean - self.p * self.datamodel.sum(0)

    @property
    def residual_variance(self) -> Float[Tensor, " targets"]:
        """What no linear datamodel explains: sum of c_A^2 over |A| >= 2."""
        squares = [
            torch.tensor(c).double().square()
            for a, c in self.terms.items()
            if len(a) > 1
        ]
        return torch.stack([torch.zeros(self.n_targets).double(), *squares]).sum(0)

    @property
    def leave_one_out(self) -> Float[Tensor, "train targets"]:
        """F(D) - F(D - i): each A with i in it has ((1-p)/s)^(|A|-1)/s."""
        up = (1 - self.p) / self._sigma
        return self._by_player(lambda size: up ** (size - 1) / self._sigma)

    @property
    def shapley(self) -> Float[Tensor, "train targets"]:
        """The integral of dF~/dw_i along t·1: ((1-p)^k - (-p)^k)/(k s^k), k = |A|."""

        def share(size: int) -> float:
            ends = (1 - self.p) ** size - (-self.p) ** size
            return float(ends / (size * self._sigma**size))

        return self._by_player(share)

    @property
    def _sigma(self) -> float:
        return math.sqrt(self.p * (1 - self.p))

    def _by_player(self, share: Callable[[int], float]) -> Tensor:
        """Return sum over A with i in it of c_A times a share that |A| decides."""
        found = torch.zeros(self.n_train, self.n_targets, dtype=torch.float64)
        for players, coefficients in self.terms.items():
            for i in players:
                found[i] += share(len(players)) * torch.tensor(coefficients).double()
        return found

    def __str__(self) -> str:
        named = {a: c for a, c in self.terms.items() if any(c)}
        text = ", ".join(
            f"{{{','.join(map(str, a))}}}: {'/'.join(f'{x:g}' for x in c)}"
            for a, c in named.items()
        )
        return f"{self.n_train} players, p = {self.p:g}, spectrum {text or 0}"

    __repr__ = __str__


@st.composite
def games(
    draw: Any,
    *,
    n_train: SearchStrategy[int] | None = None,
    p: SearchStrategy[float] | None = None,
    degree: int = 3,
    n_targets: SearchStrategy[int] | None = None,
) -> SpectralGame:
    """Return a strategy for set functions with small whole numbers as spectrum.

    Args:
        draw: Given by Hypothesis.
        n_train: Players; 2 to 4 by default.
        p: Inclusion probability; 1/2, 1/4 or 3/4 by default.
        degree: Largest |A|.
        n_targets: Targets; 1 or 2 by default.
    """
    n = draw(n_train if n_train is not None else st.integers(2, 4))
    width = draw(n_targets if n_targets is not None else st.integers(1, 2))
    level = draw(p if p is not None else st.sampled_from(LEVELS))
    players = [a for size in range(degree + 1) for a in combinations(range(n), size)]
    flat = draw(
        st.lists(
            st.integers(-3, 3),
            min_size=width * len(players),
            max_size=width * len(players),
        )
    )
    rows = [
        tuple(float(x) for x in flat[k :: len(players)]) for k in range(len(players))
    ]
    return SpectralGame(n_train=n, p=level, terms=dict(zip(players, rows, strict=True)))
