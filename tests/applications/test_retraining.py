"""Sets that are removed: who is trained, how often, and what the changes are."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from made_up import Additive
from samples import normal, table

from dmtheory.applications import retrain_without
from dmtheory.applications.retraining import InAndOut, WithoutSets
from dmtheory.designs import Bernoulli
from dmtheory.designs.base import Design
from dmtheory.problems import LeastSquares, SetFunction
from dmtheory.theory.exhaustive import tabulate, weighted_banzhaf

GAINS = normal(6, 3, seed=1)
SETS = [(0,), (4, 2), (2, 4), (1, 3, 5), (0,)]


def test_each_distinct_set_is_trained_once_a_seed_beside_one_base() -> None:
    seen: list[Any] = []
    found = retrain_without(Additive(gains=GAINS, seen=seen), SETS, n_seeds=4, seed=3)
    assert found.sets == ((0,), (2, 4), (1, 3, 5))
    assert found.n_models == len(seen) == 4 * 4
    assert set(Counter(seen).values()) == {1}
    weights = Counter(w for w, _ in seen)
    assert weights[(1.0,) * 6] == weights[(0.0, 1, 1, 1, 1, 1)] == 4
    assert len({s for _, s in seen}) == 4


def test_changes_are_without_minus_with_and_share_the_seed() -> None:
    problem = Additive(gains=GAINS, noise=50.0)
    found = retrain_without(problem, SETS, n_seeds=4, seed=3)
    assert found.outputs is not None
    assert found.outputs.std(0).min() > 1
    for removed in SETS:
        expected = -GAINS[list(removed)].sum(0).expand(4, -1)
        torch.testing.assert_close(found.change(removed), expected)
    # At c·1 a removed example loses the weight c.
    lighter = retrain_without(problem, [(0,)], at=0.25, n_seeds=2, seed=3)
    torch.testing.assert_close(lighter.change([0]), -0.25 * GAINS[[0, 0]])


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_it_is_a_refit_without_the_rows(ridge: float) -> None:
    data = table(12, 3, seed=2)
    problem = LeastSquares(data=data, ridge=ridge)
    found = retrain_without(problem, [(1, 5, 7)], n_seeds=9)
    assert found.n_models == 2
    assert found.seed is None
    x, y = data.x_train.numpy(), data.y_train.numpy()

    def fitted(rows: list[int]) -> np.ndarray:
        gram = x[rows].T @ x[rows] / len(rows) + ridge * np.eye(3)
        return data.x_target.numpy() @ np.linalg.solve(
            gram, x[rows].T @ y[rows] / len(rows)
        )

    kept = [i for i in range(12) if i not in {1, 5, 7}]
    expected = fitted(kept) - fitted(list(range(12)))
    assert np.allclose(found.change((7, 1, 5))[0].numpy(), expected, rtol=1e-7)


def test_under_a_law_one_example_changes_by_its_datamodel() -> None:
    # Four and a half standard errors, 5 examples and 2 targets: 7e-5 a run.
    values = normal(2**5, 2, seed=3)
    law = Bernoulli(p=0.3, n_models=3000)
    singles = [(i,) for i in range(5)]
    found = retrain_without(SetFunction(values=values), singles, at=law, seed=4)
    assert found.outputs is None
    assert found.seed == 4
    assert found.n_models == 3000 * 10
    beta = weighted_banzhaf(tabulate(SetFunction(values=values)), 0.3)
    errors = found.changes.std(0) / 3000**0.5
    assert ((found.changes.mean(0) + beta) / errors).abs().max() < 4.5


@pytest.mark.parametrize(
    "design",
    [
        WithoutSets(sets=((), (0,), (1, 3)), level=0.7, n_draws=2, seed=5),
        InAndOut(sets=((0,), (1, 3)), law=Bernoulli(p=0.3, n_models=20000, seed=5)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_designs_keep_their_word(design: Any) -> None:
    assert isinstance(design, Design)
    rows = torch.arange(design.n_models)
    weights, seeds = design.weights(rows, 5), design.seeds(rows)
    picked = torch.tensor([3, 0, 5])
    assert torch.equal(design.weights(picked, 5), weights[picked])
    assert torch.equal(design.seeds(picked), seeds[picked])
    draws = rows // design.rows_a_draw
    assert len(seeds.unique()) == len(draws.unique())
    assert torch.equal(seeds, seeds[draws * design.rows_a_draw])
    found = torch.cov(weights.T, correction=0)
    # Of 80,000 dependent rows an entry is known to about .25/sqrt(20,000) = .0018.
    assert torch.allclose(found, design.covariance(5), atol=0.008)


@pytest.mark.parametrize(
    ("sets", "more", "named"),
    [
        ([], {}, "number of sets must be at least 1"),
        ([()], {}, "number of examples of a set"),
        ([(0, 0)], {}, "distinct"),
        ([(6,)], {}, r"\[0, 6\)"),
        ([range(6)], {}, "must leave an example"),
        ([(0,)], {"at": 0.0}, "level must be finite and > 0"),
        ([(0,)], {"n_seeds": 0}, "n_draws must be at least 1"),
    ],
)
def test_what_cannot_be_removed(sets: Any, more: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        retrain_without(Additive(gains=GAINS), sets, **more)


def test_a_set_that_was_not_removed_is_not_known() -> None:
    found = retrain_without(Additive(gains=GAINS), [(0,)])
    with pytest.raises(ValueError, match="removed must be one of the 1 sets"):
        found.change((1,))
