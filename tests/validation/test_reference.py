"""The committed reference run: what may become one, and whether it still holds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from dmtheory.engines.local import Serial
from dmtheory.files import load_attribution
from reports.__main__ import main
from reports.build import build_report
from reports.reference_run import MOST_BYTES, PLACE, make_reference
from validation.claims import CLAIMS
from validation.laboratory import Laboratory
from validation.problems import THOROUGH
from validation.runner import run_suite, write_attributions, write_run
from validation.verdicts.multiplicity import family_wise
from validation.verdicts.verdict import INCONCLUSIVE, combined_verdict, part_of

Json = dict[str, Any]
# Cheap exact claims whose numbers are no mere rounding errors.
AGAIN = ("posted-identity", "linear-enough")


def a_laboratory(seed: int) -> Laboratory:
    return Laboratory(THOROUGH, seed=seed, engine=Serial(), progress=lambda *_: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that could be a reference, but for most claims."""
    laboratory, folder = a_laboratory(seed=3), tmp_path_factory.mktemp("run")
    result = run_suite(
        laboratory,
        suite="thorough",
        claims=[*AGAIN, "one-over-n"],
        scales=["C"],
        engine=Serial(),
        command="python -m validation run thorough --seed 3",
        progress=lambda *_: None,
    )
    write_run({**result, "commit": "0123456789ab"}, folder)
    write_attributions(laboratory, folder / "attributions")
    return folder


@pytest.fixture(params=["made here", "committed"])
def reference(request: pytest.FixtureRequest, finished: Path, tmp_path: Path) -> Path:
    if request.param == "made here":
        return make_reference(finished, tmp_path / "reference")
    if not PLACE.exists():
        pytest.skip(f"no reference run is committed under {PLACE.name}")
    return PLACE


def results_of(folder: Path) -> Json:
    return json.loads((folder / "results.json").read_text())


def test_its_verdicts_follow_from_its_numbers(reference: Path) -> None:
    claims = results_of(reference)["claims"]
    for claim in claims:
        parts = [part_of(part) for part in claim["parts"]]
        for part, stored in zip(parts, claim["parts"], strict=True):
            assert (part.verdict, part.passed) == (stored["verdict"], stored["passed"])
        verdict = INCONCLUSIVE if claim["blocked"] else combined_verdict(parts)
        assert claim["verdict"] == verdict
        missed = [c for c in claim["controls"] if c["required"] and c["passed"]]
        passed = all(part.passed for part in parts)
        assert claim["passed"] == (passed and not missed and not claim["blocked"])
    assert [claim["family_wise"] for claim in claims] == family_wise(claims)


def test_its_page_has_a_row_for_every_entry(reference: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(reference, tmp_path / "copied")
    page = build_report(copied).read_text()
    for claim in results_of(reference)["claims"]:
        assert claim["id"] in page
        assert claim["problem"] in page


@pytest.mark.parametrize("claim_id", AGAIN)
def test_an_exact_claim_of_it_comes_out_again(reference: Path, claim_id: str) -> None:
    results = results_of(reference)
    stored = [
        claim
        for claim in results["claims"]
        if claim["id"] == claim_id and claim["scale"] == "C"
    ]
    assert stored
    claim, laboratory = CLAIMS[claim_id], a_laboratory(results["seed"])
    for before in stored:
        entry = next(
            e for e in claim.entries if (e.scale, e.problem) == ("C", before["problem"])
        )
        again = claim.judge(claim.measure(laboratory, entry), entry)
        for part, old in zip(again, before["parts"], strict=True):
            assert part.name == old["name"]
            # Rounding errors differ between machines, numbers do not.
            for end in ("value", "low", "high"):
                new = getattr(part.interval, end)
                assert new == pytest.approx(old[end], rel=1e-9, abs=1e-12)


def test_it_is_small_and_its_attributions_are_those_of_the_run(
    finished: Path, reference: Path
) -> None:
    files = [path for path in reference.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".npz"}
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    for path in (reference / "attributions").iterdir():
        short = load_attribution(path)
        assert short.scores.dtype == torch.float32
        before = finished / "attributions" / path.name
        if reference == PLACE or not before.exists():
            continue
        whole = load_attribution(before)
        assert short.estimand == whole.estimand
        assert short.train_labels == whole.train_labels
        error = (short.scores.double() - whole.scores).abs()
        assert (error <= 2**-12 * whole.scores.abs()).all()


def test_numbers_of_the_results_are_kept_to_the_last_bit(
    finished: Path, tmp_path: Path
) -> None:
    made = make_reference(finished, tmp_path / "reference")
    short, whole = results_of(made), results_of(finished)
    for ours, theirs in zip(short["claims"], whole["claims"], strict=True):
        for axis in ("x", "y"):
            seen, found = (claim["figure"].pop(axis) for claim in (ours, theirs))
            assert seen == pytest.approx(found, rel=5e-5)
    assert short == whole
    # A second one takes the place of the first, and leaves nothing beside it.
    assert make_reference(finished, made) == made
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]


def refused(folder: Path, out: Path) -> str:
    """Run the command, check that it fails as it should, and return its message."""
    outcome = CliRunner().invoke(main, ["reference", str(folder), "--out", str(out)])
    assert outcome.exit_code == 2
    assert outcome.stderr.count("\n") == 1
    assert "Traceback" not in outcome.stderr
    assert not out.exists()
    return outcome.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "0123456789ab-dirty"}, "clean commit, got 0123456789ab-dirty"),
        ({"commit": "unknown"}, "clean commit, got unknown"),
        ({"suite": "small"}, "a run of thorough, got one of small"),
        ({"command": "run thorough --scale C"}, "run of all, got one with --scale"),
        ({"command": "run thorough --budget 1s"}, "got one with --budget"),
        ({"claims": "not begun"}, "got posted-identity not begun"),
    ],
)
def test_what_is_no_reference(
    finished: Path, tmp_path: Path, changes: Json, message: str
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    results = results_of(run)
    if "claims" in changes:
        first, *others = results["claims"]
        changes = {"claims": [{**first, "parts": []}, *others]}
    (run / "results.json").write_text(json.dumps({**results, **changes}))
    assert message in refused(run, tmp_path / "out")


def test_a_run_that_is_too_large_leaves_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_BYTES == 5_000_000
    monkeypatch.setattr("reports.reference_run.MOST_BYTES", 20_000)
    message = refused(finished, tmp_path / "out")
    assert "at most 0.02 MB, got" in message
    assert "the largest file is results.json" in message
    assert not list(tmp_path.iterdir())


def test_a_run_without_attributions_or_a_folder_of_something_else(
    finished: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(run / "attributions")
    assert "has no attributions" in refused(run, tmp_path / "out")
    out = tmp_path / "mine"
    out.mkdir()
    outcome = CliRunner().invoke(main, ["reference", str(finished), "--out", str(out)])
    assert outcome.exit_code == 2
    assert "must be new or hold a reference" in outcome.stderr
    assert not list(out.iterdir())
