"""Weights and seeds at which a problem is tried, and its outputs there."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.problems.base import Problem
from dmtheory.testing.comparing import check_same
from dmtheory.testing.properties import Declared, Violation


@dataclass(frozen=True, slots=True)
class Probe:
    """Weights that repeat over the examples, whatever their number, and a seed."""

    pattern: tuple[float, ...]
    seed: int

    def weights(self, n_train: int) -> Tensor:
        """Return one weight vector, as a row."""
        pattern = torch.tensor(self.pattern, dtype=torch.float64)
        return pattern[torch.arange(n_train) % len(pattern)][None]

    def __str__(self) -> str:
        repeated = ", ".join(f"{value:g}" for value in self.pattern)
        return f"weights {repeated} in turn, seed {self.seed}"

    __repr__ = __str__


def probes(*, zeros: bool = True) -> st.SearchStrategy[Probe]:
    """Return a strategy for probes; with zeros a weight may be 0, never all."""
    values = [1.0, 0.5, 2.0, *([0.0] if zeros else [])]
    patterns = st.lists(st.sampled_from(values), min_size=1, max_size=3).filter(any)
    return st.builds(Probe, patterns.map(tuple), st.integers(0, 3))


def outputs_of(problem: Problem, weights: Tensor, seeds: Tensor) -> Tensor:
    """Return the outputs of copies of weights and seeds.

    Raises:
        Violation: If they are no float64 matrix [models, targets].
    """
    found = problem.respond(weights.clone(), seeds.clone())
    expected = len(weights), problem.description.n_targets
    if found.shape != expected or found.dtype != torch.float64:
        raise Violation(
            f"respond must return float64 of shape {expected} (models, targets), got "
            f"{found.dtype} of shape {tuple(found.shape)}"
        )
    return found.detach()


def trainings_of(problem: Problem, probe: Probe) -> tuple[Tensor, Tensor]:
    """Return three rows, of which the first and the last are the same training."""
    weights = probe.weights(problem.description.n_train)
    rows = torch.cat([weights, weights.flip(1) + 0.25, weights])
    return rows, torch.tensor([probe.seed, probe.seed + 1, probe.seed])


def check_outputs(
    declared: Declared, found: Tensor, expected: Tensor, what: str
) -> None:
    """Raise unless outputs are as expected, within the stated error."""
    check_same(found, expected, what, tolerance=declared.tolerance, size=1.0)
