"""What influence is asked with and cannot answer: one line, before any training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from samples import table, unchecked

from dmtheory import GaussNewton, influence
from dmtheory.influence.at_models.linearised import linearised
from dmtheory.influence.at_models.trained_models import check_parameters
from dmtheory.influence.baselines.self_influence import self_influence
from dmtheory.influence.baselines.training_path import training_path
from dmtheory.influence.baselines.trak import trak
from dmtheory.influence.curvature import KFAC, ExactHessian
from dmtheory.influence.damping import choose_damping
from dmtheory.influence.gap.pbrf import proximal_response
from dmtheory.influence.removing.removals import leave_out
from dmtheory.influence.removing.rules import FirstOrder
from dmtheory.problems import MLP, SGD, BlackBox, LeastSquares, Network

DATA = table(12, 3, seed=0)
RIDGE: Any = LeastSquares(data=DATA, ridge=0.1)
ONLY_OUTPUTS: Any = BlackBox(
    description=RIDGE.description, train_and_measure=RIDGE.respond
)
WORD: Any = "ggn"
CLASS: Any = GaussNewton
PARAMS = RIDGE.fit(torch.ones(1, 12).double(), torch.zeros(1).long()).params


def proximal(weights: torch.Tensor) -> object:
    model = linearised(
        RIDGE,
        PARAMS[0],
        torch.ones(12).double(),
        curvature=ExactHessian(),
        damping=0.1,
    )
    return proximal_response(model, weights)


@pytest.mark.parametrize(
    "call",
    [
        influence,
        leave_out,
        self_influence,
        trak,
        lambda problem: choose_damping(problem, ONLY_OUTPUTS),
    ],
)
def test_a_problem_of_outputs_alone_is_sent_to_differences(
    call: Callable[[Any], object],
) -> None:
    message = r"but an object of BlackBox has no fit: .* by FiniteDifference\(\)"
    with unchecked(), pytest.raises(TypeError, match=message):
        call(ONLY_OUTPUTS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: influence(RIDGE, curvature=WORD),
            TypeError,
            "like GaussNewton.*'ggn'",
        ),
        (lambda: influence(RIDGE, curvature=CLASS), TypeError, "got the class GaussN"),
        (lambda: influence(RIDGE, solver=WORD), TypeError, "solver must be an object"),
        (lambda: influence(RIDGE, damping=WORD), TypeError, "damping must be a number"),
        (lambda: influence(RIDGE, damping=float("inf")), ValueError, "finite and >= 0"),
        (lambda: influence(RIDGE, parameters=WORD), TypeError, "must be a float64 ten"),
        (
            lambda: influence(RIDGE, parameters=PARAMS[None]),
            ValueError,
            "one parameter",
        ),
        (
            lambda: influence(RIDGE, parameters=PARAMS[:, :2]),
            ValueError,
            "got 2 entries",
        ),
        (lambda: self_influence(RIDGE, curvature=WORD), TypeError, "'ggn'"),
        (lambda: leave_out(RIDGE, rule=WORD), TypeError, r"like NewtonStep\(\), got"),
        (lambda: leave_out(RIDGE, WORD), TypeError, "groups must map labels to"),
        (lambda: training_path(RIDGE, every=1), TypeError, "must be a Network for"),
        (lambda: proximal(torch.ones(1, 5).double()), ValueError, r"got \(1, 5\)"),
        (lambda: proximal(-torch.ones(1, 12).double()), ValueError, "must be >= 0"),
        (lambda: proximal(torch.zeros(1, 12).double()), ValueError, "alone in row 0"),
    ],
)
def test_a_wrong_argument_is_named_in_one_line(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with unchecked(), pytest.raises(error, match=message) as found:
        call()
    assert "\n" not in str(found.value)


class _OneAtATime(LeastSquares):
    """Predicts a few examples, never all."""

    def predictions(self, params: torch.Tensor) -> torch.Tensor:
        raise AssertionError("all examples at once may be more than fit")


def test_given_parameters_are_checked_on_one_example() -> None:
    problem: Any = _OneAtATime(data=DATA, ridge=0.1)
    assert torch.equal(check_parameters(problem, PARAMS), PARAMS)
    with pytest.raises(ValueError, match="of the problem, got 2 entries each"):
        check_parameters(problem, PARAMS[:, :2])


def test_a_newton_step_needs_curvature_without_the_group() -> None:
    pytest.importorskip("curvlinops", reason="the extra `curvature` is not installed")
    problem = Network(
        make_module=MLP((3, 2, 2)),
        data=table(12, 3, classes=2, seed=1),
        training=SGD(epochs=2, batch_size=4, weight_decay=0.02),
    )
    with pytest.raises(TypeError, match=r"without each group .* K-FAC: use Gauss"):
        leave_out(problem, curvature=KFAC(), damping=0.1)
    kept = leave_out(problem, curvature=KFAC(), damping=0.1, rule=FirstOrder())
    slopes = influence(problem, curvature=KFAC(), damping=0.1)
    torch.testing.assert_close(kept.scores, slopes.scores, rtol=1e-8, atol=1e-12)
