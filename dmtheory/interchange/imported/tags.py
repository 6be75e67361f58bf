"""What imported numbers are: the tags that every import carries."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from dmtheory.checks import check_at_least, check_choice
from dmtheory.estimand import NORMALISATIONS, STEP_POLICIES, Point
from dmtheory.interchange.files.reasons import reason

SIGNS = ("as stored", "negated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What the outputs of imported models are, and how their subsets were drawn.

    Attributes:
        source: The format they were read from.
        problem: Name of the problem; only numbers of one problem can be compared.
        output: The output function f. A positive score raises it.
        sign: "as stored", or "negated" where the file holds minus the output.
        law: The law of the subsets; None where they follow none that is known.
        normalisation: "sum", "count" or "unknown".
        step_policy: "fixed", "proportional" or "unknown".
        seeds_per_weight: Trainings that each row of outputs averages.
        held_out: First row and end of the rows that are kept for evaluation, in the
            file; None where none were named.
        notes: What was decided and on what evidence, one sentence each.
    """

    source: str
    problem: str
    output: str
    sign: str = "as stored"
    law: Point | None = None
    normalisation: str = "unknown"
    step_policy: str = "unknown"
    seeds_per_weight: int = 1
    held_out: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice(self.sign, SIGNS, "sign")
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.step_policy, STEP_POLICIES, "step_policy")
        check_at_least(self.seeds_per_weight, 1, "seeds_per_weight")

    def noting(self, *notes: str) -> "Tags":
        """Return the tags with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Tags":
        """Return the tags that `to_json` wrote.

        Raises:
            ValueError: If fields are missing or of another kind.
        """
        try:
            law, held_out = values["law"], values["held_out"]
            return Tags(**{
                **values,
                "law": None if law is None else Point(**law),
                "held_out": None if held_out is None else _pair(held_out),
                "notes": tuple(str(note) for note in values["notes"]),
            })
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"tags must be those of an import: {reason(error)}"
            ) from None


def _pair(values: Any) -> tuple[int, int]:
    start, stop = values
    return int(start), int(stop)
