"""How well an estimate from m models correlates with the truth.

L = p(1-p) sum beta^2 is the variance of the linear part, sigma^2 = sigma_r^2 + V_high
that of seeds and higher-degree terms, N the number of players.

References:
    Wishart moments for OLS; theory page, section 4.
"""

import math

from dmtheory.checks import check_at_least, check_positive


def ols_correlation(signal: float, noise: float, n_train: int, n_models: int) -> float:
    """Return the correlation of an OLS datamodel with the linear part on new subsets.

    sqrt(L/(L + N sigma^2/(m - N - 2))); 0 where m <= N + 2.
    """
    check_positive(signal, "signal")
    if n_models <= n_train + 2:
        return 0.0
    return math.sqrt(signal / (signal + n_train * noise / (n_models - n_train - 2)))


def pairs_correlation(signal: float, noise: float, n_train: int, n_pairs: int) -> float:
    """Return the same for complementary pairs, noise that of half a difference.

    sqrt(L/(L + N sigma_d^2/(M - N - 1))); 0 where M <= N + 1.
    """
    check_positive(signal, "signal")
    if n_pairs <= n_train + 1:
        return 0.0
    return math.sqrt(signal / (signal + n_train * noise / (n_pairs - n_train - 1)))


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


def coefficient_error(noise: float, p: float, n_models: int) -> float:
    """Return the standard error of one coefficient, sigma/sqrt(m p(1-p))."""
    check_at_least(n_models, 1, "n_models")
    return math.sqrt(noise / (n_models * p * (1 - p)))
