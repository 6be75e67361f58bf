"""The search for the smallest removal that flips a sign, step by step."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from dmtheory.applications.choosing import order_of, predicted_changes
from dmtheory.attribution import Attribution


@dataclass(frozen=True, slots=True)
class Trial:
    """Outputs of models that were trained without the first k examples.

    Attributes:
        k: How many were removed.
        output: The mean output over seeds.
        stderr: Its standard error; 0 where training is deterministic, None for a
            single seed.
    """

    k: int
    output: float
    stderr: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """How few examples a target's sign hangs on, in an attribution's order.

    What is known: removing the first k flips the sign, and removing k - 1 was tried
    and does not. Bisection cannot see more: a smaller number that was not tried might
    flip it too, and so might fewer examples in another order. So k is an upper bound of
    the fewest examples that flip it, and `tried` says what it rests on.

    Attributes:
        target: The target's label.
        k: The number found; None where no number up to `most` flipped it.
        most: The largest number that could be tried.
        foreseen: The number at which the scores predict the flip; None if they do not
            up to `most`.
        whole: Outputs with nothing removed.
        tried: Every number that was tried, in increasing order.
        confirmation: Without the first k, and fresh seeds; None where none flipped.
        confirmed: Whether the fresh models' mean output has the other sign by two
            standard errors; None where there is nothing to confirm, or a single seed.
        n_models: Trainings without some examples for this target; those with all are
            shared by the targets.
    """

    target: str
    k: int | None
    most: int
    foreseen: int | None
    whole: Trial
    tried: tuple[Trial, ...]
    confirmation: Trial | None
    confirmed: bool | None
    n_models: int

    @property
    def untried(self) -> tuple[int, ...]:
        """Smaller numbers than k that were not tried."""
        if self.k is None:
            return ()
        tried = {trial.k for trial in self.tried}
        return tuple(k for k in range(1, self.k) if k not in tried)


@dataclass(slots=True, kw_only=True)
class Search:
    """The search for one target: `low` does not flip it, `high` does."""

    target: int
    order: list[int]
    sign: float
    most: int
    foreseen: int | None
    probe: int
    low: int = 0
    high: int | None = None
    trials: dict[int, Trial] = field(default_factory=dict)

    def first(self, k: int | None) -> tuple[int, ...]:
        """Return the first k examples of the order."""
        return tuple(self.order[:k])

    def learn(self, trial: Trial) -> None:
        """Take in a trial and choose the next number; 0 when all is known."""
        self.trials[trial.k] = trial
        if trial.output * self.sign < 0:
            self.high = trial.k
        else:
            self.low = trial.k
        if self.high is not None:
            near = self.high - self.low <= 1
            self.probe = 0 if near else (self.low + self.high) // 2
        else:
            self.probe = 0 if self.low == self.most else min(2 * self.low, self.most)

    def result(
        self, label: str, whole: Trial, again: Trial | None, *, n_seeds: int
    ) -> Flip:
        """Return what was found, confirmed by fresh models where there are any."""
        if again is None and self.high is not None:
            # Nothing was drawn, so what was tried is what would be seen again.
            again, n_again = self.trials[self.high], 0
        else:
            n_again = 0 if again is None else n_seeds
        return Flip(
            target=label,
            k=self.high,
            most=self.most,
            foreseen=self.foreseen,
            whole=whole,
            tried=tuple(self.trials[k] for k in sorted(self.trials)),
            confirmation=again,
            confirmed=None if again is None else _is_other(again, self.sign),
            n_models=n_seeds * len(self.trials) + n_again,
        )


def _is_other(trial: Trial, sign: float) -> bool | None:
    if trial.stderr is None:
        return None
    return sign * trial.output + 2 * trial.stderr < 0


def begin(
    attribution: Attribution, target: int, outputs: Float[Tensor, " seeds"], most: int
) -> Search:
    """Return a search that begins where the scores predict the flip.

    Args:
        attribution: Scores.
        target: The target's column.
        outputs: Its outputs with nothing removed.
        most: The largest number that may be removed.

    Returns:
        The search, with its first number to try.
    """
    sign = 1.0 if outputs.mean() >= 0 else -1.0
    order = order_of(attribution, target, "helpful" if sign > 0 else "harmful")
    change = sign * predicted_changes(attribution, 1.0)[order, target].cumsum(0)
    crosses = (change[:most] < -outputs.mean().abs()).nonzero()
    foreseen = int(crosses[0]) + 1 if len(crosses) else None
    return Search(
        target=target,
        order=order.tolist(),
        sign=sign,
        most=most,
        foreseen=foreseen,
        probe=foreseen or 1,
    )


def trial_of(k: int, outputs: Float[Tensor, " seeds"], *, exact: bool) -> Trial:
    """Return the mean of outputs, with its standard error over seeds."""
    several = len(outputs) > 1
    error = (outputs.std() / len(outputs) ** 0.5).item() if several else None
    return Trial(k, outputs.mean().item(), 0.0 if exact else error)
