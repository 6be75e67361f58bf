"""Every procedure against torch's own optimisers, one plain module at a time."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import normal, table, weight_rows
from torch import Tensor, nn

from dmtheory.problems import Network
from dmtheory.training import (
    MLP,
    SGD,
    Adam,
    CrossEntropy,
    OneByOne,
    Procedure,
    SquaredError,
)
from dmtheory.training.order import visits

N = 17
DATA = table(N, 4, classes=3, seed=0)
SEEDS = torch.tensor([3, 0, 2**40])
PROCEDURES = {
    "momentum": SGD(epochs=4, batch_size=5, learning_rate=0.2, momentum=0.8),
    "nesterov": SGD(epochs=4, batch_size=5, nesterov=True, schedule="cosine"),
    "plain": SGD(epochs=2, batch_size=5, momentum=0.0, schedule="constant"),
    "adam": Adam(epochs=4, batch_size=5, learning_rate=0.02, betas=(0.8, 0.95)),
    "own order": SGD(epochs=3, batch_size=5, order="per-model"),
    "batch above N": SGD(epochs=3, batch_size=50),
    "proportional": SGD(epochs=3, batch_size=5, step_policy="proportional"),
    "proportional adam": Adam(
        epochs=3, batch_size=4, learning_rate=0.02, step_policy="proportional"
    ),
}
each_procedure = pytest.mark.parametrize("name", PROCEDURES)
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def optimiser_of(training: Procedure, module: nn.Module) -> torch.optim.Optimizer:
    shared = {"lr": 1.0, "weight_decay": training.weight_decay}
    if isinstance(training, Adam):
        return torch.optim.Adam(
            module.parameters(), betas=training.betas, eps=training.epsilon, **shared
        )
    assert isinstance(training, SGD)
    return torch.optim.SGD(
        module.parameters(),
        momentum=training.momentum,
        nesterov=training.nesterov,
        **shared,
    )


def share(training: Procedure, step: int, n_steps: int) -> float:
    if training.schedule == "constant":
        return 1.0
    if training.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / n_steps))
    return 1 - step / n_steps


def train_alone(network: Network, weights: Tensor, seed: int) -> nn.Module:
    training, module = network.training, network.make_module().double()
    nn.utils.vector_to_parameters(
        network.initial(torch.tensor([seed]))[0], module.parameters()
    )
    optimiser = optimiser_of(training, module)
    plan = visits(training, DATA.ids, weights[None], torch.tensor([seed]))
    proportional = training.step_policy == "proportional"
    n_shown = int((weights > 0).sum()) if proportional else N
    divisor = weights.sum().item() if network.normalisation == "sum" else N
    n_steps = training.epochs * math.ceil(n_shown / training.batch_size)
    assert n_steps == len(plan.rows) == int(plan.n_steps)
    for step in range(n_steps):
        rate = training.learning_rate * share(training, step, n_steps)
        optimiser.param_groups[0]["lr"] = rate
        rows = plan.rows[step][0][plan.filled[step][0]]
        losses = nn.functional.cross_entropy(
            module(DATA.x_train[rows]), DATA.y_train[rows], reduction="none"
        )
        loss = n_shown / len(rows) / divisor * (weights[rows] @ losses)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module


@each_procedure
@each_normalisation
def test_training_is_that_of_torchs_optimiser(name: str, normalisation: str) -> None:
    network = Network(
        make_module=MLP((4, 5, 3)),
        data=DATA,
        training=PROCEDURES[name],
        normalisation=normalisation,
    )
    weights = weight_rows(3, N, seed=1)
    if network.training.step_policy == "proportional":
        weights = (weights > 0).double()
        assert len(set(weights.sum(1).tolist())) > 1  # they end at different steps
    together = network.fit(weights, SEEDS).params
    alone = replace(network, execution=OneByOne()).fit(weights, SEEDS).params
    for k in range(3):
        module = train_alone(network, weights[k], int(SEEDS[k]))
        expected = nn.utils.parameters_to_vector(module.parameters())
        torch.testing.assert_close(together[k], expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(alone[k], expected, rtol=0, atol=1e-10)


@given(
    n_shown=st.integers(0, N),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 100),
    policy=st.sampled_from(["fixed", "proportional"]),
    order=st.sampled_from(["shared", "per-model"]),
)
def test_an_epoch_visits_each_example_once(
    n_shown: int, batch_size: int, seed: int, policy: str, order: str
) -> None:
    training = SGD(epochs=3, batch_size=batch_size, step_policy=policy, order=order)
    weights = torch.zeros(2, N).double()
    weights[0, :n_shown] = 1
    weights[1] = 1
    plan = visits(training, torch.arange(N), weights, torch.tensor([seed, seed + 1]))
    n_orders = plan.rows.shape[1]
    assert n_orders == (1 if (policy, order) == ("fixed", "shared") else 2)
    for lane in range(n_orders):
        kept = weights[lane] > 0 if policy == "proportional" else torch.ones(N) > 0
        shown = kept.nonzero().flatten().tolist()
        epochs = plan.epoch[:, lane]
        n_steps = int(plan.n_steps[lane])
        assert n_steps == 3 * max(1, math.ceil(len(shown) / batch_size))
        assert not plan.filled[n_steps:, lane].any()
        for epoch in range(3):
            steps = (epochs == epoch) & (torch.arange(len(epochs)) < n_steps)
            rows = plan.rows[steps, lane][plan.filled[steps, lane]]
            assert sorted(rows.tolist()) == shown


def test_the_order_of_a_subset_is_the_whole_order_without_the_others() -> None:
    training = SGD(epochs=2, batch_size=4, step_policy="proportional")
    weights = torch.ones(2, N).double()
    weights[1, ::3] = 0
    seeds = torch.tensor([5, 5])
    plan = visits(training, torch.arange(N), weights, seeds)
    orders = [plan.rows[:, lane][plan.filled[:, lane]].tolist() for lane in range(2)]
    assert [row for row in orders[0] if row % 3] == orders[1]


def test_models_of_different_seeds_have_orders_of_their_own() -> None:
    training = SGD(epochs=2, batch_size=N, order="per-model")
    ones = torch.ones(3, N).double()
    plan = visits(training, torch.arange(N), ones, torch.tensor([5, 6, 5]))
    first, second = plan.rows[0], plan.rows[1]
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], second[0])


def test_proportional_steps_need_weights_of_zero_and_one() -> None:
    training = SGD(epochs=1, step_policy="proportional")
    network = Network(make_module=MLP((4, 3)), data=DATA, training=training)
    assert network.description.step_policy == "proportional"
    with pytest.raises(ValueError, match="weights must be 0 or 1 under proportional"):
        network.respond(torch.full((1, N), 0.5).double(), SEEDS[:1])


@given(seed=st.integers(0, 1000), smoothing=st.floats(0, 0.9))
def test_the_cross_entropy_is_torchs(seed: int, smoothing: float) -> None:
    logits, y = 3 * normal(6, 4, seed=seed), torch.arange(6) % 4
    expected = nn.functional.cross_entropy(
        logits, y, reduction="none", label_smoothing=smoothing
    )
    found = CrossEntropy(label_smoothing=smoothing)(logits, y)
    torch.testing.assert_close(found, expected)


def test_a_regression_is_trained_on_the_squared_error() -> None:
    data = table(N, 4, seed=0)
    network = Network(
        make_module=MLP((4, 1)),
        data=data,
        loss=SquaredError(),
        output="prediction",
        training=SGD(
            epochs=900,
            batch_size=N,
            learning_rate=0.3,
            weight_decay=0.1,
            schedule="constant",
            momentum=0.0,
        ),
    )
    w = weight_rows(1, N, seed=3)
    x = torch.cat([data.x_train, torch.ones(N, 1).double()], 1)
    scaled = (w[0] / w.sum())[:, None]
    curvature = x.T @ (scaled * x) + 0.1 * torch.eye(5).double()
    theta = torch.linalg.solve(curvature, x.T @ (scaled[:, 0] * data.y_train))
    outputs, quality = network.measure(w, SEEDS[:1])
    expected = data.x_target @ theta[:4] + theta[4]
    torch.testing.assert_close(outputs[0], expected, rtol=0, atol=1e-8)
    held_out = data.x_held_out @ theta[:4] + theta[4]
    torch.testing.assert_close(
        quality.loss[0], 0.5 * (held_out - data.y_held_out).square().mean()
    )
    assert quality.accuracy is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(schedule="step"), "schedule must be one of linear, constant"),
        (lambda: SGD(order="random"), "order must be one of shared, per-model; got"),
        (lambda: SGD(step_policy="some"), "step_policy must be one of fixed, propor"),
        (lambda: SGD(order_seed=-1), r"seed must lie in \[0, 2\^64\), got -1"),
        (lambda: Adam(betas=(0.9, 1.0)), r"betas must lie in \[0, 1\), got \(0\.9"),
        (lambda: Adam(epsilon=0.0), "epsilon must be finite and > 0, got 0"),
        (lambda: CrossEntropy(label_smoothing=1.0), "label_smoothing must lie in"),
    ],
)
def test_an_impossible_procedure_is_refused(make: object, message: str) -> None:
    from samples import unchecked

    with unchecked(), pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
