"""What a penalty does to the population datamodel, in closed form.

Penalties are lambda in (mean squared error) + lambda |beta|^2 or lambda |beta|_1, with
no factor 1/2.
"""

import math

import torch

from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.theory.exhaustive import Coefficients


def ridge_population(beta: Coefficients, p: float, l2_penalty: float) -> Coefficients:
    """Return beta_i/(1 + lambda/(p(1-p))), masks Bernoulli(p) with a free intercept."""
    check_open_unit(p, "p")
    return beta / (1 + l2_penalty / (p * (1 - p)))


def lasso_population(beta: Coefficients, p: float, l1_penalty: float) -> Coefficients:
    """Return the soft threshold of beta_i at lambda/(2p(1-p))."""
    check_open_unit(p, "p")
    pulled = beta.abs() - l1_penalty / (2 * p * (1 - p))
    return beta.sign() * torch.clamp(pulled, min=0)


def fixed_size_ridge_population(
    beta: Coefficients, size: int, l2_penalty: float
) -> Coefficients:
    """Return beta/(1 + lambda/a), a = k(N-k)/(N(N-1)), of the minimum-norm datamodel.

    Subsets have the size k = `size`.
    """
    n_train = len(beta)
    a = size * (n_train - size) / (n_train * (n_train - 1))
    return beta / (1 + l2_penalty / a)


def ridge_shrinkage(p: float, l2_penalty: float, n_train: int, n_models: int) -> float:
    r"""Return what ridge on m random masks multiplies beta by, in expectation.

    1 - lam mu with lam = lambda/(p(1-p)), gamma = N/m and
    mu = [-(1 - gamma + lam) + sqrt((1 - gamma + lam)^2 + 4 gamma lam)]/(2 gamma lam),
    the Stieltjes transform of the masks' sample covariance; 1/(1 + lam) for many
    models, less for few.

    References:
        Marchenko and Pastur 1967; Dobriban and Wager 2018.
    """
    check_open_unit(p, "p")
    check_positive(l2_penalty, "l2_penalty")
    check_at_least(n_models, 1, "n_models")
    lam, gamma = l2_penalty / (p * (1 - p)), n_train / n_models
    half = 1 - gamma + lam
    mu = (math.sqrt(half**2 + 4 * gamma * lam) - half) / (2 * gamma * lam)
    return 1 - lam * mu
