"""Weights that a problem must refuse."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from dmtheory.testing.properties import Declared, Property, Violation

_BAD = ("negative weights", "weights that are no numbers", "a weight too few")


@dataclass(frozen=True, slots=True)
class _Bad:
    kind: str

    def __str__(self) -> str:
        return self.kind

    __repr__ = __str__


def _refuses_bad_input(declared: Declared, bad: _Bad) -> None:
    problem = declared.estimator
    ones = torch.ones(1, problem.description.n_train, dtype=torch.float64)
    weights = {_BAD[0]: -ones, _BAD[1]: torch.nan * ones, _BAD[2]: ones[:, 1:]}
    try:
        problem.respond(weights[bad.kind], torch.tensor([0]))
    except (ValueError, TypeError):
        return
    raise Violation(f"{bad.kind} must be refused by ValueError")


REFUSALS = (
    Property(
        name="bad input refused",
        statement="Weights that are negative, not finite or too few raise.",
        cases=st.sampled_from(_BAD).map(_Bad),
        check=_refuses_bad_input,
    ),
)
