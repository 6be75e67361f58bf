"""What the suite trains, in order of worth."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dmtheory.designs import (
    Bernoulli,
    ComplementaryPairs,
    Nudges,
    RandomDirections,
    Replicates,
)
from dmtheory.designs.base import Design
from dmtheory.designs.nudges import Move
from validation.cifar10.sizes import Sizes

# The level of half subsets, and of the matched point. There random directions of step
# 1/2 are the datamodel's complementary pairs.
HALF = 0.5
FULL_DATA = "full data"
PAIRS, AT_HALF, AT_ONE = "group pairs", "directions at p", "directions at 1"
DIFFERENCES, GROUP_SUBSETS = "differences at p", "group subsets"
CLASS_PAIRS, CLASS_DIRECTIONS = "class group pairs", "class directions at p"
IMAGES, IMAGE_SUBSETS, REMOVALS = "half subsets", "held-out subsets", "removals"
INFLUENCE_AT_ONE, INFLUENCE_AT_HALF = "influence at 1", "influence at p"
INFLUENCE_OVER, REGRESSION = "influence over subsets", "regression"
BY_SEED = "moves by seed"
GROUPS, CLASS_GROUPS, SINGLE = "groups", "class groups", "images"
# Each has an experiment seed of its own.
_STREAMS = (
    FULL_DATA,
    PAIRS,
    AT_HALF,
    AT_ONE,
    DIFFERENCES,
    GROUP_SUBSETS,
    CLASS_PAIRS,
    CLASS_DIRECTIONS,
    IMAGES,
    IMAGE_SUBSETS,
    REMOVALS,
    INFLUENCE_AT_ONE,
    INFLUENCE_AT_HALF,
    INFLUENCE_OVER,
    BY_SEED,
)


def experiment_seed(seed: int, work: str) -> int:
    """Return the experiment seed of a piece of work."""
    return 100 * seed + _STREAMS.index(work)


def task_of(point: str, rule: str) -> str:
    """Return the name of the task that takes influence at a point by a rule."""
    return f"{point}, {rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Models to train, and what they are for.

    Attributes:
        name: Its name.
        problem: Which problem is trained.
        design: Weight vectors and seeds, of any number of models.
        unit: Models that belong together.
        least: The fewest models that are of any use, whole units.
        wanted: The most that are of use.
        share: Its part of what is left once everybody has the fewest.
        serves: The claims that it serves.
        half: Whether outputs are stored in half precision.
        judges: Whether scores are judged on its models.
    """

    name: str
    problem: str
    design: Design
    unit: int
    least: int
    wanted: int
    share: float
    serves: str
    half: bool = False
    judges: bool = False

    def block(self, sizes: Sizes) -> int:
        """Return the models of a block of the store: whole units."""
        return max(1, min(sizes.block, self.least) // self.unit) * self.unit

    def place(self, folder: Path) -> Path:
        """Return where the responses are kept."""
        return folder / "responses" / f"{self.name.replace(' ', '-')}.zarr"


def works(sizes: Sizes, seed: int) -> list[Work]:
    """Return everything whose design is known beforehand, in order of worth."""
    return [
        _full_data(sizes, seed),
        _paired(sizes, PAIRS, _complements(seed, PAIRS), f"{_BETA}, linear-enough"),
        _paired(sizes, AT_HALF, _directions(seed, AT_HALF, HALF), _BY_DIRECTIONS),
        _paired(sizes, AT_ONE, _directions(seed, AT_ONE, 1.0), "posted-identity"),
        _differences(sizes, seed),
        _held_out(sizes, seed, GROUP_SUBSETS, "linear-enough, why-datamodels-win"),
        _images(sizes, seed),
        _held_out(sizes, seed, IMAGE_SUBSETS, "sample-efficiency"),
        _paired(sizes, CLASS_PAIRS, _complements(seed, CLASS_PAIRS), _OF_CLASSES),
        _paired(
            sizes,
            CLASS_DIRECTIONS,
            _directions(seed, CLASS_DIRECTIONS, HALF),
            _OF_CLASSES,
        ),
        _by_seed(sizes, seed),
    ]


_BETA = "posted-identity, matched-derivative"
_BY_DIRECTIONS = "matched-derivative, by random directions"
_OF_CLASSES = "matched-derivative, groups within classes"


def _complements(seed: int, name: str) -> Design:
    return ComplementaryPairs(seed=experiment_seed(seed, name))


def _directions(seed: int, name: str, at: float) -> Design:
    # Half of the level: under `sum` the same move at every level.
    return RandomDirections(at=at, step=at / 2, seed=experiment_seed(seed, name))


def _paired(sizes: Sizes, name: str, design: Design, serves: str) -> Work:
    few, many = (2 * round(share * sizes.n_groups) for share in sizes.pairs_a_group)
    of_classes = name in {CLASS_PAIRS, CLASS_DIRECTIONS}
    return Work(
        name=name,
        problem=CLASS_GROUPS if of_classes else GROUPS,
        design=design,
        unit=2,
        least=few,
        wanted=many,
        share=1.5 if of_classes else 3.0,
        serves=serves,
    )


def _full_data(sizes: Sizes, seed: int) -> Work:
    few, many = sizes.full_models
    return Work(
        name=FULL_DATA,
        problem=GROUPS,
        design=Nudges(at=1.0, moves=((),), seed=experiment_seed(seed, FULL_DATA)),
        unit=1,
        least=few,
        wanted=many,
        share=0.2,
        serves="accuracy of the weighted recipe at w = 1",
    )


def _differences(sizes: Sizes, seed: int) -> Work:
    moves = _either_way(sizes)
    few, many = sizes.difference_seeds
    seed = experiment_seed(seed, DIFFERENCES)
    return Work(
        name=DIFFERENCES,
        problem=GROUPS,
        design=Nudges(at=HALF, moves=moves, seed=seed),
        unit=len(moves),
        least=few * len(moves),
        wanted=many * len(moves),
        share=1.0,
        serves="matched-derivative, by finite differences",
    )


def _either_way(sizes: Sizes) -> tuple[Move, ...]:
    """Return a move up and one down of each group that is differenced, in turn."""
    return tuple(
        ((group, sign * HALF / 2),)
        for group in range(sizes.differenced)
        for sign in (1, -1)
    )


def joint_moves(sizes: Sizes, seed: int) -> Tensor:
    """Return who of these groups is in at weight 1, and who is out, a row a move."""
    law = Bernoulli(p=HALF, seed=experiment_seed(seed, BY_SEED))
    return law.weights(torch.arange(sizes.joint_moves), sizes.differenced)


def _by_seed(sizes: Sizes, seed: int) -> Work:
    joint = tuple(
        tuple((group, there - HALF) for group, there in enumerate(row))
        for row in joint_moves(sizes, seed).tolist()
    )
    moves, (few, many) = _either_way(sizes) + joint, sizes.seeds_apart
    return Work(
        name=BY_SEED,
        problem=GROUPS,
        design=Nudges(at=HALF, moves=moves, seed=experiment_seed(seed, BY_SEED)),
        unit=len(moves),
        least=few * len(moves),
        wanted=many * len(moves),
        share=0.5,
        serves="average-not-instance",
    )


def _held_out(sizes: Sizes, seed: int, name: str, serves: str) -> Work:
    few, many = sizes.evaluation
    subsets = Bernoulli(p=HALF, seed=experiment_seed(seed, name))
    replicated = Replicates(design=subsets, n_replicates=sizes.replicates)
    # What a fit of groups leaves over is foretold for outputs of one seed.
    of_groups = name == GROUP_SUBSETS
    return Work(
        name=name,
        problem=GROUPS if of_groups else SINGLE,
        design=subsets if of_groups else replicated,
        unit=1 if of_groups else sizes.replicates,
        least=few * sizes.replicates,
        wanted=many * sizes.replicates,
        share=1.0,
        serves=serves,
        half=not of_groups,
        judges=True,
    )


def _images(sizes: Sizes, seed: int) -> Work:
    few, many = sizes.images
    return Work(
        name=IMAGES,
        problem=SINGLE,
        design=Bernoulli(p=HALF, seed=experiment_seed(seed, IMAGES)),
        unit=1,
        least=few,
        wanted=many,
        share=6.0,
        serves="sample-efficiency, leakage, subpopulations, counterfactual",
        half=True,
    )
