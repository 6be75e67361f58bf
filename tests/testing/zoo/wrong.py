"""What a wrong estimator is: the mistake, who made it, and under which contract."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """An estimator with one mistake.

    Attributes:
        mistake: In words.
        by: Properties that must catch it, the one it was made for first.
        estimator: It.
        seen: Where it was made, or where an option or a layout invites it; empty where
            it is a common slip.
        kind: Of a curvature, which matrix it says it is.
    """

    mistake: str
    by: tuple[str, ...]
    estimator: Any
    seen: str = ""
    kind: str = "hessian"
