"""Do two attributions agree, and by what factor? Every number has its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dmtheory.agreement import statistics as st
from dmtheory.agreement.bootstrap import Interval, bootstrap
from dmtheory.agreement.statistics import Split
from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand, expected_slope

# What a statistic cannot leave, its interval does not leave either.
_RANGES = {
    "pearson": (-1.0, 1.0),
    "spearman": (-1.0, 1.0),
    "relative_error": (0.0, float("inf")),
    "corrected_relative_error": (0.0, float("inf")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How attribution a relates to attribution b.

    Attributes:
        slope: Of a on b through the origin, with errors in variables.
        naive_slope: The same ignoring the noise of b, which shrinks it.
        pearson: Correlation over examples, pooled within targets.
        spearman: Rank correlation over examples, averaged over targets.
        disattenuated: Pearson correlation with both sides' errors taken out.
        reliability_a: Share of the variance of a over examples that is no error.
        reliability_b: The same for b.
        relative_error: |a - b| / |b| norm-wise a target, the median.
        corrected_relative_error: The same pooled, with the errors' own share out.
        expected_slope: What theory predicts to leading order; None where it does not.
        a: What a estimates.
        b: What b estimates.
        n_examples: Examples compared.
        n_targets: Targets compared.
        draws: Bootstrap draws.
    """

    slope: Interval
    naive_slope: Interval
    pearson: Interval
    spearman: Interval
    disattenuated: Interval
    reliability_a: Interval
    reliability_b: Interval
    relative_error: Interval
    corrected_relative_error: Interval
    expected_slope: float | None
    a: Estimand
    b: Estimand
    n_examples: int
    n_targets: int
    draws: int

    def intervals(self) -> dict[str, Interval]:
        """Return every statistic by name."""
        return {
            name: value
            for name in self.__slots__
            if isinstance(value := getattr(self, name), Interval)
        }


def agreement(
    a: Attribution, b: Attribution, *, draws: int = 1000, seed: int = 0
) -> Agreement:
    """Compare two attributions of the same problem.

    Both must state the same problem, labels, output, normalisation, step policy and
    unit; the point (a subset law or a weight) may differ, and is named in the result
    with the slope that theory predicts. The two sides must share no seeds.

    Args:
        a: The estimate whose size is in question, such as a datamodel.
        b: The estimate it is held against, such as a response derivative.
        draws: Bootstrap draws over models and seeds jointly, at least 1,000.
        seed: Seed of the resampling.

    Returns:
        Slopes, correlations, reliabilities and errors, each with a 95 % interval.

    Raises:
        ValueError: If the two may not be compared, with the remedy.
    """
    check_comparable(a, b)
    found = bootstrap([a, b], _statistics, draws=draws, seed=seed)
    for name, (least, most) in _RANGES.items():
        found[name] = found[name].clipped(least, most)
    return Agreement(
        **found,
        expected_slope=expected_slope(a.estimand, b.estimand),
        a=a.estimand,
        b=b.estimand,
        n_examples=len(a.train_labels),
        n_targets=len(a.target_labels),
        draws=draws,
    )


def check_comparable(a: Attribution, b: Attribution) -> None:
    """Raise ValueError, with the remedy, unless agreement(a, b) means something."""
    for field in ("problem", "output", "normalisation", "step_policy", "unit"):
        ours, theirs = getattr(a.estimand, field), getattr(b.estimand, field)
        if ours == theirs:
            continue
        remedy = (
            f"convert with .in_unit({ours!r})"
            if field == "unit"
            else "estimate both on one problem and procedure"
        )
        raise ValueError(
            f"a and b must have the same {field}, got {ours} and {theirs}: {remedy}"
        )
    for axis, ours, theirs in (
        ("train", a.train_labels, b.train_labels),
        ("target", a.target_labels, b.target_labels),
    ):
        if ours != theirs:
            raise ValueError(
                f"a and b must have the same {axis} labels, got "
                f"{_difference(ours, theirs)}: align them with .restricted(train=..., "
                "targets=...)"
            )
    shared = a.seeds & b.seeds
    if shared:
        raise ValueError(
            f"a and b must share no seeds, got experiment seed {min(shared)} in both: "
            "their errors would be correlated and the slope biased; estimate one again "
            "with another seed"
        )


def _difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)}"
    place = next(i for i, (x, y) in enumerate(zip(ours, theirs, strict=True)) if x != y)
    return f"{ours[place]!r} and {theirs[place]!r} at position {place}"


def _statistics(pair: list[Split]) -> dict[str, Tensor]:
    a, b = pair
    return {
        "slope": st.errors_in_variables_slope(a, b),
        "naive_slope": st.naive_slope(a.whole, b.whole),
        "pearson": st.pearson(a.whole, b.whole),
        "spearman": st.spearman(a.whole, b.whole),
        "disattenuated": st.disattenuated_pearson(a, b),
        "reliability_a": st.reliability(a),
        "reliability_b": st.reliability(b),
        "relative_error": st.relative_error(a.whole, b.whole),
        "corrected_relative_error": st.corrected_relative_error(a, b),
    }
