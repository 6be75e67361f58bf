"""Laws of datamodel estimators that need no truth: invariances and refusals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.fits import (
    EXACT_ERRORS,
    check_scores,
    fitted,
    variation,
)
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.strategies.arrays import permutations
from dmtheory.testing.strategies.studies import Study, exact_studies

_NOISY = exact_studies(noise=True)
# A level far above the variation, as logits of a confident model have.
_LEVEL = 1e6


def _returns_a_table(declared: Declared, study: Study) -> None:
    fitted(declared, study)


def _is_deterministic(declared: Declared, study: Study) -> None:
    first, second = fitted(declared, study), fitted(declared, study)
    check_again(second.scores, first.scores, "scores of the second call")


def _keeps_its_inputs(declared: Declared, study: Study) -> None:
    masks, outputs = study.masks.clone(), study.outputs.clone()
    declared(masks, outputs, study.design)
    check_same(masks, study.masks, "masks after the call", tolerance=0.0)
    check_same(outputs, study.outputs, "outputs after the call", tolerance=0.0)


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


def _is_linear(declared: Declared, study: Study) -> None:
    other = study.outputs.roll(1, 0).square()
    parts = [
        fitted(declared, study.with_outputs(y)).scores for y in (study.outputs, other)
    ]
    sum_of = study.with_outputs(2 * study.outputs - 3 * other)
    check_scores(
        declared, sum_of, fitted(declared, sum_of), 2 * parts[0] - 3 * parts[1]
    )


def _scaled_by(factor: float) -> Callable[[Declared, Study], None]:
    def check(declared: Declared, study: Study) -> None:
        expected = fitted(declared, study)
        scaled = study.with_outputs(factor * study.outputs)
        found = fitted(declared, scaled)
        check_scores(declared, scaled, found, factor * expected.scores)
        if expected.stderr is not None and found.stderr is not None:
            check_same(
                found.stderr,
                abs(factor) * expected.stderr,
                "stderr",
                tolerance=max(declared.tolerance, 1e-6),
                size=variation(scaled),
            )

    return check


def _ignores_a_level(level: float) -> Callable[[Declared, Study], None]:
    """The level's own rounding, 1e-16 of it, is allowed on top of the stated error."""

    def check(declared: Declared, study: Study) -> None:
        plain = fitted(declared, study)
        found = fitted(declared, study.with_outputs(study.outputs + level))
        rounding = torch.full_like(plain.scores, 1e-12 * level)
        check_same(
            found.scores,
            plain.scores,
            "scores",
            tolerance=declared.tolerance,
            size=variation(study),
            spread=rounding,
        )

    return check


def _predicts_the_mean(declared: Declared, study: Study) -> None:
    found = fitted(declared, study)
    if found.intercept is None:
        raise NotApplicable("the estimator returns no intercept")
    predicted = found.intercept + study.masks.mean(0) @ found.scores
    check_same(
        predicted,
        study.outputs.mean(0),
        "mean prediction",
        tolerance=max(declared.tolerance, 1e-8),
        size=study.outputs.abs().max().item(),
    )


def _leaves_null_players_alone(declared: Declared, study: Study) -> None:
    """Let no output depend on the last example: its part of the game is left out."""
    null = study.game.n_train - 1
    terms = {a: c for a, c in study.game.terms.items() if null not in a}
    study = study.with_outputs(replace(study.game, terms=terms).values(study.masks))
    found = fitted(declared, study)
    row = replace(
        found,
        scores=found.scores[[null]],
        stderr=None if found.stderr is None else found.stderr[[null]],
    )
    check_scores(
        declared,
        study,
        row,
        torch.zeros_like(row.scores),
        errors=EXACT_ERRORS,
        what="scores of the example that does nothing",
    )


def _shares_among_duplicates(declared: Declared, study: Study) -> None:
    """Make outputs symmetric in the first two examples; their scores must agree."""
    swapped = study.masks.clone()
    swapped[:, [0, 1]] = study.masks[:, [1, 0]]
    study = study.with_outputs(study.outputs + study.game.values(swapped))
    found = fitted(declared, study)
    check_same(
        found.scores[0],
        found.scores[1],
        "scores of two examples that do the same",
        tolerance=declared.tolerance,
        size=variation(study),
        spread=None if found.stderr is None else EXACT_ERRORS * found.stderr[0],
    )


def _takes_constant_targets(declared: Declared, study: Study) -> None:
    constant = torch.full_like(study.outputs[:, :1], 5.0)
    outputs = torch.cat([study.outputs, constant], dim=1)
    try:
        found = fitted(declared, study.with_outputs(outputs))
    except (ValueError, TypeError):
        return
    column = found.scores[:, -1]
    check_same(
        column,
        torch.zeros_like(column),
        "scores of an output that does not vary",
        tolerance=0.0,
        spread=torch.full_like(column, 1e-8),
    )


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


LAWS = (
    Property(
        name="table of scores",
        statement="Scores are finite, one row an example and one column a target.",
        cases=_NOISY,
        check=_returns_a_table,
    ),
    Property(
        name="determinism",
        statement="The same arrays give the same numbers, to 12 digits.",
        cases=_NOISY,
        check=_is_deterministic,
    ),
    Property(
        name="inputs kept",
        statement="Masks and outputs are as before the call.",
        cases=_NOISY,
        check=_keeps_its_inputs,
    ),
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
    Property(
        name="target linearity",
        statement="The scores of 2f - 3g are 2 those of f less 3 those of g.",
        cases=_NOISY,
        check=_is_linear,
    ),
    Property(
        name="scale",
        statement="Outputs in units 1000 times smaller: scores and errors 1000 times.",
        cases=_NOISY,
        check=_scaled_by(1000.0),
    ),
    Property(
        name="sign",
        statement="The scores of -f are minus those of f, the errors the same.",
        cases=_NOISY,
        check=_scaled_by(-1.0),
    ),
    Property(
        name="shift",
        statement="A constant added to the outputs changes no score.",
        cases=_NOISY,
        check=_ignores_a_level(10.0),
    ),
    Property(
        name="precision",
        statement="Nor does one that is a million times their variation.",
        cases=_NOISY,
        check=_ignores_a_level(_LEVEL),
    ),
    Property(
        name="intercept",
        statement="beta_0 + mean mask · beta is the mean output.",
        cases=_NOISY,
        check=_predicts_the_mean,
    ),
    Property(
        name="null players",
        statement="An example on which no output depends has score 0.",
        cases=exact_studies(),
        check=_leaves_null_players_alone,
    ),
    Property(
        name="duplicates share",
        statement="Two examples that do the same have the same score.",
        cases=exact_studies(),
        check=_shares_among_duplicates,
    ),
    Property(
        name="constant targets",
        statement="An output that does not vary has scores 0, or is refused.",
        cases=_NOISY,
        check=_takes_constant_targets,
    ),
    Property(
        name="bad input refused",
        statement="Outputs that are no numbers, missing rows and constant masks raise.",
        cases=_bad(),
        check=_refuses_bad_input,
    ),
)
