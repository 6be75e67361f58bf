"""Weights lowered where examples would be removed."""

import pytest
import torch

from dmtheory.designs.leave_out import LeaveKOut
from validation.made_up.lowered import Lowered
from validation.made_up.shared_seeds import SharedSeeds


def test_removed_examples_keep_the_rest_of_their_weight_and_their_seeds() -> None:
    removals = LeaveKOut(k=3, n_models=5, seed=2)
    for design in (removals, SharedSeeds(subsets=removals, training_seeds=(7, 8))):
        lowered = Lowered(design=design, by=0.05)
        rows = torch.arange(lowered.n_models)
        weights, whole = lowered.weights(rows, 20), design.weights(rows, 20)
        assert weights[whole == 0].eq(0.95).all()
        assert weights[whole == 1].eq(1).all()
        torch.testing.assert_close(lowered.seeds(rows), design.seeds(rows))
        assert (lowered.n_models, lowered.seed) == (design.n_models, design.seed)
        torch.testing.assert_close(
            Lowered(design=design, by=1.0).weights(rows, 20), whole
        )


def test_the_covariance_is_that_of_the_rows() -> None:
    """Diagonals of 4,000 rows are known to 7 %, their mean to 2 %; .1 is five times."""
    lowered = Lowered(design=LeaveKOut(k=1, n_models=4000, seed=1), by=0.05)
    weights = lowered.weights(torch.arange(4000), 20)
    stated = lowered.covariance(20)
    torch.testing.assert_close(
        weights.T.cov().diagonal().mean(), stated.diagonal().mean(), rtol=0.1, atol=0.0
    )
    assert torch.linalg.matrix_norm(weights.T.cov() - stated) < 0.3 * (
        torch.linalg.matrix_norm(stated)
    )


@pytest.mark.parametrize("by", [0.0, 1.5, -0.1])
def test_a_share_must_be_one(by: float) -> None:
    with pytest.raises(ValueError, match=r"by must be in \(0, 1\], got"):
        Lowered(design=LeaveKOut(k=1), by=by)
