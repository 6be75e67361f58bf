"""The trainer of image classifiers against plain torch, and against itself."""

from dataclasses import replace
from functools import partial
from typing import Any

import plain_torch
import pytest
import torch
from samples import unchecked, weight_rows
from torch import Tensor

from dmtheory.data import synthetic_images
from dmtheory.problems import FIDELITY, SGD, SMOOTH, THROUGHPUT, Cifar, Network, Recipe
from dmtheory.training.images.running import Captured, CompiledInTurn, InTurn

N_TRAIN = 22
DATA = synthetic_images(n_train=N_TRAIN, n_targets=3, n_test=8, n_classes=4)
SEEDS = torch.tensor([3, 2**40])
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def small(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe that moves far in few small batches."""
    found = recipe.smaller(**{"width": 4, "epochs": 2, "batch_size": 5, **changes})
    return found if recipe is THROUGHPUT else at_rate(found, 0.1)


def at_rate(recipe: Recipe, rate: float) -> Recipe:
    groups = tuple(replace(group, rate=rate) for group in recipe.groups)
    return replace(recipe, groups=groups)


def problem(of: Recipe, **changes: Any) -> Cifar:
    fields: dict[str, Any] = {"data": DATA, "recipe": small(of)}
    return Cifar(**{**fields, "dtype": torch.float64, **changes})


def masks(n_models: int, seed: int = 1) -> Tensor:
    return (weight_rows(n_models, N_TRAIN, seed=seed) > 0).double()


@pytest.mark.parametrize("mode", ["subset", "weighted"])
@pytest.mark.parametrize(
    ("recipe", "normalisation"), [(FIDELITY, "count"), (THROUGHPUT, "sum")]
)
def test_training_is_plain_torch_without_the_images_of_weight_zero(
    recipe: Recipe, normalisation: str, mode: str
) -> None:
    found = problem(recipe, mode=mode, normalisation=normalisation)
    weights = masks(1)
    if mode == "weighted":
        # A batch that nobody is in: the penalty's step alone.
        steps = plain_torch.batches(found.recipe, DATA, weights[0], SEEDS[:1], "fixed")
        weights[0, steps[1][1]] = 0
    expected = plain_torch.margins(found, weights[0], SEEDS[:1])
    outputs = found.respond(weights, SEEDS[:1])
    torch.testing.assert_close(outputs[0], expected, rtol=0, atol=1e-8)


@each_normalisation
def test_smooth_training_is_the_other_trainer_of_networks(normalisation: str) -> None:
    """Fractional weights, an unfilled last batch; two trainers with no code shared."""
    found = problem(SMOOTH, normalisation=normalisation)
    group, recipe = found.recipe.groups[0], found.recipe
    training = SGD(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=group.rate,
        weight_decay=group.weight_decay,
        order="per-model",
    )
    other = Network(
        make_module=found.network.make_module,
        data=DATA,
        training=training,
        normalisation=normalisation,
    )
    weights = weight_rows(2, N_TRAIN, seed=2)
    expected = other.fit(weights, SEEDS).params
    torch.testing.assert_close(
        found.fit(weights, SEEDS).params, expected, rtol=0, atol=1e-10
    )
    torch.testing.assert_close(
        found.respond(weights, SEEDS), other.respond(weights, SEEDS), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT])
def test_weights_that_are_multiplied_train_the_same_under_sum(recipe: Recipe) -> None:
    found = problem(recipe, recipe=small(recipe, epochs=1))
    weights = weight_rows(1, N_TRAIN, seed=3)
    outputs = found.respond(torch.cat([weights, 0.3 * weights]), SEEDS[[0, 0]])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("mode", ["subset", "weighted"])
def test_a_model_is_bitwise_the_same_alone_and_beside_others(mode: str) -> None:
    """In single precision; the models of subset mode take unequal numbers of steps."""
    weights, seeds = masks(3, seed=4), torch.tensor([7, 1, 7])
    weights[1, : N_TRAIN - 6] = 0
    brief = small(FIDELITY, epochs=1)
    alone, beside = (
        problem(
            FIDELITY, recipe=brief, mode=mode, models_at_once=n, dtype=torch.float32
        )
        for n in (1, 2)
    )
    expected = torch.cat([
        alone.respond(weights[k : k + 1], seeds[k : k + 1]) for k in range(3)
    ])
    assert torch.equal(beside.respond(weights, seeds), expected)
    # Lanes are used again, and nothing of the models before is left in them.
    assert torch.equal(beside.respond(weights.flip(0), seeds.flip(0)), expected.flip(0))
    assert not torch.equal(expected[0], expected[2])


def test_ids_that_move_with_their_images_leave_training_as_it_was() -> None:
    """Order and moves belong to the stable id, not to the row."""
    order = torch.randperm(N_TRAIN, generator=torch.Generator().manual_seed(0))
    shuffled = replace(
        DATA,
        x_train=DATA.x_train[order],
        y_train=DATA.y_train[order],
        train_ids=DATA.ids[order],
        train_labels=tuple(DATA.train_labels[i] for i in order),
    )
    weights = masks(1, seed=5)
    outputs = problem(FIDELITY).respond(weights, SEEDS[:1])
    moved = problem(FIDELITY, data=shuffled).respond(weights[:, order], SEEDS[:1])
    torch.testing.assert_close(moved, outputs, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 2e-6), (torch.bfloat16, 0.02), (torch.float16, 0.005)],
)
def test_less_precision_is_near_the_float64_path(
    dtype: torch.dtype, tolerance: float
) -> None:
    """How far training moves margins; seen: 1.6e-7, .008 and .002."""
    weights = torch.ones(2, N_TRAIN).double()

    def outputs(dtype: torch.dtype, rate: float = 0.1) -> Tensor:
        recipe = at_rate(small(SMOOTH, width=8), rate)
        return problem(SMOOTH, recipe=recipe, dtype=dtype).respond(weights, SEEDS)

    exact, still = outputs(torch.float64), outputs(torch.float64, 1e-12)
    gap = (outputs(dtype) - exact).norm() / (exact - still).norm()
    assert 0 < gap < tolerance


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.bfloat16, 0.5), (torch.float16, 0.35)],
)
@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT])
def test_less_precise_steps_are_near_those_of_float64(
    recipe: Recipe, dtype: torch.dtype, tolerance: float
) -> None:
    """Two steps; at most 2e-6, .35 and .23 seen.

    With eleven images a maximum that switches is much of a gradient in half precision.
    A loss scale that stays in, or a step that is missing, gives 1 or more.
    """
    weights = torch.ones(1, N_TRAIN).double()
    brief = small(recipe, epochs=1, width=8, batch_size=11)

    def params(dtype: torch.dtype, recipe: Recipe = brief) -> Tensor:
        made = problem(recipe, recipe=recipe, dtype=dtype)
        (lane,) = made.trained(weights, SEEDS[:1])
        return lane.flat().double()

    exact, still = params(torch.float64), params(torch.float64, at_rate(brief, 1e-12))
    gap = (params(dtype) - exact).norm() / (exact - still).norm()
    assert 0 < gap < tolerance


def test_more_weight_on_an_image_raises_its_own_margin() -> None:
    """Sign: targets that are the training images themselves."""
    data = replace(
        DATA,
        x_target=DATA.x_train[:3],
        y_target=DATA.y_train[:3],
        x_held_out=DATA.x_train,
        y_held_out=DATA.y_train,
    )
    found = problem(SMOOTH, data=data, recipe=small(SMOOTH, epochs=6))
    weights = torch.ones(4, N_TRAIN).double()
    for target in range(3):
        weights[target + 1, target] = 3.0
    outputs = found.respond(weights, SEEDS[[0, 0, 0, 0]])
    assert bool((outputs[1:].diagonal() > outputs[0]).all())


def test_networks_learn() -> None:
    data = synthetic_images(n_train=80, n_targets=2, n_test=40, n_classes=4)
    recipe = THROUGHPUT.smaller(width=4, epochs=4, batch_size=20)
    found = Cifar(data=data, recipe=recipe, dtype=torch.float32)
    quality = found.measure(torch.ones(1, 80).double(), SEEDS[:1])[1]
    assert quality.accuracy is not None
    assert float(quality.accuracy) > 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("mode", ["subset", "weighted"])
@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT, SMOOTH])
def test_captured_steps_are_bitwise_the_plain_ones(recipe: Recipe, mode: str) -> None:
    weights, seeds = masks(5, seed=6), torch.arange(5)
    fields: dict[str, Any] = {
        "data": DATA,
        "recipe": small(recipe),
        "mode": mode,
        "device": "cuda",
        "models_at_once": 2,
    }
    plain = Cifar(**fields, execution=InTurn())
    captured = Cifar(**fields, execution=Captured(compiled=False))
    compiled = Cifar(**fields, execution=Captured())
    expected = plain.respond(weights, seeds)
    assert torch.equal(captured.respond(weights, seeds), expected)
    alone = replace(compiled, models_at_once=1)
    assert torch.equal(compiled.respond(weights, seeds), alone.respond(weights, seeds))


def test_captured_steps_need_a_gpu() -> None:
    found = problem(SMOOTH, execution=Captured())
    with pytest.raises(ValueError, match=r"execution must be InTurn\(\) on cpu"):
        found.respond(torch.ones(1, N_TRAIN).double(), SEEDS[:1])


def test_where_the_compiler_fails_steps_go_on_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(function: object, **options: object) -> object:
        def fail(*arguments: object) -> None:
            raise RuntimeError("no compiler")

        return fail

    weights = torch.ones(1, N_TRAIN).double()
    expected = problem(SMOOTH).respond(weights, SEEDS[:1])
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(RuntimeWarning, match="could not be compiled"):
        found = problem(SMOOTH, execution=CompiledInTurn()).respond(weights, SEEDS[:1])
    assert torch.equal(found, expected)


@pytest.mark.long
@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT, SMOOTH])
def test_compiled_steps_are_the_plain_ones_before_they_are_fused(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's own record of the loss and its gradient, bit by bit."""
    recorded = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", recorded)
    weights = masks(2, seed=8)
    expected = problem(recipe).respond(weights, SEEDS)
    with unchecked():
        found = problem(recipe, execution=CompiledInTurn()).respond(weights, SEEDS)
    assert torch.equal(found, expected)
