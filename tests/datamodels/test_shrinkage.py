"""Shrinkage toward a prior: what it may cost, what it gains, and that it is exact."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from samples import normal
from scipy.stats import spearmanr
from torch import Tensor

from dmtheory import OLS, Attribution, Responses, fit_datamodel
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.estimators.shrinkage import Shrinkage, _errors
from dmtheory.datamodels.rows.sample import independent_rows
from dmtheory.datamodels.rows.spectrum import spectrum_of
from dmtheory.designs import Bernoulli, ComplementaryPairs, SubsetDesign
from dmtheory.estimand import Estimand, Point
from dmtheory.problems import Description


def study(
    n_models: int, n_train: int, n_targets: int, *, noise: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return masks, outputs and beta; noise relative to the linear part's deviation."""
    masks = Bernoulli(p=0.5, seed=seed).weights(torch.arange(n_models), n_train)
    beta = normal(n_train, n_targets, seed=seed + 1)
    scale = noise * (n_train / 4) ** 0.5
    outputs = 1 + masks @ beta + scale * normal(n_models, n_targets, seed=seed + 2)
    return masks, outputs, beta


def lds(coefficients: Tensor, beta: Tensor) -> float:
    """Return the mean rank correlation with noise-free outputs on new subsets.

    There the ceiling is 1.
    """
    subsets = Bernoulli(p=0.5, seed=777).weights(torch.arange(500), len(beta))
    found, truth = (subsets @ coefficients).numpy(), (subsets @ beta).numpy()
    pairs = zip(found.T, truth.T, strict=True)
    return float(np.mean([spearmanr(a, b).statistic for a, b in pairs]))


@pytest.mark.parametrize(
    ("n_models", "n_train", "noise"),
    [(30, 300, 1.0), (100, 300, 0.5), (100, 300, 1.0), (600, 300, 1.0), (400, 80, 0.3)],
)
def test_a_useless_prior_loses_at_most_a_hundredth_of_the_lds(
    n_models: int, n_train: int, noise: float
) -> None:
    masks, outputs, beta = study(n_models, n_train, 60, noise=noise, seed=11)
    sample = independent_rows(masks, outputs)
    plain = lds(Ridge().fit(sample).coefficients, beta)
    useless = normal(n_train, 60, seed=5)
    assert lds(Shrinkage(prior=useless).fit(sample).coefficients, beta) > plain - 0.01
    nothing = torch.zeros(n_train, 60).double()
    none = Shrinkage(prior=nothing).fit(sample).coefficients
    assert lds(none, beta) > plain - 0.01


@pytest.mark.parametrize("n_targets", [1, 60])
def test_a_useless_prior_does_little_harm_to_one_target_too(n_targets: int) -> None:
    # Without other targets to learn from; averaged over 40 studies.
    lost = []
    for seed in range(40 if n_targets == 1 else 1):
        masks, outputs, beta = study(60, 120, n_targets, noise=1.0, seed=100 + 3 * seed)
        sample = independent_rows(masks, outputs)
        toward = Shrinkage(prior=normal(120, n_targets, seed=seed)).fit(sample)
        plain = Ridge().fit(sample)
        lost.append(lds(plain.coefficients, beta) - lds(toward.coefficients, beta))
    assert np.mean(lost) < 0.01


@pytest.mark.parametrize("noise", [0.3, 1.0])
@pytest.mark.parametrize("factor", [1.0, -250.0])
def test_the_true_coefficients_reach_the_ceiling_with_a_tenth_of_the_models(
    noise: float, factor: float
) -> None:
    masks, outputs, beta = study(30, 300, 60, noise=noise, seed=21)
    sample = independent_rows(masks, outputs)
    fit = Shrinkage(prior=factor * beta).fit(sample)
    assert lds(fit.coefficients, beta) > 0.98
    assert lds(Ridge().fit(sample).coefficients, beta) < 0.5


def test_a_good_prior_and_the_models_together_beat_either() -> None:
    masks, outputs, beta = study(300, 300, 40, noise=0.5, seed=31)
    sample = independent_rows(masks, outputs)
    prior = beta + 0.7 * normal(300, 40, seed=1)
    both = lds(Shrinkage(prior=prior).fit(sample).coefficients, beta)
    assert both > lds(prior, beta) + 0.02
    assert both > lds(Ridge().fit(sample).coefficients, beta) + 0.02


@pytest.mark.parametrize("n_train", [6, 40])
def test_coefficients_and_leave_one_out_are_those_of_brute_force(n_train: int) -> None:
    # The scale is one more regressor without penalty.
    masks, outputs, beta = study(25, n_train, 2, noise=0.5, seed=41)
    prior = beta + normal(n_train, 2, seed=3)
    prior = prior / prior.square().sum(0).sqrt()
    penalty = 0.3
    spectrum = spectrum_of(independent_rows(masks, outputs))
    found = _errors(spectrum, prior, torch.tensor([penalty]).double())[0]
    for t in range(2):
        columns = torch.cat(
            [torch.ones(25, 1).double(), masks @ prior[:, t : t + 1], masks], dim=1
        )
        curvature = torch.diag(
            torch.tensor([0.0, 0.0] + [25 * penalty] * n_train).double()
        )

        def solve(kept: Tensor) -> Tensor:
            rows = columns[kept]  # noqa: B023 -- called here only
            y = outputs[kept, t]  # noqa: B023
            return torch.linalg.solve(rows.T @ rows + curvature, rows.T @ y)  # noqa: B023

        errors = 0.0
        for row in range(25):
            kept = torch.arange(25) != row
            rest = outputs[row, t] - columns[row] @ solve(kept)
            errors += rest.item() ** 2
        assert found[t].item() == pytest.approx(errors, rel=1e-8)
    rule = Shrinkage(prior=prior, l2_penalties=(penalty,))
    fit = rule.fit(independent_rows(masks, outputs))
    everything = solve(torch.arange(25) >= 0)
    expected = everything[1] * prior[:, 1] + everything[2:]
    torch.testing.assert_close(fit.coefficients[:, 1], expected, rtol=0, atol=1e-9)
    assert fit.intercept[1].item() == pytest.approx(everything[0].item(), abs=1e-8)
    assert fit.certificate is not None
    assert fit.certificate.value.max() < 1e-10


def test_standard_errors_are_those_of_repeated_noise() -> None:
    # 400 draws of noise, prior and penalty fixed; a ratio of deviations has sigma
    # 1/sqrt(2·400) = .035; residuals hold some bias. Band: 5 sigma, and .15 above.
    masks, _, beta = study(60, 20, 1, noise=0.0, seed=51)
    noise = 3 * normal(60, 400, seed=1)
    prior = (beta + 0.5 * normal(20, 1, seed=2)).repeat(1, 400)
    outputs = masks @ beta + noise
    fit = Shrinkage(prior=prior, l2_penalties=(0.3,)).fit(
        independent_rows(masks, outputs)
    )
    assert fit.stderr is not None
    ratio = fit.stderr.mean(1) / fit.coefficients.std(1)
    assert ratio.mean().item() == pytest.approx(1.0, abs=0.18)
    assert (ratio > 0.7).all()


DESIGN = Bernoulli(p=0.5, n_models=60, seed=3)


def responses(design: SubsetDesign = DESIGN) -> Responses:
    masks = design.weights(torch.arange(60), 8)
    return Responses(
        outputs=masks @ normal(8, 2, seed=1) + normal(60, 2, seed=2),
        design=design,
        description=Description(
            name="made-up",
            digest="digest",
            output="margin",
            normalisation="sum",
            step_policy="fixed",
            train_labels=tuple("abcdefgh"),
            target_labels=("x", "y"),
        ),
        diverged=torch.zeros(60, dtype=torch.bool),
    )


def influence(**changes: Any) -> Attribution:
    estimand = Estimand(
        quantity="influence",
        point=Point("weights", 0.5),
        output="margin",
        normalisation="sum",
        step_policy="fixed",
        problem="digest",
        unit="per_epsilon",
    )
    made = Attribution(
        scores=8 * normal(8, 2, seed=1),
        estimand=estimand,
        train_labels=tuple("abcdefgh"),
        target_labels=("x", "y"),
        n_train=8,
        n_models=5,
        seeds=frozenset({77}),
        method="classical",
    )
    return replace(made, **changes)


def test_a_prior_is_lined_up_by_label_and_its_trainings_count() -> None:
    prior = influence()
    found = fit_datamodel(responses(), prior=prior)
    turned = prior.restricted(tuple("hgfedcba"), ("y", "x"))
    again = fit_datamodel(responses(), prior=turned, estimator=Ridge())
    torch.testing.assert_close(found.scores, again.scores)
    assert found.n_models == 65
    assert found.seeds == {3, 77}
    assert found.estimand.quantity == "datamodel"
    assert "toward influence (classical, 5 models)" in found.method


def test_pairs_are_shrunk_by_their_differences() -> None:
    made = responses(ComplementaryPairs(n_pairs=30, seed=3))
    # A common effect of each pair's seed, far larger than anything else.
    shaken = replace(
        made, outputs=made.outputs + normal(30, 1, seed=4).repeat_interleave(2, 0)
    )
    a = fit_datamodel(made, prior=influence())
    b = fit_datamodel(shaken, prior=influence())
    torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("prior", "estimator", "error", "message"),
    [
        (influence(), OLS(), TypeError, r"estimator must be Ridge\(\) where there is"),
        (
            influence(seeds=frozenset({3})),
            None,
            ValueError,
            "experiment seed 3 in both",
        ),
        (
            influence(train_labels=tuple("abcdefgx")),
            None,
            ValueError,
            "train must be among the 8 labels",
        ),
        (
            replace(
                influence(), estimand=replace(influence().estimand, problem="another")
            ),
            None,
            ValueError,
            "prior must have the problem of the responses, 'digest', got 'another'",
        ),
        (
            replace(influence(), estimand=replace(influence().estimand, output="loss")),
            None,
            ValueError,
            "prior must have the output of the responses, 'margin', got 'loss'",
        ),
    ],
)
def test_a_prior_of_something_else_is_refused(
    prior: Attribution, estimator: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit_datamodel(responses(), prior=prior, estimator=estimator)


def test_a_prior_for_arrays_needs_their_shape_only() -> None:
    masks = DESIGN.weights(torch.arange(60), 8)
    outputs = responses().outputs
    found = fit_datamodel(masks, outputs, design=DESIGN, prior=influence())
    assert found.n_models == 65
    with pytest.raises(ValueError, match=r"prior must have shape \(7, 2\) .* \(8, 2\)"):
        fit_datamodel(masks[:, :7], outputs, design=DESIGN, prior=influence())
