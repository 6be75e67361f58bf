"""Self-influence against leverages, finite differences and influence itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from samples import no_seeds, table, weight_rows

from dmtheory import GaussNewton, influence
from dmtheory.influence.baselines.self_influence import self_influence
from dmtheory.problems import MLP, SGD, LeastSquares, LogisticRegression, Network

N_TRAIN = 16
NUMBERS = table(N_TRAIN, 3, seed=0)
CLASSES = table(N_TRAIN, 3, classes=2, seed=4)


def on_itself(data: Any) -> Any:
    return replace(
        data,
        x_target=data.x_train,
        y_target=data.y_train,
        target_labels=data.train_labels,
    )


def test_of_least_squares_it_is_the_leverage_times_the_squared_residual() -> None:
    found = self_influence(LeastSquares(data=NUMBERS))
    fit = sm.OLS(NUMBERS.y_train.numpy(), NUMBERS.x_train.numpy()).fit()
    expected = -fit.get_influence().hat_matrix_diag * fit.resid**2
    np.testing.assert_allclose(found.scores[:, 0].numpy(), expected, atol=1e-11)
    assert found.estimand.output == "own loss"
    assert found.target_labels == ("own loss",)
    assert found.estimand.quantity == "influence"
    assert found.exact


@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_it_is_the_derivative_of_each_own_loss_by_refits(normalisation: Any) -> None:
    problem = LogisticRegression(
        data=on_itself(CLASSES), ridge=0.05, normalisation=normalisation, output="loss"
    )
    weights, step = 0.2 + weight_rows(1, N_TRAIN, seed=1)[0], 1e-4
    found = self_influence(problem, at=weights).scores[:, 0]
    moves = step * torch.eye(N_TRAIN).double()
    sides = [problem.respond(weights + s * moves, no_seeds(N_TRAIN)) for s in (1, -1)]
    truth = (sides[0] - sides[1]).diagonal() / (2 * step)
    assert (found - truth).norm() < 1e-6 * truth.norm()


@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_of_a_network_it_is_the_diagonal_of_influence_on_the_own_losses(
    normalisation: Any,
) -> None:
    problem = Network(
        make_module=MLP((2, 3, 3)),
        data=on_itself(table(7, 2, classes=3, seed=2)),
        training=SGD(epochs=3, batch_size=4, weight_decay=0.02),
        normalisation=normalisation,
        output="loss",
    )
    settings: dict[str, Any] = {
        "curvature": GaussNewton(),
        "damping": 0.03,
        "at": 0.5,
        "n_seeds": 2,
        "seed": 3,
    }
    full = influence(problem, **settings)
    found = self_influence(problem, **settings)
    torch.testing.assert_close(found.scores[:, 0], full.scores.diagonal())
    assert full.stderr is not None
    assert found.stderr is not None
    torch.testing.assert_close(found.stderr[:, 0], full.stderr.diagonal())
    assert found.seeds == {3}


def test_a_negative_damping_is_refused() -> None:
    with pytest.raises(ValueError, match="damping must be finite and >= 0, got -1"):
        self_influence(LeastSquares(data=NUMBERS), damping=-1.0)
