"""Predicted against actual changes of outputs, with what can be said of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.applications.retraining import Sets
from dmtheory.checks import check_choice

# Fewer targets than these give no interval over targets.
_LEAST_TARGETS = 4
# Streams of a resampling; those of units are numbered from the last on.
_TARGETS, _DRAWS, _UNITS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Removal:
    """One removal.

    Attributes:
        name: Who chose the examples.
        target: The target's label.
        k: How many were removed.
        removed: Their numbers.
        predicted: The change that was predicted, to first order.
        predicted_stderr: Its standard error; None where it is unknown.
        actual: The change that retraining showed, the mean over draws.
        stderr: Its standard error; None for a single draw of random training.
    """

    name: str
    target: str
    k: int
    removed: tuple[int, ...]
    predicted: float
    predicted_stderr: float | None
    actual: float
    stderr: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemovalTable:
    """What was removed, what was predicted, and what retraining showed.

    Changes are outputs without the examples minus outputs with them.

    Attributes:
        names: One name a way of choosing.
        ks: How many examples were removed.
        target_labels: One label a target.
        removed: The examples, by name, k and target.
        foreseen: The change that the choosing attribution itself predicts.
        predicted: The change that the predicting attribution predicts.
        predicted_units: The same of its independent units, a single one where it is
            exact; None where unknown.
        actual: The change that retraining showed, a draw of seeds (and subsets).
        deterministic: Whether another training would show the same.
        n_models: Trainings of the retraining.
    """

    names: tuple[str, ...]
    ks: tuple[int, ...]
    target_labels: tuple[str, ...]
    removed: tuple[tuple[Sets, ...], ...]
    foreseen: Float[Tensor, "names ks targets"]
    predicted: Float[Tensor, "names ks targets"]
    predicted_units: tuple[Float[Tensor, "_ ks targets"] | None, ...]
    actual: Float[Tensor, "draws names ks targets"]
    deterministic: bool
    n_models: int

    @property
    def n_draws(self) -> int:
        """Draws of training seeds (and subsets)."""
        return len(self.actual)

    def rows(self) -> list[Removal]:
        """Return one row a name, k and target."""
        actual, error = self.actual.mean(0), self._actual_error()
        found = []
        for i, name in enumerate(self.names):
            units = self.predicted_units[i]
            for j, k in enumerate(self.ks):
                for t, target in enumerate(self.target_labels):
                    own = None if units is None else _error(units[:, j, t])
                    found.append(
                        Removal(
                            name=name,
                            target=target,
                            k=k,
                            removed=self.removed[i][j][t],
                            predicted=self.predicted[i, j, t].item(),
                            predicted_stderr=own,
                            actual=actual[i, j, t].item(),
                            stderr=None if error is None else error[i, j, t].item(),
                        )
                    )
        return found

    def mean_change(self, name: str, k: int, *, seed: int = 0) -> Interval:
        """Return the change of a target's output when k examples go, on average.

        The interval is over targets and draws, resampled together.
        """
        i, j = self._place(name, k)
        return self._mean(self.actual[:, i, j], seed)

    def difference(self, name: str, other: str, k: int, *, seed: int = 0) -> Interval:
        """Return the mean change under one choice minus that under another.

        Below 0 where removals of helpful examples hurt more by the first. The interval
        is over targets and draws, resampled together and alike for both.
        """
        (i, j), (o, _) = self._place(name, k), self._place(other, k)
        return self._mean(self.actual[:, i, j] - self.actual[:, o, j], seed)

    def slope(
        self, names: Sequence[str], k: int, *, draws: int = 1000, seed: int = 0
    ) -> Interval:
        r"""Return the slope of actual on predicted changes, through the origin.

        sum_t z_t a_t / sum_t z_t b_t, pooled over names: a the actual change, b the
        predicted one, z what the chooser itself foresees. Where z and b come from
        different models (`crossed`), neither the error of b nor the selection by z
        moves the slope; where they are the same it is sum ab / sum bb, which both
        shrink.

        The 95 % interval resamples targets, draws of retraining and the units of b
        together: it covers other targets, other seeds (and subsets) and another
        predicting estimate, given what was chosen. An error that no two targets share
        shows in all of them, so that the interval is rather too wide than too narrow.

        Args:
            names: Choices that are pooled.
            k: How many were removed.
            draws: Bootstrap draws, at least 1,000.
            seed: Seed of the resampling.

        Returns:
            The slope.

        References:
            Owen 2007, The pigeonhole bootstrap.
        """
        places = [self._place(name, k) for name in names]
        targets, trainings = self._weights(draws, seed)
        top = bottom = torch.zeros(draws, dtype=torch.float64)
        value_top = value_bottom = 0.0
        for i, j in places:
            z, b = self.foreseen[i, j], self.predicted[i, j]
            a, units = self.actual[:, i, j], self.predicted_units[i]
            moved = b.expand(draws, -1)
            if units is not None:
                stream = _stream(seed, _UNITS + i)
                moved = _unit_weights(len(units), draws, stream) @ units[:, j]
            top = top + (targets * z * (trainings @ a)).sum(1)
            bottom = bottom + (targets * z * moved).sum(1)
            value_top += (z @ a.mean(0)).item()
            value_bottom += (z @ b).item()
        value = torch.tensor(value_top / value_bottom, dtype=torch.float64)
        return centred_interval(value, top / bottom)

    def correlation(
        self, names: Sequence[str], k: int, *, draws: int = 1000, seed: int = 0
    ) -> Interval:
        """Return the correlation of predicted and actual changes over targets.

        Pooled over names; the interval is over targets and draws.
        """
        places = [self._place(name, k) for name in names]
        targets, trainings = self._weights(draws, seed)
        b = torch.cat([self.predicted[i, j] for i, j in places])
        a = torch.cat([self.actual[:, i, j] for i, j in places], dim=1)
        counts = targets.repeat(1, len(places))
        once = torch.ones(1, len(b), dtype=torch.float64)
        value = _weighted_correlation(b, a.mean(0)[None], once)[0]
        sample = _weighted_correlation(b, trainings @ a, counts)
        return centred_interval(value, sample).clipped(-1.0, 1.0)

    def _mean(self, changes: Tensor, seed: int, draws: int = 1000) -> Interval:
        targets, trainings = self._weights(draws, seed)
        sample = (targets * (trainings @ changes)).sum(1) / changes.shape[1]
        return centred_interval(changes.mean(), sample)

    def _weights(self, draws: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return how often targets enter each resample, and the weights of draws."""
        n_targets = len(self.target_labels)
        if n_targets < _LEAST_TARGETS:
            raise ValueError(
                f"targets must number at least {_LEAST_TARGETS} for an interval over "
                f"them, got {n_targets}"
            )
        counts = resample_counts(
            n_targets, 1, draws=draws, seed=_stream(seed, _TARGETS)
        )
        return counts, _unit_weights(self.n_draws, draws, _stream(seed, _DRAWS))

    def _place(self, name: str, k: int) -> tuple[int, int]:
        check_choice(name, self.names, "name")
        if k not in self.ks:
            raise ValueError(f"k must be one of {list(self.ks)}, got {k}")
        return self.names.index(name), self.ks.index(k)

    def _actual_error(self) -> Tensor | None:
        if self.deterministic:
            return torch.zeros_like(self.actual[0])
        if self.n_draws < 2:
            return None
        return self.actual.std(0) / self.n_draws**0.5


def _stream(seed: int, number: int) -> int:
    return 1000 * seed + number


def _error(units: Tensor) -> float:
    if len(units) == 1:
        return 0.0
    return (units.std(0) / len(units) ** 0.5).item()


def _unit_weights(n_units: int, draws: int, seed: int) -> Float[Tensor, "draws units"]:
    """Return the weights of a mean over resampled units, those of one unit being 1.

    Deviations are inflated by sqrt(n/(n-1)), since a bootstrap of few units is too
    narrow.
    """
    even = torch.full((draws, n_units), 1 / n_units, dtype=torch.float64)
    if n_units == 1:
        return even
    counts = resample_counts(n_units, 1, draws=draws, seed=seed)
    return even + (n_units / (n_units - 1)) ** 0.5 * (counts / n_units - even)


def _weighted_correlation(
    x: Float[Tensor, " entries"],
    y: Float[Tensor, "draws entries"],
    counts: Float[Tensor, "draws entries"],
) -> Float[Tensor, " draws"]:
    share = counts / counts.sum(1, keepdim=True)
    x = x - (share * x).sum(1, keepdim=True)
    y = y - (share * y).sum(1, keepdim=True)
    covariance = (share * x * y).sum(1)
    scale = (share * x.square()).sum(1) * (share * y.square()).sum(1)
    return covariance / scale.sqrt().clamp_min(1e-300)
