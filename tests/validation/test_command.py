"""`python -m validation` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmtheory.files import load_attribution

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


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        chosen = ("--claims", "posted-identity,sample-mean", "--scale", "C")
        run("run", "small", *chosen, "--out", name, cwd=tmp_path)
        claims = json.loads((tmp_path / name / "results.json").read_text())["claims"]
        runs.append([claim["statistics"] for claim in claims])
    assert runs[0] == runs[1]


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
    tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]


def test_list_names_every_claim(tmp_path: Path) -> None:
    done = run("list", cwd=tmp_path)
    assert done.returncode == 0
    assert "posted-identity" in done.stdout
    assert "refuted" in done.stdout


def run_with_changed_claim(change: str, claims: str, cwd: Path):
    """Run claims of which `module` was changed, in a process of their own."""
    code = (
        "import sys; from dataclasses import replace\n"
        "from validation import claims, __main__ as main\n"
        "from dmtheory.console import run_command\n"
        "module = claims.CLAIMS['sample-mean']\n"
        "def broken(*_):\n"
        "    raise RuntimeError('out of luck')\n"
        f"claims.CLAIMS['sample-mean'] = replace(module, {change})\n"
        "if __name__ == '__main__':\n"
        f"    sys.argv = 'v run small --claims {claims} --out o'.split()\n"
        "    run_command(main.cli, 'v')\n"
    )
    script = cwd / "script.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_status_is_1_when_a_verdict_is_unexpected(tmp_path: Path) -> None:
    """The post taken at its word: the suite must say so with its status."""
    done = run_with_changed_claim(
        "judge=lambda e, x: "
        "[replace(p, expected='refuted') for p in module.judge(e, x)]",
        "sample-mean",
        tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "supported, expected refuted" in done.stdout


@pytest.mark.parametrize("place", ["measure", "judge"])
def test_an_entry_that_raises_costs_the_run_no_other(
    tmp_path: Path, place: str
) -> None:
    both = "sample-mean,interior-undetermined"
    done = run_with_changed_claim(f"{place}=broken", both, tmp_path)
    assert done.returncode == 1, done.stderr
    # What broke, and where, is there to be mended.
    assert "out of luck" in done.stderr
    assert "Traceback" in done.stderr
    results = json.loads((tmp_path / "o" / "results.json").read_text())
    by_claim = {claim["id"]: claim for claim in results["claims"]}
    assert by_claim["interior-undetermined"]["passed"]
    broken = by_claim["sample-mean"]
    assert broken["reason"] == "failed: RuntimeError: out of luck"
    assert not broken["passed"]
    assert not broken["family_wise"]["stands"]
