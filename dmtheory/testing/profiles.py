"""Profiles: how many cases a property is tried on."""

from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, settings

from dmtheory.checks import check_at_least, check_choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How hard a property is tried.

    Attributes:
        examples: Cases a property; fewer of expensive ones.
        same: Whether they are the same in every run.
        shrinks: Whether a case that fails is made smaller.
    """

    examples: int
    same: bool = False
    shrinks: bool = True

    def __post_init__(self) -> None:
        check_at_least(self.examples, 1, "examples")

    @property
    def settings(self) -> Any:
        """The same for Hypothesis, whose type checkers of calls cannot read."""
        phases = [Phase.explicit, Phase.generate, Phase.target]
        return settings(
            max_examples=self.examples,
            derandomize=self.same,
            phases=[*phases, Phase.shrink] if self.shrinks else phases,
            deadline=None,
            database=None,
            print_blob=True,
        )


_PROFILES = {
    "ci": Profile(examples=3, same=True),
    "dev": Profile(examples=40),
    "deep": Profile(examples=100),
}
PROFILES = tuple(_PROFILES)


def profile(name: str) -> Profile:
    """Return a profile by name.

    Args:
        name: "ci" tries 3 cases a property, the same in every run; "dev" 40 and "deep"
            100, others in each.

    Returns:
        The profile.

    Raises:
        ValueError: If there is no such profile.
    """
    check_choice(name, PROFILES, "profile")
    return _PROFILES[name]


def register_profiles(*names: str) -> None:
    """Make profiles known to Hypothesis, all by default: --hypothesis-profile deep.

    Raises:
        ValueError: If there is no such profile.
    """
    for name in names or PROFILES:
        settings.register_profile(name, profile(name).settings)
