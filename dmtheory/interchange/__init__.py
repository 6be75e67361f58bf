"""Masks, outputs and attributions that others wrote, and files that others read.

Imports are `open_*`, which read nothing until asked, or `load_*`, which return an
`Attribution`; exports are `save_*`. Every import says what its numbers are.
"""

from dmtheory.interchange.analyses.analysis import (
    Analysis,
    Comparison,
    analyse,
    compare,
)
from dmtheory.interchange.analyses.candidates import Candidate, leakage_candidates
from dmtheory.interchange.analyses.page import as_html, as_markdown, save_page
from dmtheory.interchange.imported.deciding_units import UnitsChoice, decide_units
from dmtheory.interchange.imported.own_responses import runs_of_responses
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.stored_masks import StoredMasks, responses_of_runs
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.imported.units_of_weights import (
    Standardisation,
    raw_units,
    standardisation_of,
)
from dmtheory.interchange.imported.using import (
    evaluation_of_runs,
    fit_imported,
    regression_of_runs,
    replicates_in,
)
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
from dmtheory.interchange.peers.quanda import load_quanda_subsets, open_quanda
from dmtheory.interchange.peers.regression_log import RegressionLog, open_regression_log
from dmtheory.interchange.peers.trak import load_trak_scores, open_matrices, open_trak
from dmtheory.interchange.release.checking import Finding, check_release
from dmtheory.interchange.release.margins import margin_formula
from dmtheory.interchange.release.opening import open_release, open_release_logits
from dmtheory.interchange.release.weights import load_release_datamodel
from dmtheory.interchange.saving.datasets import (
    from_dataset,
    load_zarr,
    open_runs_zarr,
    save_runs_zarr,
    save_zarr,
    to_dataset,
)
from dmtheory.interchange.saving.lists import save_bergson, save_dattri_lds, save_quanda
from dmtheory.interchange.saving.lost import Lost
from dmtheory.interchange.saving.matrices import (
    open_arrays,
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
from dmtheory.interchange.saving.tables import (
    load_parquet,
    load_safetensors,
    save_parquet,
    save_safetensors,
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
