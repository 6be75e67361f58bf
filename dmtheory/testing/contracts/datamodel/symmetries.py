"""Models and examples in another order, and targets alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.contracts.datamodel.fits import check_scores, fitted
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.arrays import permutations
from dmtheory.testing.strategies.studies import Study, exact_studies

_NOISY = exact_studies(noise=True)


def _forgets_the_order_of_models(declared: Declared, study: Study) -> None:
    expected = fitted(declared, study).scores
    turned = study.in_order(torch.arange(len(study.masks)).flip(0))
    check_scores(declared, study, fitted(declared, turned), expected)


@dataclass(frozen=True, slots=True)
class _Reordered:
    study: Study
    order: Tensor

    def __str__(self) -> str:
        return f"{self.study}; order {self.order.tolist()}"

    __repr__ = __str__


@st.composite
def _reordered(draw: Any, axis: Callable[[Study], int]) -> _Reordered:
    study = draw(_NOISY)
    return _Reordered(study, draw(permutations(axis(study))))


def _moves_with_the_examples(declared: Declared, case: _Reordered) -> None:
    expected = fitted(declared, case.study).scores[case.order]
    moved = case.study.with_players(case.order)
    check_scores(declared, moved, fitted(declared, moved), expected)


def _keeps_targets_apart(declared: Declared, study: Study) -> None:
    """Fit a target alone, beside its own and beside one of another scale."""
    loud = torch.cat([study.outputs, 100 * study.outputs.roll(1, 0)], dim=1)
    together = fitted(declared, study.with_outputs(loud))
    for target in range(study.outputs.shape[1]):
        alone = study.with_outputs(study.outputs[:, [target]])
        column = replace(together, scores=together.scores[:, [target]], stderr=None)
        check_scores(declared, alone, column, fitted(declared, alone).scores)


SYMMETRIES = (
    Property(
        name="model order",
        statement="The order of the models does not matter.",
        cases=_NOISY,
        check=_forgets_the_order_of_models,
    ),
    Property(
        name="train permutation",
        statement="Scores move with the examples.",
        cases=_reordered(lambda study: study.masks.shape[1]),
        check=_moves_with_the_examples,
    ),
    Property(
        name="targets apart",
        statement="A target's scores do not depend on which are fitted beside it.",
        cases=_NOISY,
        check=_keeps_targets_apart,
    ),
)
