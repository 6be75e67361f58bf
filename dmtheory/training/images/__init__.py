"""Image classifiers at full scale: recipes, and a trainer of several models at once."""

from dmtheory.training.images.recipe import Recipe
from dmtheory.training.images.recipes import FIDELITY, SMOOTH, THROUGHPUT

__all__ = ["FIDELITY", "SMOOTH", "THROUGHPUT", "Recipe"]
