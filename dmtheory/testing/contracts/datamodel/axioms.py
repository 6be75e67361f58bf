"""Examples that do nothing or the same, and outputs that do not vary."""

from dataclasses import replace

import torch

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.datamodel.fits import check_scores, fitted, variation
from dmtheory.testing.contracts.scores import EXACT_ERRORS
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.studies import Study, exact_studies

_NOISY = exact_studies(noise=True)


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


AXIOMS = (
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
)
