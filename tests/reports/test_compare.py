"""Runs against one another: made-up runs that differ in one known thing."""

import copy
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from click.testing import CliRunner, Result
from synthetic_run import claim, part, synthetic_environment, synthetic_results

from reports.__main__ import main
from reports.compare import Against, Comparison, compare_runs
from reports.load import ReportError
from reports.moves import judged, moves_of

Json = dict[str, Any]
Keep = Callable[..., Path]
HALF = NormalDist().inv_cdf(0.975)


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Write a run into a folder of its own."""

    def write(name: str, results: Json, environment: Json | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        around = synthetic_environment() if environment is None else environment
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "environment.json").write_text(json.dumps(around))
        return folder

    return write


def with_slope(value: float, error: float, **other: Any) -> Json:
    """Return a run of one claim with one number and its standard error."""
    results = synthetic_results()
    results |= {"seed": 0, "config_digest": "one", **other}
    ends = (value - HALF * error, value + HALF * error)
    results["claims"] = [
        claim("bridge", "M", "digits", parts=[part("slope", value, interval=ends)])
    ]
    return results


def only(comparison: Comparison) -> Against:
    (one,) = comparison.against
    return one


def called(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_a_run_against_itself_differs_in_nothing(keep: Keep) -> None:
    first, second = (keep(name, synthetic_results()) for name in ("a", "b"))
    found = only(compare_runs([first, second]))
    assert found.same_models and found.same_seed
    assert not (found.verdicts or found.moved or found.unjudged or found.settings)
    assert found.n_numbers > 5
    outcome = called(first, second)
    assert outcome.exit_code == 0
    assert "No verdict changed." in outcome.stdout
    assert "they are, but for rounding" in outcome.stdout


@pytest.mark.parametrize("away", [-1, 1])
def test_a_difference_is_measured_in_its_own_standard_error(
    keep: Keep, away: int
) -> None:
    # Standard errors 3 and 4 make 5; one number is judged at 1.96 of these.
    for name, size, moved in (("within", 9.5, 0), ("beyond", 10.1, 1)):
        first = keep(f"{name} a", with_slope(1.0, 3.0))
        second = keep(f"{name} b", with_slope(1.0 + away * size, 4.0, seed=1))
        found = only(compare_runs([first, second]))
        assert found.limit == pytest.approx(HALF)
        assert len(found.moved) == moved
        for move in found.moved:
            assert move.errors == pytest.approx(away * size / 5)
            assert move.kind == "beyond noise"


def test_a_lopsided_interval_counts_on_the_side_of_the_other_run() -> None:
    def entry(value: float, low: float, high: float) -> Json:
        return claim("a", "M", "b", parts=[part("slope", value, interval=(low, high))])

    before, after = entry(0.0, -1.0, 3.0), entry(6.0, 2.0, 7.0)
    (up,) = moves_of(before, after, same_models=False)
    assert up.errors == pytest.approx(6 * HALF / math.hypot(3, 4))
    (down,) = moves_of(after, before, same_models=False)
    assert down.errors == pytest.approx(-6 * HALF / math.hypot(3, 4))


def test_equal_runs_raise_a_false_alarm_once_in_twenty() -> None:
    # 2,000 comparisons of 30 equal numbers each: .05 at most, 4 standard errors above.
    draw, alarms, trials = random.Random(1), 0, 2000
    for _ in range(trials):
        both = [[], []]
        for k in range(30):
            for side in both:
                error = draw.uniform(0.5, 2)
                value = draw.gauss(0, error)
                ends = value - HALF * error, value + HALF * error
                side.append(part(str(k), value, interval=ends))
        before, after = (claim("a", "M", "b", parts=side) for side in both)
        found, _ = judged(moves_of(before, after, same_models=False))
        alarms += any(move.kind == "beyond noise" for move in found)
    rate, error = alarms / trials, (0.05 * 0.95 / trials) ** 0.5
    # Not far below either: a level that never alarms would see nothing.
    assert 0.05 - 4 * error - 0.002 < rate < 0.05 + 4 * error


def test_with_the_same_models_any_difference_is_a_change(keep: Keep) -> None:
    first = keep("a", with_slope(1.0, 0.5))
    second = keep("b", with_slope(1.0 + 1e-6, 0.5))
    third = keep("c", with_slope(1.0 + 1e-13, 0.5))
    one, other = compare_runs([first, second, third]).against
    assert [move.kind for move in one.moved] == ["changed"]
    assert not other.moved
    outcome = called(first, second)
    assert outcome.exit_code == 0  # no verdict changed
    assert "1 differ by more than rounding" in outcome.stdout
    # The same seed under other settings is no such case, and is said.
    fourth = keep("d", with_slope(1.0 + 1e-6, 0.5, config_digest="two"))
    found = only(compare_runs([first, fourth]))
    assert not found.moved and found.same_seed and not found.same_models
    assert "may share trainings" in called(first, fourth).stdout


def test_numbers_without_intervals_are_shown_and_not_judged(keep: Keep) -> None:
    runs = []
    for name, value in (("a", 1.0), ("b", 1.5)):
        results = with_slope(1.0, 0.1, seed=len(runs))
        results["claims"][0]["parts"] += [
            part("exact", value),
            part("without", value, interval=(None, None)),
            part("missing", None if name == "b" else 1.0),
        ]
        runs.append(keep(name, results))
    found = only(compare_runs(runs))
    assert not found.moved
    assert [m.name for m in found.unjudged] == ["exact", "without", "missing"]
    assert "with no interval to judge by" in called(*runs).stdout


def test_statistics_that_are_not_parts_are_compared_once(keep: Keep) -> None:
    runs = []
    for k in range(2):
        results = with_slope(1.0 + k, 0.1, seed=k)
        entry = results["claims"][0]
        same = {key: entry["parts"][0][key] for key in ("value", "low", "high")}
        other = {"value": 5.0 + k, "low": 4.9 + k, "high": 5.1 + k}
        entry["statistics"] = {"slope": same, "its twin": same, "pearson": other}
        runs.append(keep(str(k), results))
    found = only(compare_runs(runs))
    assert [move.name for move in found.moved] == ["slope", "pearson"]


def changed(results: Json, **changes: Any) -> Json:
    results = copy.deepcopy(results)
    results["claims"][0] |= changes
    return results


def test_a_changed_verdict_has_status_1(keep: Keep) -> None:
    base = with_slope(1.0, 0.1)
    first = keep("first", base)
    second = keep("second", changed(base, verdict="refuted", passed=False))
    outcome = called(first, second)
    assert outcome.exit_code == 1
    assert "Verdicts changed: 1 of claims, 0 of parts." in outcome.stdout
    told = only(compare_runs([first, second])).verdicts[0]
    assert (told.claim, told.before, told.after) == ("bridge", "supported", "refuted")
    # What was expected is another matter: an honest surprise may stay one.
    third = keep("third", changed(base, expected="refuted", passed=False))
    assert called(first, third).exit_code == 0


def test_a_part_and_an_absent_claim_count_and_a_new_claim_does_not(keep: Keep) -> None:
    base = with_slope(1.0, 0.1)
    first = keep("first", base)
    part_changed = copy.deepcopy(base)
    part_changed["claims"][0]["parts"][0]["verdict"] = "inconclusive"
    found = only(compare_runs([first, keep("part", part_changed)]))
    assert [(v.part, v.after) for v in found.verdicts] == [("slope", "inconclusive")]
    more = copy.deepcopy(base)
    more["claims"].append(claim("noise-law", "V", "diabetes"))
    longer = keep("more", more)
    assert called(first, longer).exit_code == 0
    assert only(compare_runs([first, longer])).added == ("noise-law V diabetes",)
    backward = only(compare_runs([longer, first]))
    assert [(v.claim, v.after) for v in backward.verdicts] == [("noise-law", "absent")]
    assert called(longer, first).exit_code == 1


def test_surroundings_models_and_seconds(keep: Keep) -> None:
    base = with_slope(1.0, 0.1)
    around = synthetic_environment()
    elsewhere = copy.deepcopy(around)
    elsewhere["packages"] |= {"torch": "99.0", "newcomer": "1.0"}
    elsewhere["gpu"] = "a fast one"
    other = base | {"models_trained": 7, "seconds": 120.0, "commit": "abc"}
    first, second = keep("a", base, around), keep("b", other, elsewhere)
    found = only(compare_runs([first, second]))
    told = {one.name: (one.before, one.after) for one in found.settings}
    assert told == {
        "torch": (around["packages"]["torch"], "99.0"),
        "newcomer": ("", "1.0"),
        "gpu": ("", "a fast one"),
        "commit": (base["commit"], "abc"),
    }
    assert found.models == (base["models_trained"], 7)
    assert found.seconds == (base["seconds"], 120.0)
    assert "2 min 00 s" in called(first, second).stdout


def test_json_says_what_the_text_says(keep: Keep) -> None:
    first = keep("a", with_slope(1.0, 0.1))
    second = keep("b", changed(with_slope(3.0, 0.1, seed=1), verdict="refuted"))
    outcome = called(first, second, "--json")
    assert outcome.exit_code == 1
    told = json.loads(outcome.stdout)
    assert told["verdict_changed"] is True
    one = told["against"][0]
    assert one["verdicts"][0]["after"] == "refuted"
    assert one["moved"][0]["errors"] == pytest.approx(2 / (0.1 * 2**0.5))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_bad_input_is_one_line_and_status_2(
    keep: Keep, tmp_path: Path, options: list[str]
) -> None:
    run = keep("a", with_slope(1.0, 0.1))
    apart = with_slope(1.0, 0.1)
    apart["claims"][0]["problem"] = "another"
    twice = with_slope(1.0, 0.1)
    twice["claims"] *= 2
    for arguments, said in (
        ([run], "takes two runs or more, got 1"),
        ([], "takes two runs or more, got 0"),
        ([run, tmp_path / "absent"], "no such run folder"),
        ([run, keep("b", apart)], "have no claim in common"),
        ([run, keep("c", twice)], "decides bridge M digits twice"),
        ([run, run, "--html", tmp_path / "no" / "page.html"], "cannot write the page"),
    ):
        outcome = called(*arguments, *options)
        assert outcome.exit_code == 2, outcome.output
        assert outcome.stdout == ""
        assert said in outcome.stderr.replace("\n", " ")
        assert outcome.stderr.count("\n") == 1
    with pytest.raises(ReportError, match="two runs or more"):
        compare_runs([run])
