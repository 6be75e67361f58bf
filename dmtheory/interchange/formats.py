"""Formats by name, for a command line: what is asked for, and how each is read."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.interchange.files.places import Place
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.peers.bergson import open_bergson
from dmtheory.interchange.peers.bergson_scores import load_bergson_scores
from dmtheory.interchange.peers.datamodels_store import (
    load_datamodels_regression,
    open_datamodels_store,
)
from dmtheory.interchange.peers.dattri import open_dattri_lds, open_dattri_loo
from dmtheory.interchange.peers.feldman_zhang import (
    load_feldman_zhang,
    open_feldman_zhang,
)
from dmtheory.interchange.peers.kronfluence import (
    load_kronfluence_scores,
    open_kronfluence,
)
from dmtheory.interchange.peers.quanda import open_quanda
from dmtheory.interchange.peers.trak import load_trak_scores, open_trak
from dmtheory.interchange.release.opening import MARGIN, open_release
from dmtheory.interchange.release.weights import load_release_datamodel
from dmtheory.interchange.saving.datasets import load_zarr, open_runs_zarr
from dmtheory.interchange.saving.matrices import open_arrays
from dmtheory.interchange.saving.tables import load_parquet, load_safetensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be read, and what its format does not say.

    Attributes:
        path: A file, a folder, or a URL.
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
        target_slice: First column and end of the outputs that it was fitted to.
        ignored_completed: Whether its data set took rows that were never trained.
        fraction: Subset fraction of Feldman and Zhang's estimates.
        higher_is_better: Sign of bergson's scores, where no configuration says it.
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
    outputs: str | None = None
    experiment: str | None = None
    store: str | None = None
    num_train: int | None = None
    num_val: int | None = None
    target_slice: tuple[int, int] | None = None
    ignored_completed: bool = False
    fraction: float | None = None
    higher_is_better: bool | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where the path is."""
        return Place.of(self.path, self.options)

    def beside(self, name: str) -> Place:
        """Return where another path is that a format needs to be told."""
        return Place.of(self.need(name), self.options)

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
    if request.targets is not None:
        runs = runs.targets(*request.targets)
    if request.held_out is None:
        return runs
    return replace(runs, tags=replace(runs.tags, held_out=request.held_out))


def _release(request: Request) -> ImportedRuns:
    return open_release(
        request.place,
        dataset=request.dataset,
        percent=request.percent,
        split=request.split,
        held_out=request.held_out,
        output=request.output or MARGIN,
    )


def _release_weights(request: Request) -> Attribution:
    runs = _release(request)
    if request.targets is not None:
        runs = runs.targets(*request.targets)
    return load_release_datamodel(
        request.place,
        dataset=request.dataset,
        percent=request.percent,
        split=request.split,
        runs=runs,
        units=request.units,
    )


def _store(request: Request, folder: Place | None = None) -> ImportedRuns:
    return open_datamodels_store(
        request.place if folder is None else folder,
        problem=request.need("problem"),
        output=request.output or MARGIN,
        held_out=request.held_out,
    )


def _regression(request: Request) -> Attribution:
    runs = _store(request, request.beside("store"))
    if request.targets is not None:
        runs = runs.targets(*request.targets)
    return load_datamodels_regression(
        request.place,
        runs=runs,
        num_train=request.need("num_train"),
        num_val=request.need("num_val"),
        target_slice=request.target_slice,
        ignored_completed=request.ignored_completed,
    )


def _kronfluence(request: Request) -> ImportedRuns:
    names = [n for n in ("margins.pt", "losses.pt") if (request.place / n).exists()]
    if len(names) != 1:
        raise ValueError(
            f"path must hold one of margins.pt and losses.pt, got {request.path}"
        )
    return open_kronfluence(
        request.place / "masks.pt",
        request.place / names[0],
        problem=request.need("problem"),
        output=request.need("output"),
        held_out=request.held_out,
    )


def _dattri(request: Request, kind: str) -> ImportedRuns:
    read_pair = open_dattri_lds if kind == "lds" else open_dattri_loo
    return read_pair(
        request.place / f"indices_{kind}.pt",
        request.place / f"target_values_{kind}.pt",
        n_train=request.need("n_train"),
        problem=request.need("problem"),
        output=request.need("output"),
    )


def _quanda(request: Request) -> ImportedRuns:
    return open_quanda(
        request.place,
        request.beside("outputs"),
        n_train=request.need("n_train"),
        problem=request.need("problem"),
        output=request.output or "log-likelihood",
    )


def _bergson(request: Request) -> ImportedRuns:
    tables = request.place.find("validation*.csv")
    if not tables:
        raise ValueError(f"path must hold validation.csv, got {request.path}")
    return open_bergson(
        request.place / "subsets.json",
        tables,
        n_train=request.n_train,
        problem=request.need("problem"),
    )


RUNS: dict[str, Callable[[Request], ImportedRuns]] = {
    "release": _release,
    "datamodels-store": _store,
    "trak": lambda r: open_trak(
        r.place, problem=r.need("problem"), held_out=r.held_out
    ),
    "kronfluence": _kronfluence,
    "dattri-lds": lambda r: _dattri(r, "lds"),
    "dattri-loo": lambda r: _dattri(r, "loo"),
    "quanda": _quanda,
    "bergson": _bergson,
    "feldman-zhang": lambda r: open_feldman_zhang(
        r.place, problem=r.need("problem"), split=r.split
    ),
    "arrays": lambda r: open_arrays(r.place),
    "zarr-runs": lambda r: open_runs_zarr(r.place),
}
SCORES: dict[str, Callable[[Request], Attribution]] = {
    "release-weights": _release_weights,
    "datamodels-regression": _regression,
    "trak-scores": lambda r: load_trak_scores(
        r.place,
        r.need("experiment"),
        problem=r.need("problem"),
        output=r.output or "margin",
    ),
    "kronfluence-scores": lambda r: load_kronfluence_scores(
        r.place, problem=r.need("problem"), measurement=r.need("output")
    ),
    "bergson-scores": lambda r: load_bergson_scores(
        r.place,
        problem=r.need("problem"),
        output=r.output or "loss",
        higher_is_better=r.higher_is_better,
    ),
    "feldman-zhang-influence": lambda r: load_feldman_zhang(
        r.place, problem=r.need("problem"), subset_fraction=r.need("fraction")
    ),
    "safetensors": lambda r: load_safetensors(r.place),
    "parquet": lambda r: load_parquet(r.place),
    "zarr": lambda r: load_zarr(r.place),
}
