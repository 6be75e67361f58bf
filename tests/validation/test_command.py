"""`python -m validation` as a user runs it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmtheory.console import run_command
from dmtheory.engines.local import Serial
from dmtheory.files import load_attribution
from validation.__main__ import cli
from validation.claims import CLAIMS
from validation.laboratory import Laboratory
from validation.problems import SMALL
from validation.runner import run_suite

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "validation", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_exact_claims_from_command_to_report(tmp_path: Path) -> None:
    done = run("run", "small", "--scale", "C", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    latest = tmp_path / "runs" / "small" / "latest"
    results = json.loads((latest / "results.json").read_text())
    environment = json.loads((latest / "environment.json").read_text())
    page = (latest / "report.html").read_text()
    assert environment == results["environment"]
    assert len(results["claims"]) == 20
    assert "20 of 20 as expected; 20 stand at a family-wise level of 5%" in done.stdout
    for claim in results["claims"]:
        assert claim["passed"] is True
        # Exact numbers err with no probability, those of a sample hardly ever.
        assert claim["family_wise"]["adjusted"] < 1e-3
        assert claim["scale"] == "C"
        assert claim["id"] in page
        assert claim["id"] in done.stdout
    assert str(latest.resolve().name) in done.stdout


def test_what_the_budget_does_not_reach_is_open_and_the_estimates_are_kept(
    tmp_path: Path,
) -> None:
    chosen = ("--claims", "interior-undetermined,one-over-n,bridge", "--scale", "C")
    done = run("run", "thorough", *chosen, "--budget", "0s", "--out", "a", cwd=tmp_path)
    assert done.returncode == 1
    assert "not begun: the budget of 0 s was spent" in done.stdout
    claims = json.loads((tmp_path / "a" / "results.json").read_text())["claims"]
    assert {claim["verdict"] for claim in claims} == {"inconclusive"}
    assert not any(claim["family_wise"]["stands"] for claim in claims)
    run("run", "thorough", "--claims", "one-over-n", "--scale", "C", cwd=tmp_path)
    folder = tmp_path / "runs" / "thorough" / "latest" / "attributions"
    kept = [load_attribution(path) for path in folder.iterdir()]
    quantities = {one.estimand.quantity for one in kept}
    assert quantities == {"influence", "leave-one-out", "response derivative"}


def results_of(*claims: str) -> dict[str, Any]:
    """Return what the small suite finds of claims at scale C, in this process."""
    return run_suite(
        Laboratory(SMALL, seed=0, engine=Serial(), progress=lambda *_: None),
        suite="small",
        claims=list(claims),
        scales=["C"],
        engine=Serial(),
        command="",
        progress=lambda *_: None,
    )


def test_same_seed_same_numbers() -> None:
    first, second = (
        [claim["statistics"] for claim in results_of(*names)["claims"]]
        for names in [("posted-identity", "sample-mean", "linear-enough")] * 2
    )
    assert len(first) == 4
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "medium"), "suite must be one of small, thorough"),
        (("run", "small", "--claims", "bridge,nonsense"), "'nonsense'"),
        (("run", "small", "--scale", "X"), "scale must be among C, V, M"),
        (("run", "small", "--budget", "fast"), "budget must look like 90s"),
        (("run", "small", "--seed", "-1"), "seed must be >= 0"),
        (("run", "small", "--seed", "x"), "not a valid integer"),
        (("run", "small", "--out", "full"), "out must be a new or empty folder"),
        (("run",), "SUITE"),
        (("walk",), "walk"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    named: str,
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["validation", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_command(cli, "python -m validation")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]


def test_list_names_every_claim(tmp_path: Path) -> None:
    done = run("list", cwd=tmp_path)
    assert done.returncode == 0
    assert "posted-identity" in done.stdout
    assert "refuted" in done.stdout


def test_status_is_1_when_a_verdict_is_unexpected(tmp_path: Path) -> None:
    """The post taken at its word: the suite must say so with its status."""
    code = (
        "import sys; from dataclasses import replace\n"
        "from validation import claims, __main__ as main\n"
        "from dmtheory.console import run_command\n"
        "module = claims.CLAIMS['sample-mean']\n"
        "claims.CLAIMS['sample-mean'] = replace(module, judge=lambda e, x:\n"
        "    [replace(p, expected='refuted') for p in module.judge(e, x)])\n"
        "if __name__ == '__main__':\n"
        "    sys.argv = 'v run small --claims sample-mean --out o'.split()\n"
        "    run_command(main.cli, 'v')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "supported, expected refuted" in done.stdout


@pytest.mark.parametrize("place", ["measure", "judge"])
def test_an_entry_that_raises_costs_the_run_no_other(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    claim = replace(CLAIMS["sample-mean"], **{place: broken})
    monkeypatch.setitem(CLAIMS, "sample-mean", claim)
    results = results_of("sample-mean", "interior-undetermined")
    # What broke, and where, is there to be mended.
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "out of luck" in said
    by_claim = {claim["id"]: claim for claim in results["claims"]}
    assert by_claim["interior-undetermined"]["passed"]
    failed = by_claim["sample-mean"]
    assert failed["reason"] == "failed: RuntimeError: out of luck"
    assert not failed["passed"]
    assert not failed["family_wise"]["stands"]
