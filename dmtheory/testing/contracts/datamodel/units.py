"""Outputs that are mixed, in another unit, or raised by a level."""

from collections.abc import Callable

import torch

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.datamodel.fits import check_scores, fitted, variation
from dmtheory.testing.properties import Declared, NotApplicable, Property
from dmtheory.testing.strategies.studies import Study, exact_studies

_NOISY = exact_studies(noise=True)
# A level far above the variation, as logits of a confident model have.
_LEVEL = 1e6


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


UNITS = (
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
)
