"""What strategies say of their cases, against enumeration and differences."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from samples import no_seeds, unchecked
from torch import Tensor

from dmtheory import designs
from dmtheory.problems import Problem
from dmtheory.problems.set_functions import all_masks
from dmtheory.testing import strategies
from dmtheory.testing.strategies import (
    ConvexCase,
    PlantedTable,
    ResponseCase,
    SpectralGame,
    Study,
)
from dmtheory.theory.exhaustive import (
    population_r2,
    population_regression,
    subset_law,
)
from dmtheory.theory.games import leave_one_out_values, shapley_values

few = settings(max_examples=15)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@few
@given(game=strategies.games())
def test_a_spectrum_says_what_enumeration_finds(game: SpectralGame) -> None:
    table = game.values(all_masks(game.n_train))
    intercept, beta = population_regression(table, game.p)
    close(game.datamodel, beta)
    close(game.intercept, intercept)
    close(game.leave_one_out, leave_one_out_values(table))
    close(game.shapley, shapley_values(table))
    law = subset_law(all_masks(game.n_train), game.p)
    variance = law @ table**2 - (law @ table) ** 2
    varies = variance > 1e-9
    left = (1 - population_r2(table, game.p)) * variance
    close(game.residual_variance[varies], left[varies], 1e-8)
    close(game.problem.respond(all_masks(game.n_train), no_seeds(len(table))), table)


@pytest.mark.parametrize("p", [0.5, 0.25, 0.75, 0.2])
def test_exact_masks_have_the_law_of_independent_inclusion(p: float) -> None:
    rows = strategies.exact_masks(3, p, least=100)
    assert len(rows) >= 100
    subsets = all_masks(3)
    shares = torch.stack([(rows == s).all(1).double().mean() for s in subsets])
    close(shares, subset_law(subsets, p))


def test_every_kind_of_design_is_drawn() -> None:
    wanted = (
        designs.Bernoulli,
        designs.FixedSize,
        designs.Stratified,
        designs.LeaveKOut,
        designs.ComplementaryPairs,
        designs.AntitheticPairs,
        designs.DisjointBlocks,
    )
    for kind in wanted:
        find(strategies.designs(4), lambda found, kind=kind: isinstance(found, kind))


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e6])
@few
@given(data=st.data())
def test_features_have_the_condition_number_stated(
    condition: float, data: st.DataObject
) -> None:
    x = data.draw(strategies.features(6, 3, condition=condition))
    values = torch.linalg.svdvals(x)
    assert (values[0] / values[-1]).item() == pytest.approx(condition, rel=1e-8)
    assert values[0].item() == pytest.approx(6**0.5)


def differences(problem: Problem, at: Tensor, step: float) -> Tensor:
    """Return fourth-order differences of respond itself."""
    moves = step * torch.eye(len(at)).double()
    rows = [at + k * moves for k in (1, -1, 2, -2)]
    seeds = torch.zeros(len(at), dtype=torch.int64)
    near_up, near_down, up, down = (problem.respond(w, seeds) for w in rows)
    return (8 * (near_up - near_down) - (up - down)) / (12 * step)


@few
@given(case=strategies.convex_cases())
def test_a_convex_case_knows_its_derivative(case: ConvexCase) -> None:
    close(case.derivative, differences(case.problem, case.at, 1e-2), 1e-5)
    fitted = case.problem.fit(case.at[None], no_seeds(1)).params[0]
    close(case.parameters, fitted, 1e-8)


RESPONSES = strategies.smooth_responses() | strategies.trained_networks()


@few
@given(case=RESPONSES)
def test_a_response_knows_its_derivative(case: ResponseCase) -> None:
    with unchecked():
        close(case.derivative, differences(case.problem, case.at, 1e-2), 1e-5)


def test_noise_of_the_level_is_that_of_the_seed_alone() -> None:
    case = find(strategies.noisy(slope=0.0, level=1.0), lambda found: True)
    weights = torch.tensor([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]]).double()
    same = case.problem.respond(weights, torch.tensor([7, 7]))
    other = case.problem.respond(weights[:1], torch.tensor([8]))
    close(same[1] - same[0], case.derivative[0])
    assert (other - same[0]).abs() > 1e-3


@few
@given(planted=strategies.tables_with_copies())
def test_copies_are_where_they_are_said_to_be(planted: PlantedTable) -> None:
    n_own = len(planted.x) - len(planted.copy_of)
    own, copies = planted.x[:n_own], planted.x[n_own:]
    gaps = (copies[:, None] - own).norm(dim=2)
    assert gaps.argmin(1).tolist() == list(planted.copy_of)
    close(gaps.amin(1), torch.full_like(gaps.amin(1), planted.distance), 1e-12)
    assert (torch.pdist(own) > 10).all()


@contextmanager
def searching() -> Iterator[settings]:
    phases = (Phase.generate, Phase.shrink)
    checks = list(HealthCheck)
    yield settings(
        max_examples=300, phases=phases, database=None, suppress_health_check=checks
    )


def test_cases_shrink_to_what_matters() -> None:
    """A pair that interacts, and nothing else; one weight away from 1."""
    with searching() as hard:

        def interacts(study: Study) -> bool:
            return bool((study.game.residual_variance > 0).any())

        study = find(strategies.exact_studies(), interacts, settings=hard)
        assert str(study.game) == "2 players, p = 0.5, spectrum {0,1}: 1"
        case = find(
            strategies.convex_cases(),
            lambda found: bool((found.at != 1).any()),
            settings=hard,
        )
        assert case.at.tolist().count(1.0) == len(case.at) - 1
        assert case.kind == "least squares"
