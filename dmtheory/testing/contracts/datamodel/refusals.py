"""Masks and outputs that an estimator must refuse."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.studies import Study, exact_studies

_NOISY = exact_studies(noise=True)

# Not studies: theirs have as many outputs as masks.
_BAD: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "an output that is not a number": lambda masks, outputs: (
        masks,
        outputs.index_fill(0, torch.tensor([0]), torch.nan),
    ),
    "an infinite output": lambda masks, outputs: (
        masks,
        outputs.index_fill(0, torch.tensor([0]), torch.inf),
    ),
    "fewer outputs than masks": lambda masks, outputs: (masks, outputs[1:]),
    "an example in every subset": lambda masks, outputs: (
        masks.index_fill(1, torch.tensor([0]), 1.0),
        outputs,
    ),
}


@dataclass(frozen=True, slots=True)
class _Bad:
    study: Study
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}; {self.study}"

    __repr__ = __str__


def _refuses_bad_input(declared: Declared, case: _Bad) -> None:
    masks, outputs = _BAD[case.kind](case.study.masks, case.study.outputs)
    try:
        declared(masks, outputs, case.study.design)
    except (ValueError, TypeError):
        return
    raise Violation(f"{case.kind} must be refused by ValueError or TypeError")


def _bad() -> SearchStrategy[_Bad]:
    return st.builds(_Bad, _NOISY, st.sampled_from(list(_BAD)))


REFUSALS = (
    Property(
        name="bad input refused",
        statement="Outputs that are no numbers, missing rows and constant masks raise.",
        cases=_bad(),
        check=_refuses_bad_input,
    ),
)
