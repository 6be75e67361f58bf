"""Commands for the files of others: import and export."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from dmtheory.attribution import Attribution
from dmtheory.cli import options
from dmtheory.console import progress_bars
from dmtheory.files import load_attribution, save_attribution
from dmtheory.interchange import exports
from dmtheory.interchange.files.places import Place
from dmtheory.interchange.formats import RUNS, SCORES, Request, read
from dmtheory.interchange.imported.own_responses import runs_of_responses
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.peers.regression_log import RegressionLog, open_regression_log
from dmtheory.interchange.release.checking import BAD, check_release
from dmtheory.interchange.saving.matrices import TAGS, open_arrays, save_arrays
from dmtheory.responses.responses import load_responses

_LOG = "regression-log"
_FORMATS = (*RUNS, *SCORES, _LOG)


class Range(click.ParamType):
    """A range FIRST:END."""

    name = "FIRST:END"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Return both numbers."""
        try:
            first, end = (int(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"a range must look like 0:100, got {value!r}", param, ctx)
        if not 0 <= first < end:
            self.fail(f"a range must ascend, got {value!r}", param, ctx)
        return first, end


@click.command("import")
@click.argument("path")
@click.option("--check", is_flag=True, help="Check files of the release, then stop.")
@click.option("--format", "name", type=click.Choice(_FORMATS), help="Who wrote it.")
@click.option("--dataset", default="cifar", show_default=True, help="Of the release.")
@click.option("--percent", default=50, show_default=True, help="Of the release.")
@click.option("--split", default="test", show_default=True, help="Whose targets.")
@click.option("--rows", type=Range(), help="Models to take.")
@click.option(
    "--without", multiple=True, type=Range(), help="Models to leave out, such as NaNs."
)
@click.option("--targets", type=Range(), help="Targets to take.")
@click.option("--held-out", type=Range(), help="Models that judge, rows of the file.")
@click.option("--problem", help="Name of the problem.")
@click.option("--output", help="The output function, where the format does not say it.")
@click.option("--n-train", type=int, help="N, where the format does not say it.")
@click.option(
    "--units", type=click.Choice(["raw", "standardised"]), help="Of weights, if known."
)
@click.option("--outputs", help="Outputs beside quanda's subsets (.npy).")
@click.option("--experiment", help="Name of TRAK's experiment.")
@click.option("--store", help="Store behind a regression.")
@click.option("--num-train", type=int, help="Of the regression's configuration.")
@click.option("--num-val", type=int, help="Of the regression's configuration.")
@click.option("--target-slice", type=Range(), help="Outputs of a regression.")
@click.option(
    "--ignored-completed", is_flag=True, help="A regression took untrained rows too."
)
@click.option(
    "--higher-is-better/--lower-is-better",
    default=None,
    help="Whether a high score of bergson's lowers the loss, if no file says it.",
)
@click.option("--fraction", type=float, help="Subset fraction of estimates.")
@click.option("--requester-pays", is_flag=True, help="For buckets that ask for it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Attribution file (.npz), or a folder of masks.npy and outputs.npy.",
)
@click.option("--report", type=options.FILE, help="Analyse, and write .html or .md.")
@click.option(
    "--scores", multiple=True, type=options.FILE, help="Attributions to compare (.npz)."
)
@options.as_json
def import_command(
    path: str,
    check: bool,
    name: str | None,
    rows: tuple[int, int] | None,
    without: tuple[tuple[int, int], ...],
    requester_pays: bool,
    out: Path | None,
    report: Path | None,
    scores: tuple[Path, ...],
    as_json: bool,
    **stated: Any,
) -> None:
    """Read what others wrote, check it, or go from a download to a report.

    Nothing is unpickled, and of large files no more is read than is asked for.

    Example: dmtheory import downloads --format release --percent 50
    --held-out 300000:310000 --targets 0:100 --report report.html
    """
    given = {"requester_pays": True} if requester_pays else {}
    place = Place.of(path, given)
    if check:
        _check(place, as_json)
        return
    if name is None:
        raise click.UsageError(f"format must be stated: {', '.join(_FORMATS)}")
    if name == _LOG:
        options.show_values(_logged(open_regression_log(place)), as_json)
        return
    found = read(name, Request(path=path, options=given, **stated))
    if isinstance(found, Attribution):
        if report is not None or rows is not None or without:
            raise click.UsageError(
                "--report, --rows and --without are for masks and outputs"
            )
        if out is not None:
            save_attribution(found, out)
        options.show_values(_described(found, out), as_json)
        return
    if rows is not None:
        found = found.rows(*rows)
    for left_out in without:
        found = found.without_rows(*left_out)
    lost = None if out is None else str(save_arrays(found, out))
    if report is not None:
        _report(found, report, scores)
    values = {
        "models": found.n_models,
        "examples": found.n_train,
        "targets": len(found.columns),
        **found.tags.to_json(),
        "law": None if found.tags.law is None else str(found.tags.law),
        "folder": None if out is None else str(out),
        "lost": lost,
        "report": None if report is None else str(report),
    }
    options.show_values(values, as_json)


def _check(place: Place, as_json: bool) -> None:
    with progress_bars() as progress:
        findings = check_release(place, progress=progress)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.level:5} {finding.file}: {finding.text}")
    if any(finding.level == BAD for finding in findings):
        sys.exit(1)


def _report(runs: ImportedRuns, path: Path, scores: tuple[Path, ...]) -> None:
    # Analyses and figures take seconds to import.
    from dmtheory.interchange.analyses.analysis import analyse
    from dmtheory.interchange.analyses.page import save_page

    others = [(file.stem, load_attribution(file)) for file in scores]
    save_page(analyse(runs, attributions=others), path)


def _logged(log: RegressionLog) -> dict[str, Any]:
    """Return what a regression's log says at its end, over targets."""
    best = log.last("best_mse")
    known = best[np.isfinite(best)]
    return {
        "epochs": log.n_epochs,
        "targets": log.n_targets,
        "unfinished": int(log.last("still_optimizing_outer").sum()),
        "median best penalty": float(np.median(log.last("best_lambda"))),
        "median best validation error": float(np.median(known)) if len(known) else None,
        "median coefficients that are not zero": float(
            np.median(log.last("weight_nz"))
        ),
    }


def _described(found: Attribution, out: Path | None) -> dict[str, Any]:
    return {
        "estimand": str(found.estimand),
        "examples": len(found.train_labels),
        "targets": len(found.target_labels),
        "method": found.method,
        "file": None if out is None else str(out),
    }


@click.command("export")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "name",
    type=click.Choice([*exports.OF_SCORES, *exports.OF_RUNS]),
    required=True,
    help="Who is to read it.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to.")
@click.option("--dataset", default="cifar", show_default=True, help="Of the release.")
@click.option("--percent", default=50, show_default=True, help="Of the release.")
@click.option("--split", default="test", show_default=True, help="Whose targets.")
@click.option("--experiment", default="scores", show_default=True, help="TRAK's name.")
@click.option("--penalty", default=float("nan"), help="What `lam` says.")
@options.as_json
def export_command(
    path: Path, name: str, out: Path, as_json: bool, **stated: Any
) -> None:
    """Write an attribution (.npz), a run, or a folder of an import, as others read it.

    What the format cannot carry is printed.

    Example: dmtheory export datamodel.npz --format parquet --out datamodel.parquet
    """
    is_store = (path / "zarr.json").is_file()
    is_runs = is_store or (path / TAGS).is_file()
    known = exports.OF_RUNS if is_runs else exports.OF_SCORES
    if name not in known:
        kind = "masks and outputs" if is_runs else "an attribution"
        raise click.UsageError(f"{name} does not hold {kind}: {', '.join(known)} do")
    request = exports.Export(out=out, **stated)
    lost = (
        exports.OF_RUNS[name](_models(path, is_store), request)
        if is_runs
        else exports.OF_SCORES[name](load_attribution(path), request)
    )
    values = {"out": str(out), "format": name, "lost": str(lost)}
    options.show_values(values, as_json)


def _models(path: Path, is_store: bool) -> ImportedRuns:
    if is_store:
        return runs_of_responses(load_responses(str(path)))
    return open_arrays(path)
