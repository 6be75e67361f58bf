"""Derivatives through training against differences of retraining, and identities."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from richardson import quotients, worst_gap
from samples import a_description, normal, table, unchecked
from torch import Tensor, nn

from dmtheory import response_derivative
from dmtheory.data.dataset import Dataset
from dmtheory.derivatives.through_training.modes import ForwardMode, Mode, ReverseMode
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.influence.classical import weight_derivatives
from dmtheory.problems import BlackBox, Network
from dmtheory.training import (
    MLP,
    SGD,
    Adam,
    CrossEntropy,
    GaussianNoise,
    OneByOne,
    Procedure,
    SquaredError,
)

N = 13
DATA = table(N, 4, classes=3, n_targets=3, seed=0)
WEIGHTS = 0.4 + torch.rand(N, generator=torch.Generator().manual_seed(5)).double()
SEEDS = torch.tensor([3, 2**40, 11])
ROWS = torch.stack([WEIGHTS, WEIGHTS.flip(0), 2 * WEIGHTS])
PLAIN = SGD(epochs=4, batch_size=5, learning_rate=0.2, momentum=0.8)
PROCEDURES: dict[str, Procedure] = {
    "momentum": PLAIN,
    "nesterov, cosine": replace(PLAIN, nesterov=True, schedule="cosine"),
    "plain, constant": SGD(epochs=3, batch_size=4, momentum=0.0, schedule="constant"),
    "adam": Adam(epochs=4, batch_size=5, learning_rate=0.03, epsilon=1e-3),
    "own orders": replace(PLAIN, order="per-model"),
    "whole batch": replace(PLAIN, batch_size=N, epochs=20),
    "batch above N": replace(PLAIN, batch_size=3 * N, epochs=8),
}
BOTH: tuple[Mode, Mode] = (ForwardMode(), ReverseMode())
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def network(training: Procedure = PLAIN, **changes: Any) -> Network:
    return Network(
        training=training, **{"make_module": MLP((4, 5, 3)), "data": DATA, **changes}
    )


def random_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.4), nn.Linear(6, 3))


def of_one_seed(problem: Network, mode: Mode, **given: Any) -> Tensor:
    found = Pathwise(mode=mode).at_models(problem, WEIGHTS[None], SEEDS[:1], **given)
    return found[0]


@pytest.mark.parametrize("name", PROCEDURES)
@each_normalisation
def test_the_derivative_is_that_of_retraining(name: str, normalisation: str) -> None:
    problem = network(PROCEDURES[name], normalisation=normalisation)
    truth = quotients(problem, WEIGHTS, int(SEEDS[0]), step=2e-2)
    for mode in BOTH:
        assert worst_gap(of_one_seed(problem, mode), truth) < 1e-6


@pytest.mark.parametrize("order", ["shared", "per-model"])
@each_normalisation
def test_draws_of_examples_are_held_fixed(order: Any, normalisation: Any) -> None:
    problem = network(
        replace(PLAIN, order=order),
        make_module=random_net,
        augment=GaussianNoise(0.2),
        loss=CrossEntropy(label_smoothing=0.1),
        normalisation=normalisation,
        output="log-likelihood",
    )
    truth = quotients(problem, WEIGHTS, int(SEEDS[0]), step=2e-2)
    for mode in BOTH:
        assert worst_gap(of_one_seed(problem, mode), truth) < 1e-6


def test_a_regression_and_adam_with_its_usual_epsilon() -> None:
    data = table(N, 4, n_targets=3, seed=2)
    problem = Network(
        make_module=MLP((4, 5, 1)),
        data=data,
        training=Adam(epochs=5, batch_size=4, learning_rate=0.01),
        loss=SquaredError(),
        output="squared-error",
    )
    truth = quotients(problem, WEIGHTS, int(SEEDS[0]), step=1e-3)
    for mode in BOTH:
        assert worst_gap(of_one_seed(problem, mode), truth) < 1e-6


def test_an_absent_example_has_the_derivative_of_its_entering() -> None:
    # One-sided quotients at weight 0, of third order after two extrapolations.
    at = WEIGHTS.clone()
    at[4] = 0
    problem = network()
    found = Pathwise(mode=ReverseMode()).at_models(problem, at[None], SEEDS[:1])[0, 4]
    by_step = []
    for h in (1e-2, 5e-3, 2.5e-3):
        rows = at.repeat(2, 1)
        rows[0, 4] = h
        up, here = problem.respond(rows, SEEDS[:1].repeat(2))
        by_step.append((up - here) / h)
    first = [2 * b - a for a, b in pairwise(by_step)]
    truth = (4 * first[1] - first[0]) / 3
    assert (found - truth).norm() < 1e-4 * truth.norm()


@each_normalisation
def test_one_step_of_gradient_descent_by_hand(normalisation: str) -> None:
    # theta_1 = theta_0 - rate (sum_j w_j grad l_j / W + decay theta_0), f = x' theta_1:
    # df/dw_i = -rate x' (grad l_i - [sum] sum_j w_j grad l_j / W) / W.
    data = table(N, 4, seed=3)
    training = SGD(epochs=1, batch_size=N, learning_rate=0.3, momentum=0.5)
    problem = Network(
        make_module=MLP((4, 1)),
        data=data,
        training=training,
        loss=SquaredError(),
        output="prediction",
        normalisation=normalisation,
    )
    theta = problem.initial(SEEDS[:1])[0]
    x = torch.cat([data.x_train, torch.ones(N, 1).double()], 1)
    targets = torch.cat([data.x_target, torch.ones(4, 1).double()], 1)
    slopes = (x @ theta - data.y_train)[:, None] * x
    total = WEIGHTS.sum() if normalisation == "sum" else N
    if normalisation == "sum":
        slopes = slopes - WEIGHTS @ slopes / total
    truth = -0.3 * slopes @ targets.T / total
    for mode in BOTH:
        torch.testing.assert_close(
            of_one_seed(problem, mode), truth, rtol=1e-11, atol=1e-13
        )


@pytest.mark.parametrize("name", PROCEDURES)
def test_forward_and_reverse_mode_agree(name: str) -> None:
    problem = network(PROCEDURES[name], make_module=random_net)
    ways = normal(3, 4, N, seed=7)
    forward, reverse = (
        Pathwise(mode=mode).at_models(problem, ROWS, SEEDS, ways) for mode in BOTH
    )
    torch.testing.assert_close(forward, reverse, rtol=1e-11, atol=1e-13)
    whole = Pathwise(mode=ReverseMode()).at_models(problem, ROWS, SEEDS)
    torch.testing.assert_close(ways @ whole, reverse, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("order", ["shared", "per-model"])
@pytest.mark.parametrize(
    ("memory", "snapshots"), [(1, None), (1, 2), (2**14, 3), (2**16, 1), (2**30, 4)]
)
def test_memory_changes_no_bit(memory: int, snapshots: int | None, order: Any) -> None:
    # From one model and target at a time, most steps made anew, to all at once.
    training = replace(PLAIN, order=order, epochs=2)
    problem = network(training, make_module=random_net)
    whole = Pathwise(mode=ReverseMode()).at_models(problem, ROWS, SEEDS)
    mode = ReverseMode(memory=memory, snapshots=snapshots)
    assert torch.equal(Pathwise(mode=mode).at_models(problem, ROWS, SEEDS), whole)


@pytest.mark.parametrize("memory", [1, 2**15])
def test_blocks_of_directions_change_rounding_alone(memory: int) -> None:
    problem = network(replace(PLAIN, epochs=2), make_module=random_net)
    ways = normal(2, 5, N, seed=7)
    found, whole = (
        Pathwise(mode=mode).at_models(problem, ROWS[:2], SEEDS[:2], ways)
        for mode in (ForwardMode(memory=memory), ForwardMode())
    )
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-14)


def test_the_mode_with_fewer_products_is_taken() -> None:
    # 3 targets: two coordinates go forward, all of them in reverse; bits tell which.
    problem = network()
    for coordinates, fewer in ((None, 1), ([5, 2], 0)):
        found, *each = (
            response_derivative(
                problem,
                Pathwise(mode=mode, n_seeds=2),
                at=WEIGHTS,
                coordinates=coordinates,
            ).scores
            for mode in (None, *BOTH)
        )
        assert torch.equal(found, each[fewer])
        assert not torch.equal(found, each[1 - fewer])


def test_scale_free_training_has_no_derivative_along_the_weights() -> None:
    # F(c w) = F(w) under sum, with any decay; under count it has one.
    for normalisation in ("sum", "count"):
        problem = network(normalisation=normalisation)
        found = Pathwise().at_models(problem, WEIGHTS[None], SEEDS[:1])[0]
        along = (WEIGHTS @ found).abs() / (WEIGHTS @ found.abs())
        assert (along.max() < 1e-13) == (normalisation == "sum")
    half = Pathwise().at_models(network(), WEIGHTS[None] / 2, SEEDS[:1])[0]
    whole = Pathwise().at_models(network(), WEIGHTS[None], SEEDS[:1])[0]
    torch.testing.assert_close(half, 2 * whole)


def test_outputs_obey_the_chain_rule() -> None:
    # loss = -log p, and dp = p dlog p, model by model.
    found = {
        output: Pathwise().at_models(network(output=output), ROWS, SEEDS)
        for output in ("log-likelihood", "loss", "probability", "margin")
    }
    logs = found["log-likelihood"]
    torch.testing.assert_close(found["loss"], -logs, rtol=1e-12, atol=1e-15)
    p = network(output="probability").respond(ROWS, SEEDS)[:, None]
    torch.testing.assert_close(found["probability"], p * logs)
    torch.testing.assert_close(found["margin"], logs / (1 - p))


def reordered(data: Dataset, rows: Tensor) -> Dataset:
    labels = tuple(data.train_labels[i] for i in rows.tolist())
    return replace(
        data,
        x_train=data.x_train[rows],
        y_train=data.y_train[rows],
        train_labels=labels,
    )


def test_examples_carry_their_derivatives_with_them() -> None:
    training = PROCEDURES["whole batch"]
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    found = response_derivative(network(training), Pathwise(n_seeds=2), at=WEIGHTS)
    problem = network(training, data=reordered(DATA, rows))
    other = response_derivative(problem, Pathwise(n_seeds=2), at=WEIGHTS[rows])
    torch.testing.assert_close(other.scores, found.scores[rows])


def test_twins_share_what_they_do() -> None:
    # Equal examples have equal derivatives; a pair of weight 1/2 has a single's.
    training = PROCEDURES["whole batch"]
    rows = torch.cat([torch.arange(N), torch.tensor([2])])
    data = replace(
        DATA,
        x_train=DATA.x_train[rows],
        y_train=DATA.y_train[rows],
        train_labels=(*DATA.train_labels, "twin"),
    )
    weights = WEIGHTS[rows].clone()
    weights[2] = weights[N] = WEIGHTS[2] / 2
    training = replace(training, batch_size=2 * N)
    found = Pathwise().at_models(network(training, data=data), weights[None], SEEDS[:1])
    torch.testing.assert_close(found[0, 2], found[0, N], rtol=1e-12, atol=1e-15)
    single = Pathwise().at_models(network(training), WEIGHTS[None], SEEDS[:1])
    torch.testing.assert_close(found[0, :N], single[0])


def test_seeds_are_units() -> None:
    found = response_derivative(network(), Pathwise(n_seeds=4), at=0.5, seed=7)
    seeds = model_seeds(7, torch.arange(4))
    each = Pathwise().at_models(network(), torch.full((4, N), 0.5).double(), seeds)
    torch.testing.assert_close(found.scores, each.mean(0))
    assert found.stderr is not None
    torch.testing.assert_close(found.stderr, each.std(0) / 2)
    estimand = found.estimand
    assert (estimand.quantity, estimand.seeds_per_weight) == ("response derivative", 4)
    assert (estimand.point.kind, estimand.point.level) == ("weights", 0.5)
    assert (found.n_models, found.seeds) == (4, frozenset({7}))
    assert found.train_labels == DATA.train_labels


def test_a_subset_law_is_averaged_by_the_trapezoid() -> None:
    law = Bernoulli(p=0.25, n_models=6, seed=3)
    problem = network(normalisation="count")
    method = Pathwise(n_seeds=6)
    found = response_derivative(problem, method, at=law, coordinates=[9, 4], seed=3)
    masks, seeds = law.weights(torch.arange(6), N), law.seeds(torch.arange(6))
    each = Pathwise().at_models(problem, masks, seeds)[:, [9, 4]]
    # Half of the mean over each end: a present example stands for 1/(2p) of them.
    ends = torch.where(masks[:, [9, 4]] > 0, 2.0, 2 / 3).double()
    torch.testing.assert_close(found.scores, (ends[..., None] * each).mean(0))
    assert (found.estimand.point.kind, found.estimand.point.level) == ("average", 0.25)


class Backwards:
    """An engine that runs the last task first."""

    def run(self, function: Any, tasks: Any, on_result: Any) -> None:
        for index, task in reversed(list(enumerate(tasks))):
            on_result(index, function(task))


def test_chunks_run_where_the_engine_is() -> None:
    done: list[int] = []
    method = Pathwise(n_seeds=3, mode=ReverseMode(memory=1))
    found = response_derivative(
        network(), method, engine=Backwards(), progress=done.append
    )
    assert torch.equal(found.scores, response_derivative(network(), method).scores)
    assert done == [1, 1, 1]


def test_the_derivative_tends_to_influence_as_training_converges() -> None:
    gaps = []
    for epochs in (40, 80, 120):
        training = SGD(
            epochs=epochs,
            batch_size=N,
            learning_rate=0.8,
            momentum=0.8,
            weight_decay=0.05,
            schedule="constant",
        )
        problem = network(training, make_module=MLP((4, 3, 3)))
        found = Pathwise().at_models(problem, WEIGHTS[None], SEEDS[:1])[0]
        tau = weight_derivatives(problem, WEIGHTS[None], SEEDS[:1])[0]
        gaps.append(worst_gap(found, tau))
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]
    assert gaps[2] < 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Accurate(Network):
    """A network whose output is whether a target is classified rightly."""

    def target_outputs(self, params: Tensor) -> Tensor:
        return (super().target_outputs(params) > 0).to(params.dtype)


def test_a_step_function_is_refused() -> None:
    problem = Accurate(make_module=MLP((4, 5, 3)), data=DATA, training=PLAIN)
    for mode in BOTH:
        with pytest.raises(ValueError, match="must move with the parameters"):
            response_derivative(problem, Pathwise(mode=mode), coordinates=[0, 1])


def black_box(output: str) -> BlackBox:
    description = a_description(N, 1, output=output)
    return BlackBox(description=description, train_and_measure=lambda w, s: w[:, :1])


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (black_box("accuracy"), "output must be smooth for a pathwise derivative"),
        (black_box("margin"), "must offer its training step by step"),
        (
            network(replace(PLAIN, step_policy="proportional")),
            "must take fixed steps to be differentiated",
        ),
        (network(dtype=torch.float32), "must train in float64 for a pathwise"),
        (
            network(
                make_module=lambda: nn.Sequential(
                    nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)
                ),
                execution=OneByOne(),
            ),
            "changes no buffer, but BatchNorm1d",
        ),
        (network(replace(PLAIN, learning_rate=1e300)), "trainings diverged"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(problem: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        response_derivative(problem, Pathwise(n_seeds=2))


def test_the_empty_set_is_refused_where_the_response_jumps() -> None:
    nothing = torch.zeros(1, N).double()
    with pytest.raises(ValueError, match="must not be all zero under the normalisat"):
        Pathwise().at_models(network(), nothing, SEEDS[:1])
    # Under count it is a point like any other.
    problem = network(normalisation="count")
    found = Pathwise().at_models(problem, nothing, SEEDS[:1])[0, 3]
    rows = nothing.repeat(3, 1)
    rows[1, 3], rows[2, 3] = 1e-4, 2e-4
    here, near, far = problem.respond(rows, SEEDS[:1].repeat(3))
    torch.testing.assert_close(
        found, (4 * near - 3 * here - far) / 2e-4, rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pathwise(n_seeds=0), "n_seeds must be at least 1, got 0"),
        (lambda: ReverseMode(memory=0), "memory must be at least 1, got 0"),
        (lambda: ReverseMode(snapshots=0), "snapshots must be at least 1, got 0"),
        (lambda: ForwardMode(memory=0), "memory must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(make: Any, message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        make()
