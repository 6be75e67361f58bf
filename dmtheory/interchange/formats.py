"""Formats by name, for a command line: what is asked for, and how each is read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.interchange.bergson_files import open_bergson
from dmtheory.interchange.datamodels_store import (
    load_datamodels_regression,
    open_datamodels_store,
)
from dmtheory.interchange.datasets import load_zarr, open_runs_zarr
from dmtheory.interchange.dattri_files import open_dattri_lds, open_dattri_loo
from dmtheory.interchange.feldman_zhang import load_feldman_zhang, open_feldman_zhang
from dmtheory.interchange.kronfluence_files import (
    load_kronfluence_scores,
    open_kronfluence,
)
from dmtheory.interchange.matrices import open_arrays
from dmtheory.interchange.quanda_files import open_quanda
from dmtheory.interchange.release import MARGIN, open_release
from dmtheory.interchange.release_weights import load_release_datamodel
from dmtheory.interchange.runs import ImportedRuns
from dmtheory.interchange.tables import load_parquet, load_safetensors
from dmtheory.interchange.trak_files import load_trak_scores, open_trak


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be read, and what its format does not say.

    Attributes:
        path: A file, a folder, or a URL where the format allows one.
        problem: Name of the problem.
        output: The output function; the format's usual one by default.
        dataset: Data set of the release.
        percent: Fraction of the release, in percent.
        split: Targets of the release or of Feldman and Zhang's runs.
        n_train: N, where lists of examples do not say it.
        targets: First target and end.
        held_out: First held-out row and end.
        units: "raw" or "standardised", where it is known.
        outputs: File of outputs beside a list of subsets.
        experiment: Name of TRAK's experiment.
        store: The store that a regression was fitted to.
        num_train: Rows that the regression was fitted to.
        num_val: Rows that chose its penalty.
        fraction: Subset fraction of Feldman and Zhang's estimates.
        options: For fsspec.
    """

    path: str
    problem: str | None = None
    output: str | None = None
    dataset: str = "cifar"
    percent: int = 50
    split: str = "test"
    n_train: int | None = None
    targets: tuple[int, int] | None = None
    held_out: tuple[int, int] | None = None
    units: str | None = None
    outputs: Path | None = None
    experiment: str | None = None
    store: Path | None = None
    num_train: int | None = None
    num_val: int | None = None
    fraction: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The path, of a format that is read from a local disk."""
        return Path(self.path)

    def need(self, name: str) -> Any:
        """Return what a format needs to be told.

        Raises:
            ValueError: If it was not.
        """
        value = getattr(self, name)
        if value is None:
            option = name.replace("_", "-")
            raise ValueError(f"{name} must be stated for this format: give --{option}")
        return value


def read(format_name: str, request: Request) -> ImportedRuns | Attribution:
    """Read a file or folder in a named format.

    Args:
        format_name: One of `RUNS` or `SCORES`.
        request: What is read.

    Returns:
        Imported models, or an attribution.

    Raises:
        ValueError: If there is no such format, or what it needs is not stated.
    """
    check_choice(format_name, (*RUNS, *SCORES), "format")
    if format_name in SCORES:
        return SCORES[format_name](request)
    runs = RUNS[format_name](request)
    return runs if request.targets is None else runs.targets(*request.targets)


def _release(request: Request) -> ImportedRuns:
    return open_release(
        request.path,
        dataset=request.dataset,
        percent=request.percent,
        split=request.split,
        held_out=request.held_out,
        output=request.output or MARGIN,
        options=request.options,
    )


def _release_weights(request: Request) -> Attribution:
    runs = _release(request)
    if request.targets is not None:
        runs = runs.targets(*request.targets)
    return load_release_datamodel(
        request.path,
        dataset=request.dataset,
        percent=request.percent,
        split=request.split,
        runs=runs,
        units=request.units,
    )


def _store(request: Request, folder: Path | None = None) -> ImportedRuns:
    return open_datamodels_store(
        request.path if folder is None else folder,
        problem=request.need("problem"),
        output=request.output or MARGIN,
        held_out=request.held_out,
        options=request.options,
    )


def _regression(request: Request) -> Attribution:
    runs = _store(request, request.need("store"))
    if request.targets is not None:
        runs = runs.targets(*request.targets)
    return load_datamodels_regression(
        request.file,
        runs=runs,
        num_train=request.need("num_train"),
        num_val=request.need("num_val"),
    )


def _kronfluence(request: Request) -> ImportedRuns:
    names = [n for n in ("margins.pt", "losses.pt") if (request.file / n).exists()]
    if len(names) != 1:
        raise ValueError(
            f"path must hold one of margins.pt and losses.pt, got {request.path}"
        )
    return open_kronfluence(
        request.file / "masks.pt",
        request.file / names[0],
        problem=request.need("problem"),
        output=request.need("output"),
        held_out=request.held_out,
    )


def _dattri(request: Request, kind: str) -> ImportedRuns:
    read_pair = open_dattri_lds if kind == "lds" else open_dattri_loo
    return read_pair(
        request.file / f"indices_{kind}.pt",
        request.file / f"target_values_{kind}.pt",
        n_train=request.need("n_train"),
        problem=request.need("problem"),
        output=request.need("output"),
    )


def _quanda(request: Request) -> ImportedRuns:
    return open_quanda(
        request.file,
        request.need("outputs"),
        n_train=request.need("n_train"),
        problem=request.need("problem"),
        output=request.output or "log-likelihood",
    )


def _bergson(request: Request) -> ImportedRuns:
    tables = sorted(request.file.glob("validation*.csv"))
    if not tables:
        raise ValueError(f"path must hold validation.csv, got {request.path}")
    return open_bergson(
        request.file / "subsets.json",
        tables,
        n_train=request.need("n_train"),
        problem=request.need("problem"),
    )


RUNS: dict[str, Callable[[Request], ImportedRuns]] = {
    "release": _release,
    "datamodels-store": _store,
    "trak": lambda r: open_trak(
        r.path, problem=r.need("problem"), held_out=r.held_out, options=r.options
    ),
    "kronfluence": _kronfluence,
    "dattri-lds": lambda r: _dattri(r, "lds"),
    "dattri-loo": lambda r: _dattri(r, "loo"),
    "quanda": _quanda,
    "bergson": _bergson,
    "feldman-zhang": lambda r: open_feldman_zhang(
        r.file, problem=r.need("problem"), split=r.split
    ),
    "arrays": lambda r: open_arrays(r.path, options=r.options),
    "zarr-runs": lambda r: open_runs_zarr(r.file),
}
SCORES: dict[str, Callable[[Request], Attribution]] = {
    "release-weights": _release_weights,
    "datamodels-regression": _regression,
    "trak-scores": lambda r: load_trak_scores(
        r.file,
        r.need("experiment"),
        problem=r.need("problem"),
        output=r.output or "margin",
    ),
    "kronfluence-scores": lambda r: load_kronfluence_scores(
        r.file, problem=r.need("problem"), measurement=r.need("output")
    ),
    "feldman-zhang-influence": lambda r: load_feldman_zhang(
        r.file, problem=r.need("problem"), subset_fraction=r.need("fraction")
    ),
    "safetensors": lambda r: load_safetensors(r.file),
    "parquet": lambda r: load_parquet(r.file),
    "zarr": lambda r: load_zarr(r.file),
}
