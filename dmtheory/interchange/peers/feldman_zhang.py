"""What Feldman and Zhang released: correctness of models on random subsets."""

from dataclasses import dataclass

import numpy as np
import torch

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice, check_open_unit
from dmtheory.estimand import Estimand, Point
from dmtheory.identity import numbered
from dmtheory.interchange.files.archives import load_npz
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.imported.laws import FIXED_SIZE
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags

OUTPUT = "correctness"
SPLITS = ("test", "train")
_ARRAYS = "aux_arrays.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """One matrix whose row k is read from run k's `aux_arrays.npz`.

    Attributes:
        paths: One file a run.
        part: "mask", or the split whose correctness is read.
        width: Columns of the matrix.
        n_train: Training examples.
    """

    paths: tuple[Place, ...]
    part: str
    width: int
    n_train: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Runs and columns."""
        return len(self.paths), self.width

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows of the runs from start up to stop."""
        return np.stack([self._row(path) for path in self.paths[start:stop]])

    def _row(self, path: Place) -> np.ndarray:
        if self.part == "mask":
            kept = load_npz(path, ("subsample_idx",))["subsample_idx"]
            _check_numbers(kept, self.n_train, f"{path}: subsample_idx")
            mask = np.zeros(self.n_train, dtype=np.bool_)
            mask[kept] = True
            return mask
        row = _correctness(path, self.part)
        if len(row) != self.width:
            raise ValueError(
                f"{path} must hold {self.width} {self.part} examples, got {len(row)}"
            )
        return row


def open_feldman_zhang(
    folder: Location | Place, *, problem: str, split: str = "test"
) -> ImportedRuns:
    """Open the runs of one subset ratio, `RATIO/RUN/aux_arrays.npz`.

    Args:
        folder: The ratio's folder.
        problem: Name of the problem.
        split: Whose correctness is the output: "test", or "train", the examples kept
            and removed together in their original order.

    Returns:
        Models in the order of their run's number. The output is 0 or 1.

    Raises:
        ValueError: If there is no run, or a file is missing, damaged or contradicts
            itself.
    """
    check_choice(split, SPLITS, "split")
    found = Place.of(folder).find(f"*/{_ARRAYS}")
    if not found:
        raise ValueError(f"folder must hold runs with {_ARRAYS}, got {folder}")
    # Run 10 comes after run 9.
    paths = tuple(sorted(found, key=lambda p: (len(p.parent.name), p.parent.name)))
    n_train = len(_correctness(paths[0], "train"))
    width = n_train if split == "train" else len(_correctness(paths[0], split))
    made = {
        part: RunFiles(paths=paths, part=part, width=w, n_train=n_train)
        for part, w in (("mask", n_train), (split, width))
    }
    return ImportedRuns.of(
        made["mask"],
        made[split],
        Tags(source="Feldman and Zhang's runs", problem=problem, output=OUTPUT),
    )


def load_feldman_zhang(
    location: Location | Place,
    *,
    problem: str,
    subset_fraction: float,
    n_models: int = 0,
) -> Attribution:
    r"""Load `influence` of their estimates as a datamodel of correctness.

    They estimate E[f | i in S] - E[f | i not in S] over subsets of one size, which is
    N/(N-1) of the datamodel coefficient of such subsets; the factor is taken out.

    Args:
        location: A `.npz` file with `influence` [targets, train].
        problem: Name of the problem.
        subset_fraction: Share of examples in a subset.
        n_models: Runs behind the estimates, 0 where unknown.

    Returns:
        Scores per unit of the mask; positive makes the target's answer right more
        often.

    Raises:
        ValueError: If the file is missing, damaged or holds other shapes.

    References:
        Feldman and Zhang 2020, What neural networks memorize and why, equation 2.
    """
    check_open_unit(subset_fraction, "subset_fraction")
    influence = load_npz(location, ("influence",))["influence"]
    if influence.ndim != 2 or influence.shape[1] < 2 or not len(influence):
        raise ValueError(
            f"{location}: influence must be a matrix (targets x train), got shape "
            f"{influence.shape}"
        )
    n_train = influence.shape[1]
    scores = torch.from_numpy(influence.T.astype(np.float64)) * (n_train - 1) / n_train
    return Attribution(
        scores=scores,
        estimand=Estimand(
            quantity="datamodel",
            point=Point("subsets", subset_fraction, FIXED_SIZE),
            output=OUTPUT,
            normalisation="unknown",
            step_policy="unknown",
            problem=problem,
        ),
        train_labels=numbered("example", n_train),
        target_labels=numbered("target", len(influence)),
        n_train=n_train,
        n_models=n_models,
        method="difference of means of Feldman and Zhang, times (N-1)/N",
    )


def _correctness(path: Place, split: str) -> np.ndarray:
    """Return correctness of a split in the order of the examples' numbers."""
    parts = ("train", "removed") if split == "train" else (split,)
    names = [f"{kind}_{part}" for kind in ("correctness", "index") for part in parts]
    arrays = load_npz(path, tuple(names))
    values = np.concatenate([arrays[f"correctness_{part}"].ravel() for part in parts])
    numbers = np.concatenate([arrays[f"index_{part}"].ravel() for part in parts])
    _check_numbers(numbers, len(values), f"{path}: index of {split}")
    if len(numbers) != len(values) or not len(values):
        raise ValueError(
            f"{path} must have an index for every example of {split}, got "
            f"{len(numbers)} for {len(values)}"
        )
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"{path}: correctness of {split} must be 0 or 1")
    ordered = np.empty(len(values))
    ordered[numbers] = values
    return ordered


def _check_numbers(numbers: np.ndarray, n: int, name: str) -> None:
    whole = numbers.ndim == 1 and numbers.dtype.kind in "iu" and len(numbers)
    if not whole or numbers.min() < 0 or numbers.max() >= n:
        raise ValueError(f"{name} must hold example numbers in [0, {n})")
    if len(np.unique(numbers)) != len(numbers):
        raise ValueError(f"{name} must name every example once")
