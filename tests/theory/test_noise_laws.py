"""Noise laws against simulation: additive responses plus noise on random subsets."""

import math

import numpy as np
import pytest
import torch
from samples import generator, normal
from scipy.stats import multivariate_normal, spearmanr
from torch import Tensor

from dmtheory.theory import noise_laws

N_TRAIN = 60
# L = p(1-p) sum beta^2 = 1 exactly, whatever the draw of the coefficients.
N_TARGETS = 40


def coefficients(seed: int, p: float = 0.5) -> Tensor:
    beta = normal(N_TRAIN, N_TARGETS, seed=seed)
    return beta / beta.norm(dim=0) / math.sqrt(p * (1 - p))


def masks(n_models: int, *, seed: int, p: float = 0.5) -> Tensor:
    drawn = torch.rand(
        n_models, N_TRAIN, generator=generator(seed), dtype=torch.float64
    )
    return (drawn < p).double()


def correlation(estimate: Tensor, truth: Tensor) -> float:
    """Return the mean correlation of linear parts on new subsets: a cosine."""
    cosines = torch.nn.functional.cosine_similarity(estimate, truth, dim=0)
    return cosines.mean().item()


def centred_regression(x: Tensor, y: Tensor, penalty: float = 0.0) -> Tensor:
    x, y = x - x.mean(0), y - y.mean(0)
    gram = x.T @ x + penalty * torch.eye(x.shape[1]).double()
    return torch.linalg.solve(gram, x.T @ y)


# 40 targets share masks in each of 30 studies: the mean cosine has a standard error of
# at most .004 (OLS close to m = N). What a law neglects there (masks are no normal
# variables, a mean of roots is no root of a mean) is .015, so that .03, the tolerance
# of the claim, leaves 3.5 sigma: a false alarm below 5e-4 a case, at fixed seeds.
TOLERANCE = 0.03
STUDIES = range(30)


@pytest.mark.parametrize("noise", [0.3, 2.0])
@pytest.mark.parametrize("n_models", [90, 120, 400])
def test_ols_correlates_as_the_law_says(noise: float, n_models: int) -> None:
    found = []
    for study in STUDIES:
        beta, x = coefficients(study), masks(n_models, seed=1000 + study)
        y = x @ beta + math.sqrt(noise) * normal(n_models, N_TARGETS, seed=2000 + study)
        found.append(correlation(centred_regression(x, y), beta))
    expected = noise_laws.ols_correlation(1.0, noise, N_TRAIN, n_models)
    assert np.mean(found) == pytest.approx(expected, abs=TOLERANCE), np.std(found)


def test_the_law_of_ols_is_exact_for_normal_masks() -> None:
    # With an intercept E tr (X_c'X_c)^-1 = N/(m - N - 2), here 20/8; its spread over
    # 4,000 draws is measured, and 4 sigma is a false alarm of 6e-5. Without the 2 the
    # law would be off by a fifth.
    x = normal(4000, 30, 20, seed=77)
    x = x - x.mean(1, keepdim=True)
    traces = torch.linalg.inv(x.mT @ x).diagonal(dim1=1, dim2=2).sum(1)
    one = torch.tensor(1.0).double()
    expected = 1 / noise_laws.ols_law(one, 20, 30 * one).item() - 1
    sigma = (traces.std() / math.sqrt(4000)).item()
    assert sigma < 0.05 * expected
    assert traces.mean().item() == pytest.approx(expected, abs=4 * sigma)
    # And for pairs, without intercept, of 30 half differences: 20/9.
    x = normal(4000, 30, 20, seed=78)
    traces = torch.linalg.inv(x.mT @ x).diagonal(dim1=1, dim2=2).sum(1)
    expected = 1 / noise_laws.pairs_law(one, 20, 30 * one).item() - 1
    sigma = (traces.std() / math.sqrt(4000)).item()
    assert traces.mean().item() == pytest.approx(expected, abs=4 * sigma)


@pytest.mark.parametrize("p", [0.5, 0.2])
@pytest.mark.parametrize("n_models", [40, 400])
def test_differences_of_means_correlate_as_the_law_says(
    p: float, n_models: int
) -> None:
    found, noise = [], 0.5
    for study in STUDIES:
        beta, x = coefficients(study, p), masks(n_models, seed=3000 + study, p=p)
        y = x @ beta + math.sqrt(noise) * normal(n_models, N_TARGETS, seed=4000 + study)
        y = y - y.mean(0)
        found.append(correlation((x - p).T @ y, beta))
    expected = noise_laws.difference_of_means_correlation(1.0, noise, N_TRAIN, n_models)
    assert np.mean(found) == pytest.approx(expected, abs=TOLERANCE), np.std(found)


@pytest.mark.parametrize("noise", [0.3, 2.0])
@pytest.mark.parametrize("n_models", [30, 60, 200])
def test_ridge_at_its_best_penalty_correlates_as_the_law_says(
    noise: float, n_models: int
) -> None:
    # For isotropic coefficients the best penalty is that of the posterior mean:
    # N sigma^2 / sum beta^2 = N sigma^2 p(1-p)/L, on x'x.
    found = []
    for study in STUDIES:
        beta, x = coefficients(study), masks(n_models, seed=5000 + study)
        y = x @ beta + math.sqrt(noise) * normal(n_models, N_TARGETS, seed=6000 + study)
        estimate = centred_regression(x, y, N_TRAIN * noise / 4)
        found.append(correlation(estimate, beta))
    expected = noise_laws.ridge_correlation(1.0, noise, N_TRAIN, n_models)
    assert np.mean(found) == pytest.approx(expected, abs=TOLERANCE), np.std(found)


@pytest.mark.parametrize("n_pairs", [75, 200])
def test_pairs_correlate_as_the_law_says(n_pairs: int) -> None:
    # An even term of variance 1 and a seed effect of variance 1, .6 of it the pair's
    # own: half a difference keeps only (1 - .6)/2 of the seeds' variance.
    found, own, common = [], 0.4, 0.6
    for study in STUDIES:
        beta, x = coefficients(study), masks(n_pairs, seed=7000 + study)
        even = 4 * ((x[:, :1] - 0.5) * (x[:, 1:2] - 0.5))
        pair = math.sqrt(common) * normal(n_pairs, N_TARGETS, seed=8000 + study)
        seeds = math.sqrt(own) * normal(2, n_pairs, N_TARGETS, seed=9000 + study)
        first = x @ beta + even + pair + seeds[0]
        second = (1 - x) @ beta + even + pair + seeds[1]
        z = x - 0.5
        estimate = torch.linalg.lstsq(z, (first - second) / 2).solution
        found.append(correlation(estimate, beta))
    expected = noise_laws.pairs_correlation(1.0, own / 2, N_TRAIN, n_pairs)
    assert np.mean(found) == pytest.approx(expected, abs=TOLERANCE), np.std(found)


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_the_score_on_new_subsets_is_as_the_law_says(n_seeds: int) -> None:
    # 2,000 held-out subsets a study and 40 targets; curvature is a product of two
    # examples, of variance .5, and seeds have variance .8.
    found, noise, n_models, curved, seeds = [], 1.3, 150, 0.5, 0.8
    for study in STUDIES[:12]:
        beta = coefficients(study)
        beta[:2] = 0.0
        beta = beta / beta.norm(dim=0) * 2

        def respond(x: Tensor, n: int, seed: int, beta: Tensor = beta) -> Tensor:
            signs = 2 * x - 1
            bend = math.sqrt(curved) * signs[:, :1] * signs[:, 1:2]
            error = math.sqrt(seeds / n) * normal(len(x), N_TARGETS, seed=seed)
            return x @ beta + bend + error

        x = masks(n_models, seed=10_000 + study)
        estimate = centred_regression(x, respond(x, 1, 11_000 + study))
        new = masks(2000, seed=12_000 + study)
        outputs = respond(new, n_seeds, 13_000 + study)
        pairs = zip((new @ estimate).T.numpy(), outputs.T.numpy(), strict=True)
        found.append(np.mean([spearmanr(a, b).statistic for a, b in pairs]))
    r = noise_laws.ols_correlation(1.0, noise, N_TRAIN, n_models)
    expected = noise_laws.expected_lds(r, 1.0, curved, seeds, n_seeds)
    assert np.mean(found) == pytest.approx(expected, abs=TOLERANCE), np.std(found)
    bound = noise_laws.ceiling(1.0 + curved, seeds, n_seeds)
    assert np.mean(found) < noise_laws.spearman_of_normal(bound)


def test_the_map_to_ranks_is_that_of_normal_pairs() -> None:
    # 400,000 pairs: the rank correlation has sigma below .0016, so 5 sigma.
    for r in (0.2, 0.7, 0.95):
        law = multivariate_normal(cov=[[1, r], [r, 1]], seed=3)  # type: ignore[arg-type]
        drawn = spearmanr(law.rvs(400_000)).statistic
        assert drawn == pytest.approx(noise_laws.spearman_of_normal(r), abs=0.008)
        many = noise_laws.spearman_map(torch.tensor([r, 0.0]).double())
        assert many.tolist() == pytest.approx([noise_laws.spearman_of_normal(r), 0.0])


def test_ridge_has_the_limits_that_theory_knows() -> None:
    # Many models: ridge is OLS. One formula for the root, tried where it cancels.
    for n_models in (10**4, 10**7):
        found = noise_laws.ridge_correlation(1.0, 2.0, N_TRAIN, n_models)
        reference = noise_laws.ols_correlation(1.0, 2.0, N_TRAIN, n_models)
        assert 1 - found == pytest.approx(1 - reference, rel=0.02)
    # One model: r^2 = 1 - lam mu -> m/(N(1 + s)) with gamma large; as the mean has it.
    few = noise_laws.ridge_correlation(1.0, 2.0, 10**6, 1)
    means = noise_laws.difference_of_means_correlation(1.0, 2.0, 10**6, 1)
    assert few == pytest.approx(means, rel=1e-3)
    # No noise and fewer models than examples: the share of directions seen.
    seen = noise_laws.ridge_correlation(1.0, 1e-12, 100, 25)
    assert seen == pytest.approx(0.5, rel=1e-4)


def test_more_models_never_correlate_less() -> None:
    rows = torch.arange(1, 2000).double()
    for ratio in (1e-3, 1.0, 50.0):
        for law in (
            noise_laws.ols_law,
            noise_laws.pairs_law,
            noise_laws.ridge_law,
            noise_laws.difference_of_means_law,
        ):
            found = law(torch.tensor(ratio).double(), 50, rows)
            assert bool((found.diff() >= -1e-12).all())
            assert 0 <= found.min() and found.max() <= 1
        # At its best penalty ridge beats both of its limits.
        best = noise_laws.ridge_law(torch.tensor(ratio).double(), 50, rows)
        other = noise_laws.ols_law(torch.tensor(ratio).double(), 50, rows)
        assert bool((best >= other - 1e-9).all())


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="signal must be finite and > 0, got 0"):
        noise_laws.ols_correlation(0.0, 1.0, 5, 10)
    with pytest.raises(ValueError, match="n_seeds must be at least 1, got 0"):
        noise_laws.expected_lds(0.5, 1.0, 0.0, 1.0, 0)
