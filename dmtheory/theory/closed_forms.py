"""Ratios that theory gives in closed form."""

from dmtheory.checks import check_at_least, check_open_unit


def sample_mean_ratio(n_train: int, p: float) -> float:
    """Return beta_i(p) / g_i(1) of the sample mean under Bernoulli(p).

    N/(N-1) [(1 - (1-p)^N)/p - (1-p)^(N-1)], with F(empty) the grand mean; it tends to
    1/p. Under a fixed size k = alpha N the ratio is exactly 1/alpha.
    """
    check_at_least(n_train, 2, "n_train")
    check_open_unit(p, "p")
    absent = 1 - p
    mean_inverse = (1 - absent**n_train) / p - absent ** (n_train - 1)
    return n_train / (n_train - 1) * mean_inverse


def matched_slope_tolerance(
    effective_parameters: float, p: float, n_train: int
) -> float:
    """Return the gap allowed from beta(p) to dF/dw(p·1): 2d/(pN) + .01, at most .15.

    The leading term of the expansion of beta around p·1 is of order d/(pN).
    """
    return min(0.15, 2 * effective_parameters / (p * n_train) + 0.01)
