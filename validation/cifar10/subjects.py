"""What is trained: the weighted recipe, groups of its images, and the fast recipe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from dmtheory.data.dataset import Dataset
from dmtheory.data.images import cifar10, synthetic_images
from dmtheory.designs.groups import random_groups
from dmtheory.problems.base import DifferentiableProblem, Measured, Problem
from dmtheory.problems.cifar import Cifar
from dmtheory.problems.network import Network
from dmtheory.training.images.recipes import SMOOTH, THROUGHPUT
from validation.cifar10.players import GroupPlayers
from validation.cifar10.sizes import Sizes
from validation.cifar10.works import CLASS_GROUPS, GROUPS, SINGLE


@runtime_checkable
class Trainable(DifferentiableProblem, Measured, Protocol):
    """A problem whose parameters and held-out quality can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subjects:
    """The problems of the suite.

    Attributes:
        weighted: Images with weights in the loss, fixed steps, scale-free division:
            what beta and dF/dw are compared on.
        groups: Random groups of its images.
        class_groups: Groups of images of one class each.
        network: The same as a network in float64 whose influence can be asked.
        images: The chosen images alone, as many steps as they need: what single-image
            datamodels are made of.
        data: Images with all targets.
        title: Whose images they are, to stand before every problem's name.
        words: What was trained, in a sentence.
        device: Where models train.
    """

    weighted: Trainable
    groups: GroupPlayers
    class_groups: GroupPlayers
    network: Network
    images: Measured
    data: Dataset
    title: str
    words: str
    device: str = "cpu"

    def problem(self, key: str) -> Problem:
        """Return a problem by the name that work knows it under."""
        return {
            GROUPS: self.groups,
            CLASS_GROUPS: self.class_groups,
            SINGLE: self.images,
        }[key]

    @property
    def n_params(self) -> int:
        """How many numbers a model of the weighted recipe has."""
        return self.network.initial(torch.zeros(1, dtype=torch.int64)).shape[1]

    def titles(self) -> dict[str, str]:
        """Return how each problem is called in the report."""
        return {
            GROUPS: f"{self.title}, {self.groups.description.n_train} random groups",
            CLASS_GROUPS: f"{self.title}, "
            f"{self.class_groups.description.n_train} groups within classes",
            SINGLE: f"{self.title}, {self.data.n_train} images",
        }


def subjects_of(
    weighted: Trainable,
    images: Measured,
    data: Dataset,
    sizes: Sizes,
    *,
    network: Network,
    title: str,
    words: str,
    device: str = "cpu",
) -> Subjects:
    """Return the problems with their groups of images as players."""
    n_train = data.n_train
    return Subjects(
        weighted=weighted,
        groups=GroupPlayers(
            problem=weighted, groups=random_groups(n_train, sizes.n_groups, seed=0)
        ),
        class_groups=GroupPlayers(
            problem=weighted, groups=groups_within_classes(data.y_train, sizes.n_groups)
        ),
        network=network,
        images=images,
        data=data,
        title=title,
        words=words,
        device=device,
    )


def groups_within_classes(classes: torch.Tensor, n_groups: int) -> tuple[int, ...]:
    """Partition images into about so many groups, each within a class.

    Every class has as many groups, of sizes that differ by at most one.
    """
    present = classes.unique().tolist()
    parts = max(1, n_groups // len(present))
    groups = torch.empty(len(classes), dtype=torch.int64)
    for place, label in enumerate(present):
        rows = (classes == label).nonzero().squeeze(1)
        within = torch.tensor(random_groups(len(rows), parts, seed=1 + place))
        groups[rows] = place * parts + within
    return tuple(groups.tolist())


def fewer_targets(data: Dataset, n_targets: int) -> Dataset:
    """Return the data with its first targets alone."""
    raw = data.raw_target
    return replace(
        data,
        x_target=data.x_target[:n_targets],
        y_target=data.y_target[:n_targets],
        target_labels=data.target_labels[:n_targets],
        raw_target=None if raw is None else raw[:n_targets],
    )


def rehearsal(sizes: Sizes, data: Path | None) -> Subjects:
    """Return few images and narrow networks, which a CPU trains in no time.

    Args:
        sizes: How few and how narrow.
        data: CIFAR-10's files; made-up images if None.

    Raises:
        ValueError: If the path holds no CIFAR-10.
    """
    small, n_targets = sizes.narrow, sizes.n_image_targets
    assert small is not None and sizes.n_train is not None and n_targets is not None
    counts = {"n_train": sizes.n_train, "n_targets": n_targets, "n_test": n_targets}
    images = synthetic_images(**counts) if data is None else cifar10(data, **counts)
    recipe = SMOOTH.smaller(
        width=small.width, epochs=small.weighted_epochs, batch_size=small.batch_size
    )
    groups = tuple(replace(group, rate=small.rate) for group in recipe.groups)
    weighted = Cifar(
        data=fewer_targets(images, sizes.n_targets),
        recipe=replace(recipe, groups=groups),
        mode="weighted",
    )
    fast = THROUGHPUT.smaller(
        width=small.width, epochs=small.epochs, batch_size=small.batch_size
    )
    return subjects_of(
        weighted,
        Cifar(data=images, recipe=fast, mode="subset"),
        images,
        sizes,
        network=weighted.network,
        title="Rehearsal",
        words=f"Rehearsal on {images.n_train} images ({images.source}) with narrow "
        "networks on a CPU: it shows that every step runs and decides nothing. No GPU "
        "ran it; python -m validation run cifar10 makes the real run on one.",
    )


def in_full(sizes: Sizes, data: Path | None, device: str) -> Subjects:
    """Return CIFAR-10 by its two recipes.

    Args:
        sizes: How many targets are judged.
        data: CIFAR-10's files; downloaded if None.
        device: The GPU.

    Raises:
        ValueError: If the path holds no CIFAR-10.
    """
    images = cifar10(data)
    weighted = Cifar(
        data=fewer_targets(images, sizes.n_targets),
        recipe=SMOOTH,
        mode="weighted",
        device=device,
    )
    return subjects_of(
        weighted,
        Cifar(
            data=images,
            recipe=THROUGHPUT,
            mode="subset",
            device=device,
            dtype=torch.bfloat16,
        ),
        images,
        sizes,
        network=weighted.network,
        title=images.source,
        device=device,
        words=f"{images.source}: groups and derivatives by the smooth recipe with "
        "weights in the loss, single images by the fast one on half subsets.",
    )
