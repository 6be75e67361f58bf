"""The three numbers that claims judge, without the rest of an agreement."""

from dataclasses import dataclass

from torch import Tensor

from dmtheory.agreement import statistics as st
from dmtheory.agreement.agreement import check_comparable
from dmtheory.agreement.bootstrap import Interval, bootstrap
from dmtheory.agreement.statistics import Split
from dmtheory.attribution import Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """How an estimate relates to its reference.

    Attributes:
        slope: Of the estimate on the reference, errors in variables.
        disattenuated: Pearson correlation, errors taken out.
        corrected_relative_error: Pooled, the errors' own share taken out.
    """

    slope: Interval
    disattenuated: Interval
    corrected_relative_error: Interval


def relate(estimate: Attribution, reference: Attribution) -> Relation:
    """Return the numbers of `agreement` that decide claims.

    Judged again for every wrong estimator, they are worth not computing all nine.
    """
    check_comparable(estimate, reference)
    return Relation(**bootstrap([estimate, reference], _statistics))


def _statistics(pair: list[Split]) -> dict[str, Tensor]:
    return {
        "slope": st.errors_in_variables_slope(*pair),
        "disattenuated": st.disattenuated_pearson(*pair),
        "corrected_relative_error": st.corrected_relative_error(*pair),
    }
