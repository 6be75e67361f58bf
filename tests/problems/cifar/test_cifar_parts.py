"""Parts of the trainer of image classifiers against the slow and obvious."""

import math

import numpy as np
import plain_torch
import pytest
import torch
from samples import generator, normal
from torch import Tensor, nn

from dmtheory.data import synthetic_images
from dmtheory.problems import FIDELITY, SMOOTH, THROUGHPUT, Recipe
from dmtheory.training.images.augmentation import (
    AlternatingFlips,
    IndependentFlips,
    Moves,
)
from dmtheory.training.images.normalisations import WeightedBatchNorm
from dmtheory.training.images.pixels import channels_last, moved
from dmtheory.training.images.plan import most_steps, plans
from dmtheory.training.images.recipe import Falling, Triangle
from dmtheory.training.images.updates import Momentum, Muon, orthogonal
from dmtheory.training.images.whitening import whitening_filters

DATA = synthetic_images(n_train=12, n_targets=2, n_test=4, n_classes=3)
CPU = torch.device("cpu")


@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT])
def test_images_are_moved_as_one_by_one(recipe: Recipe) -> None:
    """All shifts, mirrored or not, and squares up to the last corner."""
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    moves = [
        [flip, *shift, place % 29, (7 * place) % 29]
        for flip in (0, 1)
        for place, shift in enumerate(shifts)
    ]
    moves[0][3:] = [28, 28]
    rows = torch.arange(len(moves)) % 12
    found = moved(
        recipe.pixels.on(CPU, torch.float64),
        channels_last(DATA.x_train),
        rows,
        torch.tensor(moves, dtype=torch.int8),
        cutout=recipe.moves.cutout,
    )
    expected = torch.stack([
        plain_torch.shown(recipe, DATA.x_train[row], move)
        for row, move in zip(rows, moves, strict=True)
    ])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_moves_have_their_laws_and_stay_in_the_image() -> None:
    """Each share of 40,000 draws misses its law by .02 with probability below 1e-15."""
    moves = Moves(flips=IndependentFlips(), shift=2, cutout=4)
    drawn = moves.drawn(torch.tensor([5]), 3, torch.arange(40_000), 32)[0].long()
    assert abs(drawn[:, 0].double().mean() - 0.5) < 0.02
    for column, low, high in ((1, -2, 2), (2, -2, 2), (3, 0, 28), (4, 0, 28)):
        values, counts = drawn[:, column].unique(return_counts=True)
        assert values.tolist() == list(range(low, high + 1))
        share = counts.double() / len(drawn)
        assert (share - 1 / (high - low + 1)).abs().max() < 0.02
    together = np.corrcoef(drawn.T.numpy()) - np.eye(5)
    assert np.abs(together).max() < 0.04


def test_flips_alternate_between_epochs_and_differ_between_seeds() -> None:
    moves = Moves(flips=AlternatingFlips(), shift=1)
    seeds, ids = torch.tensor([1, 2]), torch.arange(200)
    flips = [moves.drawn(seeds, epoch, ids, 32)[..., 0] for epoch in range(3)]
    assert torch.equal(flips[0], 1 - flips[1])
    assert torch.equal(flips[0], flips[2])
    assert not torch.equal(flips[0][0], flips[0][1])


@pytest.mark.parametrize("mode", ["subset", "weighted"])
@pytest.mark.parametrize("recipe", [FIDELITY, SMOOTH])
def test_a_plan_is_what_the_other_trainer_visits(recipe: Recipe, mode: str) -> None:
    small = recipe.smaller(epochs=2, batch_size=5)
    weights = torch.ones(2, 12).double()
    weights[1, ::3] = 0
    seeds = torch.tensor([4, 2**35])
    made = plans(
        small,
        DATA.ids,
        weights,
        seeds,
        mode=mode,
        normalisation="sum",
        side=32,
        dtype=torch.float64,
    )
    policy = "proportional" if mode == "subset" else "fixed"
    for w, seed, plan in zip(weights, seeds, made, strict=True):
        steps = plain_torch.batches(small, DATA, w, seed[None], policy)
        assert plan.n_steps == len(steps) <= most_steps(small, 12)
        n, total = (w.sum(), w.sum()) if mode == "subset" else (12, w.sum())
        for k, (_, rows) in enumerate(steps):
            size = len(rows)
            assert torch.equal(plan.rows[k, :size], rows)
            assert not bool(plan.weights[k, size:].any())
            assert torch.equal(plan.weights[k, :size], w[rows])
            torch.testing.assert_close(
                plan.factors[k, :size], w[rows] * n / total / size
            )


def test_subsets_share_order_and_moves_with_the_whole() -> None:
    small = FIDELITY.smaller(epochs=2, batch_size=4)
    weights = torch.ones(2, 12).double()
    weights[1, ::3] = 0
    whole, part = (
        {
            "order": [
                plan.rows[epoch].flatten().tolist()
                for epoch in (slice(0, k), slice(k, None))
            ],
            "moves": [
                dict(
                    zip(
                        plan.rows[e].flatten().tolist(),
                        plan.moves[e].flatten(0, 1).tolist(),
                        strict=True,
                    )
                )
                for e in (slice(0, k), slice(k, None))
            ],
        }
        for plan, k in zip(
            plans(
                small,
                DATA.ids,
                weights,
                torch.tensor([9, 9]),
                mode="subset",
                normalisation="sum",
                side=32,
                dtype=torch.float64,
            ),
            (3, 2),
            strict=True,
        )
    )
    for epoch in range(2):
        kept = set(part["order"][epoch])
        assert part["order"][epoch] == [i for i in whole["order"][epoch] if i in kept]
        for image in kept:
            assert part["moves"][epoch][image] == whole["moves"][epoch][image]
    assert whole["order"][0] != whole["order"][1]


@pytest.mark.parametrize("scaled", [True, False])
def test_batch_statistics_leave_out_examples_of_weight_zero(scaled: bool) -> None:
    layer = WeightedBatchNorm(3, momentum=0.1, eps=1e-5, scaled=scaled).double()
    plain = nn.BatchNorm2d(3).double()
    x = normal(6, 3, 4, 4, seed=0) * 3 + 1
    weights = torch.tensor([1.0, 0, 1, 1, 0, 1]).double()
    for _ in range(2):
        found = layer(x, weights)
        expected = plain(x[weights > 0])
    torch.testing.assert_close(found[weights > 0], expected, rtol=0, atol=1e-12)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(
            getattr(layer, name), getattr(plain, name), rtol=0, atol=1e-12
        )
    before = layer.running_mean.clone(), layer.running_var.clone()
    nothing = layer(x, torch.zeros(6).double())
    assert bool(torch.isfinite(nothing).all())
    assert torch.equal(layer.running_mean, before[0])
    assert torch.equal(layer.running_var, before[1])


def test_whole_weights_in_batch_statistics_are_copies() -> None:
    layer = WeightedBatchNorm(3, momentum=0.1, eps=1e-5, scaled=True).double()
    x = normal(4, 3, 5, 5, seed=1)
    counts = torch.tensor([2, 1, 3, 0])
    copies = x.repeat_interleave(counts, 0)
    expected = nn.BatchNorm2d(3).double()(copies)
    found = layer(x, 0.7 * counts.double()).repeat_interleave(counts, 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_steps_are_made_orthogonal_by_their_singular_values(
    shape: tuple[int, int],
) -> None:
    matrix = normal(*shape, seed=2)
    found = orthogonal(matrix, 3)
    torch.testing.assert_close(
        found, plain_torch.orthogonalised(matrix, 3), rtol=0, atol=1e-9
    )
    values = torch.linalg.svdvals(found)
    assert 0.3 < values.min() < values.max() < 1.3
    assert not bool(orthogonal(torch.zeros(shape).double(), 3).any())


def test_momentum_is_that_of_torch() -> None:
    for nesterov in (False, True):
        start = normal(5, seed=3)
        mine, theirs = [start.clone()], nn.Parameter(start.clone())
        velocity = [torch.zeros(5).double()]
        optimiser = torch.optim.SGD([theirs], lr=0.3, momentum=0.8, nesterov=nesterov)
        rule = Momentum(momentum=0.8, nesterov=nesterov)
        for step in range(3):
            slope = normal(5, seed=10 + step)
            theirs.grad = slope.clone()
            optimiser.step()
            rule(
                mine, [slope.clone()], velocity, torch.tensor(0.3, dtype=torch.float64)
            )
        torch.testing.assert_close(mine[0], theirs.data, rtol=0, atol=1e-14)


def test_filters_keep_their_norm_before_a_step_of_muon() -> None:
    value = normal(6, 2, 3, 3, seed=4)
    before = value.clone()
    Muon(momentum=0.6)(
        [value], [torch.zeros_like(value)], [torch.zeros_like(value)], torch.tensor(0.2)
    )
    torch.testing.assert_close(value, before * math.sqrt(6) / before.norm())


def test_rates_rise_and_fall_as_interpolation_says() -> None:
    done = torch.arange(48).double() / 48
    expected = np.interp(done.numpy(), [0, 5 / 24, 1], [0, 1, 0])
    np.testing.assert_allclose(Triangle(peak=5 / 24)(done), expected, atol=1e-15)
    expected = np.interp(done.numpy(), [0, 3 / 8, 1], [1, 0, 0])
    np.testing.assert_allclose(Falling(until=3 / 8)(done), expected, atol=1e-15)


def test_whitened_patches_are_uncorrelated_and_of_unit_size() -> None:
    images = torch.rand(40, 8, 8, 3, generator=generator(0), dtype=torch.float64) * 20
    filters = whitening_filters(images, 2)
    assert torch.equal(filters[:12], -filters[12:])
    seen = torch.nn.functional.conv2d(images.permute(0, 3, 1, 2), filters[:12])
    flat = seen.permute(1, 0, 2, 3).flatten(1)
    moments = flat @ flat.T / flat.shape[1]
    # The damping, 5e-4, is small beside values of about 30.
    torch.testing.assert_close(moments, torch.eye(12).double(), rtol=0, atol=1e-4)


def test_recipes_have_the_size_of_their_sources() -> None:
    """Parameters and multiplications of a forward pass, counted by hand there."""
    counts = {
        FIDELITY.name: (2_274_880, 291.3e6),
        THROUGHPUT.name: (1_972_792, 118.1e6),
    }
    for recipe in (FIDELITY, THROUGHPUT):
        module = recipe.network(10)
        macs = 0

        def count(layer: nn.Module, inputs: object, output: Tensor) -> None:
            nonlocal macs
            places = output[0, 0].numel() if output.ndim == 4 else 1
            macs += layer.weight.numel() * places

        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        with torch.no_grad():
            module.eval()(torch.zeros(1, 3, 32, 32))
        n_params = sum(p.numel() for p in module.parameters())
        expected = counts[recipe.name]
        assert abs(n_params / expected[0] - 1) < 0.01
        assert abs(macs / expected[1] - 1) < 0.002
