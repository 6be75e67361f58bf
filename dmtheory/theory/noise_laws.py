"""How well an estimate from m models correlates with the truth.

L = p(1-p) sum beta^2 is the variance of the linear part, sigma^2 = sigma_r^2 + V_high
that of seeds and higher-degree terms, N the number of players. A correlation's square
is a function of the ratio s = sigma^2/L; each such law is one function of tensors, so
that budgets can be solved for many targets and draws at once.

References:
    Wishart moments for OLS; Dobriban and Wager 2018 for ridge; theory page, section 4.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_positive

Numbers = Float[Tensor, "..."]
# Squared correlation from (ratio, n_train, n_rows).
Law = Callable[[Tensor, int, Tensor], Tensor]


def ols_law(ratio: Numbers, n_train: int, n_rows: Numbers) -> Numbers:
    """Return r^2 = 1/(1 + N s/(m - N - 2)) of OLS with an intercept.

    0 where m <= N + 2.
    """
    return _share(n_train * ratio, n_rows - n_train - 2)


def pairs_law(ratio: Numbers, n_train: int, n_rows: Numbers) -> Numbers:
    """Return r^2 = 1/(1 + N s/(M - N - 1)) of OLS on M half differences of pairs.

    s is the variance of half a difference beyond its linear part, over L; 0 where
    M <= N + 1.
    """
    return _share(n_train * ratio, n_rows - n_train - 1)


def difference_of_means_law(ratio: Numbers, n_train: int, n_rows: Numbers) -> Numbers:
    """Return r^2 = 1/(1 + N (s + 1)/m): what others do is noise to each example."""
    return _share(n_train * (ratio + 1), n_rows)


def ridge_law(ratio: Numbers, n_train: int, n_rows: Numbers) -> Numbers:
    r"""Return r^2 = 1 - lam mu of ridge at its best penalty, any m.

    For isotropic coefficients, gamma = N/m, lam = gamma s and
    mu = [-(1 - gamma + lam) + sqrt((1 - gamma + lam)^2 + 4 gamma lam)]/(2 gamma lam).
    """
    gamma = n_train / n_rows
    lam = gamma * ratio
    half = (1 - gamma + lam) / 2
    root = (half.square() + gamma * lam).sqrt()
    # lam mu = (root - half)/gamma; where half > 0 that difference cancels.
    shortfall = torch.where(half > 0, lam / (root + half), (root - half) / gamma)
    return (1 - shortfall).clamp(0, 1)


def ols_correlation(signal: float, noise: float, n_train: int, n_models: int) -> float:
    """Return the correlation of an OLS datamodel with the linear part on new subsets.

    sqrt(L/(L + N sigma^2/(m - N - 2))); 0 where m <= N + 2.
    """
    return _correlation(ols_law, signal, noise, n_train, n_models)


def pairs_correlation(signal: float, noise: float, n_train: int, n_pairs: int) -> float:
    """Return the same for complementary pairs, noise that of half a difference.

    sqrt(L/(L + N sigma_d^2/(M - N - 1))); 0 where M <= N + 1.
    """
    return _correlation(pairs_law, signal, noise, n_train, n_pairs)


def difference_of_means_correlation(
    signal: float, noise: float, n_train: int, n_models: int
) -> float:
    """Return the same for differences of means, sqrt(L/(L + N (sigma^2 + L)/m))."""
    return _correlation(difference_of_means_law, signal, noise, n_train, n_models)


def ridge_correlation(
    signal: float, noise: float, n_train: int, n_models: int
) -> float:
    """Return the same for ridge at its best penalty and isotropic coefficients."""
    return _correlation(ridge_law, signal, noise, n_train, n_models)


def expected_lds(
    correlation: float,
    signal: float,
    curved: float,
    seed_variance: float,
    n_seeds: int,
) -> float:
    """Return the linear datamodeling score that a correlation with L's part gives.

    r sqrt(L/(L + V_high + sigma_r^2/R)), on the scale of ranks.

    Args:
        correlation: r, with the linear part on new subsets.
        signal: L.
        curved: V_high.
        seed_variance: sigma_r^2.
        n_seeds: R, training seeds a held-out subset.

    Returns:
        The expected Spearman correlation, for normal pairs.
    """
    check_positive(signal, "signal")
    check_at_least(n_seeds, 1, "n_seeds")
    total = signal + curved + seed_variance / n_seeds
    return spearman_of_normal(correlation * math.sqrt(signal / total))


def ceiling(signal: float, seed_variance: float, n_seeds: int) -> float:
    """Return the largest Pearson correlation of any attribution with noisy outputs.

    sqrt(V/(V + sigma_r^2/R)), V the variance over subsets, R seeds a held-out subset.
    """
    check_positive(signal, "signal")
    check_at_least(n_seeds, 1, "n_seeds")
    return math.sqrt(signal / (signal + seed_variance / n_seeds))


def spearman_of_normal(pearson: float) -> float:
    """Return the rank correlation of a normal pair, (6/pi) asin(r/2)."""
    return 6 / math.pi * math.asin(pearson / 2)


def spearman_map(pearson: Numbers) -> Numbers:
    """Return the same of many correlations."""
    return 6 / math.pi * torch.asin(pearson / 2)


def coefficient_error(noise: float, p: float, n_models: int) -> float:
    """Return the standard error of one coefficient, sigma/sqrt(m p(1-p))."""
    check_at_least(n_models, 1, "n_models")
    return math.sqrt(noise / (n_models * p * (1 - p)))


def direction_bias(
    own: Numbers, others: Numbers, step: float, kurtosis: float = 1.0
) -> Numbers:
    r"""Return the leading bias of a derivative from pairs along random directions.

    E z_i [F(w + hz) - F(w - hz)]/2h - F_i = (h^2/6)(kappa F_iii + 3 sum_{j != i} F_ijj)
    + O(h^4), for OLS as for the mean of products.

    Args:
        own: F_iii.
        others: sum_{j != i} F_ijj.
        step: h.
        kurtosis: kappa = E z_i^4: 1 of Rademacher directions.

    Returns:
        The bias.
    """
    return step**2 / 6 * (kurtosis * own + 3 * others)


def direction_noise(
    seed_variance: Float[Tensor, "train targets"],
    fresh: float,
    step: float,
    kurtosis: float = 1.0,
) -> Float[Tensor, "train targets"]:
    r"""Return the variance of a pair's quotient that each coefficient sees.

    sum_j v_j + (kappa - 1) v_i + sigma^2/2h^2: seeds move the derivatives of all
    examples, and what they change anew at every weight is divided by the step.

    Args:
        seed_variance: v_j, the variance over seeds of a seed's own derivative.
        fresh: sigma^2, the variance of F that two sides of a pair do not share.
        step: h.
        kurtosis: kappa = E z_i^4.

    Returns:
        The variance, an example.
    """
    total = seed_variance.sum(0) + fresh / (2 * step**2)
    return total + (kurtosis - 1) * seed_variance


def direction_errors(
    noise: Float[Tensor, "train targets"], n_pairs: int
) -> Float[Tensor, "train targets"]:
    """Return standard errors of OLS on pairs, sqrt(noise/(M - N - 1)).

    Infinite where M <= N + 1.
    """
    freedom = n_pairs - len(noise) - 1
    return (noise / freedom).sqrt() if freedom > 0 else noise + torch.inf


def direction_mean_errors(
    noise: Float[Tensor, "train targets"],
    derivative: Float[Tensor, "train targets"],
    n_pairs: int,
    kurtosis: float = 1.0,
) -> Float[Tensor, "train targets"]:
    """Return standard errors of the mean of z_i times the quotient, any M.

    sqrt((noise + sum_j g_j^2 + (kappa - 2) g_i^2)/M): what the other examples do is
    noise too.
    """
    square = derivative.square()
    return ((noise + square.sum(0) + (kurtosis - 2) * square) / n_pairs).sqrt()


def central_errors(
    seed_variance: Numbers, fresh: float, step: float, n_seeds: int
) -> Numbers:
    """Return standard errors of central differences, sqrt((v_i + sigma^2/2h^2)/n)."""
    check_at_least(n_seeds, 1, "n_seeds")
    return ((seed_variance + fresh / (2 * step**2)) / n_seeds).sqrt()


def _share(noise: Tensor, freedom: Tensor) -> Tensor:
    """Return 1/(1 + noise/freedom), 0 where there is no freedom."""
    return torch.where(freedom > 0, freedom / (freedom + noise), 0.0).clamp_min(0)


def _correlation(
    law: Law, signal: float, noise: float, n_train: int, n_rows: int
) -> float:
    check_positive(signal, "signal")
    check_at_least(n_rows, 1, "n_models")
    ratio = torch.tensor(noise / signal, dtype=torch.float64)
    rows = torch.tensor(n_rows, dtype=torch.float64)
    return math.sqrt(law(ratio, n_train, rows).item())
