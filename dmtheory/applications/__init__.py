"""What attributions are good for: counterfactuals, leaks, subpopulations."""

from dmtheory.applications.brittleness import smallest_flips
from dmtheory.applications.choosing import Choice, at_random, crossed
from dmtheory.applications.counterfactual import remove_top
from dmtheory.applications.flip_search import Flip, Trial
from dmtheory.applications.removal_table import Removal, RemovalTable
from dmtheory.applications.retraining import Retrained, retrain_without

__all__ = [
    "Choice",
    "Flip",
    "Removal",
    "RemovalTable",
    "Retrained",
    "Trial",
    "at_random",
    "crossed",
    "remove_top",
    "retrain_without",
    "smallest_flips",
]
