"""Groups of examples as players: a partition that moves as one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs.base import SubsetDesign
from dmtheory.designs.seeds import Purpose, permutation


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """A design over groups: each example has its group's weight.

    Everything that holds for examples holds for groups verbatim.

    Attributes:
        design: The design over groups.
        groups: One group number an example, 0, ..., G - 1 with none empty.
        labels: One label a group; "group 0" and so on by default.
    """

    design: SubsetDesign
    groups: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.groups or set(self.groups) != set(range(max(self.groups) + 1)):
            raise ValueError(
                "groups must number every example 0, ..., G - 1 with no group empty"
            )
        if self.labels and len(self.labels) != self.n_groups:
            raise ValueError(
                f"labels must have one entry a group ({self.n_groups}), got "
                f"{len(self.labels)}"
            )

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return max(self.groups) + 1

    @property
    def n_models(self) -> int:
        """How many rows the design over groups has."""
        return self.design.n_models

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return self.design.seed

    @property
    def group_labels(self) -> tuple[str, ...]:
        """One label a group."""
        return self.labels or tuple(f"group {g}" for g in range(self.n_groups))

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return each example's weight: that of its group."""
        self._check_length(n_train)
        return self.group_weights(rows)[:, torch.tensor(self.groups)]

    def group_weights(
        self, rows: Int64[Tensor, " models"]
    ) -> Float[Tensor, "models groups"]:
        """Return each group's weight."""
        return self.design.weights(rows, self.n_groups)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return those of the design over groups."""
        return self.design.seeds(rows)

    def inclusion(self, n_train: int) -> float:
        """Return the probability that a group is in."""
        return self.design.inclusion(self.n_groups)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance over examples, of rank at most G."""
        self._check_length(n_train)
        groups = torch.tensor(self.groups)
        return self.design.covariance(self.n_groups)[groups[:, None], groups]

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return those of the design over groups."""
        return self.design.null_directions(self.n_groups)

    def _check_length(self, n_train: int) -> None:
        if len(self.groups) != n_train:
            raise ValueError(
                f"groups must have one entry an example ({n_train}), got "
                f"{len(self.groups)}"
            )


def random_groups(n_train: int, n_groups: int, *, seed: int) -> tuple[int, ...]:
    """Partition examples at random into groups whose sizes differ by at most one."""
    check_at_least(n_groups, 1, "n_groups")
    check_at_least(n_train, n_groups, "n_train")
    order = permutation(seed, Purpose.GROUP, 0, torch.arange(n_train))
    groups = torch.empty(n_train, dtype=torch.int64)
    groups[order] = torch.arange(n_train) % n_groups
    return tuple(groups.tolist())


def class_groups(classes: Sequence[int]) -> tuple[int, ...]:
    """Group examples by class, classes numbered in increasing order."""
    number = {c: g for g, c in enumerate(sorted(set(classes)))}
    return tuple(number[c] for c in classes)


def cluster_groups(
    features: Float[Tensor, "train features"], n_groups: int, *, seed: int
) -> tuple[int, ...]:
    """Group examples by k-means on their features.

    Returns:
        One group number an example; empty clusters are dropped, so there may be fewer
        groups than asked for.
    """
    from sklearn.cluster import KMeans

    check_at_least(n_groups, 1, "n_groups")
    found = KMeans(n_groups, n_init=4, random_state=seed).fit_predict(features.numpy())
    return class_groups(found.tolist())
