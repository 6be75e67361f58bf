"""Analyses of imported models, against the truth that the files were made from."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_up_release import EVALUATION, FIT, N_TRAIN, write_release
from samples import an_attribution

from dmtheory import OLS, Attribution
from dmtheory.cli import cli
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.files import load_attribution, save_attribution
from dmtheory.interchange import (
    ImportedRuns,
    analyse,
    as_html,
    as_markdown,
    compare,
    fit_imported,
    leakage_candidates,
    open_release,
    open_trak,
)
from dmtheory.interchange.analyses.analysis import FITTED, default_estimator
from dmtheory.interchange.imported.rows import ArrayRows

HELD_OUT = (FIT, FIT + EVALUATION)


def opened(folder: Path) -> ImportedRuns:
    return open_release(folder, dataset="cifar", percent=50, held_out=HELD_OUT)


def test_an_analysis_recovers_what_was_written(tmp_path: Path) -> None:
    written = write_release(tmp_path)
    runs = opened(tmp_path).targets(0, 3)
    truth = fit_imported(runs.rows(*HELD_OUT))
    made = torch.Generator().manual_seed(0)
    exact = replace(
        truth,
        scores=torch.from_numpy(written.slope[:, :3]),
        intercept=torch.from_numpy(written.level[:3]),
        stderr=None,
        units=None,
        seeds=frozenset(),
    )
    noise = replace(
        exact, scores=torch.randn(N_TRAIN, 3, generator=made).double(), intercept=None
    )
    found = analyse(runs, attributions=[("truth", exact), ("noise", noise)])
    assert (found.n_fitted, found.n_held_out, found.n_replicates) == (FIT, 120, 1)
    # Noise of variance .09 beside 6: a correlation of .99 at the truth, .98 in ranks.
    by_name = {row.name: row.lds for row in found.scores.rows}
    assert by_name["truth"].mean.low > 0.95
    assert abs(by_name[FITTED].mean.value - by_name["truth"].mean.value) < 0.02
    assert by_name["noise"].mean.high < 0.7
    assert found.scores.rows[0].lds.ceiling is None
    assert found.r_squared[FITTED].low > 0.95
    assert set(found.r_squared) == {FITTED, "truth"}
    # .09/(400 .25) against slopes of variance 1: errors are a thousandth.
    assert found.reliability is not None and found.reliability.low > 0.98
    assert found.discovered is not None and found.discovered > 0.8
    pair = next(c for c in found.comparisons if (c.a, c.b) == (FITTED, "truth"))
    # The truth has no units, so there is no interval; the correlation stands.
    assert pair.found is None and "units" in pair.refusal
    assert pair.pearson > 0.99
    assert found.groups.bincount().sum() == N_TRAIN


def test_replicates_give_the_ceiling(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    masks = (rng.random((300, 12)) < 0.5).repeat(2, axis=0)
    signal = masks @ rng.normal(size=(12, 2))
    outputs = signal + 2.0 * rng.normal(size=signal.shape)
    np.save(tmp_path / "mask.npy", masks)
    np.save(tmp_path / "val_margins.npy", outputs)
    runs = open_trak(tmp_path, problem="p", held_out=(200, 600))
    found = analyse(runs)
    assert found.n_replicates == 2
    ceiling = found.scores.rows[0].lds.ceiling
    assert ceiling is not None
    # V/(V + s^2/2) by hand, on the scale of ranks.
    ratio = signal[200:].var(0) / (signal[200:].var(0) + 4.0 / 2)
    by_hand = (6 / np.pi * np.arcsin(np.sqrt(ratio) / 2)).mean()
    assert abs(ceiling.value - by_hand) < 0.05
    assert ceiling.low < by_hand < ceiling.high


def test_two_independent_halves_have_a_slope_of_one(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = opened(tmp_path)
    one, other = fit_imported(runs.rows(0, 200)), fit_imported(runs.rows(200, FIT))
    found = compare(("one", one), ("other", other))
    assert found.found is not None and not found.refusal
    slope = found.found.slope
    assert slope.low < 1 < slope.high and abs(slope.value - 1) < 0.1
    # Of the same models no slope is fair.
    same = compare(("one", one), ("all", fit_imported(runs.rows(0, FIT))))
    assert same.found is None and "share no seeds" in same.refusal
    # Examples that only one side has are left aside.
    part = one.restricted(one.train_labels[::-1][:10])
    assert compare(("part", part), ("one", one)).pearson == pytest.approx(1.0)


def test_the_estimator_follows_the_sizes(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = opened(tmp_path)
    assert isinstance(default_estimator(runs), OLS)
    assert isinstance(default_estimator(runs.rows(0, 40)), Ridge)
    wide = ImportedRuns.of(
        ArrayRows(np.eye(4, 3000, dtype=bool)),
        ArrayRows(np.ones((4, 1))),
        replace(runs.tags, held_out=None),
    )
    assert isinstance(default_estimator(wide), DifferenceOfMeans)


def test_a_copy_stands_out_of_all_others() -> None:
    made = torch.Generator().manual_seed(3)
    scores = torch.randn(200, 12, generator=made, dtype=torch.float64)
    # Target 4 has a copy; target 9 has two, so that none is alone; scales and levels
    # differ.
    scores[17, 4] = 12.0
    scores[[3, 8], 9] = 9.0
    scores += torch.linspace(-50, 60, 12).double()
    scores *= torch.logspace(-3, 3, 12).double()
    found = leakage_candidates(an_attribution(scores), k=3)
    assert [(c.target, c.example) for c in found[:2]] == [
        ("question 4", "row 17"),
        ("question 9", "row 3"),
    ]
    assert found[0].gap > 6 and found[1].gap == 0
    # In robust deviations of a unit normal, whatever the target's scale.
    assert abs(found[0].height - 12) < 2 and abs(found[1].height - 9) < 2
    # The third is the largest of 200 normals: far below.
    assert found[2].height < 4.5
    # Harmful examples are no copies.
    assert leakage_candidates(an_attribution(-scores), k=1)[0].height < 4.5


def test_sparse_scores_have_candidates_too() -> None:
    scores = torch.zeros(50, 2).double()
    scores[5, 0], scores[6, 0], scores[7, 1] = 3.0, 0.1, 1.0
    first = leakage_candidates(an_attribution(scores), k=1)[0]
    assert (first.target, first.example) in {
        ("question 0", "row 5"),
        ("question 1", "row 7"),
    }
    assert np.isfinite(first.height)


class Outline(HTMLParser):
    """Tags that are open, headings, and what the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "path", "use", "br"}:
            self.open.append(tag)
        self.fetched += [
            str(v) for k, v in attrs if k in {"src", "href"} and not str(v)[:1] == "#"
        ]

    def handle_startendtag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"meta", "path", "use", "br"}:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = opened(tmp_path)
    evil = replace(fit_imported(runs.rows(*HELD_OUT)), intercept=None)
    evil = replace(evil, seeds=frozenset())
    found = analyse(runs, attributions=[("<script>|x", evil)])
    page = as_html(found)
    outline = Outline()
    outline.feed(page)
    assert not outline.open and not outline.fetched
    assert outline.headings == [
        "What was imported",
        "The fit",
        "Prediction of held-out models",
        "Agreement",
        "Leakage candidates",
        "Embedding",
    ]
    assert "<script" not in page
    value = f"{found.scores.rows[0].lds.mean.value:.3f}"
    markdown = as_markdown(found)
    for text in (page, markdown):
        assert value in text
        assert "max-margin (as stored)" in text
        assert "400 to 520" in text
    assert "<script" not in markdown and "script&gt;\\|x" in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    # Every row of a table has as many cells as those around it.
    cells = [line.replace("\\|", "").count("|") for line in tables]
    assert set(cells) <= {3, 5, 6, 7}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_one_command_goes_from_a_download_to_a_report(tmp_path: Path) -> None:
    write_release(tmp_path / "release", standardised=True)
    release = ("import", str(tmp_path / "release"), "--percent", "50")
    rows = ("--held-out", "400:520", "--targets", "0:4")
    weights = tmp_path / "weights.npz"
    said = json.loads(
        run(
            *release,
            *rows,
            "--format",
            "release-weights",
            "--out",
            str(weights),
            "--json",
        )
    )
    assert "read as standardised" in said["method"]
    report = tmp_path / "report.html"
    said = json.loads(
        run(
            *release,
            *rows,
            "--format",
            "release",
            "--scores",
            str(weights),
            "--report",
            str(report),
            "--out",
            str(tmp_path / "runs"),
            "--json",
        )
    )
    assert said["models"] == FIT + EVALUATION and said["held_out"] == [400, 520]
    page = report.read_text()
    assert "weights" in page and "Leakage candidates" in page
    # The folder is what the other commands take.
    fitted = tmp_path / "fit.npz"
    arrays = ("--masks", str(tmp_path / "runs" / "masks.npy"))
    arrays += ("--outputs", str(tmp_path / "runs" / "outputs.npy"))
    run("fit", *arrays, "--design", "fixed-size:12", "--out", str(fitted))
    assert load_attribution(fitted).scores.shape == (N_TRAIN, 4)


def test_check_ends_with_a_status(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert "fixed size(0.5)" in run("import", str(tmp_path), "--check")
    path = tmp_path / "cifar" / "data" / "test_margins_50pct.npy"
    path.write_bytes(path.read_bytes()[:-1])
    result = CliRunner().invoke(cli, ["import", str(tmp_path), "--check", "--json"])
    assert result.exit_code == 1
    bad = [f for f in json.loads(result.output) if f["level"] == "bad"]
    assert len(bad) == 1 and "cut short" in bad[0]["text"]


def test_export_says_what_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made: Attribution = an_attribution(
        torch.ones(4, 2).double(), units=torch.ones(5, 4, 2).double()
    )
    source = tmp_path / "a.npz"
    save_attribution(made, source)
    out = tmp_path / "a.parquet"
    said = run("export", str(source), "--format", "parquet", "--out", str(out))
    assert "not carried: units" in said
    back = tmp_path / "b.npz"
    run("import", str(out), "--format", "parquet", "--out", str(back))
    assert torch.equal(load_attribution(back).scores, made.scores)
    result = CliRunner().invoke(
        cli, ["export", str(source), "--format", "trak", "--out", str(out)]
    )
    assert result.exit_code == 2 and "does not hold an attribution" in result.output


def test_a_format_asks_for_what_it_does_not_say(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["import", str(tmp_path), "--format", "bergson"])
    assert isinstance(result.exception, ValueError | SystemExit)
    (tmp_path / "lds_subsets.yaml").write_text("[[0, 1], [1, 2]]")
    given = ["import", str(tmp_path / "lds_subsets.yaml"), "--format", "quanda"]
    result = CliRunner().invoke(cli, [*given, "--outputs", str(tmp_path)])
    assert "give --n-train" in str(result.exception)
    result = CliRunner().invoke(cli, ["import", str(tmp_path)])
    assert result.exit_code == 2 and "format must be stated" in result.output
