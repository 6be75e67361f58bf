"""What number is this: the estimand that travels with every attribution."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_choice, check_positive
from dmtheory.identity import digest

Unit = Literal["per_weight", "per_epsilon"]
UNITS = ("per_weight", "per_epsilon")
QUANTITIES = (
    "datamodel",
    "response derivative",
    "influence",
    "leave-one-out",
    "proximal Bregman response",
    "gradient product",
    "TracIn",
    "TRAK",
    "representer",
)
# What the loss of an example's whole weight does, not a derivative by it.
_REMOVALS = ("leave-one-out", "proximal Bregman response")
# What estimates none of the others.
_SCORES = ("gradient product", "TracIn", "TRAK", "representer")
POINT_KINDS = ("weights", "vector", "subsets", "average")
NORMALISATIONS = ("sum", "count", "unknown")
STEP_POLICIES = ("fixed", "proportional", "unknown")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a quantity is taken: a weight vector, a subset law, or an average over one.

    Attributes:
        kind: "weights" is the point w = level * 1; "vector" is a weight vector w of
            mean level; "subsets" is a contrast over S ~ Bernoulli(level); "average" is
            a derivative averaged over S ~ Bernoulli(level) and over the example's own
            weight from 0 to 1.
        level: The common or mean weight, or the inclusion probability p.
        law: The subset law, independent inclusion by default; of a vector its digest.
    """

    kind: str
    level: float
    law: str = "Bernoulli"

    def __post_init__(self) -> None:
        check_choice(self.kind, POINT_KINDS, "kind")
        check_positive(self.level, "level")
        if self.kind in {"subsets", "average"} and self.level >= 1:
            raise ValueError(f"level must lie in (0, 1) for subsets, got {self.level}")

    @staticmethod
    def of(weights: Float[Tensor, " train"]) -> "Point":
        """Return the point w, named by its common weight where it has one."""
        level = weights.mean().item()
        if bool((weights == weights[0]).all()):
            return Point("weights", weights[0].item())
        return Point("vector", level, digest(weights))

    def __str__(self) -> str:
        if self.kind == "weights":
            return "w = 1" if self.level == 1 else f"w = {self.level:g}·1"
        if self.kind == "vector":
            return f"w = {self.law} (mean {self.level:g})"
        law = f"S ~ {self.law}({self.level:g})"
        if self.kind == "subsets":
            return law
        return f"averaged over {law} and the example's own weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimand:
    """What an attribution estimates; positive raises the output.

    Attributes:
        quantity: "datamodel" is beta_i(p), "response derivative" is dF/dw_i,
            "influence" is tau_i in the stated unit, "leave-one-out" is
            F(w) - F(w - w_i e_i), "proximal Bregman response" the same difference of
            the proximal Bregman minimiser in place of retraining; the rest are scores
            that estimate none of these, and only their ranks can agree with them.
        point: Where it is taken.
        output: The output function f.
        normalisation: "sum", "count" or, for arrays from elsewhere, "unknown".
        step_policy: "fixed", "proportional" or "unknown".
        problem: Digest of the problem, or a name for arrays from elsewhere.
        unit: "per_weight" is the change of f per unit of w_i; "per_epsilon" is N
            times that, Koh and Liang's convention eps_i = (w_i - w0_i)/N.
        seeds_per_weight: Training seeds behind each weight vector.
    """

    quantity: str
    point: Point
    output: str
    normalisation: str
    step_policy: str
    problem: str
    unit: Unit = "per_weight"
    seeds_per_weight: int = 1

    def __post_init__(self) -> None:
        check_choice(self.quantity, QUANTITIES, "quantity")
        check_choice(self.unit, UNITS, "unit")
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.step_policy, STEP_POLICIES, "step_policy")

    @property
    def removes(self) -> bool:
        """Whether it is the effect of an example's whole weight, no derivative."""
        return self.quantity in _REMOVALS

    @property
    def weight_lost(self) -> float:
        """The weight whose effect a score states: of a derivative a unit."""
        return self.point.level if self.removes else 1.0

    def in_unit(self, unit: Unit) -> "Estimand":
        """Return the same estimand stated in another unit."""
        return replace(self, unit=unit)

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Estimand":
        """Return the estimand that `to_json` wrote."""
        return Estimand(**{**values, "point": Point(**values["point"])})

    def __str__(self) -> str:
        return (
            f"{self.quantity} at {self.point} of the {self.output}, "
            f"{self.unit.replace('_', ' ')}, normalisation {self.normalisation}, "
            f"{self.step_policy} steps, {self.seeds_per_weight} seed(s) a weight vector"
        )


def expected_slope(a: Estimand, b: Estimand) -> float | None:
    """Return the slope of a on b that theory predicts to leading order, if any.

    A datamodel at p is to leading order the response derivative at w = p·1, and
    scale-free training (`sum`) has g(c·1) = g(1)/c, so the slope of a quantity at
    level c_a on one at level c_b is c_b/c_a. Under `count` only equal levels are
    comparable. A removal from w takes w_i away, so its slope on a derivative there is
    that weight. Scores without a scale have a slope on their like alone.

    Returns:
        The slope, or None where theory predicts none.
    """
    if a.quantity != b.quantity and {a.quantity, b.quantity} & {*_SCORES}:
        return None
    if "vector" in {a.point.kind, b.point.kind}:
        return 1.0 if a.point == b.point and a.removes == b.removes else None
    lost = a.weight_lost / b.weight_lost
    if a.point.level == b.point.level:
        return lost
    if a.normalisation == b.normalisation == "sum":
        return lost * b.point.level / a.point.level
    return None
