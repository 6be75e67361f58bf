"""The CIFAR-10 suite on a stand-in: killed anywhere it goes on, within its budget."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from shutil import copytree
from typing import Any

import click
import pytest
import torch
from cifar10_stand_in import SIZES, suite_in

from dmtheory.data import synthetic_images
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.responses.responses import load_responses
from validation.__main__ import cli
from validation.cifar10 import ledger as ledgers
from validation.cifar10 import subjects, tasks
from validation.cifar10 import suite as suites
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT, TRAK
from validation.cifar10.deciding import decide
from validation.cifar10.ledger import Ledger
from validation.cifar10.results import results_of
from validation.cifar10.sizes import FULL, SHORT_REHEARSAL
from validation.cifar10.subjects import rehearsal
from validation.cifar10.suite import Suite
from validation.cifar10.tasks import do_task
from validation.cifar10.works import (
    AT_HALF,
    AT_ONE,
    GROUPS,
    IMAGES,
    INFLUENCE_AT_HALF,
    INFLUENCE_AT_ONE,
    PAIRS,
    REGRESSION,
    SINGLE,
    task_of,
)

Json = dict[str, Any]
BUDGET = 239.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Return the short rehearsal, made by its command, with all that is wanted."""
    folder = tmp_path_factory.mktemp("suite") / "run"
    options = ["--rehearse", "--budget", f"{BUDGET:g}s", "--out", str(folder)]
    status = cli.main(["run", "cifar10", *options], standalone_mode=False)
    assert status == 0
    return reopened(folder)


def reopened(folder: Path) -> Suite:
    return Suite(
        subjects=rehearsal(SHORT_REHEARSAL, None),
        sizes=SHORT_REHEARSAL,
        folder=folder,
        seed=0,
        report=lambda *_: None,
    )


@pytest.fixture(scope="module")
def results(finished: Suite) -> Json:
    return json.loads((finished.folder / "results.json").read_text())


def test_everything_is_trained_once_and_judged(finished: Suite, results: Json) -> None:
    assert finished.plan(10 * BUDGET) == []
    assert finished.there() == {item.name for item in finished.items()}
    assert [claim["id"] for claim in results["claims"]] == [
        "posted-identity",
        *["matched-derivative"] * 3,
        "linear-enough",
        "why-datamodels-win",
        "average-not-instance",
        "sample-efficiency",
        "counterfactual",
        "leakage",
        "subpopulations",
    ]
    assert all(claim["parts"] for claim in results["claims"])
    assert results["notes"] == {}
    assert {claim["scale"] for claim in results["claims"]} == {"G"}
    trained = sum(
        stage["models"]
        for stage in finished.ledger.stages
        if stage["name"] not in finished.ledger.finished
    )
    # Those of the speed's measurement come before the stages; attributions train 10
    # models at each of three points.
    block = SHORT_REHEARSAL.block
    assert results["models_trained"] == trained + 4 * block + 30
    assert finished.ledger.spent < BUDGET


def test_a_rehearsal_says_so_everywhere(finished: Suite, results: Json) -> None:
    page = (finished.folder / "report.html").read_text()
    assert results["suite"] == "cifar10 rehearsal"
    assert "the cifar10 rehearsal suite" in page
    for claim in results["claims"]:
        assert claim["problem"].startswith("Rehearsal")
        assert claim["reason"].startswith("rehearsal: decides nothing")
    for problem in results["problems"]:
        assert problem["name"].startswith("Rehearsal")
    for shown in (*results["cases"], *results["studies"]):
        assert shown["problem"].startswith("Rehearsal")
    assert len(results["cases"]) == SHORT_REHEARSAL.shown[0]
    assert set(results["throughput"]) == {GROUPS, SINGLE, REGRESSION}


def test_pairs_are_random_directions_of_step_one_half(finished: Suite) -> None:
    """The datamodel of the pairs is their regression on h z, z = 2x - 1, h = 1/2."""
    archive = finished.archive()
    pairs = archive.responses(GROUPS)
    moves = 0.5 * (2 * pairs.weights()[::2] - 1)
    assert torch.equal(0.5 + moves, pairs.weights()[::2])
    assert torch.equal(0.5 - moves, pairs.weights()[1::2])
    halves = (pairs.outputs[::2] - pairs.outputs[1::2]) / 2
    slope = torch.linalg.lstsq(moves, halves).solution
    assert torch.allclose(archive.datamodel(GROUPS).scores, slope, atol=1e-10)


def test_differences_are_taken_on_both_sides_of_p(finished: Suite) -> None:
    archive = finished.archive()
    found = archive.differences()
    stored = load_responses(finished.folder / "responses" / "differences-at-p.zarr")
    weights = stored.weights()
    for group in range(SHORT_REHEARSAL.differenced):
        up, down = (weights[:, group] == 0.75), (weights[:, group] == 0.25)
        wanted = (stored.outputs[up].mean(0) - stored.outputs[down].mean(0)) / 0.5
        assert torch.allclose(found.scores[group], wanted)
    assert found.estimand.point.level == 0.5


def test_each_seed_is_moved_by_itself_and_with_the_others(finished: Suite) -> None:
    """Differences of single groups, then the same seed with groups in and out."""
    sizes, archive = SHORT_REHEARSAL, finished.archive()
    derivative, outputs = archive.by_seed()
    stored = load_responses(finished.folder / "responses" / "moves-by-seed.zarr")
    seeds, weights = (
        stored.design.seeds(torch.arange(stored.n_models)),
        stored.weights(),
    )
    moved, rest = weights[:, : sizes.differenced], weights[:, sizes.differenced :]
    assert bool((rest == 0.5).all())
    assert derivative.units is not None
    assert outputs.outputs.shape[:2] == (sizes.joint_moves, sizes.seeds_apart[1])
    for number, seed in enumerate(dict.fromkeys(seeds.tolist())):
        own = stored.outputs[seeds == seed], moved[seeds == seed]
        for group in range(sizes.differenced):
            up, down = (own[1][:, group] == level for level in (0.75, 0.25))
            wanted = (own[0][up][0] - own[0][down][0]) / 0.5
            assert torch.allclose(derivative.units[number, group], wanted)
        joint = ((own[1] == 0) | (own[1] == 1)).all(1)
        assert int(joint.sum()) == sizes.joint_moves
        for place, there in enumerate(outputs.weights):
            same = joint & (own[1] == there).all(1)
            assert torch.equal(own[0][same][0], outputs.outputs[place, number])


def test_the_margins_of_single_images_are_kept_in_half_precision(
    finished: Suite,
) -> None:
    stored = load_responses(finished.folder / "responses" / "half-subsets.zarr")
    kept = stored.outputs[:3]
    assert torch.equal(kept, kept.half().double())
    assert stored.description.target_labels == finished.subjects.data.target_labels
    fresh = finished.subjects.images.respond(
        stored.weights()[:3], stored.design.seeds(torch.arange(3))
    )
    assert torch.allclose(kept, fresh, rtol=1e-3, atol=1e-3)
    assert not torch.equal(kept, fresh)


def test_the_datamodel_of_images_is_ridge_of_all_that_is_there(
    finished: Suite,
) -> None:
    sizes, archive = SHORT_REHEARSAL, finished.archive()
    found = archive.datamodel(SINGLE)
    responses = archive.read(IMAGES, sizes.n_targets)
    wanted = fit_datamodel(
        responses.weights(),
        responses.outputs,
        design=responses.design,
        estimator=Ridge(),
    )
    assert torch.allclose(found.scores, wanted.scores)
    assert found.n_models == sizes.images[1]


def test_groups_are_scored_by_the_sum_of_their_images(finished: Suite) -> None:
    archive = finished.archive()
    for place in ("influence-at-p-EK-FAC", TRAK, PRODUCT):
        images, groups = (
            archive.attribution(f"{place}{end}") for end in ("", "-groups")
        )
        assert images is not None and groups is not None
        for number in range(SHORT_REHEARSAL.n_groups):
            members = torch.tensor(finished.subjects.groups.groups) == number
            wanted = images.scores[members].sum(0)
            assert torch.allclose(groups.scores[number], wanted)
        assert groups.units is not None and len(groups.units) == 10
        assert groups.estimand.problem == finished.subjects.groups.description.digest


def test_influence_at_one_is_half_of_that_at_p(finished: Suite) -> None:
    """Scale-free training: the same models at w = 1 and w = 1/2, another divisor."""
    archive = finished.archive()
    at_one, at_p = (
        archive.attribution(f"influence-at-{point}-EK-FAC-groups")
        for point in ("1", "p")
    )
    assert at_one is not None and at_p is not None
    assert torch.allclose(2 * at_one.scores, at_p.scores, rtol=1e-6)


def test_a_finished_attribution_is_not_made_again(finished: Suite) -> None:
    def times() -> dict[str, int]:
        return {
            str(path): path.stat().st_mtime_ns
            for kind in ("attributions", "models")
            for path in (finished.folder / kind).iterdir()
        }

    before = times()
    for name in (task_of(INFLUENCE_AT_HALF, "EK-FAC"), TRAK, PRODUCT):
        do_task(name, finished.archive(), finished.ledger)
    assert times() == before


def test_what_takes_too_long_is_left_out_and_says_so(
    finished: Suite, tmp_path: Path
) -> None:
    """A stage of no time at all: one model is one too many."""
    folder = tmp_path / "run"
    copytree(finished.folder, folder)
    for path in (folder / "attributions").glob("influence-at-1*"):
        path.unlink()
    task = task_of(INFLUENCE_AT_ONE, "EK-FAC")
    sizes = replace(SHORT_REHEARSAL, stage_seconds=1e-3)
    archive = Archive(finished.subjects, folder, sizes, seed=0)
    ledger = Ledger(identity={})
    do_task(task, archive, ledger)
    assert "left out" in ledger.notes[task]
    assert archive.attribution("influence-at-1-EK-FAC") is None
    there = finished.there() - {task}
    found = decide(archive, there, ledger.notes, 60.0)
    (claim,) = (c for c in found if c["id"] == "why-datamodels-win")
    assert claim["verdict"] == "inconclusive"
    assert "left out" in claim["reason"]


def test_what_fails_is_noted_and_the_rest_goes_on(
    finished: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(tasks, "keep_dense", broken)
    ledger = Ledger(identity={})
    do_task(TRAK, finished.archive(), ledger)
    assert ledger.finished == [TRAK]
    assert ledger.notes[TRAK] == "failed: CUDA out of memory. Tried to allocate"
    # A later call tries again, and what then succeeds is no longer noted.
    suite = reopened(finished.folder)
    suite.ledger.notes[TRAK] = ledger.notes[TRAK]
    assert TRAK not in suite.there()
    monkeypatch.undo()
    suite.run(BUDGET)
    assert suite.ledger.notes == {}
    assert TRAK in suite.there()
    assert suite.ledger.finished.count(TRAK) == 1


def test_in_full_both_recipes_are_trained_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On made-up images in the place of the files; nothing is trained."""
    images = synthetic_images(n_train=128, n_targets=70, n_test=70)
    monkeypatch.setattr(subjects, "cifar10", lambda path: images)
    found = subjects.in_full(FULL, None, "cpu")
    groups, single = found.groups.description, found.images.description
    assert (groups.normalisation, groups.step_policy) == ("sum", "fixed")
    assert single.step_policy == "proportional"
    assert (groups.n_train, groups.n_targets) == (64, 64)
    assert (single.n_train, single.n_targets) == (128, 70)
    assert groups.target_labels == single.target_labels[:64]
    assert found.class_groups.description.n_train == 60
    assert found.network.description.digest == found.weighted.description.digest
    assert all("synthetic images" in title for title in found.titles().values())


def seconds_by_models(monkeypatch: pytest.MonkeyPatch, a_model: float):
    """Let time pass by reports alone, so many seconds a model."""
    now = [0.0]
    for module in (suites.time, ledgers.time):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    before: dict[str, int] = {}

    def report(what: str, done: int, _: int) -> None:
        now[0] += a_model * max(done - before.get(what, 0), 0)
        before[what] = max(done, before.get(what, 0))

    return report


class Killed(BaseException):
    """What a signal does to a process, as far as its files are concerned."""


def test_killed_anywhere_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again, it ends with the models of a run that never was."""
    whole = suite_in(tmp_path / "whole", seconds_by_models(monkeypatch, 0.25))
    whole.run(45.0)
    clock = seconds_by_models(monkeypatch, 0.25)
    for after in (2, 9):
        reports = count()

        def kill(what: str, done: int, of: int) -> None:
            clock(what, done, of)
            if next(reports) == after:  # noqa: B023 -- called at once
                raise Killed

        with pytest.raises(Killed):
            suite_in(tmp_path / "killed", kill).run(45.0)
    again = suite_in(tmp_path / "killed", clock)
    assert 0 < again.ledger.spent < whole.ledger.spent
    again.run(45.0)
    assert {PAIRS, AT_HALF} <= again.there() & whole.there()
    for name in (PAIRS, AT_HALF):
        ours, theirs = (s.archive().read(name) for s in (again, whole))
        n = min(ours.n_models, theirs.n_models)
        assert torch.equal(ours.outputs[:n], theirs.outputs[:n])


def test_a_budget_is_kept_and_more_of_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = seconds_by_models(monkeypatch, 0.25)
    suite = suite_in(tmp_path / "run", report)
    budget = 45.0
    suite.run(budget)
    assert 0.7 * budget < suite.ledger.spent <= budget - SIZES.reserve_seconds
    assert {PAIRS, AT_HALF} <= suite.there()
    assert AT_ONE not in suite.there()
    pairs = suite.archive().read(PAIRS).outputs
    # Called again with no more, nothing is done.
    spent = suite.ledger.spent
    again = suite_in(tmp_path / "run", report)
    again.run(budget)
    assert again.ledger.spent == spent
    more = suite_in(tmp_path / "run", report)
    more.run(1.5 * budget)
    assert spent < more.ledger.spent <= 1.5 * budget - SIZES.reserve_seconds
    assert {PAIRS, AT_HALF, AT_ONE} <= more.there()
    assert torch.equal(more.archive().read(PAIRS).outputs[: len(pairs)], pairs)
    # What time did not reach is open, and says so.
    found = results_of(more, budget=1.5 * budget, command="")
    by_id = {claim["id"]: claim for claim in found["claims"]}
    assert by_id["posted-identity"]["parts"]
    for name in ("leakage", "counterfactual", "why-datamodels-win"):
        assert by_id[name]["verdict"] == "inconclusive"
        assert "not begun" in by_id[name]["reason"]


@pytest.mark.parametrize("what", ["another seed", "foreign files", "a damaged ledger"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if what == "another seed":
        suite_in(folder, seed=1).ledger.save(folder)
    elif what == "foreign files":
        (folder / "thesis.txt").touch()
    else:
        (folder / "suite.json").write_text("{")
    names = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ValueError, match=r"out must be|suite\.json must be"):
        suite_in(folder)
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--budget", "fast"), "budget must look like 90s"),
        (("--budget", "0s", "--rehearse"), "budget must be above 0 s"),
        (("--data", "nowhere", "--rehearse"), "data must exist, got nowhere"),
        (("--claims", "bridge"), "--claims is no option of the suite cifar10"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((click.UsageError, ValueError), match=named) as raised:
        cli.main(["run", "cifar10", *options], standalone_mode=False)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("options", [(), ("--plan",), ("--device", "cuda:0")])
def test_without_a_gpu_the_rehearsal_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="--rehearse runs the same path on a CPU"):
        cli.main(["run", "cifar10", *options], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_other_suites_know_none_of_its_options(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="--rehearse is no option of the suite"):
        cli.main(["run", "small", "--rehearse"], standalone_mode=False)


def test_the_plan_says_what_a_budget_buys(
    finished: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a folder where all is done nothing is left but its speed."""
    out = str(finished.folder)
    options = ["--rehearse", "--plan", "--budget", "100s", "--out", out]
    assert cli.main(["run", "cifar10", *options], standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert "models an hour" in said
    assert "0.0 min planned" in said
