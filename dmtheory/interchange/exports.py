"""Formats by name, for a command line: how each is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dmtheory.attribution import Attribution
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.saving.datasets import save_runs_zarr, save_zarr
from dmtheory.interchange.saving.lists import save_bergson, save_dattri_lds, save_quanda
from dmtheory.interchange.saving.lost import Lost
from dmtheory.interchange.saving.matrices import (
    save_arrays,
    save_datamodels_store,
    save_release,
    save_trak,
)
from dmtheory.interchange.saving.scores import (
    save_bergson_scores,
    save_datamodel_weights,
    save_feldman_zhang,
    save_kronfluence_scores,
    save_trak_scores,
)
from dmtheory.interchange.saving.tables import save_parquet, save_safetensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Where to write, and what a format needs beside.

    Attributes:
        out: The file or folder.
        dataset: Folder of the release.
        percent: Fraction of the release, in percent.
        split: Targets of the release.
        experiment: Name of TRAK's experiment.
        penalty: What `lam` says of every target.
    """

    out: Path
    dataset: str = "cifar"
    percent: int = 50
    split: str = "test"
    experiment: str = "scores"
    penalty: float = float("nan")


OF_SCORES: dict[str, Callable[[Attribution, Export], Lost]] = {
    "safetensors": lambda a, e: save_safetensors(a, e.out),
    "parquet": lambda a, e: save_parquet(a, e.out),
    "zarr": lambda a, e: save_zarr(a, e.out),
    "datamodel-weights": lambda a, e: save_datamodel_weights(
        a, e.out, penalty=e.penalty
    ),
    "trak-scores": lambda a, e: save_trak_scores(a, e.out, e.experiment),
    "kronfluence-scores": lambda a, e: save_kronfluence_scores(a, e.out),
    "bergson-scores": lambda a, e: save_bergson_scores(a, e.out),
    "feldman-zhang-influence": lambda a, e: save_feldman_zhang(a, e.out),
}
OF_RUNS: dict[str, Callable[[ImportedRuns, Export], Lost]] = {
    "release": lambda r, e: save_release(
        r, e.out, dataset=e.dataset, percent=e.percent, split=e.split
    ),
    "datamodels-store": lambda r, e: save_datamodels_store(r, e.out),
    "trak": lambda r, e: save_trak(r, e.out),
    "dattri-lds": lambda r, e: save_dattri_lds(r, e.out),
    "quanda": lambda r, e: save_quanda(r, e.out),
    "bergson": lambda r, e: save_bergson(r, e.out),
    "arrays": lambda r, e: save_arrays(r, e.out),
    "zarr-runs": lambda r, e: save_runs_zarr(r, e.out),
}
