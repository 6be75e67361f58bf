"""The five terms: each stage written out, their sum, and where they vanish."""

from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, unchecked, weight_rows
from torch import Tensor

from dmtheory import GaussNewton, influence, leave_one_out
from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.influence.classical import weight_derivatives
from dmtheory.influence.gap.influence_gap import TERMS, InfluenceGap, influence_gap
from dmtheory.influence.gap.pbrf import ProximalBregman
from dmtheory.influence.gap.stages import STAGES
from dmtheory.influence.gap.statistics import resampled_means
from dmtheory.influence.gap.warm_start import retrained_from
from dmtheory.influence.removing.removals import leave_out
from dmtheory.influence.solvers import ConjugateGradients
from dmtheory.problems import (
    MLP,
    SGD,
    BlackBox,
    LeastSquares,
    LogisticRegression,
    Network,
    SoftmaxRegression,
)

each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])
CHOSEN = (0, 3, 4, 6)


class Warm(Network):
    """A network that begins where it is told."""

    def initial(self, seeds: Tensor) -> Tensor:
        return self.__dict__["place"].repeat(len(seeds), 1)


def network(kind: Any = Network, normalisation: Any = "sum", **training: Any) -> Any:
    settings = {"epochs": 4, "batch_size": 4, "weight_decay": 0.02, **training}
    return kind(
        make_module=MLP((2, 3, 3)),
        data=table(7, 2, classes=3, seed=2),
        training=SGD(**settings),
        normalisation=normalisation,
    )


def without(weights: Tensor, chosen: tuple[int, ...]) -> Tensor:
    rows = weights.repeat(1 + len(chosen), 1)
    for row, i in zip(rows[1:], chosen, strict=True):
        row[i] = 0
    return rows


def effect(outputs: Tensor) -> Tensor:
    return outputs[0] - outputs[1:]


@each_normalisation
def test_every_stage_of_a_network_is_what_it_says(normalisation: str) -> None:
    problem = network(normalisation=normalisation)
    weights = 0.3 + weight_rows(1, 7, seed=1)[0]
    found = influence_gap(
        problem, damping=0.3, removed=CHOSEN, at=weights, n_seeds=2, seed=3
    )
    assert found.effects.shape == (len(STAGES), 2, 4, 4)
    rows = without(weights, CHOSEN)
    for k, seed in enumerate(model_seeds(3, torch.arange(2))):
        seeds = seed.repeat(5)
        cold = effect(problem.respond(rows, seeds))
        theta = problem.fit(weights[None], seeds[:1]).params[0]
        again = network(Warm, normalisation)
        again.__dict__["place"] = theta
        warm = effect(again.respond(rows, seeds))
        torch.testing.assert_close(found.effects[0, k], cold, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found.effects[1, k], warm, rtol=1e-9, atol=1e-12)
        bregman = leave_out(
            problem,
            {str(i): (i,) for i in CHOSEN},
            rule=ProximalBregman(),
            damping=0.3,
            at=weights,
            curvature=GaussNewton(),
            parameters=theta,
        ).scores
        torch.testing.assert_close(found.effects[3, k], bregman, rtol=1e-6, atol=1e-9)
        linear = weight_derivatives(
            problem, weights[None], seeds[:1], curvature=GaussNewton(), damping=0.3
        )[0]
        expected = weights[list(CHOSEN), None] * linear[list(CHOSEN)]
        torch.testing.assert_close(found.effects[4, k], expected, rtol=1e-7, atol=1e-9)


def test_the_pull_is_part_of_the_objective_of_every_step() -> None:
    # A full-batch training written out: J + damping/2 |theta - start|^2, momentum .9.
    problem = network(batch_size=7, epochs=5)
    start, damping = normal(problem.initial(no_seeds(1)).shape[1], seed=1), 0.7
    weights = weight_rows(1, 7, seed=2)
    theta, velocity = start.clone(), torch.zeros_like(start)

    def objective(at: Tensor) -> Tensor:
        losses = problem.prediction_losses(problem.predictions(at))
        pull = 0.5 * damping * (at - start).square().sum()
        return losses @ weights[0] / weights.sum() + problem.penalty(at) + pull

    for step in range(5):
        velocity = 0.9 * velocity + torch.func.grad(objective)(theta)
        theta = theta - 0.1 * (1 - step / 5) * velocity
    found = retrained_from(problem, start, weights, torch.tensor(0), damping=damping)
    torch.testing.assert_close(found[0], theta, rtol=1e-10, atol=1e-12)


def the_terms_add_up(found: InfluenceGap) -> None:
    mean = found.effects.mean(1)
    total = torch.stack([found.gap(name) for name in TERMS]).sum(0)
    torch.testing.assert_close(total, mean[0] - mean[-1], rtol=0, atol=1e-12)
    assert sum(term.share.value for term in found.terms) == pytest.approx(1, abs=1e-12)
    assert tuple(term.name for term in found.terms) == TERMS


def test_the_terms_add_up_to_the_gap_and_have_intervals() -> None:
    counts: list[int] = []
    found = influence_gap(
        network(),
        damping=0.3,
        removed=range(5),
        n_seeds=4,
        seed=3,
        progress=counts.append,
    )
    assert counts == [1] * 4
    the_terms_add_up(found)
    assert found.train_labels == tuple(f"row {i}" for i in range(5))
    for term in found.terms[:-1]:
        assert term.size.low < term.size.value < term.size.high
        assert term.share.low < term.share.value < term.share.high
    mean = found.effects.mean(1)
    for term in found.terms:
        ratio = found.gap(term.name).norm() / mean[0].norm()
        assert term.size.value == pytest.approx(ratio.item(), rel=1e-9)
    assert found.total.value == pytest.approx(
        ((mean[0] - mean[-1]).norm() / mean[0].norm()).item()
    )
    # Solved exactly, the solver's term is none.
    assert found.terms[-1].size.value == 0


def test_intervals_hold_few_seeds_fixed_and_draw_many() -> None:
    few = normal(6, 3, 5, 4, seed=1)
    seeds = few.repeat_interleave(2, 1)
    means, counts = resampled_means(few, 1000, 0)
    assert torch.equal(means[0], means[1])
    assert torch.equal(counts[0], torch.ones(5).double())
    means, _ = resampled_means(seeds, 1000, 0)
    # Of a mean of six: the bootstrap's spread is s/sqrt(6), s with n - 1.
    spread = means[1:].std(0)
    expected = seeds.std(1) / 6**0.5
    torch.testing.assert_close(spread, expected, rtol=0.15, atol=1e-12)


@each_normalisation
@pytest.mark.parametrize("make", [LeastSquares, LogisticRegression, SoftmaxRegression])
def test_on_converged_convex_problems_linearisation_alone_is_left(
    make: Any, normalisation: str
) -> None:
    data = table(16, 3, classes=0 if make is LeastSquares else 2, seed=4)
    problem = make(data=data, ridge=0.1, normalisation=normalisation)
    found = influence_gap(problem, damping=0.0)
    the_terms_add_up(found)
    truth = leave_one_out(problem).scores
    torch.testing.assert_close(found.effects[0, 0], truth, rtol=0, atol=1e-12)
    first = influence(problem).scores
    torch.testing.assert_close(found.effects[4, 0], first, rtol=1e-8, atol=1e-10)
    sizes = {term.name: term.size.value for term in found.terms}
    assert sizes.pop("linearisation") == pytest.approx(found.total.value, rel=1e-6)
    assert found.total.value > 0.02
    assert max(sizes.values()) < 1e-7


def test_damping_alone_makes_a_proximity_term() -> None:
    problem = LogisticRegression(data=table(16, 3, classes=2, seed=4), ridge=0.1)
    found = influence_gap(problem, damping=0.3)
    sizes = {term.name: term.size.value for term in found.terms}
    assert sizes["proximity"] > 0.1
    assert sizes["warm start"] < 1e-7
    assert sizes["non-convergence"] < 1e-7
    assert sizes["linearisation"] > 0.005


def test_the_solver_term_is_what_the_estimate_is_off() -> None:
    problem = network()
    settings: dict[str, Any] = {"damping": 0.3, "n_seeds": 2, "seed": 3}
    exact = influence(problem, curvature=GaussNewton(), **settings)
    found = influence_gap(problem, estimate=exact, removed=(0, 3), **settings)
    assert found.terms[-1].size.value < 1e-8
    off = exact.scaled(1.5)
    found = influence_gap(problem, estimate=off, removed=(0, 3), **settings)
    the_terms_add_up(found)
    expected = -0.5 * exact.scores[[0, 3]]
    torch.testing.assert_close(found.gap("solver"), expected, rtol=1e-7, atol=1e-12)
    loose = influence(
        problem,
        curvature=GaussNewton(),
        solver=ConjugateGradients(tolerance=0.1),
        **settings,
    )
    found = influence_gap(problem, estimate=loose, removed=(0, 3), **settings)
    the_terms_add_up(found)
    assert 1e-5 < found.terms[-1].size.value < 0.2
    for wrong in (
        influence(problem, curvature=GaussNewton(), damping=0.3, n_seeds=2, seed=4),
        influence(
            problem, curvature=GaussNewton(), damping=0.3, n_seeds=2, seed=3, at=0.5
        ),
    ):
        with pytest.raises(ValueError, match="estimate must be influence of this"):
            influence_gap(problem, estimate=wrong, **settings)
    single = influence(problem, curvature=GaussNewton(), damping=0.3, seed=3)
    with pytest.raises(ValueError, match=r"estimate must have one model a seed \(2\)"):
        influence_gap(problem, estimate=single, **settings)


def test_correlations_are_those_of_the_stages() -> None:
    found = influence_gap(network(), damping=0.3, removed=CHOSEN, n_seeds=2, seed=3)
    mean = found.effects.mean(1)
    x, y = (mean[k] - mean[k].mean(0) for k in (0, 3))
    expected = (x * y).sum() / (x.norm() * y.norm())
    r = found.correlation("cold start", "Bregman")
    assert r.value == pytest.approx(expected.item())
    assert r.low < r.value < r.high
    more = found.nearer("estimate", "Bregman", "cold start")
    less = found.nearer("estimate", "cold start", "Bregman")
    assert more.value == pytest.approx(-less.value)
    assert more.value == pytest.approx(
        found.correlation("estimate", "Bregman").value
        - found.correlation("estimate", "cold start").value
    )
    with pytest.raises(ValueError, match="stage must be one of cold start"):
        found.correlation("cold", "Bregman")
    with pytest.raises(ValueError, match="name must be one of warm start"):
        found.gap("linear")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"damping": -1.0}, "damping must be finite and >= 0"),
        ({"removed": (2,)}, "number of removed examples must be at least 2"),
        ({"removed": (2, 9)}, r"coordinates must lie in \[0, 7\), got 9"),
        ({"at": Bernoulli(p=0.5)}, "at must be a point for the gap"),
        ({"n_seeds": 0}, "n_seeds must be at least 1"),
        ({"draws": 10}, "draws must be at least 1000"),
    ],
)
def test_a_gap_that_cannot_be_split_is_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        influence_gap(network(), **{"damping": 0.3, **arguments})


def test_only_known_procedures_are_retrained_from_a_start() -> None:
    problem = network()
    other = BlackBox(description=problem.description, train_and_measure=lambda w, s: w)
    with (
        unchecked(),
        pytest.raises(TypeError, match="must be a Network or a convex problem"),
    ):
        retrained_from(
            other,  # type: ignore[arg-type]
            torch.zeros(3).double(),
            torch.ones(1, 7).double(),
            torch.tensor(0),
        )
