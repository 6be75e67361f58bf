"""Calling an estimator: a table of scores, the same again, nothing touched."""

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.datamodel.fits import fitted
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.studies import Study, exact_studies

_NOISY = exact_studies(noise=True)


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


CALLS = (
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
)
