"""A browser, and a report built once from a made-up run, for all tests as seen."""

import json
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from synthetic_run import a_study, synthetic_environment, synthetic_results

from reports import build_report

SHOTS = Path(__file__).parents[2] / "artefacts" / "browser"
LONG = "a-name-so-long-that-no-column-was-made-for-it-and-without-a-space"


@pytest.fixture(scope="session")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Pipe]:
    program = chromium.found()
    if program is None:
        pytest.skip("no Chromium to look at the page with: apt-get install chromium")
    with chromium.browser(program, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with all verdicts, studies, controls and a long name."""
    results = synthetic_results()
    results["studies"] = [a_study("digits-network-sum"), a_study(LONG)]
    results["claims"][1]["problem"] = LONG
    for claim in results["claims"]:
        claim["noticed_slopes"] = {"above": 1.1, "below": None}
        stands = claim["passed"] is True
        claim["family_wise"] = {"p": 0.0, "adjusted": 0.0 if stands else 1.0}
        claim["family_wise"]["stands"] = stands
        if claim["figure"] is not None:
            # Enough to see, few enough for axe, which looks at every point.
            for axis in "xy":
                claim["figure"][axis] = claim["figure"][axis][:30]
    results["claims"][0]["estimands"] = [
        {
            "role": f"reference: {name}",
            "text": f"{name} at {point} of the margin, per weight, normalisation sum, "
            "fixed steps, 20 seed(s) a weight vector",
            "method": "central differences",
        }
        for name, point in (
            ("datamodel", "S ~ Bernoulli(0.999)"),
            ("influence", "w = 0.5·1"),
            ("leave-one-out", "w = 1"),
            (
                "response derivative",
                "averaged over S ~ Bernoulli(0.5) and the example's own weight",
            ),
        )
    ]
    for case in results["cases"]:
        for estimate in case["estimates"]:
            estimate["estimand"] = results["claims"][0]["estimands"][1]["text"]
    folder = tmp_path_factory.mktemp("run")
    for name, data in (("results", results), ("environment", synthetic_environment())):
        (folder / f"{name}.json").write_text(json.dumps(data))
    return build_report(folder)


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots are kept; git ignores it."""
    return SHOTS


@pytest.fixture
def tab(pipe: chromium.Pipe) -> Iterator[chromium.Tab]:
    opened = chromium.Tab(pipe)
    yield opened
    opened.close()
