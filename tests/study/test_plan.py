"""How a study shares out its trainings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import table

from dmtheory.problems import LogisticRegression
from dmtheory.study import plan_study, share_out


@given(
    n_models=st.integers(400, 100_000),
    n_train=st.integers(2, 5000),
    deterministic=st.booleans(),
    n_influence=st.integers(0, 10),
)
def test_a_plan_spends_what_it_is_given_and_no_more(
    n_models: int, n_train: int, deterministic: bool, n_influence: int
) -> None:
    plan = share_out(
        n_models,
        n_train=n_train,
        deterministic=deterministic,
        n_influence=n_influence,
    )
    assert n_models - 1 <= plan.n_models <= n_models
    assert plan.n_pairs >= 0.15 * n_models
    assert plan.n_coordinates <= n_train
    # What has an interval needs four of its kind.
    assert deterministic or min(plan.n_seeds, plan.n_scale_seeds) >= 4
    assert plan.n_replicates == (1 if deterministic else 2)


def test_few_trainings_are_refused() -> None:
    with pytest.raises(ValueError, match="n_models must be at least 400"):
        share_out(399, n_train=50, deterministic=True)


def test_too_little_time_says_how_much_would_do() -> None:
    problem = LogisticRegression(data=table(20, 3, classes=2, seed=0), ridge=0.1)
    with pytest.raises(ValueError, match=r"seconds must have 400 trainings.*give it"):
        plan_study(problem, seconds=1e-3)
    with pytest.raises(ValueError, match="seconds must be"):
        plan_study(problem, seconds=0.0)
