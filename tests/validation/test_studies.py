"""Studies: their numbers against closed forms, and what they put into a run."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import an_attribution, normal

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds
from dmtheory.agreement.resampling import resample_counts
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.data import digits
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.designs import Bernoulli, ComplementaryPairs
from dmtheory.influence.classical import influence
from dmtheory.responses.collect import collect
from dmtheory.theory.noise_laws import spearman_of_normal
from reports import build_report
from validation import studies
from validation.claim import Entry, Evidence
from validation.claims import CLAIMS, sample_efficiency, why_datamodels_win
from validation.environment import environment
from validation.laboratory import Laboratory
from validation.studies import (
    STUDIES,
    efficiency,
    findings_of,
    frontier,
    inverse_p,
    lds_axis,
    matched_collapse,
    matched_decay,
    response_curves,
    routes,
    run_studies,
)
from validation.studies.scale_freeness import scale_freeness
from validation.studies.smaller import with_targets
from validation.studies.study import Finding, Json, Made, Run
from validation.verdicts.judging import Measured

NOTHING = Evidence(estimates={})


def quiet(*_: object) -> None:
    pass


def a_run(laboratory: Laboratory, *findings: Finding) -> Run:
    return Run(laboratory=laboratory, thorough=False, findings=findings)


def finding(claim_id: str, scale: str, problem: str, **other) -> Finding:
    given = {"evidence": NOTHING, "judged": {"parts": []}}
    entry = Entry(scale=scale, problem=problem)
    return Finding(claim_id=claim_id, entry=entry, **{**given, **other})


def named(figure: Json, start: str) -> Json:
    (found,) = [s for s in figure["series"] if s["label"].startswith(start)]
    return found


# Cost against accuracy


def a_route(spread: float, **other) -> routes.Route:
    """Return a route whose pilot of 400 units has a known standard error."""
    units = spread * normal(400, 6, 5, seed=1)
    units = units - units.mean(0) + normal(6, 5, seed=2)
    stderr = units.std(0) / 20
    pilot = an_attribution(units.mean(0), units=units, stderr=stderr)
    given = {"name": "r", "estimand": "e", "price": "p", "pilot": pilot}
    return routes.Route(**{**given, "spent": 400, **other})


def test_a_law_leads_from_the_pilot_to_the_trainings_wanted() -> None:
    """sigma^2/(m - overhead): sigma 2, an error of .05 takes 1,600 beyond it."""
    row = routes.cost_table([("r", a_route(2.0).pilot)], 0.05)[0]
    row = replace(row, n_models=400)
    beyond = Interval(1600.0, 1500.0, 1700.0)
    route = a_route(2.0, spent=450, overhead=50, least=60)
    assert route.needed(beyond) == Interval(1650.0, 1550.0, 1750.0)
    assert route.needed(Interval(4.0, 2.0, 40.0)) == Interval(60.0, 60.0, 90.0)
    cost = routes.Cost(route=route, error=Interval.exact(0.1), needed=beyond)
    law = frontier.law(cost)
    assert law["x"][0] == 60 and law["y"][0] == pytest.approx(0.1 * 400**0.5 / 10**0.5)
    assert law["y"][-1] == pytest.approx(0.03)
    for m, error in zip(law["x"], law["y"], strict=True):
        assert error**2 * (m - 50) == pytest.approx(0.01 * 400)


def test_an_exact_route_costs_what_it_spends() -> None:
    exact = an_attribution(normal(3, 2, seed=1), stderr=torch.zeros(3, 2).double())
    route = a_route(1.0, pilot=exact, spent=7)
    assert route.needed(Interval.exact(3.0)) == Interval.exact(7.0)


@pytest.fixture(scope="module")
def small_network(laboratory: Laboratory):
    base = laboratory.problem("digits-sum")
    return replace(base, data=digits(n_train=16, n_targets=8))  # type: ignore[type-var]


def test_pilots_foretell_what_larger_runs_reach(small_network) -> None:
    """Pairs trained as often as their pilot says reach the error wanted.

    The pilot's error is a median of 128 that share 24 pairs, known to about a tenth;
    .7 to 1.4 is three times that. Without the overhead of N + 1 pairs it is 2.
    """
    found = {
        c.route.name: c for c in routes.costs(small_network, thorough=False, seed=1)
    }
    assert len(found) == 7
    size = routes._size(found["pathwise"].route.pilot)
    pairs = found["datamodel, pairs"]
    n_pairs = round(pairs.needed.value / 2)
    design = ComplementaryPairs(n_pairs=n_pairs, seed=77)
    reached = fit_datamodel(collect(small_network, design)).stderr
    assert reached is not None
    assert 0.07 < reached.median().item() / size < 0.14
    for name, fewest in (
        ("forward differences", 17),
        ("central differences", 32),
        ("random directions", 36),
        ("datamodel, independent masks", 19),
    ):
        needed = found[name].needed
        assert fewest <= needed.low <= needed.value <= needed.high
        assert found[name].needed.value > found["pathwise"].needed.value
    # Every seed of a difference pays for all N, whatever the pilot took.
    central = found["central differences"].route
    assert central.spent == 32 * 8 and central.pilot.n_models == 2 * 6 * 8
    assert found["forward differences"].route.spent == 17 * 8
    seeds = [next(iter(c.route.pilot.seeds)) for c in found.values()]
    assert len(set(seeds)) == 7, "routes share no seed"


def test_routes_of_a_convex_problem_are_exact_where_training_is(laboratory) -> None:
    problem = with_targets(laboratory.problem("diabetes-sum"), 4)
    few = frontier._resized(problem, "diabetes-sum", 44, 4)
    found = {c.route.name: c for c in routes.costs(few, thorough=False, seed=1)}
    for name, trainings in (
        ("implicit function", 1),
        ("forward differences", 45),
        ("central differences", 88),
    ):
        assert found[name].needed == Interval.exact(float(trainings))
        assert found[name].error.value == 0
    # A step's third derivatives are all that disturbs directions.
    assert found["random directions"].needed.value < 2 * 46 + 2
    assert found["datamodel, pairs"].needed.value > 500


def test_the_figures_of_the_frontier(laboratory, monkeypatch) -> None:
    monkeypatch.setattr(frontier, "SIZES", {False: (14, 18)})
    before = laboratory.models_trained
    made = frontier.make(a_run(laboratory), "digits-sum")
    assert laboratory.models_trained - before > 400
    against_size, against_error = made.figures
    assert [s["x"] for s in against_size["series"]] == [[14, 18]] * 7
    for series in against_size["series"]:
        for low, value, high in zip(
            series["low"], series["y"], series["high"], strict=True
        ):
            assert low <= value <= high
    for series in against_error["series"]:
        m, error = series["trend"]["x"], series["trend"]["y"]
        assert m == sorted(m) and error == sorted(error, reverse=True)
    stands_for = dict(made.legend)
    assert "β(p)" in stands_for["datamodel, pairs"]
    assert "dF/dw at w = p·1" in stands_for["pathwise"]


# The slope, and how the gap falls


def test_scale_free_slopes_at_both_points_differ_by_p(laboratory) -> None:
    """g(p·1) = g(1)/p exactly, so slopes do by p and the posted one is near 1/p."""
    problem = with_targets(laboratory.problem("diabetes-sum"), 3)
    posted, matched = inverse_p.related((problem, 0.3, 800, 5))
    assert matched.slope.value == pytest.approx(0.3 * posted.slope.value, rel=1e-9)
    assert posted.slope.low < 1 / 0.3 * 1.05 < posted.slope.high * 1.1
    assert not posted.slope.low < 1 < posted.slope.high


def test_the_factor_study_draws_the_lines_it_names(laboratory, monkeypatch) -> None:
    monkeypatch.setattr(inverse_p, "LEVELS", (0.4, 0.8))
    monkeypatch.setattr(inverse_p, "MODELS_A_LEVEL", {False: 800})
    monkeypatch.setattr(inverse_p, "TARGETS", 3)
    slopes, errors = inverse_p.make(a_run(laboratory), "diabetes-sum").figures
    posted = named(slopes, "slope of β(p) on dF/dw(1)")
    assert posted["x"] == [2.5, 1.25]
    assert posted["y"] == pytest.approx([2.5, 1.25], rel=0.15)
    law = named(slopes, "1/p")
    assert law["x"] == law["y"]
    assert named(errors, "1/p less 1")["y"] == pytest.approx([1.5, 0.25])


def test_the_order_of_the_gap_is_computed_anew() -> None:
    """d = tr[H^-1 X'X/N] at w = p·1 under `sum`, H = X'X/N + ridge."""
    place = matched_collapse.Place(n_train=44, n_features=4, p=0.35)
    problem = place.problem()
    x = problem.data.x_train.numpy()
    assert x.shape == (44, 4) and np.ptp(x[:, -1]) == 0, "the intercept stays"
    gram = x.T @ x / 44
    d = np.trace(np.linalg.solve(gram + problem.ridge * np.eye(4), gram))
    found = matched_collapse.measured((place, 800, 3))
    assert found.order == pytest.approx(d / (0.35 * 44), rel=1e-6)
    assert 0.9 < found.slope.value < 1.4


def test_decay_reads_the_claim(laboratory: Laboratory) -> None:
    entry = Entry(scale="V", problem="diabetes-sum")
    claim = CLAIMS["matched-derivative"]
    evidence = claim.measure(laboratory, entry)
    measured = Measured(claim_id=claim.id, entry=entry, evidence=evidence, seconds=0.0)
    judged = {"parts": [part.to_json() for part in claim.judge(evidence, entry)]}
    (found,) = findings_of([measured], [judged])
    errors, slopes = matched_decay.make(a_run(laboratory, found), entry.problem).figures
    gap = named(errors, "relative error")
    assert gap["x"] == [44, 88, 176, 352]
    assert gap["y"] == sorted(gap["y"], reverse=True)
    part = next(p for p in judged["parts"] if p["name"] == "decay with N")
    fitted = named(errors, "fitted exponent")["y"]
    exponent = math.log(fitted[-1] / fitted[0]) / math.log(352 / 44)
    assert exponent == pytest.approx(part["value"], rel=1e-9)
    assert np.log(fitted).mean() == pytest.approx(np.log(gap["y"]).mean())
    order = named(errors, "d/(pN)")["y"]
    assert order[0] / order[-1] == pytest.approx(8, rel=0.2)
    band = named(slopes, "1, and what")
    assert band["y"] == [1.0] * 4 and band["low"][-1] == pytest.approx(
        2 - band["high"][-1]
    )


# The response along one weight


def test_lines_are_the_slopes_they_are_called(laboratory: Laboratory) -> None:
    name = "breast-cancer-sum"
    single, group = response_curves.make(a_run(laboratory), name).figures
    problem = laboratory.problem(name)
    labels = problem.description.train_labels
    target = int(laboratory.responses(name).outputs.mean(0).abs().argmin())
    row = labels.index(single["title"].removeprefix("One example: "))
    for at, start in ((1.0, "tangent: dF/dw(1)"), (0.5, "tangent: dF/dw(0.5·1)")):
        tangent = named(single, start)
        truth = influence(problem, at=at).scores[row, target].item()  # type: ignore
        assert tangent["x"] == [0.0, at, 2 * at]
        assert tangent["y"] == pytest.approx([-at * truth, 0, at * truth], rel=1e-2)
    full, secant = named(single, "others at weight 1"), named(single, "secant")
    assert secant["y"][0] == pytest.approx(full["y"][0], rel=1e-12)
    assert secant["y"][2] == -secant["y"][0]
    datamodel = laboratory.datamodel(name)
    line = named(single, "datamodel")
    score = datamodel.scores[row, target].item()
    assert line["y"][2] == pytest.approx(0.5 * score)
    assert f"{abs(score):.2f}"[:3] in line["label"]
    assert datamodel.stderr is not None
    half = 1.959964 * datamodel.stderr[row, target].item()
    ends = [0.5 * (score - half), 0.5 * (score + half)]
    assert [line["low"][2], line["high"][2]] == pytest.approx(ends, rel=1e-6)
    # The group's datamodel slope is the sum of coefficients.
    assert response_curves.GROUP == 10
    scores = laboratory.influence(name, at=0.5).scores[:, target]
    chosen = scores.argsort(descending=True)[:10]
    total = datamodel.scores[chosen, target].sum().item()
    assert named(group, "datamodel")["y"][2] == pytest.approx(0.5 * total)


def test_a_scale_free_response_is_one_curve_at_two_scales(laboratory) -> None:
    """F depends on ratios of weights alone: (others 1, x) is (others p, p x)."""
    made = response_curves.make(a_run(laboratory), "breast-cancer-sum")
    for figure in made.figures:
        full, half = (named(figure, f"others at weight {w}") for w in ("1", "0.5"))
        assert [2 * x for x in half["x"]] == full["x"]
        assert half["y"] == pytest.approx(full["y"], rel=1e-6, abs=1e-9)


# Scores on one axis


def outputs_of(values: torch.Tensor) -> SubsetOutputs:
    n_subsets, _, n_targets = values.shape
    return SubsetOutputs(
        weights=(normal(n_subsets, 6, seed=8) > 0).double(),
        outputs=values,
        design=None,
        unit_size=1,
        train_labels=tuple(f"row {i}" for i in range(6)),
        target_labels=tuple(f"question {i}" for i in range(n_targets)),
        stated={},
        n_models=n_subsets,
        seeds=frozenset({9}),
    )


def test_the_ceiling_is_that_of_one_seed_however_many_there_are() -> None:
    """V = 1, s^2 = .5: sqrt(1/1.5) on the scale of ranks; R = 4 would give .94."""
    signal = normal(400, 1, 40, seed=3)
    replicated = outputs_of(signal + 0.5**0.5 * normal(400, 4, 40, seed=4))
    found = lds_axis.ceiling(replicated)
    truth = spearman_of_normal((1 / 1.5) ** 0.5)
    assert found.low < truth < found.high
    assert found.value == pytest.approx(truth, abs=0.01)
    assert found.high - found.low < 0.05


def test_the_axis_has_a_row_for_every_part_that_it_is_made_of() -> None:
    names = [part(n) for part in lds_axis.POINTS.values() for n in lds_axis.AXIS]
    names += lds_axis.OTHERS.values()
    assert len(set(names)) == 18
    parts = {
        name: {"value": 0.01 * i, "low": 0.01 * i - 0.1, "high": 0.01 * i + 0.1}
        for i, name in enumerate(names)
    }
    figure = lds_axis.axis(parts, "digits-sum", Interval(0.9, 0.88, 0.92))
    drawn = [x for kind in figure["dots"] for x in kind["x"]]
    assert drawn == pytest.approx([0.01 * i for i in range(18)])
    assert figure["levels"][0]["x"] == 0.9
    assert figure["rows"][:4] == ["1 seed", "3 seeds", "10 seeds", "30 seeds"]


def test_the_claim_still_has_the_parts_that_the_axis_reads() -> None:
    """By name, with made-up scores in place of an hour of training."""
    names = [part(n) for part in lds_axis.POINTS.values() for n in lds_axis.SEEDS]
    names += ["datamodel", "derivative at p", "gradient product at p"]
    estimates = {
        name: an_attribution(normal(6, 3, seed=20 + i), units=normal(2, 6, 3, seed=i))
        for i, name in enumerate(names)
    }
    evidence = Evidence(
        estimates=estimates, held_out={"held out": outputs_of(normal(60, 1, 3, seed=5))}
    )
    entry = Entry(scale="M", problem="digits-sum")
    judged = [part.name for part in why_datamodels_win.judge(evidence, entry)]
    assert {*names, "random scores"} <= set(judged)


def test_the_most_seeds_are_scored_where_the_claim_scores_its_own(
    laboratory: Laboratory, monkeypatch
) -> None:
    """Convex training has one model at a point, so its score is that of one seed."""
    monkeypatch.setattr(lds_axis, "MOST_SEEDS", 3)
    name = "diabetes-sum"
    held_out = evaluation_of(laboratory.evaluation(name))
    found = lds_axis.of_most_seeds(a_run(laboratory), name, held_out)
    assert list(found) == [part(3) for part in lds_axis.POINTS.values()]
    scored = lds(laboratory.influence(name, at=0.5), held_out).mean
    assert found["influence at p, 3 seed(s)"]["value"] == scored.value
    law = Bernoulli(p=0.5, n_models=3)
    over = lds(laboratory.influence(name, at=law), held_out).mean
    assert found["influence over 3 subsets"]["low"] == over.low
    assert over.value != scored.value


def test_curves_of_scores_count_the_trainings_of_priors() -> None:
    truth = normal(6, 3, seed=1)
    held_out = outputs_of(normal(80, 1, 3, seed=5))
    exact = held_out.weights @ truth
    held_out = replace(held_out, outputs=exact[:, None])
    counts = resample_counts(80, 1, draws=1000, seed=0)
    best, plain = sample_efficiency.BEST, sample_efficiency.INDEPENDENT
    found = efficiency.curves(
        {
            f"{best} | 50 | 0": an_attribution(truth),
            f"{plain} | 100 | 0": an_attribution(truth),
            f"{plain} | 100 | 1": an_attribution(-truth),
            f"{plain} | 50 | 0": an_attribution(-truth),
        },
        held_out,
        counts,
    )
    prior = sample_efficiency.prior_cost(best)
    assert prior == 3 + sample_efficiency.PILOT
    assert [m for m, _ in found[best]] == [50 + prior]
    assert found[best][0][1].value == pytest.approx(1.0)
    assert [m for m, _ in found[plain]] == [50, 100]
    assert [i.value for _, i in found[plain]] == pytest.approx([-1.0, 0.0])


# What a run gets


def test_problems_say_whether_they_are_scale_free(laboratory: Laboratory) -> None:
    free = scale_freeness(laboratory, "breast-cancer-sum")
    bound = scale_freeness(laboratory, "breast-cancer-count")
    assert free["scale_free"] is True and free["at_one"]["high"] < 1e-9
    assert bound["scale_free"] is False and bound["at_one"]["low"] > 0.1
    assert json.loads(json.dumps(free)) == free


@pytest.fixture
def traced(monkeypatch):
    """Replace every study's work by a note of its name."""
    made: list[tuple[str, str]] = []

    def noted(study):
        def make(run: Run, problem: str) -> Made:
            made.append((study.id, problem))
            run.laboratory.models_trained += 3
            return Made(figures=[] if study.id == "frontier" else [{"kind": "x"}])

        return replace(study, make=make)

    monkeypatch.setattr(studies, "STUDIES", tuple(map(noted, STUDIES)))
    return made


def due(laboratory, traced, *findings, scales=("C", "V", "M"), **other) -> list:
    traced.clear()
    given = {"thorough": False, "progress": quiet}
    run_studies(laboratory, scales=scales, findings=findings, **{**given, **other})
    return list(traced)


def test_studies_are_made_where_they_explain_what_was_decided(
    laboratory, traced
) -> None:
    matched = finding("matched-derivative", "V", "diabetes-sum")
    bridge = finding("bridge", "C", "tiny-ridge-sum")
    everything = due(laboratory, traced, matched)
    assert ("matched-decay", "diabetes-sum") in everything
    assert ("response-curve", "digits-count") in everything
    assert {name for name, _ in due(laboratory, traced, bridge)} == {"frontier"}
    assert due(laboratory, traced, matched, scales=("C",)) == []
    assert due(laboratory, traced, matched, over=True) == []
    assert due(laboratory, traced) == []
    neural = due(laboratory, traced, matched, scales=("M",))
    assert neural == [("response-curve", "digits-count"), ("frontier", "digits-sum")]
    blocked = replace(matched, evidence=replace(NOTHING, blocked="accuracy"))
    assert ("matched-decay", "diabetes-sum") not in due(laboratory, traced, blocked)
    thorough = due(laboratory, traced, matched, thorough=True)
    assert ("frontier", "diabetes-sum") in thorough
    win = finding("why-datamodels-win", "M", "digits-sum")
    cost = finding("sample-efficiency", "M", "digits-count")
    assert due(laboratory, traced, win, cost) == [
        ("lds-axis", ""),
        ("efficiency", "digits-count"),
    ]


def test_a_study_tells_what_it_cost_and_one_without_figures_is_left_out(
    laboratory, traced
) -> None:
    found = run_studies(
        laboratory,
        thorough=False,
        scales=("M",),
        findings=[finding("matched-derivative", "M", "digits-sum")],
        progress=quiet,
    )
    assert [(one["id"], one["models_trained"]) for one in found] == [
        ("response-curve", 3)
    ]


def test_what_studies_write_a_report_can_read(
    laboratory, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inverse_p, "MODELS_A_LEVEL", {False: 600})
    monkeypatch.setattr(inverse_p, "TARGETS", 2)
    monkeypatch.setattr(matched_collapse, "MODELS", {False: 600})
    found = run_studies(
        laboratory,
        thorough=False,
        scales=("V",),
        findings=[finding("posted-identity", "V", "diabetes-sum")],
        progress=quiet,
    )
    parts = {
        name: {"value": 0.5, "low": 0.4, "high": 0.6}
        for name in (
            *(part(n) for part in lds_axis.POINTS.values() for n in lds_axis.AXIS),
            *lds_axis.OTHERS.values(),
        )
    }
    plot = lds_axis.axis(parts, "digits-sum", Interval(0.9, 0.88, 0.92))
    found.append({**found[0], "id": "lds-axis", "figures": [plot]})
    results = {
        "suite": "small",
        "commit": "0",
        "config_digest": "0",
        "started": "2025-11-22T07:21:00+00:00",
        "command": "none",
        "seconds": 1.0,
        "seed": 0,
        "models_trained": 1,
        "problems": [],
        "claims": [],
        "cases": [],
        "studies": found,
    }
    (tmp_path / "results.json").write_text(json.dumps(results, allow_nan=False))
    (tmp_path / "environment.json").write_text(json.dumps(environment()))
    page = build_report(tmp_path).read_text(encoding="utf-8")
    for one in found:
        for figure in one["figures"]:
            assert f"{figure['title']}: the numbers" in page.replace("&#39;", "'")
