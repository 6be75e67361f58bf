"""Sufficient statistics: exact, additive, and the same from a store read in pieces."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import normal
from torch import Tensor

from dmtheory import OLS, fit_datamodel
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.estimators.target_blocks import TargetBlocks
from dmtheory.datamodels.fit import attribution_of
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.datamodels.rows import regression
from dmtheory.datamodels.rows.moments import integer_gram, moments_of
from dmtheory.datamodels.rows.regression import from_responses, from_store
from dmtheory.datamodels.rows.sample import independent_rows
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    FixedSize,
    Grouped,
    RandomDirections,
    Replicates,
)
from dmtheory.problems import BlackBox, Description
from dmtheory.responses.collect import collect_into
from dmtheory.responses.responses import Responses, responses_of

N_TRAIN = 7


@given(
    rows=st.integers(1, 70),
    train=st.integers(1, 40),
    halves=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_products_of_masks_are_exact(
    rows: int, train: int, halves: bool, seed: int
) -> None:
    drawn = torch.from_numpy(np.random.default_rng(seed).integers(-1, 3, (rows, train)))
    x = drawn.double() / (2 if halves else 1)
    expected = (drawn.T @ drawn).double() / (4 if halves else 1)
    assert torch.equal(integer_gram(x), expected)


def test_real_weights_and_large_entries_take_floating_point() -> None:
    for x in (normal(20, 5, seed=1), 1000 * torch.eye(5).double()):
        torch.testing.assert_close(integer_gram(x), x.T @ x, rtol=0, atol=1e-9)
    weights, outputs = normal(20, 3, seed=1), normal(20, 2, seed=2)
    centred = moments_of(independent_rows(weights, outputs)).centred()
    expected = torch.cov(weights.T) * 19
    torch.testing.assert_close(centred.gram, expected, rtol=0, atol=1e-12)


@given(cut=st.integers(1, 49), seed=st.integers(0, 100))
def test_shards_add_up_and_parts_are_taken_away(cut: int, seed: int) -> None:
    masks = Bernoulli(p=0.3, seed=seed).weights(torch.arange(50), N_TRAIN)
    outputs = normal(50, 2, seed=seed)
    sample = independent_rows(masks, outputs)
    first = torch.arange(50) < cut
    parts = [moments_of(sample.only(first)), moments_of(sample.only(~first))]
    whole = moments_of(sample)
    assert torch.equal((parts[0] + parts[1]).gram, whole.gram)
    torch.testing.assert_close((parts[0] + parts[1]).cross, whole.cross)
    rest = (whole - parts[0]).centred()
    alone = independent_rows(masks[cut:], outputs[cut:])
    expected = moments_of(alone).centred()
    torch.testing.assert_close(rest.gram, expected.gram, rtol=0, atol=1e-10)
    torch.testing.assert_close(rest.cross, expected.cross, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        rest.output_squares, expected.output_squares, rtol=0, atol=1e-10
    )


def problem() -> BlackBox:
    def answer(weights: Tensor, seeds: Tensor) -> Tensor:
        noise = (seeds[:, None] // torch.tensor([1, 1000]) % 1000).double() / 500
        outputs = 3 + weights @ normal(N_TRAIN, 2, seed=1) + noise
        fails = weights[:, :3].sum(1) == 3
        return outputs.masked_fill(fails[:, None], torch.nan)

    return BlackBox(
        description=Description(
            name="made-up",
            digest="made-up",
            output="sum",
            normalisation="count",
            step_policy="fixed",
            train_labels=tuple("abcdefg"),
            target_labels=("x", "y"),
        ),
        train_and_measure=answer,
    )


DESIGNS = {
    "bernoulli": Bernoulli(p=0.5, n_models=90, seed=1),
    "fixed size": FixedSize(size=3, n_models=90, seed=1),
    "pairs": ComplementaryPairs(n_pairs=45, seed=1),
    "antithetic": AntitheticPairs(p=0.4, n_pairs=45, seed=1),
    "parts": DisjointBlocks(parts=3, n_blocks=30, seed=1),
    "replicates": Replicates(
        design=Bernoulli(p=0.5, n_models=45, seed=1), n_replicates=2
    ),
    "groups": Grouped(
        design=ComplementaryPairs(n_pairs=45, seed=1), groups=(0, 1, 2, 0, 1, 2, 3)
    ),
}
RULES: dict[str, Any] = {
    "ols": OLS(),
    "robust": OLS(errors="robust"),
    "ridge": Ridge(),
    "lasso": Lasso(),
    "difference": DifferenceOfMeans(),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", DESIGNS)
def test_a_store_read_in_pieces_gives_what_arrays_in_memory_give(
    kind: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = collect_into(tmp_path / "run.zarr", problem(), DESIGNS[kind], block=16)
    monkeypatch.setattr(regression, "CHUNK", 24)
    pieces = from_store(store, held=0)
    assert len(list(pieces.sample.chunks())) > 1
    monkeypatch.undo()
    whole = from_responses(responses_of(store))
    assert pieces.n_diverged == whole.n_diverged > 0
    estimator = RULES[rule]
    found = attribution_of(pieces, estimator.fit(pieces.sample), estimator)
    expected = attribution_of(whole, estimator.fit(whole.sample), estimator)
    for name in ("scores", "intercept", "stderr", "units"):
        one, other = getattr(found, name), getattr(expected, name)
        if other is None:
            assert one is None
            continue
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=name)
    assert found.estimand == expected.estimand
    assert found.train_labels == expected.train_labels
    assert found.seeds == {1}


def test_fit_datamodel_takes_an_open_store(tmp_path: Path) -> None:
    store = collect_into(tmp_path / "run.zarr", problem(), DESIGNS["pairs"], block=16)
    found = fit_datamodel(store, estimator=Ridge())
    expected = fit_datamodel(responses_of(store), estimator=Ridge())
    torch.testing.assert_close(found.scores, expected.scores)
    with pytest.raises(TypeError, match="come with the responses"):
        fit_datamodel(store, design=Bernoulli(p=0.5))


def test_replicates_are_averaged_and_groups_are_players() -> None:
    # The common mean of replicates is one output of one weight vector.
    design = Replicates(design=Bernoulli(p=0.5, n_models=30, seed=1), n_replicates=3)
    masks = Bernoulli(p=0.5, n_models=30, seed=1).weights(torch.arange(30), N_TRAIN)
    outputs = normal(90, 2, seed=1)
    responses = Responses(
        outputs=outputs,
        design=design,
        description=problem().description,
        diverged=torch.zeros(90, dtype=torch.bool),
    )
    found = fit_datamodel(responses)
    averaged = outputs.unflatten(0, (30, 3)).mean(1)
    expected = OLS().fit(independent_rows(masks, averaged))
    torch.testing.assert_close(found.scores, expected.coefficients)
    torch.testing.assert_close(found.stderr, expected.stderr)
    assert found.estimand.seeds_per_weight == 3


def test_random_directions_give_the_response_derivative() -> None:
    design = RandomDirections(at=0.5, step=0.1, law="gaussian", n_pairs=40, seed=2)
    weights = design.weights(torch.arange(80), N_TRAIN)
    slope = normal(N_TRAIN, 2, seed=1)
    # Even terms around the point cancel in the pairs.
    bend = (weights - 0.5).square().sum(1, keepdim=True)
    responses = Responses(
        outputs=1 + weights @ slope + 7 * bend,
        design=design,
        description=problem().description,
        diverged=torch.zeros(80, dtype=torch.bool),
    )
    found = fit_datamodel(responses)
    torch.testing.assert_close(found.scores, slope, rtol=0, atol=1e-10)
    assert found.estimand.quantity == "response derivative"
    assert (found.estimand.point.kind, found.estimand.point.level) == ("weights", 0.5)


def test_all_models_diverged_is_said() -> None:
    responses = Responses(
        outputs=torch.full((6, 2), torch.nan, dtype=torch.float64),
        design=Bernoulli(p=0.5, n_models=6),
        description=problem().description,
        diverged=torch.ones(6, dtype=torch.bool),
    )
    with pytest.raises(ValueError, match="all 6 diverged"):
        fit_datamodel(responses)


def test_outputs_far_from_zero_lose_no_digits() -> None:
    masks = Bernoulli(p=0.5, seed=1).weights(torch.arange(40), 5)
    outputs = normal(40, 2, seed=1)
    near = OLS().fit(independent_rows(masks, outputs))
    far = OLS().fit(independent_rows(masks, outputs + 2.0**30))
    torch.testing.assert_close(far.coefficients, near.coefficients, rtol=0, atol=1e-6)
    torch.testing.assert_close(far.stderr, near.stderr, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_targets_in_blocks_are_fitted_as_all_at_once(rule: str) -> None:
    masks = Bernoulli(p=0.5, seed=1).weights(torch.arange(60), 8)
    outputs = masks @ normal(8, 5, seed=1) + normal(60, 5, seed=2)
    sample = independent_rows(
        masks, outputs, variances=torch.full((8,), 0.25, dtype=torch.float64)
    )
    whole = RULES[rule].fit(sample)
    parts = TargetBlocks(estimator=RULES[rule], size=2).fit(sample)
    for name in ("coefficients", "intercept", "stderr", "units", "penalty"):
        one, other = getattr(parts, name), getattr(whole, name)
        if other is None:
            assert one is None
        else:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9, msg=name)
    torch.testing.assert_close(parts.effective_parameters, whole.effective_parameters)
    assert parts.degrees_of_freedom == whole.degrees_of_freedom
    if whole.certificate is not None:
        assert parts.certificate is not None
        assert parts.certificate.kind == whole.certificate.kind
        assert parts.certificate.converged.all()
    found = fit_datamodel(
        masks,
        outputs,
        design=Bernoulli(p=0.5),
        estimator=TargetBlocks(estimator=RULES[rule], size=2),
    )
    torch.testing.assert_close(found.scores, whole.coefficients, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="size must be at least 1"):
        TargetBlocks(estimator=RULES[rule], size=0)
