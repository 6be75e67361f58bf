"""Hypothesis strategies: data whose truth is known, which shrink to readable cases."""

from dmtheory.testing.strategies.arrays import features, matrices, permutations, weights
from dmtheory.testing.strategies.convex import ConvexCase, convex_cases
from dmtheory.testing.strategies.copies import PlantedTable, tables_with_copies
from dmtheory.testing.strategies.games import SpectralGame, games
from dmtheory.testing.strategies.masks import designs, exact_masks
from dmtheory.testing.strategies.networks import (
    ParameterCase,
    parameter_cases,
    trained_networks,
)
from dmtheory.testing.strategies.responses import (
    ResponseCase,
    noisy,
    sample_means,
    set_functions,
    smooth_responses,
    squares,
)
from dmtheory.testing.strategies.studies import (
    Study,
    additive_studies,
    exact_studies,
    fixed_size_studies,
)

__all__ = [
    "ConvexCase",
    "ParameterCase",
    "PlantedTable",
    "ResponseCase",
    "SpectralGame",
    "Study",
    "additive_studies",
    "convex_cases",
    "designs",
    "exact_masks",
    "exact_studies",
    "features",
    "fixed_size_studies",
    "games",
    "matrices",
    "noisy",
    "parameter_cases",
    "permutations",
    "sample_means",
    "set_functions",
    "smooth_responses",
    "squares",
    "tables_with_copies",
    "trained_networks",
    "weights",
]
