"""A study's verdicts where the truth is known."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from samples import table

from dmtheory.cli import cli
from dmtheory.problems import BlackBox, Description, LeastSquares, LogisticRegression
from dmtheory.study import Study, advice, share_out, study, write_study
from dmtheory.study.page import render_study

DATA = table(60, 4, seed=1)


def found(problem: LeastSquares | BlackBox | LogisticRegression, n: int = 900) -> Study:
    plan = share_out(
        n,
        n_train=problem.description.n_train,
        deterministic=problem.description.deterministic,
        n_influence=6,
    )
    return study(problem, plan)


@pytest.fixture(scope="module")
def ridge() -> Study:
    return found(LeastSquares(data=DATA, ridge=1e-3))


def slope(study: Study, name: str) -> float:
    return next(c.found.slope.value for c in study.comparisons if c.name == name)


def test_a_scale_free_training_is_told_by_its_factor(ridge: Study) -> None:
    assert ridge.scale is not None and ridge.scale.scale_free
    at_one = slope(ridge, "unshrunk datamodel on dF/dw at w = 1")
    matched = slope(ridge, "unshrunk datamodel on dF/dw at w = p·1")
    # Scale-free but for the penalty: dF/dw at 1/2 is twice that at 1.
    assert at_one / matched == pytest.approx(2, rel=0.02)
    # What d/(pN) = .13 leaves; the posted identity would have at_one near 1.
    assert matched == pytest.approx(1, abs=0.26)
    words = " ".join(advice(ridge))
    assert "This training is scale-free" in words


def test_influence_of_a_solved_problem_is_the_derivative(ridge: Study) -> None:
    for where in ("at w = 1", "at w = p·1"):
        assert slope(ridge, f"influence {where} on dF/dw {where}") == pytest.approx(
            1, abs=1e-5
        )
    assert "its scale is right within a tenth" in " ".join(advice(ridge))


def test_influence_of_a_wrong_scale_is_told(ridge: Study) -> None:
    # A slope that is off by 1.25 must not be called right.
    comparisons = tuple(
        replace(
            held,
            found=replace(
                held.found,
                slope=replace(
                    held.found.slope,
                    value=1.25 * held.found.slope.value,
                    low=1.25 * held.found.slope.low,
                    high=1.25 * held.found.slope.high,
                ),
            ),
        )
        for held in ridge.comparisons
    )
    wrong = replace(ridge, comparisons=comparisons)
    assert "its scale is too large" in " ".join(advice(wrong))


def test_count_with_a_penalty_is_no_scale_free_training() -> None:
    study = found(LeastSquares(data=DATA, ridge=0.5, normalisation="count"))
    assert study.scale is not None and study.scale.scale_free is False
    words = " ".join(advice(study))
    assert "not scale-free" in words
    assert "at w = p·1, or over models of random subsets" in words


def test_every_training_counts(ridge: Study) -> None:
    # One model at each of two points, and twice six over random halves.
    assert ridge.n_models == ridge.plan.n_models + 1 + 1 + 12


def test_nothing_is_judged_on_what_it_was_made_of(ridge: Study) -> None:
    seeds = [a.seeds for a in ridge.attributions.values()]
    assert all(1 not in own for own in seeds)  # the evaluation's
    assert ridge.attributions["datamodel"].seeds == frozenset({0})


@pytest.mark.parametrize(("n", "method"), [(500, "Difference"), (4000, "OLS")])
def test_slopes_are_of_coefficients_that_no_penalty_shrinks(
    n: int, method: str
) -> None:
    study = found(LeastSquares(data=table(300, 4, seed=2), ridge=1e-3), n=n)
    name = "unshrunk datamodel on dF/dw at w = p·1"
    held = next(c.found for c in study.comparisons if c.name == name)
    # Between 1 and 1 + 2d/(pN).
    assert held.slope.high > 1 and held.slope.low < 1 + 2 * 4 / (0.5 * 300)
    assert study.attributions["unshrunk datamodel"].method.startswith(method)


def black_box(step_policy: str) -> BlackBox:
    noise = torch.linspace(-1, 1, 30).double()

    def respond(weights: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        mean = (weights * noise).sum(1) / weights.sum(1).clamp_min(1)
        return (mean + 1e-3 * torch.sin(seeds.double()))[:, None]

    return BlackBox(
        description=Description(
            name="<b>mean</b>",
            digest="mean",
            output="mean",
            normalisation="sum",
            step_policy=step_policy,  # type: ignore[arg-type]
            train_labels=tuple(f"<i>{k}</i>" for k in range(30)),
            target_labels=("<script>alert(1)</script>",),
        ),
        train_and_measure=respond,
    )


def test_a_black_box_has_derivatives_but_no_influence() -> None:
    study = found(black_box("fixed"))
    assert study.influences is None and study.needed is None
    words = " ".join(advice(study))
    assert "Influence was not measured" in words
    assert "no attribution can pass" in words
    page = render_study(study)
    assert "<script>alert" not in page and "<i>0" not in page


def test_proportional_steps_have_no_derivative() -> None:
    study = found(black_box("proportional"))
    assert study.comparisons == () and study.scale is None
    assert "Train with fixed steps" in " ".join(advice(study))
    render_study(study)


def test_what_is_written_can_be_read_and_trained_again(
    ridge: Study, tmp_path: Path
) -> None:
    page = write_study(ridge, tmp_path / "made")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    numbers = json.loads((tmp_path / "made" / "study.json").read_text())
    assert numbers["plan"] == ridge.plan.to_json()
    assert numbers["models_trained"] == ridge.n_models
    assert (tmp_path / "made" / "dF-dw-at-w-p.npz").is_file()
    again = study(LeastSquares(data=DATA, ridge=1e-3), ridge.plan)
    assert torch.equal(
        again.attributions["datamodel"].scores, ridge.attributions["datamodel"].scores
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "ten"], "budget must look like"),
        (["--budget", "0s"], "budget must look like"),
        (["--plan", "{}"], "plan must be a study.json"),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    if "--plan" in arguments:
        path = tmp_path / "study.json"
        path.write_text("{}")
        arguments = ["--plan", str(path)]
    out = tmp_path / "out"
    command = ["study", "diabetes-ridge", "--out", str(out), *arguments]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code != 0 and said in result.output + str(result.exception)
    assert not out.exists()
