"""What the datamodels code writes: a store of masks and outputs, and a regression."""

from dataclasses import replace
from typing import Any

import numpy as np

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.interchange.files.npy import NpyRows, open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import reason
from dmtheory.interchange.files.texts import read_json
from dmtheory.interchange.imported.entries import checked_masks
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.imported.units_of_weights import STANDARDISED
from dmtheory.interchange.release.opening import MARGIN
from dmtheory.interchange.release.weights import load_weights

COMPLETED, WEIGHTS = "_completed", "datamodels.pt"
# The specification names types as attributes of numpy.
_TYPES = {
    name: np.dtype(name.removesuffix("_"))
    for name in (
        *("bool_", "bool", "float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
} | {"float": np.dtype("float64"), "int": np.dtype("int64")}


def open_datamodels_store(
    folder: Location | Place,
    *,
    problem: str,
    masks: str = "masks",
    outputs: str = "margins",
    output: str = MARGIN,
    specification: Location | Place | None = None,
    held_out: tuple[int, int] | None = None,
    options: dict[str, Any] | None = None,
) -> ImportedRuns:
    """Open the store that the datamodels code's workers fill.

    A row counts where `_completed.npy` says so; others are left out.

    Args:
        folder: A folder with `masks.npy`, `margins.npy` and `_completed.npy`, or a URL.
        problem: Name of the problem.
        masks: Name of the array of masks.
        outputs: Name of the array of outputs.
        output: The output function; the code's own example measures the max-margin.
        specification: The JSON file that the store was made from, to check it by.
        held_out: Rows of the file for evaluation, first and end.
        options: For fsspec.

    Returns:
        The completed models.

    Raises:
        ValueError: If files are missing or damaged, contradict the specification, or
            no row is completed.
    """
    root = Place.of(folder, options)
    x = open_npy(root / f"{masks}.npy", axes=2)
    y = open_npy(root / f"{outputs}.npy", axes=2)
    flags = open_npy(root / f"{COMPLETED}.npy", axes=1)
    if flags.header.dtype != np.bool_ or flags.shape[0] != x.shape[0]:
        raise ValueError(
            f"{flags.place.path} must hold {x.shape[0]} booleans, one a model, got "
            f"{flags.shape[0]} of {flags.header.dtype}"
        )
    if specification is not None:
        arrays = {masks: x, outputs: y}
        check_specification(read_json(specification), arrays, name=str(specification))
    n_models = flags.shape[0]
    marks = checked_masks(flags.read(0, n_models)[:, None], np.arange(n_models))
    numbers = np.flatnonzero(marks[:, 0])
    if not len(numbers):
        raise ValueError(f"{flags.place.path} must mark completed models, got none")
    n_open = x.shape[0] - len(numbers)
    tags = Tags(
        source="store of the datamodels code",
        problem=problem,
        output=output,
        held_out=held_out,
        notes=(f"{n_open} of {x.shape[0]} rows are not completed and left out",),
    )
    return ImportedRuns.of(x, y, tags, numbers=numbers)


def check_specification(
    specification: Any, arrays: dict[str, NpyRows], *, name: str
) -> None:
    """Raise ValueError unless arrays are as a store's specification says."""
    try:
        n_models, schema = specification["num_models"], specification["schema"]
        stated = {
            key: ((n_models, *schema[key]["shape"]), _TYPES[schema[key]["dtype"]])
            for key in arrays
        }
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{name} must state num_models and, in schema, shape and dtype of "
            f"{', '.join(arrays)}: {reason(error)}"
        ) from None
    for key, rows in arrays.items():
        found = rows.shape, rows.header.dtype
        if found != stated[key]:
            raise ValueError(
                f"{rows.place.path} must be of shape {stated[key][0]} and type "
                f"{stated[key][1]} as {name} states, got {found[0]} and {found[1]}"
            )


def load_datamodels_regression(
    location: Location | Place,
    *,
    runs: ImportedRuns,
    num_train: int,
    num_val: int,
    target_slice: tuple[int, int] | None = None,
    ignored_completed: bool = False,
) -> Attribution:
    """Load `datamodels.pt` of the datamodels code, mapped back to the raw mask.

    The code regresses on masks of mean 0 and variance 1 and saves the coefficients of
    those, but neither mean nor deviation. Both are taken anew from the rows that its
    final fit used: the first num_train + num_val of those that were completed when its
    data set was written. w_raw = w/deviation, b_raw = b - sum_i mean_i w_raw_i.

    Args:
        location: The file, or the regression's `out_dir`.
        runs: The store, from `open_datamodels_store`, with all completed rows and
            restricted to the targets that are wanted.
        num_train: The configuration's `num_train`.
        num_val: The configuration's `num_val`.
        target_slice: The configuration's `target_start_ind` and the end of the slice;
            all targets by default.
        ignored_completed: Whether the data set was written with `ignore_completed`,
            and so from all rows.

    Returns:
        Scores per unit of the raw mask, positive raises the output, with the intercept.

    Raises:
        ValueError: If the file is damaged or of other shapes, or the store has fewer
            rows.
    """
    check_at_least(num_train, 1, "num_train")
    check_at_least(num_val, 0, "num_val")
    place = Place.of(location)
    if place.name != WEIGHTS and not place.is_file():
        place = place / WEIGHTS
    n_fitted = num_train + num_val
    known = np.arange(runs.masks.shape[0]) if ignored_completed else runs.numbers
    if n_fitted > len(known):
        raise ValueError(
            f"num_train + num_val must be at most the store's {len(known)} rows, got "
            f"{n_fitted}"
        )
    used = replace(
        runs, numbers=known[:n_fitted], tags=replace(runs.tags, held_out=None)
    )
    n_open = n_fitted - int(np.isin(known[:n_fitted], runs.numbers).sum())
    source = "regression of the datamodels code"
    if n_open:
        source += f", {n_open} of whose {n_fitted} rows were never trained"
    return load_weights(
        place,
        runs=used,
        held_out=None,
        units=STANDARDISED,
        read_masks=True,
        source=source,
        slice_of=target_slice,
    )
