"""The committed reference run: a finished run of the thorough suite, made small."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_LZMA, ZipFile, ZipInfo

import torch
from torch import Tensor

from dmtheory.files import load_attribution, save_attribution
from reports.load import ReportError, load_run

SUITE = "thorough"
PLACE = Path(__file__).parent / "reference" / SUITE
MOST_BYTES = 5 * 10**6
# Bits of a score's mantissa that are kept: a relative error of at most 2^-13.
_BITS = 12
# What leaves entries out of a run.
_PARTIAL = ("--claims", "--scale", "--budget")


def make_reference(run: Path, into: Path = PLACE) -> Path:
    """Make the reference of a run's folder, in place of the one before.

    It holds `results.json` and `environment.json`, without white space but with every
    number as it was, the points of scatter figures to five digits, and the
    attributions: scores to twelve bits, compressed, without standard errors, units or
    responses. All appears at once or not at all.

    Args:
        run: Folder of a run of the thorough suite.
        into: Folder of the reference.

    Returns:
        The folder of the reference.

    Raises:
        ReportError: If the run is damaged, unfinished, of another suite, of no clean
            commit, or larger than 5 MB when made small.
    """
    found = load_run(run)
    _check_whole(found.results)
    attributions = sorted((run / "attributions").glob("*.npz"))
    if not attributions:
        raise ReportError(f"the run has no attributions: {run / 'attributions'}")
    if into.exists() and not (into / "results.json").is_file():
        raise ReportError(f"the folder must be new or hold a reference, got {into}")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".reference-", dir=into.parent) as made:
        fresh = Path(made) / "fresh"
        (fresh / "attributions").mkdir(parents=True)
        claims = [_with_short_points(claim) for claim in found.results["claims"]]
        _write({**found.results, "claims": claims}, fresh / "results.json")
        _write(found.environment, fresh / "environment.json")
        for path in attributions:
            _shorten(path, fresh / "attributions" / path.name)
        _check_size(fresh)
        if into.exists():
            into.replace(Path(made) / "before")
        fresh.replace(into)
    return into


def _check_whole(results: dict[str, Any]) -> None:
    suite, commit = results["suite"], results["commit"]
    if suite != SUITE:
        raise ReportError(f"the reference must be a run of {SUITE}, got one of {suite}")
    if commit == "unknown" or commit.endswith("-dirty"):
        raise ReportError(
            f"the reference must be a run of a clean commit, got {commit}: commit, and "
            "run again"
        )
    left_out = [option for option in _PARTIAL if option in results["command"]]
    open_ = [claim["id"] for claim in results["claims"] if not claim["parts"]]
    if left_out or open_:
        got = f"one with {left_out[0]}" if left_out else f"{open_[0]} not begun"
        raise ReportError(f"the reference must be a finished run of all, got {got}")


def _with_short_points(claim: dict[str, Any]) -> dict[str, Any]:
    """Return an entry whose figure has its points to five digits, as they are seen."""
    figure = claim["figure"]
    if figure is None:
        return claim
    short = {axis: [float(f"{x:.5g}") for x in figure[axis]] for axis in ("x", "y")}
    return {**claim, "figure": {**figure, **short}}


def _write(content: dict[str, Any], path: Path) -> None:
    text = json.dumps(
        content, allow_nan=False, ensure_ascii=False, separators=(",", ":")
    )
    path.write_text(text + "\n", encoding="utf-8")


def _shorten(path: Path, into: Path) -> None:
    """Write an attribution again, its scores alone, in a compressed archive."""
    try:
        attribution = load_attribution(path)
    except ValueError as error:
        raise ReportError(str(error)) from None
    plain = into.with_suffix(".plain")
    scores = _rounded(attribution.scores)
    save_attribution(
        replace(attribution, scores=scores, stderr=None, units=None), plain
    )
    with ZipFile(plain) as stored, ZipFile(into, "w") as packed:
        for name in stored.namelist():
            # Without a date, so that equal runs make equal files.
            packed.writestr(ZipInfo(name), stored.read(name), ZIP_LZMA)
    plain.unlink()


def _rounded(scores: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(scores)
    steps = (mantissa * 2**_BITS).round() / 2**_BITS
    return torch.ldexp(steps, exponent).float()


def _check_size(folder: Path) -> None:
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    total = sum(sizes.values())
    if total > MOST_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise ReportError(
            f"the reference must have at most {MOST_BYTES / 1e6:g} MB, got "
            f"{total / 1e6:.2f}; the largest file is {largest} of "
            f"{sizes[largest] / 1e6:.2f}"
        )
