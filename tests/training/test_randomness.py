"""An example's randomness in training depends on model, epoch and example alone."""

from dataclasses import replace

import pytest
import torch
from samples import normal, table, weight_rows
from torch import Tensor, nn

from dmtheory.problems import Network
from dmtheory.training import SGD, GaussianNoise, OneByOne, RandomFlip, Vmapped
from dmtheory.training.augmentation import Augmentation
from dmtheory.training.randomness import (
    ExampleDropout,
    example_keys,
    keyed_uniforms,
    with_keyed_dropout,
)

N = 14
DATA = table(N, 4, classes=3, seed=0)
# The last shares its low word with the first.
SEEDS = torch.tensor([3, 0, 2**40, 7, 2**32 + 3])


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Dropout(0.2), nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)
    )


def still() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


RANDOM: dict[str, Network] = {
    "dropout": Network(
        make_module=dropping, data=DATA, training=SGD(epochs=3, batch_size=4)
    ),
    "noise": Network(
        make_module=still,
        data=DATA,
        training=SGD(epochs=3, batch_size=4),
        augment=GaussianNoise(0.5),
    ),
    "flips, own order": Network(
        make_module=still,
        data=DATA,
        training=SGD(epochs=3, batch_size=4, order="per-model"),
        augment=RandomFlip(),
    ),
    "dropout, proportional": Network(
        make_module=dropping,
        data=DATA,
        training=SGD(epochs=3, batch_size=4, step_policy="proportional"),
        augment=GaussianNoise(0.5),
    ),
}
each_network = pytest.mark.parametrize("name", RANDOM)


def some_weights(network: Network, seed: int) -> Tensor:
    weights = weight_rows(5, N, seed=seed)
    if network.training.step_policy == "proportional":
        return (weights > 0).double()
    return weights


@each_network
def test_chunks_change_no_bit(name: str) -> None:
    network = RANDOM[name]
    weights = some_weights(network, 1)
    whole = network.respond(weights, SEEDS)
    alone = replace(network, execution=Vmapped(memory=1))
    assert alone.execution.chunk(alone.task()) == 2
    assert torch.equal(alone.respond(weights, SEEDS), whole)


@each_network
def test_one_by_one_is_the_same_training(name: str) -> None:
    # It never shows examples of weight zero: no other's draws may depend on them.
    network = RANDOM[name]
    weights = some_weights(network, 2)
    one_by_one = replace(network, execution=OneByOne())
    torch.testing.assert_close(
        one_by_one.respond(weights, SEEDS),
        network.respond(weights, SEEDS),
        rtol=0,
        atol=1e-10,
    )


@each_network
def test_the_randomness_is_there_and_belongs_to_the_seed(name: str) -> None:
    network = RANDOM[name]
    weights = some_weights(network, 3)[:1].expand(4, -1).contiguous()
    seeds = torch.tensor([3, 3, 4, 5])
    start = network.initial(seeds[:1]).expand(4, -1)
    task = network.task()
    trained = network.execution.train(task, start, weights, seeds)
    assert torch.equal(trained[0], trained[1])
    assert (trained[0] - trained[2]).abs().max() > 1e-3
    calm = replace(network, make_module=still, augment=None)
    fixed = calm.execution.train(calm.task(), start, weights, seeds)
    assert (trained[0] - fixed[0]).abs().max() > 1e-3


@each_network
def test_permuting_rows_with_their_ids_permutes_nothing_else(name: str) -> None:
    network = RANDOM[name]
    weights = some_weights(network, 4)
    order = torch.tensor([(5 * i + 3) % N for i in range(N)])
    permuted = replace(
        network,
        data=replace(
            DATA,
            x_train=DATA.x_train[order],
            y_train=DATA.y_train[order],
            train_labels=tuple(DATA.train_labels[i] for i in order),
            train_ids=order,
        ),
    )
    torch.testing.assert_close(
        permuted.respond(weights[:, order], SEEDS),
        network.respond(weights, SEEDS),
        rtol=0,
        atol=1e-10,
    )
    # Without the ids the order and the draws move to other examples.
    lost = replace(permuted, data=replace(permuted.data, train_ids=None))
    gap = lost.respond(weights[:, order], SEEDS) - network.respond(weights, SEEDS)
    assert gap.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["dropout", "noise"])
def test_every_epoch_draws_afresh(name: str) -> None:
    # Plain steps on full batches: with the same draws in both epochs, the second step
    # from the same point would be the same.
    network = replace(
        RANDOM[name],
        training=SGD(
            epochs=2,
            batch_size=N,
            momentum=0.0,
            learning_rate=1e-9,
            weight_decay=0.0,
            schedule="constant",
        ),
    )
    weights = torch.ones(1, N).double()
    start = network.initial(SEEDS[:1])
    train = network.execution.train
    both = train(network.task(), start, weights, SEEDS[:1]) - start
    first = replace(network, training=replace(network.training, epochs=1))
    once = train(first.task(), start, weights, SEEDS[:1]) - start
    assert (both - 2 * once).abs().max() > 0.01 * once.abs().max()


def test_a_layer_used_twice_draws_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.drop(x), self.drop(x)

    module = with_keyed_dropout(Twice())
    module.drop.key = torch.tensor([[1, 2], [3, 4]])
    ones = torch.ones(2, 50)
    first, second = module(ones)
    assert not torch.equal(first, second)
    again = module(ones)
    assert torch.equal(again[0], first)
    assert torch.equal(again[1], second)


def test_everything_is_dropped_with_probability_one() -> None:
    layer = ExampleDropout(1.0, 1)
    layer.key = torch.tensor([[1, 2]])
    assert layer(torch.ones(1, 3)).tolist() == [[0.0, 0.0, 0.0]]


def test_keys_depend_on_seed_epoch_and_example_and_on_nothing_else() -> None:
    seeds, ids = torch.tensor([3, 2**40]), torch.tensor([[5, 9, 2]])
    epochs = torch.tensor([1])
    keys = example_keys(seeds, epochs, ids)
    assert keys.shape == (2, 3, 4)
    assert len({tuple(row) for row in keys.flatten(0, 1).tolist()}) == 6
    one = example_keys(seeds[1:], torch.tensor([1]), torch.tensor([[2, 7]]))
    assert torch.equal(one[0, 0], keys[1, 2])
    later = example_keys(seeds, torch.tensor([2]), ids)
    assert not (later == keys).all(-1).any()
    own = example_keys(seeds, torch.tensor([1, 2]), torch.tensor([[5], [5]]))
    assert torch.equal(own[0, 0], keys[0, 0])
    assert torch.equal(own[1, 0], later[1, 0])
    # Golden: a change of the bits would change everybody's dropout.
    assert keys[0, 0].tolist() == GOLDEN_KEYS


GOLDEN_KEYS = [2880455833, 2733570106, 2997216148, 2021545872]


def test_a_unit_is_dropped_with_its_probability() -> None:
    # 40,000 units at p = .3: five standard deviations are .0115 (false alarm 6e-7).
    keys = torch.stack([torch.arange(400), torch.arange(400) * 7 + 1], 1)
    layer = ExampleDropout(0.3, 1)
    layer.key = keys
    kept = layer(torch.ones(400, 100).double())
    assert set(kept.unique().tolist()) == {0.0, 1 / 0.7}
    assert (kept == 0).double().mean().item() == pytest.approx(0.3, abs=0.0115)
    other = ExampleDropout(0.3, 2)
    other.key = keys
    both = ((other(torch.ones(400, 100)) == 0) & (kept == 0)).double().mean().item()
    assert both == pytest.approx(0.09, abs=0.0072)


def test_uniforms_are_prefixes_of_one_another() -> None:
    keys = torch.tensor([[1, 2], [3, 4]])
    long = keyed_uniforms(keys, 9, 0)
    assert torch.equal(keyed_uniforms(keys, 3, 0), long[:, :3])
    assert not torch.equal(keyed_uniforms(keys, 9, 1), long)
    assert bool(((long > 0) & (long < 1)).all())


def test_dropout_is_replaced_wherever_it_is() -> None:
    module = with_keyed_dropout(
        nn.Sequential(nn.Sequential(nn.Dropout(0.1)), dropping())
    )
    found = [m for m in module.modules() if isinstance(m, ExampleDropout)]
    assert [m.p for m in found] == [0.1, 0.2, 0.5]
    assert len({m.stream for m in found}) == 3
    assert not any(type(m) is nn.Dropout for m in module.modules())
    x = normal(3, 4, seed=1).float()
    assert torch.equal(found[0](x), x)  # without a key: evaluation


@pytest.mark.parametrize("augment", [GaussianNoise(0.3), RandomFlip()])
def test_an_augmentation_changes_an_example_by_its_key_alone(
    augment: Augmentation,
) -> None:
    x = normal(200, 2, 3, seed=2)
    keys = torch.stack([torch.arange(200), torch.arange(200) + 9], 1)
    whole = augment(x, keys)
    assert torch.equal(augment(x[50:60], keys[50:60]), whole[50:60])
    changed = (whole != x).flatten(1).any(1).double().mean().item()
    if isinstance(augment, RandomFlip):
        # Half of 200: five standard deviations are .18.
        assert changed == pytest.approx(0.5, abs=0.18)
        flipped = (whole != x).flatten(1).any(1)
        assert torch.equal(whole[flipped], x[flipped].flip(-1))
    else:
        assert changed == 1
        noise = (whole - x).flatten()
        # 1200 draws: five standard errors of the standard deviation are .031.
        assert noise.std().item() == pytest.approx(0.3, abs=0.031)
