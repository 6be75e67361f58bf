"""Spectra, linear bounds and the models that the noise law names, in closed form."""

import math
from itertools import combinations

import pytest
import torch
from samples import normal

from dmtheory.estimand import Point
from dmtheory.problems.set_functions import all_masks, or_of_duplicates
from dmtheory.theory.exhaustive import fourier_coefficients, subset_law
from dmtheory.theory.noise_laws import (
    ols_correlation,
    ols_law,
    pairs_correlation,
    pairs_law,
)
from validation.claims.exact import exact_attribution
from validation.claims.linear_bounds import (
    NAMED,
    every_subset,
    reached,
    rows_named,
    spectrum_by_degree,
)
from validation.claims.linear_exactly import measure_exactly
from validation.laboratory import Laboratory


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_the_spectrum_by_degree_is_that_of_products_of_the_basis(p: float) -> None:
    table = normal(2**5, 3, seed=4)
    masks, found = all_masks(5), spectrum_by_degree(table, p)
    law = subset_law(masks, p)
    basis = (masks - p) / math.sqrt(p * (1 - p))
    for degree in range(6):
        weight = torch.zeros(3).double()
        for chosen in combinations(range(5), degree):
            weight += (law * basis[:, list(chosen)].prod(1) @ table).square()
        torch.testing.assert_close(found[degree], weight)
    variance = law @ table.square() - (law @ table).square()
    torch.testing.assert_close(found[1:].sum(0), variance)
    torch.testing.assert_close(found[1], fourier_coefficients(table, p).square().sum(0))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_linear_share_of_an_or_is_in_closed_form(k: int) -> None:
    """Var = 2^-k (1 - 2^-k), beta = 2^(1-k): L/V = k/(2^k - 1)."""
    spectrum = spectrum_by_degree(or_of_duplicates(6, k).values, 0.5)
    share = spectrum[1] / spectrum[1:].sum(0)
    assert share.item() == pytest.approx(k / (2**k - 1), rel=1e-12)


def test_no_linear_scores_beat_the_bound_and_only_its_own_reach_it(
    laboratory: Laboratory,
) -> None:
    evidence = measure_exactly(laboratory, "tiny-ridge-sum")
    every, best = evidence.held_out["every subset"], evidence.estimates["population"]
    bound = torch.tensor([evidence.numbers[f"bound {i}"] for i in range(4)]).double()
    torch.testing.assert_close(reached(best.scores, every).correlation, bound)
    for seed in range(50):
        other = best.scores + 0.1 * best.scores.norm() * normal(8, 4, seed=seed)
        assert (reached(other, every).correlation < bound).all()
    # Twice the scores correlate as well: they miss V_high, and L again.
    twice = reached(2 * best.scores, every)
    torch.testing.assert_close(twice.correlation, bound)
    torch.testing.assert_close(twice.missing, torch.ones(4).double())


def test_every_subset_is_there_once() -> None:
    problem = or_of_duplicates(3, 2)
    like = exact_attribution(
        problem,
        normal(3, 1, seed=0),
        quantity="datamodel",
        point=Point("subsets", 0.5),
        method="made up",
    )
    every = every_subset(problem.values, like)
    assert len({tuple(row) for row in every.weights.tolist()}) == 8
    torch.testing.assert_close(
        every.mean_outputs()[:, 0], (every.weights[:, :2].sum(1) > 0).double()
    )


@pytest.mark.parametrize(
    ("law", "correlation"), [(ols_law, ols_correlation), (pairs_law, pairs_correlation)]
)
@pytest.mark.parametrize("ratio", [0.0, 0.3, 4.0])
def test_the_rows_named_are_the_fewest(law, correlation, ratio: float) -> None:
    found = rows_named(law, ratio, 20)
    assert correlation(1.0, ratio, 20, found) >= NAMED
    assert correlation(1.0, ratio, 20, found - 1) < NAMED
