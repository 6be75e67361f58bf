"""What attributions are good for: counterfactuals, leaks, subpopulations."""

from dmtheory.applications.brittleness import smallest_flips
from dmtheory.applications.choosing import Choice, at_random, crossed
from dmtheory.applications.copy_effects import (
    CopyEffects,
    Shares,
    copy_effects,
    loo_over_datamodel,
)
from dmtheory.applications.counterfactual import remove_top
from dmtheory.applications.flip_search import Flip, Trial
from dmtheory.applications.leakage import (
    CopiesFound,
    copies_found,
    recall_difference,
)
from dmtheory.applications.removal_table import Removal, RemovalTable
from dmtheory.applications.retraining import Retrained, retrain_without
from dmtheory.applications.subpopulations import (
    Recovery,
    embedding,
    permuted_columns,
    recovery,
    subpopulations,
)

__all__ = [
    "Choice",
    "CopiesFound",
    "CopyEffects",
    "Flip",
    "Recovery",
    "Removal",
    "RemovalTable",
    "Retrained",
    "Shares",
    "Trial",
    "at_random",
    "copies_found",
    "copy_effects",
    "crossed",
    "embedding",
    "loo_over_datamodel",
    "permuted_columns",
    "recall_difference",
    "recovery",
    "remove_top",
    "retrain_without",
    "smallest_flips",
    "subpopulations",
]
