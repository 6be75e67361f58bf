"""Masks, outputs and attributions that others wrote, and files that others read.

Imports are `open_*`, which read nothing until asked, or `load_*`, which return an
`Attribution`; exports are `save_*`. Every import says what its numbers are.
"""

from dmtheory.interchange.margins import margin_formula
from dmtheory.interchange.release import open_release, open_release_logits
from dmtheory.interchange.release_weights import load_release_datamodel
from dmtheory.interchange.runs import ImportedRuns
from dmtheory.interchange.stored_masks import StoredMasks, responses_of_runs
from dmtheory.interchange.tags import Tags
from dmtheory.interchange.units_of_weights import (
    Standardisation,
    UnitsChoice,
    decide_units,
    raw_units,
)
from dmtheory.interchange.using import (
    evaluation_of_runs,
    fit_imported,
    regression_of_runs,
    replicates_in,
)

__all__ = [
    "ImportedRuns",
    "Standardisation",
    "StoredMasks",
    "Tags",
    "UnitsChoice",
    "decide_units",
    "evaluation_of_runs",
    "fit_imported",
    "load_release_datamodel",
    "margin_formula",
    "open_release",
    "open_release_logits",
    "raw_units",
    "regression_of_runs",
    "replicates_in",
    "responses_of_runs",
]
