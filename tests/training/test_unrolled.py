"""Training step by step: the same steps, and derivatives against difference quotients.

One step's derivatives are polynomials and smooth functions of a few numbers, so central
differences of step 1e-5 are right to 1e-8 of their size.
"""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from samples import normal, table, weight_rows
from torch import Tensor, nn

from dmtheory.derivatives.through_training.modes import ForwardMode, ReverseMode
from dmtheory.problems import Network
from dmtheory.training import (
    MLP,
    SGD,
    Adam,
    CrossEntropy,
    GaussianNoise,
    Procedure,
    recorded,
)
from dmtheory.training.checkpoints import backwards, few_snapshots
from dmtheory.training.step import advance, pull, push
from dmtheory.training.unrolled import Unrolled

N = 11
DATA = table(N, 4, classes=3, seed=0)
SEEDS = torch.tensor([3, 0, 2**40])
WEIGHTS = weight_rows(3, N, seed=1)
PROCEDURES: dict[str, Procedure] = {
    "momentum": SGD(epochs=4, batch_size=5, learning_rate=0.2, momentum=0.8),
    "nesterov": SGD(epochs=4, batch_size=5, nesterov=True, schedule="cosine"),
    "plain": SGD(epochs=2, batch_size=5, momentum=0.0, schedule="constant"),
    "adam": Adam(epochs=4, batch_size=5, learning_rate=0.02, betas=(0.8, 0.95)),
    "own order": SGD(epochs=3, batch_size=5, order="per-model"),
    "batch above N": SGD(epochs=3, batch_size=50),
    "no decay": Adam(epochs=2, batch_size=5, weight_decay=0.0, epsilon=1e-3),
}
each_procedure = pytest.mark.parametrize("name", PROCEDURES)


def dropping() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 3))


def network(name: str, **changes: Any) -> Network:
    given = {"make_module": MLP((4, 5, 3)), "data": DATA, **changes}
    return Network(training=PROCEDURES[name], **given)


def steps_of(problem: Network, weights: Tensor = WEIGHTS) -> Unrolled:
    return problem.unrolled(weights, SEEDS)


def trained(steps: Unrolled) -> tuple[Tensor, ...]:
    state = steps.first()
    for step in range(steps.n_steps):
        state = steps.advanced(state, step)
    return state


@each_procedure
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_the_steps_are_those_of_training(name: str, normalisation: str) -> None:
    problem = network(
        name,
        normalisation=normalisation,
        make_module=dropping,
        augment=GaussianNoise(0.1),
        loss=CrossEntropy(label_smoothing=0.1),
    )
    expected = problem.fit(WEIGHTS, SEEDS).params
    steps = steps_of(problem)
    found = steps.parameters(trained(steps))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@each_procedure
def test_a_functional_step_is_the_step_in_place(name: str) -> None:
    # Bit for bit: what is differentiated is what is done.
    procedure = PROCEDURES[name]
    values = [normal(3, 7, seed=0)]
    memory = procedure.state(values)
    rates, number = torch.tensor([0.3]).double(), torch.tensor(1.0).double()
    for k in range(3):
        slopes = [normal(3, 7, seed=k + 1)]
        slopes[0][:, 0] = 0
        given = tuple(entry.clone() for (entry,) in memory)
        found = procedure.moved(values[0].clone(), slopes[0], given, rates, number)
        procedure.update(values, [slopes[0].clone()], memory, rates, number)
        for one, other in zip(
            found, (values[0], *(entry for (entry,) in memory)), strict=True
        ):
            assert torch.equal(one, other)
        number = number + 1


def test_adam_has_a_derivative_where_no_slope_was_ever_seen() -> None:
    # From rest the first step is rate · g / (|g| + epsilon): at g = 0 its derivative is
    # rate / epsilon, where the root of the second moment has none.
    procedure = Adam(epsilon=0.5)
    one = torch.ones(1).double()
    rest = torch.zeros(1, 1).double()

    def step(slope: Tensor) -> Tensor:
        return procedure.moved(rest, slope, (rest, rest), 0.1 * one, one)[0]

    found = torch.func.jacrev(step)(rest)
    assert found.item() == pytest.approx(-0.1 / 0.5, rel=1e-12)


def directions(state: tuple[Tensor, ...], n: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return ways to move a state, entries by their own size, and the weights."""
    ways = [
        entry[:, None] * normal(3, n, *entry.shape[1:], seed=9 + k)
        for k, entry in enumerate(state)
    ]
    return tuple(ways), normal(3, n, N, seed=20)


def before_step(steps: Unrolled, step: int) -> tuple[Tensor, ...]:
    state = steps.first()
    for k in range(step):
        state = steps.advanced(state, k)
    return state


@each_procedure
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_tangents_of_a_step_are_difference_quotients(
    name: str, normalisation: str
) -> None:
    problem = network(name, normalisation=normalisation)
    weights = WEIGHTS + 0.5
    steps = steps_of(problem, weights)
    k, h = 2, 1e-5
    state = before_step(steps, k)
    ways, moves = directions(state, 2)
    after, found = steps.pushed(state, k, ways, steps.moves(moves))
    for one, other in zip(after, steps.advanced(state, k), strict=True):
        assert torch.equal(one, other)
    for d in range(2):
        sides = []
        for side in (h, -h):
            moved = tuple(
                at + side * way[:, d] for at, way in zip(state, ways, strict=True)
            )
            there = replace(steps, weights=weights + side * moves[:, d])
            sides.append(there.advanced(moved, k))
        for entry, up, down in zip(found, *sides, strict=True):
            quotient = (up - down) / (2 * h)
            gap = (entry[:, d] - quotient).norm() / quotient.norm()
            assert gap < 1e-7


@each_procedure
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_pulling_back_is_the_transpose_of_pushing_forward(
    name: str, normalisation: str
) -> None:
    problem = network(name, normalisation=normalisation, make_module=dropping)
    steps = steps_of(problem)
    k = 1
    state = before_step(steps, k)
    ways, moves = directions(state, 2)
    adjoints = tuple(normal(3, 4, *entry.shape[1:], seed=30) for entry in state)
    _, pushed = steps.pushed(state, k, ways, steps.moves(moves))
    gathered = torch.zeros(3, 4, N).double()
    pulled = steps.pulled(state, k, adjoints, gathered)

    def product(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
        pairs = zip(a, b, strict=True)
        rows = ((x.flatten(2), y.flatten(2)) for x, y in pairs)
        return sum((x @ y.mT for x, y in rows), torch.zeros(3, 4, 2).double())

    left = product(adjoints, pushed)
    right = product((*pulled, steps.by_weights(gathered)), (*ways, moves))
    torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-12)


@cache
def fewest(n_states: int, n_snapshots: int) -> int:
    """Return the fewest steps that visit a chain backwards, by trying every split."""
    if n_states == 1:
        return 0
    if n_snapshots == 1:
        return n_states * (n_states - 1) // 2
    return min(
        m + fewest(n_states - m, n_snapshots - 1) + fewest(m, n_snapshots)
        for m in range(1, n_states)
    )


@pytest.mark.parametrize("n_snapshots", range(1, 8))
@pytest.mark.parametrize("n_steps", [0, 1, 2, 7, 12, 31, 50])
def test_going_back_takes_the_fewest_steps(n_steps: int, n_snapshots: int) -> None:
    taken = []

    def advance(state: int, step: int) -> int:
        assert state == step
        taken.append(step)
        return state + 1

    found = list(backwards(advance, 0, n_steps, n_snapshots))
    assert found == [(k, k) for k in range(n_steps, -1, -1)]
    assert len(taken) == fewest(n_steps + 1, n_snapshots)


def most_taken(n_steps: int, n_snapshots: int) -> int:
    """Return how often the step that is taken most is taken."""
    taken = [0] * n_steps

    def advance(state: int, step: int) -> int:
        taken[step] += 1
        return state + 1

    list(backwards(advance, 0, n_steps, n_snapshots))
    return max(taken, default=0)


@pytest.mark.parametrize(
    ("n_steps", "times"),
    [(0, 2), (1, 2), (9, 2), (10, 2), (120, 2), (560, 2), (561, 3), (9000, 3)],
)
def test_a_few_snapshots_take_each_step_a_few_times(n_steps: int, times: int) -> None:
    few = few_snapshots(n_steps)
    assert few <= math.ceil(math.sqrt(2 * n_steps)) + 1
    assert most_taken(n_steps, few) <= times
    # One fewer takes some step once more, but for 32 that are no burden.
    if few > 1 and few != 32:
        assert most_taken(n_steps, few - 1) == times + 1


def test_snapshots_grow_no_faster_than_the_root_of_the_steps() -> None:
    lengths = [60 * 4**k for k in range(8)]
    counts = [few_snapshots(n) for n in lengths]
    assert counts == sorted(counts)
    slope = np.polyfit(np.log(lengths), np.log(counts), 1)[0]
    assert slope < 0.5


class Live:
    """A state that counts how many of its kind there are."""

    alive = 0
    most = 0

    def __init__(self) -> None:
        Live.alive += 1
        Live.most = max(Live.most, Live.alive)

    def __del__(self) -> None:
        Live.alive -= 1


def test_no_more_states_are_kept_than_snapshots_and_the_one_in_hand() -> None:
    for _ in backwards(lambda state, step: Live(), Live(), 60, 5):
        pass
    # While a step is taken: the last one handed out, the one before it, the new one.
    assert Live.most <= 5 + 3


@pytest.mark.parametrize("name", ["momentum", "adam", "own order"])
def test_recording_a_step_changes_no_bit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def derivatives(calls: int) -> tuple[Tensor, Tensor, list[int]]:
        monkeypatch.setattr(recorded, "_CALLS_BEFORE", calls)
        problem = network(
            name,
            make_module=dropping,
            augment=GaussianNoise(0.1),
            loss=CrossEntropy(label_smoothing=0.1),
        )
        ways = normal(3, 2, N, seed=40)
        forward = ForwardMode().derivatives(problem, steps_of(problem), ways)
        reverse = ReverseMode().derivatives(problem, steps_of(problem), None)
        kept = (
            problem.task().on(WEIGHTS.device, make) for make in (advance, pull, push)
        )
        return forward, reverse, [len(entry._programs) for entry in kept]

    *plain, none = derivatives(10**9)
    *found, programs = derivatives(3)
    assert (none, programs) == ([0, 0, 0], [1, 1, 1])
    for one, other in zip(plain, found, strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_recorded_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_CALLS_BEFORE", 2)
    entry = recorded.Recorded(lambda x: x * 2 if float(x.sum()) > 0 else x * 3)
    ones = torch.ones(3).double()
    for sign in (1, -1, -1, 1):
        assert torch.equal(entry(sign * ones), (2 if sign > 0 else 3) * sign * ones)


def test_shapes_have_programs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_CALLS_BEFORE", 1)
    entry = recorded.Recorded(lambda pair, x: (pair[0] + x.sum(), pair[1]))
    for n in (2, 3, 2):
        first, second = entry((torch.ones(n), torch.zeros(n)), torch.ones(n))
        assert torch.equal(first, torch.full((n,), 1.0 + n))
        assert torch.equal(second, torch.zeros(n))
    assert len(entry._programs) == 2
