"""Copies of targets planted among the training examples: a leak with known answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_positive
from dmtheory.data.dataset import Dataset
from dmtheory.designs.seeds import Purpose, uniforms


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Copies of a target to put among the training examples.

    Attributes:
        target: The target's number.
        k: How many copies.
        noise: Standard deviation of the normal noise on each feature, as a share of
            the feature's own standard deviation in training; 0 makes exact copies.
    """

    target: int
    k: int = 1
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_at_least(self.k, 1, "k")
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"noise must be finite and >= 0, got {self.noise}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlantedCopies:
    """A data set with copies of targets among its training examples.

    Attributes:
        data: The data set; copies come after its own examples, with the targets' y.
        plan: What was planted.
        rows: The training examples that are copies, one entry a plan entry.
    """

    data: Dataset
    plan: tuple[Copies, ...]
    rows: tuple[tuple[int, ...], ...]

    @property
    def by_target(self) -> dict[int, tuple[int, ...]]:
        """The training examples that are copies, by target."""
        return {c.target: rows for c, rows in zip(self.plan, self.rows, strict=True)}


def plant_copies(
    data: Dataset, plan: Sequence[Copies], *, seed: int = 0
) -> PlantedCopies:
    """Add copies of targets to the training examples: a leak, with known answers.

    Args:
        data: Real features of any shape.
        plan: Which targets, how often, how noisy; each target once.
        seed: Seed of the noise.

    Returns:
        The longer data set and where the copies are.

    Raises:
        ValueError: If a target is out of range or there twice, nothing is planned, or
            the features are not real numbers.
    """
    check_real(data)
    planned = [entry.target for entry in plan]
    if not planned or len(set(planned)) != len(planned):
        raise ValueError(
            f"plan must name at least one target, each once, got targets {planned}"
        )
    wrong = [target for target in planned if not 0 <= target < data.n_targets]
    if wrong:
        raise ValueError(
            f"plan must name targets in [0, {data.n_targets}), got {wrong[0]}"
        )
    spread = data.x_train.std(0)
    noisy = [
        data.x_target[entry.target]
        + entry.noise * spread * _normals(seed, entry, spread)
        for entry in plan
    ]
    of = torch.tensor([entry.target for entry in plan for _ in range(entry.k)])
    names = [
        f"copy {i + 1} of {data.target_labels[entry.target]}"
        for entry in plan
        for i in range(entry.k)
    ]
    starts = torch.tensor([0] + [entry.k for entry in plan]).cumsum(0) + data.n_train
    rows = tuple(tuple(range(a, b)) for a, b in starts.unfold(0, 2, 1).tolist())
    longer = _lengthened(data, torch.cat(noisy).to(data.x_train), of, names)
    return PlantedCopies(data=longer, plan=tuple(plan), rows=rows)


def _lengthened(data: Dataset, x: Tensor, of: Tensor, names: list[str]) -> Dataset:
    """Return the data with more training examples, those of some targets."""
    ids = data.train_ids
    if ids is not None:
        ids = torch.cat([ids, ids.max() + 1 + torch.arange(len(x))])
    raw = data.raw_train
    if raw is not None and data.raw_target is not None:
        # What people look at is what is trained on, where the two are the same.
        alike = raw.shape == data.x_train.shape and torch.equal(raw, data.x_train)
        raw = torch.cat([raw, x if alike else data.raw_target[of]])
    return replace(
        data,
        name=f"{data.name}-copies",
        x_train=torch.cat([data.x_train, x]),
        y_train=torch.cat([data.y_train, data.y_target[of]]),
        train_labels=(*data.train_labels, *names),
        train_ids=ids,
        raw_train=raw,
    )


def _normals(seed: int, entry: Copies, like: Tensor) -> Float[Tensor, "copies ..."]:
    """Return the standard normals of a target's copies: a shorter plan has the same."""
    ids = torch.arange(entry.k * like.numel())
    drawn = uniforms(seed, Purpose.DATA, torch.tensor([entry.target]), ids)
    return torch.special.ndtri(drawn).view(entry.k, *like.shape)


def check_real(data: Dataset) -> None:
    """Raise ValueError unless features are real numbers."""
    if not data.x_train.is_floating_point():
        raise ValueError(
            f"data must have real features to plant in, got {data.x_train.dtype}"
        )


def near_copies(data: Dataset, *, within: float) -> dict[int, tuple[int, ...]]:
    """Return natural near-duplicates: training examples close to a target.

    Args:
        data: Real features.
        within: Largest Euclidean distance, as a share of the median distance between
            targets and training examples.

    Returns:
        Training examples by target, the nearest first; targets without any are left
        out.

    Raises:
        ValueError: If the features are not real numbers, or within is not above 0.
    """
    check_real(data)
    check_positive(within, "within")
    distances = torch.cdist(data.x_target.flatten(1), data.x_train.flatten(1))
    near = distances <= within * distances.median()
    found = {}
    for target in near.any(1).nonzero().squeeze(1).tolist():
        order = torch.argsort(distances[target], stable=True)
        found[target] = tuple(order[: int(near[target].sum())].tolist())
    return found
