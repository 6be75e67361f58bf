"""Another seed gives other numbers and the same verdicts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from quick import quick_settings

from dmtheory.engines.local import Serial
from validation.claim import Entry
from validation.claims import CLAIMS
from validation.laboratory import Laboratory

ROOT = Path(__file__).parent.parent.parent
SEEDS = (1, 2, 3, 4, 5)
# Verdicts by claim, scale and problem.
Verdicts = dict[tuple[str, str, str], list[tuple[str, str]]]

QUICK = [
    (claim_id, entry)
    for claim_id, claim in CLAIMS.items()
    for entry in claim.entries
    if entry.suite == "small"
    and (entry.scale == "C" or entry.problem == "diabetes-sum")
    # Slow: smaller training sets, and an enumeration that draws nothing.
    and (claim_id, entry.scale) not in {("matched-derivative", "V"), ("bridge", "C")}
]


def judged(claim_id: str, entry: Entry, laboratory: Laboratory) -> list:
    claim = CLAIMS[claim_id]
    return claim.judge(claim.measure(laboratory, entry), entry)


def test_quick_claims_have_the_verdicts_of_another_seed() -> None:
    """Every part has its interval: under the truth one in a thousand stays open."""
    laboratories = [
        Laboratory(
            quick_settings(), seed=seed, engine=Serial(), progress=lambda *_: None
        )
        for seed in (11, 12)
    ]
    moved = 0
    for claim_id, entry in QUICK:
        first, second = (judged(claim_id, entry, one) for one in laboratories)
        names = [part.name for part in first]
        assert names == [part.name for part in second]
        for parts in (first, second):
            failed = [part.name for part in parts if not part.passed]
            assert not failed, (claim_id, entry.problem, failed)
        moved += [p.interval for p in first] != [p.interval for p in second]
    # What is sampled is sampled anew.
    assert moved >= 5


@pytest.mark.long
def test_the_small_suite_has_the_same_verdicts_with_five_seeds(tmp_path: Path) -> None:
    """As a user runs it; some nine minutes on two idle cores."""
    found = [_verdicts(seed, tmp_path / str(seed)) for seed in SEEDS]
    numbers, verdicts = zip(*found, strict=True)
    assert all(one == verdicts[0] for one in verdicts)
    assert len(verdicts[0]) > 40
    # No two seeds drew the same masks.
    assert len(set(numbers)) == len(SEEDS)


def _verdicts(seed: int, folder: Path) -> tuple[float, Verdicts]:
    """Return one sampled number, and every part's verdict by entry."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "validation", "run", "small"),
            *("--seed", str(seed), "--out", str(folder)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    claims = json.loads((folder / "results.json").read_text())["claims"]
    verdicts = {
        (c["id"], c["scale"], c["problem"]): [
            (part["name"], part["verdict"]) for part in c["parts"]
        ]
        for c in claims
    }
    sampled = next(c for c in claims if c["scale"] == "M")
    return sampled["parts"][0]["value"], verdicts
