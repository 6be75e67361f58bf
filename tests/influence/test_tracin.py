"""TracIn against unrolled single steps, written sums, and the training itself."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, unchecked, weight_rows
from torch import Tensor

from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.influence.baselines.gradient_product import gradient_product
from dmtheory.influence.baselines.tracin import tracin
from dmtheory.influence.baselines.training_path import TrainingPath, training_path
from dmtheory.problems import MLP, SGD, Adam, Network

each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def network(normalisation: Any = "sum", **training: Any) -> Network:
    settings = {"epochs": 3, "batch_size": 4, "weight_decay": 0.02, **training}
    return Network(
        make_module=MLP((2, 3, 3)),
        data=table(7, 2, classes=3, seed=2),
        training=SGD(**settings),
        normalisation=normalisation,
    )


def one_step(rate: float, normalisation: Any) -> Network:
    return network(
        normalisation,
        epochs=1,
        batch_size=7,
        momentum=0.0,
        learning_rate=rate,
        schedule="constant",
    )


def derivative(problem: Network, weights: Tensor, step: float = 1e-4) -> Tensor:
    """Return dF/dw of the trained network by central differences, one seed."""
    seeds = model_seeds(5, torch.zeros(1, dtype=torch.int64)).expand(7)
    moves = step * torch.eye(7).double()
    up, down = (problem.respond(weights + s * moves, seeds) for s in (1, -1))
    return (up - down) / (2 * step)


@each_normalisation
def test_after_one_full_step_it_is_the_derivative_of_the_response(
    normalisation: str,
) -> None:
    weights = 0.3 + weight_rows(1, 7, seed=1)[0]
    problem = one_step(0.5, normalisation)
    path = training_path(problem, every=1, at=weights, seed=5)
    truth = derivative(problem, weights)
    found = tracin(problem, path, outputs_at="final").scores
    assert (found - truth).norm() < 1e-7 * truth.norm()


@each_normalisation
def test_at_the_checkpoints_it_is_that_derivative_as_the_step_shrinks(
    normalisation: str,
) -> None:
    weights, errors = torch.ones(7).double(), []
    for rate in (0.1, 0.01):
        problem = one_step(rate, normalisation)
        path = training_path(problem, every=1, at=weights, seed=5)
        truth = derivative(problem, weights, step=1e-2)
        found = tracin(problem, path).scores
        errors.append(((found - truth).norm() / truth.norm()).item())
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.2)
    assert errors[0] < 0.2


@each_normalisation
def test_it_is_the_sum_of_gradient_products_times_step_sizes(
    normalisation: str,
) -> None:
    problem = network(normalisation)
    path = training_path(problem, every=2, at=0.5, n_seeds=2, seed=3)
    found = tracin(problem, path)
    half = torch.full((7,), 0.5, dtype=torch.float64)
    for unit, checkpoints in zip(found.units, path.params, strict=True):
        total = torch.zeros(7, 4).double()
        for params, rate in zip(checkpoints, path.rates.tolist(), strict=True):
            product = gradient_product(problem, at=half, parameters=params).scores
            total += rate * product
        torch.testing.assert_close(unit, total, rtol=1e-10, atol=1e-14)
    assert found.estimand.quantity == "TracIn"
    assert (found.estimand.point.kind, found.estimand.point.level) == ("weights", 0.5)
    assert found.seeds == {3}
    assert found.n_models == 2
    assert found.stderr is not None


def test_a_path_is_the_training_that_fit_does() -> None:
    problem = network()
    path = training_path(problem, every=2, n_seeds=3, seed=3)
    seeds = model_seeds(3, torch.arange(3))
    fit = problem.fit(torch.ones(3, 7).double(), seeds)
    assert torch.equal(path.final, fit.params)
    assert torch.equal(path.params[:, 0], problem.initial(seeds))
    # Three epochs of two steps: checkpoints before steps 0, 2 and 4.
    assert path.params.shape == (3, 3, path.final.shape[1])
    # The learning rate falls from .1 to 0 over six steps; momentum .9 is tenfold.
    rates = 0.1 * (1 - torch.arange(6).double() / 6)
    torch.testing.assert_close(path.rates, rates.unflatten(0, (3, 2)).sum(1) * 10)
    # The prefix of a constant schedule is a shorter training.
    constant = network(schedule="constant")
    steps = training_path(constant, every=2, n_seeds=2, seed=3).params
    shorter = replace(constant, training=replace(constant.training, epochs=2))
    fit = shorter.fit(torch.ones(2, 7).double(), seeds[:2])
    torch.testing.assert_close(steps[:, 2], fit.params)


def test_the_rates_of_adam_are_plain_sums() -> None:
    problem = replace(network(), training=Adam(epochs=2, batch_size=7))
    path = training_path(problem, every=1)
    torch.testing.assert_close(path.rates, torch.tensor([1e-3, 5e-4]).double())


def test_checkpoints_from_elsewhere_need_no_training() -> None:
    problem = network()
    size = problem.initial(no_seeds(1)).shape[1]
    path = TrainingPath(
        params=normal(1, 2, size, seed=1),
        rates=torch.tensor([0.5, 0.25]).double(),
        final=normal(1, size, seed=2),
        weights=torch.ones(7).double(),
    )
    found = tracin(problem, path)
    first, second = (
        gradient_product(problem, parameters=params).scores for params in path.params[0]
    )
    torch.testing.assert_close(found.scores, 0.5 * first + 0.25 * second)
    assert found.n_models == 0
    assert found.seeds == frozenset()
    assert found.stderr is None


def test_what_is_no_path_is_refused() -> None:
    problem = network()
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        training_path(problem, every=0)
    with pytest.raises(ValueError, match="at must be a point for checkpoints"):
        training_path(problem, every=1, at=Bernoulli(p=0.5))
    single = Network(
        make_module=MLP((2, 3, 3)),
        data=problem.data,
        training=problem.training,
        dtype=torch.float32,
    )
    with pytest.raises(ValueError, match=r"initialisation must give .* float64"):
        training_path(single, every=1)
    path = training_path(problem, every=2)
    with pytest.raises(ValueError, match="one weight an example"):
        tracin(problem, replace(path, weights=torch.ones(3).double()))
    with unchecked(), pytest.raises(ValueError, match="outputs_at must be one of"):
        tracin(problem, path, outputs_at="start")  # type: ignore[arg-type]
    with (
        unchecked(),
        pytest.raises(ValueError, match=r"rates must be one number a checkpoint \(3"),
    ):
        replace(path, rates=torch.ones(2).double())
    with pytest.raises(ValueError, match="rates must be finite and >= 0"):
        replace(path, rates=-torch.ones(3).double())
    with unchecked(), pytest.raises(ValueError, match="final must have shape"):
        replace(path, final=path.final[:, :3])
    with pytest.raises(ValueError, match="path must be parameter vectors of"):
        tracin(
            problem,
            replace(path, params=path.params[..., :3], final=path.final[:, :3]),
        )
