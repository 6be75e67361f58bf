"""How large each part of the suite is: in full, and as a rehearsal."""

from dataclasses import dataclass, replace

from dmtheory.influence.curvature import EKFAC, Curvature, GaussNewton
from dmtheory.influence.solvers import ConjugateGradients, Solver


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A curvature and how its systems are solved."""

    curvature: Curvature
    solver: Solver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrow:
    """How small the networks and trainings of a rehearsal are.

    Attributes:
        width: Channels of the first layer.
        weighted_epochs: Passes of the weighted recipe.
        epochs: Passes of the fast one.
        batch_size: Images of a step.
        rate: Highest step size of the weighted recipe.
    """

    width: int
    weighted_epochs: int
    epochs: int
    batch_size: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What decides how long the suite takes.

    Attributes:
        name: "full" or a rehearsal's.
        narrow: The networks of a rehearsal; None takes the recipes as they are.
        n_train: Training images; None takes all.
        n_targets: Test images that groups and attributions are judged on.
        n_image_targets: Test images whose margins are kept of single-image models;
            None takes all.
        n_groups: Groups of images as players.
        block: Models a block of a store.
        pairs_a_group: Pairs of trainings a group: the fewest of any use, and as many
            as are wanted.
        differenced: Groups whose derivative is also taken by finite differences.
        difference_seeds: Seeds of these differences: the fewest, and as wanted.
        joint_moves: Moves of all these groups at once, which each seed's differences
            foretell.
        seeds_apart: Seeds that are held apart there: the fewest, and as wanted.
        evaluation: Held-out subsets: the fewest, and as wanted.
        replicates: Training seeds a held-out subset.
        full_models: Models of all images: the fewest, and as wanted.
        images: Models of half of the images: the fewest, and as wanted.
        rules: Curvatures of influence by name; the first is scored everywhere.
        trak_dimension: Columns of TRAK's projection.
        dampings: Dampings that are tried.
        removed: Images removed at once, the fewest first.
        removal_targets: Test images whose most helpful examples are removed.
        removal_seeds: Seeds of these removals: the fewest, and as wanted.
        near: Distance of a near-duplicate, as a share of the median distance.
        clusters: Clusters of the datamodel's embedding.
        shown: Test images shown with their first training images, and how many of
            these either way.
        accuracy_floor: Least held-out accuracy (at w = 1, over half subsets) of the
            weighted recipe; claims below it are inconclusive.
        analysis_seconds: Expected seconds of an attribution at one point, beside its
            trainings.
        stage_seconds: The longest that a stage may take; influence whose first model
            shows that it takes longer is left out.
        reserve_seconds: Kept for judging and the report.
    """

    name: str
    narrow: Narrow | None
    n_train: int | None
    n_targets: int
    n_image_targets: int | None
    n_groups: int
    block: int
    pairs_a_group: tuple[float, float]
    differenced: int
    difference_seeds: tuple[int, int]
    joint_moves: int
    seeds_apart: tuple[int, int]
    evaluation: tuple[int, int]
    replicates: int
    full_models: tuple[int, int]
    images: tuple[int, int]
    rules: dict[str, Rule]
    trak_dimension: int
    dampings: tuple[float, ...]
    removed: tuple[int, int]
    removal_targets: int
    removal_seeds: tuple[int, int]
    near: float
    clusters: int
    shown: tuple[int, int]
    accuracy_floor: tuple[float, float] | None
    analysis_seconds: float
    stage_seconds: float
    reserve_seconds: float


FULL = Sizes(
    name="full",
    narrow=None,
    n_train=None,
    n_targets=64,
    n_image_targets=None,
    n_groups=64,
    block=32,
    pairs_a_group=(1.5, 8.0),
    differenced=8,
    difference_seeds=(4, 40),
    joint_moves=24,
    seeds_apart=(10, 20),
    evaluation=(40, 250),
    replicates=2,
    full_models=(4, 40),
    images=(320, 20_000),
    rules={
        "EK-FAC": Rule(curvature=EKFAC()),
        "Gauss-Newton": Rule(curvature=GaussNewton(), solver=ConjugateGradients()),
    },
    trak_dimension=2048,
    dampings=(1e-3, 1e-2, 1e-1),
    removed=(250, 1000),
    removal_targets=24,
    removal_seeds=(2, 16),
    near=0.3,
    clusters=30,
    shown=(12, 4),
    accuracy_floor=(0.80, 0.70),
    analysis_seconds=150.0,
    stage_seconds=540.0,
    reserve_seconds=60.0,
)

# Some minutes on a CPU; the made-up images are learned.
REHEARSAL = Sizes(
    name="rehearsal",
    narrow=Narrow(width=4, weighted_epochs=5, epochs=3, batch_size=20, rate=0.3),
    n_train=100,
    n_targets=16,
    n_image_targets=48,
    n_groups=6,
    block=16,
    pairs_a_group=(4.0, 30.0),
    differenced=3,
    difference_seeds=(8, 24),
    joint_moves=10,
    seeds_apart=(5, 10),
    evaluation=(16, 100),
    replicates=2,
    full_models=(4, 16),
    images=(48, 1000),
    rules={
        "EK-FAC": Rule(curvature=EKFAC()),
        "Gauss-Newton": Rule(curvature=GaussNewton()),
    },
    trak_dimension=32,
    dampings=(1e-2, 1e-1),
    removed=(2, 6),
    removal_targets=4,
    removal_seeds=(2, 8),
    near=0.8,
    clusters=10,
    shown=(3, 3),
    accuracy_floor=None,
    analysis_seconds=10.0,
    stage_seconds=120.0,
    reserve_seconds=20.0,
)

# A minute: every line runs, nothing is learned.
SHORT_REHEARSAL = replace(
    REHEARSAL,
    name="short rehearsal",
    narrow=Narrow(width=4, weighted_epochs=1, epochs=1, batch_size=6, rate=0.3),
    n_train=12,
    n_targets=4,
    n_image_targets=8,
    n_groups=4,
    block=8,
    pairs_a_group=(2.5, 4.0),
    differenced=2,
    difference_seeds=(4, 4),
    joint_moves=6,
    seeds_apart=(3, 3),
    evaluation=(6, 8),
    full_models=(2, 2),
    images=(16, 24),
    dampings=(3e-2,),
    removed=(1, 2),
    removal_targets=4,
    removal_seeds=(2, 2),
    rules={"EK-FAC": Rule(curvature=EKFAC())},
    analysis_seconds=6.0,
    reserve_seconds=15.0,
)
# Budgets below this, in seconds, rehearse in short.
SHORT_BUDGET = 240.0


def rehearsal_sizes(budget: float) -> Sizes:
    """Return the sizes of a rehearsal of so many seconds."""
    return SHORT_REHEARSAL if budget < SHORT_BUDGET else REHEARSAL
