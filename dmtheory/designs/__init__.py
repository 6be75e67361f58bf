"""Which weight vectors are trained, with which seeds."""

from dmtheory.designs.base import Design, SubsetDesign
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.fixed_size import FixedSize, Stratified
from dmtheory.designs.groups import (
    Grouped,
    class_groups,
    cluster_groups,
    random_groups,
)
from dmtheory.designs.leave_out import LeaveKOut, LeaveOneOut
from dmtheory.designs.nudges import Nudges
from dmtheory.designs.pairs import AntitheticPairs, ComplementaryPairs, DisjointBlocks
from dmtheory.designs.perturbations import CoordinatePairs
from dmtheory.designs.points import random_coordinates
from dmtheory.designs.random_directions import RandomDirections
from dmtheory.designs.replicates import Replicates
from dmtheory.designs.subset_pairs import SubsetPairs

__all__ = [
    "AntitheticPairs",
    "Bernoulli",
    "ComplementaryPairs",
    "CoordinatePairs",
    "Design",
    "DisjointBlocks",
    "FixedSize",
    "Grouped",
    "LeaveKOut",
    "LeaveOneOut",
    "Nudges",
    "RandomDirections",
    "Replicates",
    "Stratified",
    "SubsetDesign",
    "SubsetPairs",
    "class_groups",
    "cluster_groups",
    "random_coordinates",
    "random_groups",
]
