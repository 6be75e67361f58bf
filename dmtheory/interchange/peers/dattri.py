"""What dattri writes: lists of kept examples, and minus the target function."""

import numpy as np

from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.torch_files import load_tensor
from dmtheory.interchange.imported.rows import ArrayRows, SubsetRows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags


def open_dattri_lds(
    indices: Location | Place,
    values: Location | Place,
    *,
    n_train: int,
    problem: str,
    output: str,
    seeds_per_subset: int = 1,
) -> ImportedRuns:
    """Open `indices_lds.pt` and `target_values_lds.pt`.

    dattri stores minus the target function of each subset's models; the sign is turned
    back, so that outputs are the target function's values.

    Args:
        indices: Kept examples, [subsets, size].
        values: Minus the target function, [subsets, targets], averaged over runs.
        n_train: N, which the files do not say.
        problem: Name of the problem.
        output: The target function, in dattri's benchmarks the "loss".
        seeds_per_subset: Runs that each value averages.

    Returns:
        The models.

    Raises:
        ValueError: If a file is missing, damaged or of other shapes, or an example's
            number is out of range.
    """
    kept = _numbers(_matrix(indices, 2), indices)
    return _runs(
        SubsetRows(subsets=tuple(kept), n_train=n_train),
        -_matrix(values, 2).astype(np.float64),
        Tags(
            source="dattri subsets and values (LDS)",
            problem=problem,
            output=output,
            sign="negated",
            seeds_per_weight=seeds_per_subset,
        ),
    )


def open_dattri_loo(
    indices: Location | Place,
    values: Location | Place,
    *,
    n_train: int,
    problem: str,
    output: str,
) -> ImportedRuns:
    """Open `indices_loo.pt` and `target_values_loo.pt`.

    Unlike those of random subsets these values keep their sign.

    Args:
        indices: The example that each model was trained without, [models].
        values: The target function, [models, targets].
        n_train: N.
        problem: Name of the problem.
        output: The target function.

    Returns:
        The models; leaving one out is no law that a datamodel can be fitted to.

    Raises:
        ValueError: If a file is missing, damaged or of other shapes.
    """
    removed = _numbers(_matrix(indices, 1), indices)
    found = _runs(
        SubsetRows(subsets=tuple(removed[:, None]), n_train=n_train, left_out=True),
        _matrix(values, 2).astype(np.float64),
        Tags(source="dattri leave-one-out values", problem=problem, output=output),
    )
    return found.stating(None, "models leave one example out, each another")


def _runs(masks: SubsetRows, outputs: np.ndarray, tags: Tags) -> ImportedRuns:
    return ImportedRuns.of(masks, ArrayRows(np.ascontiguousarray(outputs)), tags)


def _matrix(location: Location | Place, axes: int) -> np.ndarray:
    rows = load_tensor(location, axes=(axes,))
    return rows.read(0, rows.shape[0])


def _numbers(values: np.ndarray, path: Location | Place) -> np.ndarray:
    """Return numbers that may be stored as floats as integers."""
    if values.dtype.kind == "b" or not (values == np.floor(values)).all():
        raise ValueError(f"{path} must hold example numbers, got others")
    return values.astype(np.int64)
