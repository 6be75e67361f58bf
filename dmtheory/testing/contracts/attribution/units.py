"""Scores in the output's unit per unit of weight."""

from dataclasses import replace

import torch

from dmtheory.testing.contracts.attribution.calls import attributed, check_attributed
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.convex import LEAST_SQUARES, ConvexCase, convex_cases

_ANY = convex_cases()
_SQUARES = convex_cases(kinds=(LEAST_SQUARES,))


def _is_linear(declared: Declared, case: ConvexCase) -> None:
    """The output is linear in the target's features: so are its scores."""
    other = case.x_target.flip(1) + torch.arange(1.0, 1.0 + len(case.y_target))[:, None]
    parts = [
        attributed(declared, replace(case, x_target=x)) for x in (case.x_target, other)
    ]
    both = replace(case, x_target=2 * case.x_target - 3 * other)
    check_attributed(declared, both, 2 * parts[0] - 3 * parts[1])


def _scales_with_the_output(declared: Declared, case: ConvexCase) -> None:
    """Responses in another unit: predictions and scores in that unit."""
    expected = 10 * attributed(declared, case)
    check_attributed(declared, replace(case, y=10 * case.y), expected)


def _halves_when_doubled(declared: Declared, case: ConvexCase) -> None:
    """Every example twice: the same model, each copy half of the score."""
    expected = attributed(declared, case) / 2
    every = torch.arange(len(case.y)).repeat(2)
    check_attributed(declared, case.of_examples(every), expected.repeat(2, 1))


UNITS = (
    Property(
        name="target linearity",
        statement="The scores of 2f - 3g are 2 those of f less 3 those of g.",
        cases=_ANY,
        check=_is_linear,
    ),
    Property(
        name="scale",
        statement="Least squares with responses ten times larger: scores ten times.",
        cases=_SQUARES,
        check=_scales_with_the_output,
    ),
    Property(
        name="unit",
        statement="With every example twice, each copy has half of the score.",
        cases=_ANY,
        check=_halves_when_doubled,
    ),
)
