"""The batched network trainer against one model at a time in plain torch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor, nn

from dmtheory.problems import MLP, SGD, Network
from dmtheory.problems.outputs import margin
from dmtheory.training import Vmapped
from dmtheory.training.order import visits

N_TRAIN = 17
DATA = table(N_TRAIN, 4, classes=3, seed=0)
TRAINING = SGD(
    epochs=4, batch_size=5, learning_rate=0.2, momentum=0.8, weight_decay=0.01
)
NETWORK = Network(make_module=MLP((4, 5, 3)), data=DATA, training=TRAINING)
SEEDS = torch.tensor([3, 0, 2**40])
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def batches(training: SGD) -> list[Tensor]:
    """Return the examples of every step of the shared order."""
    one, seed = torch.ones(1, N_TRAIN).double(), torch.zeros(1, dtype=torch.int64)
    plan = visits(training, torch.arange(N_TRAIN), one, seed)
    return [
        rows[0][filled[0]] for rows, filled in zip(plan.rows, plan.filled, strict=True)
    ]


def initial(network: Network, seed: int) -> Tensor:
    return network.initial(torch.tensor([seed]))[0]


def train_alone(network: Network, weights: Tensor, seed: int) -> nn.Module:
    """Train one module with torch's own optimiser, an example's loss at a time."""
    training = network.training
    module = network.make_module().double()
    nn.utils.vector_to_parameters(initial(network, seed), module.parameters())
    optimiser = torch.optim.SGD(
        module.parameters(),
        lr=training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
    )
    steps = batches(training)
    divisor = weights.sum().item() if network.normalisation == "sum" else N_TRAIN
    for step, batch in enumerate(steps):
        remaining = 1 - step / len(steps)
        optimiser.param_groups[0]["lr"] = training.learning_rate * remaining
        loss = torch.zeros((), dtype=torch.float64)
        for j in batch.tolist():
            logits = module(network.data.x_train[j])
            loss_j = -torch.log_softmax(logits, 0)[network.data.y_train[j]]
            share = N_TRAIN / len(batch) / divisor if divisor else 0.0
            loss = loss + share * weights[j] * loss_j
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module


@each_normalisation
def test_training_many_models_is_training_each_alone(normalisation: str) -> None:
    network = replace(NETWORK, normalisation=normalisation)
    weights = weight_rows(3, N_TRAIN, seed=1)
    weights[2, batches(TRAINING)[1]] = 0  # one batch without any weight
    outputs = network.respond(weights, SEEDS)
    params = network.fit(weights, SEEDS).params
    for k in range(3):
        module = train_alone(network, weights[k], int(SEEDS[k]))
        alone = nn.utils.parameters_to_vector(module.parameters())
        torch.testing.assert_close(params[k], alone, rtol=0, atol=1e-10)
        shares = torch.softmax(module(DATA.x_target), dim=1)
        own = shares[torch.arange(4), DATA.y_target]
        torch.testing.assert_close(
            outputs[k], torch.log(own / (1 - own)), rtol=0, atol=1e-10
        )


@given(chunk=st.integers(1, 7))
def test_training_in_chunks_changes_no_bit(chunk: int) -> None:
    weights, seeds = weight_rows(7, N_TRAIN, seed=2), torch.arange(7)
    whole = NETWORK.respond(weights, seeds)
    memory = chunk * NETWORK.execution.memory // NETWORK.execution.chunk(NETWORK.task())
    small = replace(NETWORK, execution=Vmapped(memory=memory))
    assert torch.equal(small.respond(weights, seeds), whole)


@each_normalisation
def test_weight_zero_hides_the_features(normalisation: str) -> None:
    hidden = [2, 9, 16]
    garbage = DATA.x_train.clone()
    garbage[hidden] = 100 * normal(3, 4, seed=9)
    weights = weight_rows(4, N_TRAIN, seed=3)
    weights[:, hidden] = 0
    network = replace(NETWORK, normalisation=normalisation)
    other = replace(network, data=replace(DATA, x_train=garbage))
    seeds = torch.arange(4)
    torch.testing.assert_close(
        other.respond(weights, seeds),
        network.respond(weights, seeds),
        rtol=0,
        atol=1e-12,
    )
    weights[:, hidden] = 0.5
    gap = other.respond(weights, seeds) - network.respond(weights, seeds)
    assert gap.abs().max() > 0.1


@settings(max_examples=15)
@given(factor=st.floats(1e-3, 1e3))
def test_sum_is_scale_free(factor: float) -> None:
    weights, seeds = weight_rows(2, N_TRAIN, seed=4), torch.arange(2)
    torch.testing.assert_close(
        NETWORK.respond(factor * weights, seeds),
        NETWORK.respond(weights, seeds),
        rtol=0,
        atol=1e-9,
    )


def test_count_is_not_scale_free() -> None:
    weights, seeds = weight_rows(2, N_TRAIN, seed=4), torch.arange(2)
    counted = replace(NETWORK, normalisation="count")
    gap = counted.respond(0.5 * weights, seeds) - counted.respond(weights, seeds)
    assert gap.abs().max() > 0.01


@each_normalisation
def test_without_weights_training_is_the_regularisers_alone(normalisation: str) -> None:
    # theta shrinks by one factor: v <- m v + decay theta, theta <- theta - rate v.
    network = replace(NETWORK, normalisation=normalisation)
    factor, velocity = 1.0, 0.0
    n_steps = 4 * math.ceil(N_TRAIN / 5)
    for step in range(n_steps):
        velocity = 0.8 * velocity + 0.01 * factor
        factor -= 0.2 * (1 - step / n_steps) * velocity
    params = network.fit(torch.zeros(1, N_TRAIN).double(), SEEDS[:1]).params[0]
    torch.testing.assert_close(params, factor * initial(network, 3), rtol=1e-12, atol=0)


def test_the_seed_draws_the_initialisation_and_nothing_else() -> None:
    weights = weight_rows(1, N_TRAIN, seed=5).repeat(3, 1)
    outputs = NETWORK.respond(weights, torch.tensor([4, 5, 4]))
    assert torch.equal(outputs[0], outputs[2])
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    both = NETWORK.initial(torch.tensor([5, 4]))
    assert torch.equal(both[1], initial(NETWORK, 4))
    assert not torch.equal(both[0], both[1])


def test_every_epoch_visits_each_example_once_in_an_order_of_its_own() -> None:
    epochs = torch.cat(batches(TRAINING)).unflatten(0, (4, N_TRAIN)).tolist()
    assert all(sorted(epoch) == list(range(N_TRAIN)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [len(b) for b in batches(TRAINING)] == [5, 5, 5, 2] * 4
    other = batches(replace(TRAINING, order_seed=1))
    assert torch.cat(other)[:N_TRAIN].tolist() != epochs[0]


def test_training_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    numpys = np.random.get_state()[1].copy()  # noqa: NPY002 -- the global one is meant
    network = Network(make_module=MLP((4, 5, 3)), data=DATA, training=TRAINING)
    network.respond(weight_rows(2, N_TRAIN, seed=6), torch.arange(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    torch.manual_seed(6)
    again = Network(make_module=MLP((4, 5, 3)), data=DATA, training=TRAINING)
    assert torch.equal(initial(again, 1), initial(network, 1))


def test_a_module_with_buffers_is_refused() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()

    with pytest.raises(
        ValueError, match=r"BatchNorm1d .1. changes .1\.running_mean.: use"
    ):
        Network(make_module=make, data=DATA)


class Sharpened(nn.Module):
    """A linear map whose outputs are multiplied by a number that repr hides."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.linear(x)


def test_the_digest_tells_networks_apart() -> None:
    networks = [
        NETWORK,
        replace(NETWORK, normalisation="count"),
        replace(NETWORK, training=replace(TRAINING, momentum=0.7)),
        replace(NETWORK, training=replace(TRAINING, order_seed=1)),
        replace(NETWORK, make_module=MLP((4, 6, 3))),
        replace(NETWORK, make_module=lambda: Sharpened(1.0)),
    ]
    assert len({n.description.digest for n in networks}) == 6
    same = replace(NETWORK, execution=Vmapped(memory=1))
    assert same.description.digest == NETWORK.description.digest


def test_the_digest_tells_networks_apart_that_print_alike() -> None:
    one, other = (
        replace(NETWORK, make_module=lambda f=f: Sharpened(f)) for f in (1.0, 10.0)
    )
    weights = torch.ones(1, N_TRAIN).double()
    assert not torch.equal(
        one.respond(weights, no_seeds(1)), other.respond(weights, no_seeds(1))
    )
    assert one.description.digest != other.description.digest


def test_held_out_accuracy_is_the_share_that_is_classified_rightly() -> None:
    params = NETWORK.fit(weight_rows(3, N_TRAIN, seed=7), SEEDS).params
    module = MLP((4, 5, 3))().double()
    for theta, share in zip(params, NETWORK.quality(params).accuracy, strict=True):
        nn.utils.vector_to_parameters(theta, module.parameters())
        guesses = module(DATA.x_held_out).argmax(1).tolist()
        pairs = zip(guesses, DATA.y_held_out.tolist(), strict=True)
        assert share.item() == pytest.approx(sum(g == y for g, y in pairs) / 5)


def test_losses_and_penalty_are_those_of_the_objective() -> None:
    theta = initial(NETWORK, 0)
    module = MLP((4, 5, 3))().double()
    nn.utils.vector_to_parameters(theta, module.parameters())
    shares = torch.softmax(module(DATA.x_train), dim=1)
    expected = -torch.log(shares[torch.arange(N_TRAIN), DATA.y_train])
    losses = NETWORK.prediction_losses(NETWORK.predictions(theta))
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(NETWORK.penalty(theta), 0.005 * (theta @ theta))


@given(seed=st.integers(0, 1000), n_classes=st.integers(2, 6))
def test_the_margin_is_the_log_odds_of_the_own_class(seed: int, n_classes: int) -> None:
    logits = 3 * normal(2, 5, n_classes, seed=seed)
    classes = torch.arange(5) % n_classes
    found = margin(logits, classes)
    shares = torch.softmax(logits, dim=-1)[:, torch.arange(5), classes]
    torch.testing.assert_close(found, torch.log(shares / (1 - shares)))


def test_a_margin_is_finite_where_probabilities_round_to_one() -> None:
    logits = torch.tensor([[800.0, 0.0, 0.0], [0.0, 800.0, 0.0]], dtype=torch.float64)
    found = margin(logits, torch.tensor([0, 0]))
    assert found.tolist() == pytest.approx([800 - math.log(2), -800])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0, got 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0, got -0.1"),
    ],
)
def test_an_impossible_training_is_refused(
    change: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TRAINING, **change)
