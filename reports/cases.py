"""One target and its training examples, each with all its estimates in one row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dmtheory.rendering import NOTHING, format_interval
from dmtheory.rendering.tables import Table
from dmtheory.rendering.whiskers import Domain, common_domain
from reports.estimands import Side, side_of

Json = dict[str, Any]
# Estimates whose ranges differ by more are each drawn on an axis of their own.
_COMPARABLE = 6.0
_KINDS = ("helpful", "harmful")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A training example with what each estimate says of it.

    Attributes:
        label: Its name.
        image: Its picture, if it is one.
        record: Its features, if it is a record.
        scores: One number with its interval an estimate; None where the estimate
            does not rank it among its own most helpful or harmful and says no more.
    """

    label: str
    image: list[Any] | None
    record: Json | None
    scores: tuple[Json | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One target and the training examples that matter to it.

    Attributes:
        data: The case as the run wrote it.
        anchor: Its id in the page.
        sides: Each estimate's estimand, explained.
        groups: The most helpful and the most harmful examples.
        domains: The axis of each estimate.
        shared: Whether all estimates are drawn on one axis.
    """

    data: Json
    anchor: str
    sides: tuple[Side, ...]
    groups: tuple[tuple[str, tuple[Example, ...]], ...]
    domains: tuple[Domain, ...]
    shared: bool

    @property
    def table(self) -> Table:
        """All its numbers as texts."""
        names = tuple(estimate["name"] for estimate in self.data["estimates"])
        return Table(
            caption=f"{self.data['title']}: most helpful and most harmful examples",
            columns=("", "example", *names),
            rows=tuple(
                (kind, example.label, *map(score_text, example.scores))
                for kind, examples in self.groups
                for example in examples
            ),
        )


def case_of(data: Json, make_anchor: Callable[..., str]) -> Case:
    """Set a case's examples side by side.

    Args:
        data: The case, as `load_run` checked it.
        make_anchor: Makes an id that is unique in the page.

    Returns:
        The case, ready for the page.
    """
    domains = tuple(_domain(estimate) for estimate in data["estimates"])
    spans = [high - low for low, high in domains]
    shared = len(spans) > 1 and max(spans) <= _COMPARABLE * min(spans)
    if shared:
        whole = (min(low for low, _ in domains), max(high for _, high in domains))
        domains = (whole,) * len(domains)
    return Case(
        data=data,
        anchor=make_anchor("case", data["problem"], data["title"]),
        sides=tuple(_side(estimate) for estimate in data["estimates"]),
        groups=tuple((kind, _examples(data["estimates"], kind)) for kind in _KINDS),
        domains=domains,
        shared=shared,
    )


def score_text(score: Json | None) -> str:
    """Return a score with its interval, or a dash."""
    if score is None:
        return NOTHING
    ends = score["score"], score["low"], score["high"]
    return format_interval(*ends, exact_digits=3)


def _side(estimate: Json) -> Side:
    return side_of({
        "role": estimate["name"],
        "text": estimate["estimand"],
        "method": estimate["method"],
    })


def _domain(estimate: Json) -> Domain:
    ends = [one[key] for one in _known(estimate) for key in ("score", "low", "high")]
    return common_domain([0.0, *ends])


def _known(estimate: Json) -> list[Json]:
    return [*estimate["helpful"], *estimate["harmful"], *estimate.get("others", ())]


def _examples(estimates: Sequence[Json], kind: str) -> tuple[Example, ...]:
    """Return every example that some estimate ranks so, the strongest first."""
    listed = {one["label"]: one for e in estimates for one in reversed(e[kind])}
    scores = {
        label: tuple(
            next((one for one in _known(e) if one["label"] == label), None)
            for e in estimates
        )
        for label in listed
    }
    sign = 1 if kind == "harmful" else -1
    # By the first estimate that knows it: estimates differ in scale, and a mean over
    # those that know an example would rank it by which do.
    order = sorted(listed, key=lambda label: _rank(scores[label], sign))
    return tuple(
        Example(
            label=label,
            image=listed[label]["image"],
            record=listed[label]["record"],
            scores=scores[label],
        )
        for label in order
    )


def _rank(scores: Sequence[Json | None], sign: int) -> tuple[int, float]:
    place = next(index for index, score in enumerate(scores) if score is not None)
    found = scores[place]
    assert found is not None
    return place, sign * found["score"]
