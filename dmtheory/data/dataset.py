"""What a data set is: three splits, with the labels that travel into reports."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from dmtheory.checks import check_finite
from dmtheory.designs.seeds import Purpose, permutation
from dmtheory.identity import digest
from dmtheory.placement import Placed

_ARRAYS = [
    f"{axis}_{split}" for split in ("train", "target", "held_out") for axis in "xy"
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset(Placed):
    """Training examples (the players), targets (what is explained), held-out examples.

    Classes are whole numbers in `y`, regression responses are real. An example may
    have any shape: a row of features, an image, a sequence of tokens.

    Attributes:
        name: A short name for people.
        x_train: Features of the training examples, the first axis over examples.
        y_train: Their classes or responses.
        x_target: Features of the targets.
        y_target: Their classes or responses.
        x_held_out: Features of examples kept for accuracy alone.
        y_held_out: Their classes or responses.
        train_labels: One label a training example, such as "record 17 (benign)".
        target_labels: One label a target.
        train_ids: A stable number of each training example in [0, 2^32), which keys
            all randomness that belongs to it; its row number by default. Permute them
            with the rows and training stays the same.
        feature_names: One name a feature.
        class_names: One name a class; empty for regression.
        image_shape: Height and width when the raw features are pixels, else None.
        raw_train: Features before standardisation, for people to look at.
        raw_target: The same for the targets.
        source: Where the data come from, in words.
    """

    name: str
    x_train: Shaped[Tensor, "train ..."]
    y_train: Tensor
    x_target: Shaped[Tensor, "targets ..."]
    y_target: Tensor
    x_held_out: Shaped[Tensor, "held_out ..."]
    y_held_out: Tensor
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    train_ids: Int64[Tensor, " train"] | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None
    raw_train: Float[Tensor, "train raw_features"] | None = None
    raw_target: Float[Tensor, "targets raw_features"] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for split in ("train", "target", "held_out"):
            x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            if x.ndim < 2 or x.shape[1:] != self.x_train.shape[1:]:
                shape = ", ".join(map(str, self.x_train.shape[1:]))
                raise ValueError(
                    f"x_{split} must have shape (examples, {shape or 'features'}), got "
                    f"{tuple(x.shape)}"
                )
            if y.shape != x.shape[:1]:
                raise ValueError(
                    f"y_{split} must have shape ({len(x)},), one entry an example, got "
                    f"{tuple(y.shape)}"
                )
            check_finite(x, f"x_{split}")
            if x.requires_grad or y.requires_grad:
                raise ValueError(
                    f"x_{split} and y_{split} must not require gradients: detach them"
                )
        for name in ("train", "target"):
            labels, x = getattr(self, f"{name}_labels"), getattr(self, f"x_{name}")
            if len(labels) != len(x):
                raise ValueError(
                    f"{name}_labels must have one entry an example ({len(x)}), got "
                    f"{len(labels)}"
                )

        if self.train_ids is not None:
            self._check_ids(self.train_ids)

    def _check_ids(self, ids: Tensor) -> None:
        distinct = len(ids.unique()) == self.n_train == len(ids)
        if not distinct or bool((ids < 0).any()) or bool((ids >= 2**32).any()):
            raise ValueError(
                "train_ids must be one distinct number in [0, 2^32) a training example "
                f"({self.n_train}), got {len(ids)} with {len(ids.unique())} distinct"
            )

    @property
    def ids(self) -> Int64[Tensor, " train"]:
        """The stable number of each training example."""
        return torch.arange(self.n_train) if self.train_ids is None else self.train_ids

    @staticmethod
    def split(
        name: str,
        x: Shaped[Tensor, "rows ..."],
        y: Tensor,
        *,
        n_train: int,
        n_targets: int,
        seed: int = 0,
        **labels: Any,
    ) -> "Dataset":
        """Split a table at random; an example is labelled by name and row number.

        Args:
            name: A short name for people, which labels begin with.
            x: Features, the first axis over examples.
            y: Classes or responses.
            n_train: Training examples.
            n_targets: Targets; all other rows are held out.
            seed: Seed of the split, the same on every machine.
            **labels: Other fields, such as class_names.

        Returns:
            The data set.

        Raises:
            ValueError: If the splits leave no held-out row.
        """
        rows = Split.random(len(x), n_train=n_train, n_targets=n_targets, seed=seed)
        parts = {"train": rows.train, "target": rows.target, "held_out": rows.held_out}
        arrays: dict[str, Any] = {
            f"x_{part}": x[place] for part, place in parts.items()
        }
        arrays |= {f"y_{part}": y[place] for part, place in parts.items()}
        return Dataset(
            name=name,
            train_labels=tuple(f"{name} {row}" for row in rows.train.tolist()),
            target_labels=tuple(f"{name} {row}" for row in rows.target.tolist()),
            **arrays,
            **labels,
        )

    def to(self, device: torch.device) -> "Dataset":
        """Return the same examples on a device; ids stay, since draws are made here."""
        if device == self.x_train.device:
            return self
        return self.on(device, _moved)

    def cast(self, dtype: torch.dtype) -> "Dataset":
        """Return the same examples with real features and responses of a type."""
        changed = {
            name: value.to(dtype)
            for name in _ARRAYS
            if (value := getattr(self, name)).is_floating_point()
            and value.dtype != dtype
        }
        return replace(self, **changed) if changed else self

    @cached_property
    def digest(self) -> str:
        """Digest of everything that training and measuring can see."""
        return digest(
            self.x_train,
            self.y_train,
            self.x_target,
            self.y_target,
            self.train_labels,
            *(() if self.train_ids is None else (self.train_ids,)),
        )

    @property
    def n_train(self) -> int:
        """Number of training examples N."""
        return len(self.x_train)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return len(self.x_target)


def _moved(data: Dataset, device: torch.device) -> Dataset:
    return replace(data, **{name: getattr(data, name).to(device) for name in _ARRAYS})


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row numbers of the three splits of a table.

    Attributes:
        train: Rows that are trained on.
        target: Rows whose predictions are explained.
        held_out: All other rows.
    """

    train: Tensor
    target: Tensor
    held_out: Tensor

    @staticmethod
    def random(n_rows: int, *, n_train: int, n_targets: int, seed: int) -> "Split":
        """Split rows at random, the same way on every machine.

        Returns:
            Row numbers; targets first, so they do not change with n_train.

        Raises:
            ValueError: If the splits leave no held-out row.
        """
        if n_train < 1 or n_targets < 1 or n_train + n_targets >= n_rows:
            raise ValueError(
                f"n_train + n_targets must be below the {n_rows} rows of the table and "
                f"each at least 1, got {n_train} + {n_targets}"
            )
        order = permutation(seed, Purpose.SPLIT, 0, torch.arange(n_rows))
        # Targets first: training sets of different sizes are nested, targets stay.
        sizes = [n_targets, n_train, n_rows - n_train - n_targets]
        target, train, held_out = order.split(sizes)
        return Split(train=train, target=target, held_out=held_out)
