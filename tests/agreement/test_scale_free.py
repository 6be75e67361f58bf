"""Whether training is scale-free, against closed forms and made-up responses."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from samples import a_description, normal, table
from torch import Tensor

from dmtheory.agreement.scale_free import ScaleCheck, scale_free
from dmtheory.designs.seeds import Purpose, random_words
from dmtheory.problems import LeastSquares, Network, SampleMean
from dmtheory.problems.base import BlackBox
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD


def black_box(
    respond: Callable[[Tensor, Tensor], Tensor],
    n_train: int = 10,
    n_targets: int = 3,
    **other: bool,
) -> BlackBox:
    description = a_description(n_train, n_targets, normalisation="count", **other)
    return BlackBox(description=description, train_and_measure=respond)


def noise(weights: Tensor, seeds: Tensor, n_targets: int) -> Tensor:
    """Return normal draws that a pair with a common seed does not share."""
    rows = (seeds ^ ((weights.sum(1) * 1e4).long() * 2654435761)) & 0x7FFFFFFF
    words = random_words(0, Purpose.DATA, rows, torch.arange(2 * n_targets))
    first, second = ((words.double() + 0.5) / 2**32).chunk(2, 1)
    return (-2 * first.log()).sqrt() * (2 * torch.pi * second).cos()


def test_ridge_regression_changes_as_its_normal_equations_say() -> None:
    data = table(20, 4, n_targets=5, seed=3)
    x, y, z = (t.numpy() for t in (data.x_train, data.y_train, data.x_target))

    def output(level: float) -> np.ndarray:
        weight = level / 20
        gram = weight * x.T @ x + 0.3 * np.eye(4)
        return z @ np.linalg.solve(gram, weight * x.T @ y)

    problem = LeastSquares(data=data, ridge=0.3, normalisation="count")
    found = scale_free(problem, level=0.3)
    before, after = output(1.0), output(0.3)
    change = np.sqrt(np.mean((after - before) ** 2))
    size = max(np.sqrt(np.mean(side**2)) for side in (before, after))
    assert found.at_one.value == pytest.approx(change / size, rel=1e-9)
    assert found.at_one.low == found.at_one.high
    assert found.scale_free is False
    assert "matched point is needed" in found.remedy
    assert (found.n_seeds, found.n_models) == (1, 4)


@pytest.mark.parametrize("level", [0.5, 0.3])
def test_dividing_by_the_sum_is_scale_free(level: float) -> None:
    data = table(20, 4, n_targets=5, seed=3)
    for problem in (
        LeastSquares(data=data, ridge=0.3, normalisation="sum"),
        LeastSquares(data=data, ridge=0.0, normalisation="count"),
        SampleMean(values=normal(9, seed=1)),
    ):
        found = scale_free(problem, level=level)
        assert found.scale_free is True
        assert max(found.at_one.high, found.elsewhere.high) < 1e-9
        assert "only the scale" in found.remedy


def test_networks_of_both_normalisations() -> None:
    def check(normalisation: str) -> ScaleCheck:
        problem = Network(
            make_module=MLP((4, 3, 2)),
            data=table(20, 4, n_targets=5, classes=2, seed=3),
            training=SGD(epochs=6, batch_size=10, learning_rate=0.5, weight_decay=1e-2),
            normalisation=normalisation,  # type: ignore[arg-type]
        )
        return scale_free(problem, level=0.3, n_seeds=8)

    free, bound = check("sum"), check("count")
    assert free.scale_free is True and free.at_one.high < 1e-9
    assert bound.scale_free is False
    assert 0.1 < bound.at_one.low < bound.at_one.value < bound.at_one.high
    assert (bound.n_seeds, bound.n_models) == (8, 32)


def test_agreement_at_one_alone_is_not_enough() -> None:
    """F = 1 + sum b_i w_i with sum b = 0 is 1 at all c·1, and moves elsewhere."""
    effects = normal(10, 3, seed=5)
    effects = effects - effects.mean(0)
    problem = black_box(lambda w, _: 1 + w @ effects, deterministic=True)
    found = scale_free(problem, level=0.4)
    assert found.at_one.high < 1e-12
    assert found.elsewhere.low > 0.05
    assert found.scale_free is False


def test_a_response_that_is_zero_everywhere_does_not_change() -> None:
    problem = black_box(lambda w, _: w.new_zeros(len(w), 3), deterministic=True)
    assert scale_free(problem).scale_free is True


def test_noise_that_seeds_do_not_share_leaves_it_open_until_there_is_enough() -> None:
    def respond(weights: Tensor, seeds: Tensor) -> Tensor:
        return 1 + 0.1 * noise(weights, seeds, 3)

    problem = black_box(respond)
    few = scale_free(problem, n_seeds=6, tolerance=0.02)
    assert few.scale_free is None and "more seeds" in few.remedy
    assert scale_free(problem, n_seeds=1500, tolerance=0.02).scale_free is True


def test_intervals_cover_the_true_change() -> None:
    """F falls by a tenth, under noise as large: 95 % intervals hold it.

    Fewer than 178 of 200 has a probability below 1e-3 at a coverage of .95; an
    interval that forgot the noise's own square would be displaced by 5 %.
    """

    def respond(weights: Tensor, seeds: Tensor) -> Tensor:
        level = weights.mean(1, keepdim=True)
        return 0.8 + 0.2 * level + 0.1 * noise(weights, seeds, 8)

    problem = black_box(respond, n_targets=8)
    intervals = [
        scale_free(problem, n_seeds=30, seed=seed).at_one for seed in range(200)
    ]
    assert sum(i.low <= 0.1 <= i.high for i in intervals) >= 178
    squares = torch.tensor([i.value**2 for i in intervals]).double()
    error = squares.std() / len(squares) ** 0.5
    # The change's square is unbiased up to the size below it, known to .2 %.
    assert abs(squares.mean() - 0.01) < 4 * error + 0.01 * 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.0}, "level"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"n_seeds": 3}, "n_seeds must be at least 4"),
        ({"draws": 10}, "draws"),
    ],
)
def test_what_cannot_be_checked_is_refused(options: dict, message: str) -> None:
    problem = black_box(lambda w, s: 1 + noise(w, s, 3))
    with pytest.raises(ValueError, match=message):
        scale_free(problem, **options)
