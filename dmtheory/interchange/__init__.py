"""Masks, outputs and attributions that others wrote, and files that others read.

Imports are `open_*`, which read nothing until asked, or `load_*`, which return an
`Attribution`; exports are `save_*`. Every import says what its numbers are.
"""

from dmtheory.interchange.analysis import Analysis, Comparison, analyse, compare
from dmtheory.interchange.bergson_files import open_bergson
from dmtheory.interchange.bergson_scores import load_bergson_scores
from dmtheory.interchange.candidates import Candidate, leakage_candidates
from dmtheory.interchange.checking import Finding, check_release
from dmtheory.interchange.datamodels_store import (
    load_datamodels_regression,
    open_datamodels_store,
)
from dmtheory.interchange.datasets import (
    from_dataset,
    load_zarr,
    open_runs_zarr,
    save_runs_zarr,
    save_zarr,
    to_dataset,
)
from dmtheory.interchange.dattri_files import open_dattri_lds, open_dattri_loo
from dmtheory.interchange.deciding_units import UnitsChoice, decide_units
from dmtheory.interchange.feldman_zhang import load_feldman_zhang, open_feldman_zhang
from dmtheory.interchange.kronfluence_files import (
    load_kronfluence_scores,
    open_kronfluence,
)
from dmtheory.interchange.lists import save_bergson, save_dattri_lds, save_quanda
from dmtheory.interchange.lost import Lost
from dmtheory.interchange.margins import margin_formula
from dmtheory.interchange.matrices import (
    open_arrays,
    save_arrays,
    save_datamodels_store,
    save_release,
    save_trak,
)
from dmtheory.interchange.own_responses import runs_of_responses
from dmtheory.interchange.page import as_html, as_markdown, save_page
from dmtheory.interchange.quanda_files import load_quanda_subsets, open_quanda
from dmtheory.interchange.regression_log import RegressionLog, open_regression_log
from dmtheory.interchange.release import open_release, open_release_logits
from dmtheory.interchange.release_weights import load_release_datamodel
from dmtheory.interchange.runs import ImportedRuns
from dmtheory.interchange.scores import (
    save_bergson_scores,
    save_datamodel_weights,
    save_feldman_zhang,
    save_kronfluence_scores,
    save_trak_scores,
)
from dmtheory.interchange.stored_masks import StoredMasks, responses_of_runs
from dmtheory.interchange.tables import (
    load_parquet,
    load_safetensors,
    save_parquet,
    save_safetensors,
)
from dmtheory.interchange.tags import Tags
from dmtheory.interchange.trak_files import load_trak_scores, open_matrices, open_trak
from dmtheory.interchange.units_of_weights import (
    Standardisation,
    raw_units,
    standardisation_of,
)
from dmtheory.interchange.using import (
    evaluation_of_runs,
    fit_imported,
    regression_of_runs,
    replicates_in,
)

__all__ = [
    "Analysis",
    "Candidate",
    "Comparison",
    "Finding",
    "ImportedRuns",
    "Lost",
    "RegressionLog",
    "Standardisation",
    "StoredMasks",
    "Tags",
    "UnitsChoice",
    "analyse",
    "as_html",
    "as_markdown",
    "check_release",
    "compare",
    "decide_units",
    "evaluation_of_runs",
    "fit_imported",
    "from_dataset",
    "leakage_candidates",
    "load_bergson_scores",
    "load_datamodels_regression",
    "load_feldman_zhang",
    "load_kronfluence_scores",
    "load_parquet",
    "load_quanda_subsets",
    "load_release_datamodel",
    "load_safetensors",
    "load_trak_scores",
    "load_zarr",
    "margin_formula",
    "open_arrays",
    "open_bergson",
    "open_datamodels_store",
    "open_dattri_lds",
    "open_dattri_loo",
    "open_feldman_zhang",
    "open_kronfluence",
    "open_matrices",
    "open_quanda",
    "open_regression_log",
    "open_release",
    "open_release_logits",
    "open_runs_zarr",
    "open_trak",
    "raw_units",
    "regression_of_runs",
    "replicates_in",
    "responses_of_runs",
    "runs_of_responses",
    "save_arrays",
    "save_bergson",
    "save_bergson_scores",
    "save_datamodel_weights",
    "save_datamodels_store",
    "save_dattri_lds",
    "save_feldman_zhang",
    "save_kronfluence_scores",
    "save_page",
    "save_parquet",
    "save_quanda",
    "save_release",
    "save_runs_zarr",
    "save_safetensors",
    "save_trak",
    "save_trak_scores",
    "save_zarr",
    "standardisation_of",
    "to_dataset",
]
