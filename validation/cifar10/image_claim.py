"""What a claim on single images is: one of the suite's with a judge of its own."""

from collections.abc import Callable
from dataclasses import dataclass

from dmtheory.agreement.bootstrap import Interval
from validation.cifar10.archive import Archive
from validation.cifar10.images import RIDGE
from validation.cifar10.works import SINGLE
from validation.claim import Claim, Entry, Evidence
from validation.verdicts.verdict import SUPPORTED, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageClaim:
    """A claim on single images, or on groups, whose judge is not the suite's.

    Attributes:
        claim: The claim with its own judge.
        needs: Work that it is made of.
        measure: Gathers the evidence.
        problem: The problem's key.
    """

    claim: Claim
    needs: tuple[str, ...]
    measure: Callable[[Archive], Evidence]
    problem: str = SINGLE

    @property
    def entry(self) -> Entry:
        """Where it is decided."""
        return Entry(scale="G", problem=self.problem, suite="cifar10")


def put_to_images(
    like: Claim,
    statement: str,
    judge: Callable[[Evidence, Entry], list[Part]],
    notices: tuple[str, ...],
) -> Claim:
    """Return a claim of the suite as it is put to single images."""
    return Claim(
        id=like.id,
        title=like.title,
        statement=statement,
        source=like.source,
        expected=SUPPORTED,
        entries=(),
        measure=like.measure,
        judge=judge,
        drawn=lambda evidence: (evidence.estimates[RIDGE], evidence.references[RIDGE]),
        predicted_slope=lambda _: (1.0, "slope 1: itself"),
        notices=notices,
    )


def above_zero(
    name: str, statement: str, interval: Interval, *, headline: bool = True
) -> Part:
    """Return a part that holds where a number is above 0."""
    return Part(
        name=name,
        statement=statement,
        interval=interval,
        tolerance=(0.0, None),
        headline=headline,
    )
