"""Collectors that are killed with SIGKILL, and several at once on one store.

The truth is always the run that nothing interrupted: every file of the store, byte
for byte.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BLOCK = 5
PLACES = ("outputs", "status", "mark", "done", "partial", "renamed", "moment")

# Every attempt reaches the point a second time, so it completes at least one block.
AT_POINTS = [[point, 2] for point in ("outputs", "status", "mark", "done")]
# Making or extending a store writes three or four files first, each its own death;
# then later files, so that attempts get on.
AT_FILES = [["partial", 1], ["renamed", 1]] * 4 + [
    [place, n] for n in (2, 5, 6, 7) for place in ("partial", "renamed")
]
AT_ANY_MOMENT = [["moment", 0.08]]


def run(folder: Path, *scenarios: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the killing script's report of each scenario."""
    for i, scenario in enumerate(scenarios):
        scenario["folder"] = str(folder / str(i))
        Path(scenario["folder"]).mkdir()
    paths = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, HERE / "killing.py", json.dumps(scenarios)],
        env={**os.environ, **threads, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    return json.loads(ended.stdout)


def killed(sizes: list[int], deaths: list[list[Any]], **more: Any) -> dict[str, Any]:
    return {"kind": "killed", "sizes": sizes, "deaths": deaths, **more}


def together(n: int, n_models: int, seconds: float, **more: Any) -> dict[str, Any]:
    size = {"n_collectors": n, "n_models": n_models, "seconds": seconds}
    return {"kind": "together", **size, **more}


def check_nothing_lost(report: dict[str, Any], n_models: int, n_before: int) -> None:
    """Check a report against what any death may cost: the block in flight."""
    attempts = report["attempts"]
    assert report["equal"]
    assert not any(attempt["again"] for attempt in attempts)
    assert not any(attempt["undone"] for attempt in attempts)
    lost = [attempt["trained"] - attempt["kept"] for attempt in attempts]
    assert set(lost) <= {0, 1}
    for attempt, n_lost in zip(attempts, lost, strict=True):
        if attempt["place"] in {"outputs", "status", "mark"}:
            assert n_lost == 1
        if attempt["place"] in {"done", None}:
            assert n_lost == 0
    # A block that was whole before the run was extended is not trained again.
    n_new = -(-n_models // BLOCK) - n_before // BLOCK
    assert sum(attempt["kept"] for attempt in attempts) == n_new


SCENARIOS: dict[str, dict[str, Any]] = {
    "points": killed([113], AT_POINTS),
    "extension": killed([43, 143], AT_POINTS),
    "files": killed([63], AT_FILES),
    "files of an extension": killed([23, 48], AT_FILES),
    "moments": killed([123], AT_ANY_MOMENT, seconds=0.004),
    "two at once": together(2, 200, 0.01),
    "four at once": together(4, 200, 0.02),
    "two at once, one killed": together(2, 200, 0.01, kill=True),
    **{f"three begin {i}": together(3, 10, 0.0) for i in range(4)},
    # Extending rewrites the metadata of three arrays, then come blocks of three files.
    "opened while extended": {
        "kind": "opened",
        "sizes": [23, 48],
        "deaths": [
            *([place, n] for n in range(1, 5) for place in ("partial", "renamed")),
            *([point, 2] for point in ("outputs", "status", "mark", "done")),
        ],
    },
    "opened while made": {
        "kind": "opened",
        "sizes": [0, 23],
        "deaths": [[place, n] for n in range(1, 6) for place in ("partial", "renamed")],
    },
    # A chunk of outputs has 5 x 64 x 8 bytes; all other files are smaller.
    "limited": {"kind": "limited", "n_models": 43, "n_bytes": 2500},
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Reports of all scenarios, from one warm process."""
    made = run(tmp_path_factory.mktemp("kills"), *SCENARIOS.values())
    return dict(zip(SCENARIOS, made, strict=True))


@pytest.mark.parametrize(
    ("name", "n_models", "n_before"),
    [
        ("points", 113, 0),
        ("extension", 143, 43),
        ("files", 63, 0),
        ("files of an extension", 48, 23),
        ("moments", 123, 0),
    ],
)
def test_a_killed_run_resumes_to_the_same_bytes(
    reports: dict[str, dict[str, Any]], name: str, n_models: int, n_before: int
) -> None:
    check_nothing_lost(reports[name], n_models, n_before)


def test_a_run_killed_in_mid_extension_opens_with_what_is_complete(
    reports: dict[str, dict[str, Any]],
) -> None:
    views = reports["opened while extended"]["views"]
    for view in views:
        assert view["same"]
        assert view["aligned"]
        lengths = view["lengths"]
        assert view["n_models"] == min(lengths["outputs"], lengths["status"])
        # The 23 that were there; the last block's three count until it is rewritten.
        assert view["written"] >= 20 if view["n_models"] == 48 else 23
    uneven = [v for v in views if v["lengths"]["outputs"] > v["lengths"]["status"]]
    # From the first array's renaming until before the third's.
    assert [[v["place"], v["n"]] for v in uneven] == [
        ["renamed", 1],
        ["partial", 2],
        ["renamed", 2],
        ["partial", 3],
    ]
    assert {v["n_models"] for v in uneven} == {23}
    assert {v["n_models"] for v in views if v not in uneven} == {23, 48}


def test_a_run_killed_while_it_is_made_opens_or_says_what_to_do(
    reports: dict[str, dict[str, Any]],
) -> None:
    views = reports["opened while made"]["views"]
    failed = [view for view in views if "error" in view]
    # The group and three arrays: each but the last is one file too few.
    assert len(failed) == 2 * 4 - 1
    for view in failed:
        assert "collect the run again" in view["error"] or "must exist" in view["error"]
    for view in views[len(failed) :]:
        assert view["same"]
        assert view["aligned"]
        assert view["n_models"] == 23


def test_the_suite_kills_often_and_mostly_inside_a_write(
    reports: dict[str, dict[str, Any]],
) -> None:
    killed = [report for report in reports.values() if "kills" in report]
    kills = sum((Counter(report["kills"]) for report in killed), Counter())
    assert kills.total() >= 50
    assert sum(report["inside"] for report in killed) >= kills.total() / 2
    assert min(kills[place] for place in PLACES) >= 2


def test_a_killed_write_leaves_a_half_written_file_beside_the_chunks(
    reports: dict[str, dict[str, Any]],
) -> None:
    # Files of one write are written at once, by threads: a death after the renaming of
    # one may come in the middle of another.
    report = reports["files"]
    kills = report["kills"]
    beside = report["leftovers"] - kills["partial"]
    assert 0 <= beside <= kills["partial"] + kills["renamed"]


@pytest.mark.parametrize(
    ("name", "most"),
    [("two at once", 1.5), ("four at once", 2.0), ("two at once, one killed", 1.5)],
)
def test_collectors_at_once_share_the_work(
    reports: dict[str, dict[str, Any]], name: str, most: float
) -> None:
    report = reports[name]
    assert report["equal"]
    assert report["blocks"] == 40
    assert report["trained"] < most * 40
    assert (-9 in report["codes"]) == ("killed" in name)


def test_collectors_that_make_a_store_at_once_agree(
    reports: dict[str, dict[str, Any]],
) -> None:
    begun = [report for name, report in reports.items() if "begin" in name]
    assert all(report["equal"] for report in begun)
    assert all(report["codes"] == [0, 0, 0] for report in begun)


def test_a_file_size_limit_ends_with_an_error_and_without_it_the_run_goes_on(
    reports: dict[str, dict[str, Any]],
) -> None:
    report = reports["limited"]
    assert "File too large" in report["said"]
    assert report["unchanged"]
    assert report["leftovers"] == 0
    assert report["trained"] == 9 - 3
    assert report["equal"]


@pytest.mark.long
def test_several_hundred_kills_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [([158], 0), ([43, 158], 43), ([99], 0), ([160, 201], 160)]
    plans = [AT_POINTS, AT_FILES, AT_ANY_MOMENT]
    cases = [(size, plan) for size in sizes for plan in plans] * 2
    made = run(
        tmp_path, *(killed(size, plan, seconds=0.004) for (size, _), plan in cases)
    )
    for report, ((size, n_before), _) in zip(made, cases, strict=True):
        check_nothing_lost(report, size[-1], n_before)
    kills = sum((Counter(report["kills"]) for report in made), Counter())
    attempts = [attempt for report in made for attempt in report["attempts"]]
    lost = sum(attempt["trained"] - attempt["kept"] for attempt in attempts)
    with capsys.disabled():
        print(
            f"\n{kills.total()} kills ({dict(kills)}), "
            f"{sum(report['inside'] for report in made)} inside a block's write, "
            f"{lost} blocks trained again, "
            f"{sum(attempt['kept'] for attempt in attempts)} blocks kept, "
            f"{sum(report['seconds'] for report in made):.0f} s"
        )
    assert kills.total() >= 400
