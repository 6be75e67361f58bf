"""What a claim is: how it is measured, how it is judged, and how it could fail."""

from collections.abc import Callable
from dataclasses import dataclass, field

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.applications.retraining import Retrained
from dmtheory.attribution import Attribution
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

# Kinds of wrong estimates that a claim can notice.
SCALE, SIGN, RANK = "scale", "sign", "rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured for one entry, before it is judged.

    Attributes:
        estimates: The side under test, by name. Negative controls distort these.
        references: The side it is held against, by name.
        numbers: Other numbers that the judgement needs.
        held_out: Outputs of models that no estimate has seen, by name.
        retrained: Models with and without chosen examples, by name.
        blocked: Why no judgement is possible (a network that did not learn); empty
            otherwise.
    """

    estimates: dict[str, Attribution]
    references: dict[str, Attribution] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, SubsetOutputs] = field(default_factory=dict)
    retrained: dict[str, Retrained] = field(default_factory=dict)
    blocked: str = ""

    @property
    def models_trained(self) -> int:
        """Trainings behind the evidence; estimates shared by claims count in each."""
        everything = (self.estimates, self.references, self.held_out, self.retrained)
        return sum(side.n_models for part in everything for side in part.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A scale and problem at which a claim is decided.

    Attributes:
        scale: "C" closed form, "V" convex on real data, "M" neural, "G" GPU.
        problem: The problem's name in the suite.
        suite: The smallest suite that decides it: "small" or "thorough".
    """

    scale: str
    problem: str
    suite: str = "small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement that the suite decides.

    Attributes:
        id: Its name in results.
        title: A few words.
        statement: The statement in a sentence.
        source: Where it is made.
        expected: "supported" or "refuted".
        entries: Scales and problems of the small suite.
        measure: Gathers the evidence of an entry.
        judge: Turns evidence into parts; costs no training.
        drawn: Returns the (estimate, reference) pair that the figure shows.
        predicted_slope: Returns the slope between them to draw beside the fitted one,
            and who predicts it.
        notices: Kinds of wrong estimates that every entry has to reject: "scale" and
            "sign", or "rank" and "sign" for a claim that knows no scale.
    """

    id: str
    title: str
    statement: str
    source: str
    expected: str
    entries: tuple[Entry, ...]
    measure: Callable[[Laboratory, Entry], Evidence]
    judge: Callable[[Evidence, Entry], list[Part]]
    drawn: Callable[[Evidence], tuple[Attribution, Attribution]]
    predicted_slope: Callable[[Evidence], tuple[float, str]]
    notices: tuple[str, ...] = (SCALE, SIGN)


def exact_part(
    name: str, statement: str, error: float, tolerance: float, *, headline: bool = True
) -> Part:
    """Return a part that holds when an exactly known error is below the tolerance."""
    return Part(
        name=name,
        statement=statement,
        interval=Interval.exact(error),
        tolerance=(0.0, tolerance),
        expected=SUPPORTED,
        headline=headline,
    )
