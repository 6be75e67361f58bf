"""Tables with exact and near copies among the rows, at known places."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from dmtheory.testing.comparing import text_of
from dmtheory.testing.strategies.arrays import matrices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlantedTable:
    """Rows of which the last are copies of earlier ones.

    Attributes:
        x: Features.
        copy_of: The row that each of the last rows copies, in their order.
        distance: How far each copy is from its original, in the first feature.
    """

    x: Float[Tensor, "rows features"]
    copy_of: tuple[int, ...]
    distance: float

    def __str__(self) -> str:
        near = f", each moved by {self.distance:g}" if self.distance else ""
        return f"x = {text_of(self.x)}; the last rows copy {self.copy_of}{near}"

    __repr__ = __str__


@st.composite
def tables_with_copies(
    draw: Any, *, distances: tuple[float, ...] = (0.0, 1e-3, 1e-9)
) -> PlantedTable:
    """Return a strategy for small tables with duplicated and near-duplicated rows.

    Args:
        draw: Given by Hypothesis.
        distances: Of copies from their originals; 0 for exact ones.
    """
    n_rows, n_features = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    # Apart by at least 10 in the first feature, so only the planted rows are near.
    own = draw(matrices(n_rows, n_features))
    own[:, 0] += 20 * torch.arange(n_rows)
    copied = draw(st.lists(st.integers(0, n_rows - 1), min_size=1, max_size=3))
    distance = draw(st.sampled_from(distances))
    copies = own[copied].clone()
    copies[:, 0] += distance
    return PlantedTable(
        x=torch.cat([own, copies]), copy_of=tuple(copied), distance=distance
    )
