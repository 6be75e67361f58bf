"""Datamodels of the release: weights of a `.pt` file, in units of the raw mask."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice, check_finite
from dmtheory.estimand import Estimand
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.torch_files import load_tensors
from dmtheory.interchange.imported.deciding_units import decide_units
from dmtheory.interchange.imported.rows import Rows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.units_of_weights import (
    RAW,
    STANDARDISED,
    raw_units,
    standardisation_of,
    standardisation_of_law,
)
from dmtheory.interchange.imported.using import estimand_fields, seeds_of
from dmtheory.interchange.release.opening import locate
from dmtheory.interchange.release.published import weight_name

_AXES = {"weight": 2, "bias": 1, "lam": 1}
# Entries of the weights that are read at a time.
_ENTRIES = 2**23


def load_release_datamodel(
    folder: Location | Place,
    *,
    dataset: str,
    percent: int,
    runs: ImportedRuns,
    split: str = "test",
    held_out: tuple[int, int] | None = None,
    units: str | None = None,
    read_masks: bool = True,
    options: dict[str, Any] | None = None,
) -> Attribution:
    """Load the release's datamodels of the targets that runs are restricted to.

    Args:
        folder: A local folder with `cifar/datamodels/test_50pct.pt`, or with that
            file, or a URL.
        dataset: "cifar" or "fmow".
        percent: The share of examples in a subset, in percent.
        runs: Masks and margins of the same fraction and split, from `open_release`;
            `runs.targets(...)` says which targets are loaded.
        split: "test" or "train".
        held_out: Rows that the weights were not fitted to; the runs' own by default.
        units: "raw" or "standardised" where it is known; told on held-out rows by
            default.
        read_masks: Whether to read the masks for their means and deviations; else they
            are taken from the law, which is off by about 1/sqrt(models).
        options: For fsspec.

    Returns:
        Scores per unit of the raw mask, positive raises the output, with the intercept.

    Raises:
        ValueError: If the file is missing, damaged or of other shapes, or the rows do
            not tell the units.
    """
    place = locate(
        Place.of(folder, options), dataset, "datamodels", weight_name(split, percent)
    )
    return load_weights(
        place,
        runs=runs,
        held_out=held_out,
        units=units,
        read_masks=read_masks,
        source=f"{runs.tags.source}, {split} datamodels",
    )


def load_weights(
    location: Location | Place,
    *,
    runs: ImportedRuns,
    held_out: tuple[int, int] | None,
    units: str | None,
    read_masks: bool,
    source: str,
    slice_of: tuple[int, int] | None = None,
) -> Attribution:
    """Load `weight`, `bias` and `lam` of a file, for the runs' targets, as raw scores.

    Args:
        location: The file.
        runs: Masks and outputs, restricted to the targets that are wanted.
        held_out: Rows that the weights were not fitted to.
        units: "raw" or "standardised", None to tell.
        read_masks: Whether moments are those of the masks, or of the law.
        source: What wrote the file.
        slice_of: First column and end of the outputs that the file's targets are; all
            by default.

    Returns:
        Scores per unit of the raw mask, with the intercept.

    Raises:
        ValueError: If shapes differ from the runs', or the units cannot be told.
    """
    place = Place.of(location)
    weight, bias, lam = _targets(place, runs, slice_of or (0, runs.outputs.shape[1]))
    fitted, evaluation = (
        (runs, None)
        if held_out is None and runs.tags.held_out is None
        else runs.split(held_out)
    )
    if units is not None:
        check_choice(units, (RAW, STANDARDISED), "units")
    how = f"coefficients stated to be {units}"
    # Moments take a pass over the masks, which raw coefficients do not need.
    if units != RAW:
        by = (standardisation_of if read_masks else standardisation_of_law)(fitted)
        if units is None:
            choice = decide_units(weight, bias, held_out=_judges(evaluation), by=by)
            units, how = choice.units, str(choice)
        if units == STANDARDISED:
            weight, bias = raw_units(weight, bias, by)
    return Attribution(
        scores=weight,
        intercept=bias,
        estimand=Estimand(**estimand_fields(runs)),
        train_labels=runs.train_labels,
        target_labels=runs.target_labels,
        n_train=runs.n_train,
        n_models=fitted.n_models,
        seeds=seeds_of(fitted),
        method=f"{source}: {how}; median penalty {lam.median():.3g}",
    )


def _judges(evaluation: ImportedRuns | None) -> ImportedRuns:
    if evaluation is None:
        raise ValueError(
            "held_out must name rows to tell raw from standardised coefficients, or "
            "units= state it"
        )
    return evaluation


def _targets(
    place: Place, runs: ImportedRuns, held: tuple[int, int]
) -> tuple[
    Float[Tensor, "train targets"], Float[Tensor, " targets"], Float[Tensor, " targets"]
]:
    """Return weight, bias and lam of the runs' targets, of a file of some columns."""
    tensors, (first, end) = load_tensors(place, _AXES), held
    shape = runs.n_train, end - first
    if tensors["weight"].shape != shape:
        raise ValueError(
            f"{place}: weight must have shape {shape} (train, targets of the margins), "
            f"got {tensors['weight'].shape}"
        )
    for key in ("bias", "lam"):
        if tensors[key].shape != shape[1:]:
            raise ValueError(
                f"{place}: {key} must have {shape[1]} entries, got "
                f"{tensors[key].shape[0]}"
            )
    columns = runs.columns - first
    if columns[0] < 0 or columns[-1] >= shape[1]:
        raise ValueError(
            f"targets must lie in [{first}, {end}), which {place} holds, got "
            f"{runs.columns[0]} to {runs.columns[-1]}: restrict the runs to them"
        )
    weight = _columns(tensors["weight"], columns)
    bias, lam = (
        torch.from_numpy(tensors[key].read(0, shape[1])[columns].astype(np.float64))
        for key in ("bias", "lam")
    )
    for key, value in (("weight", weight), ("bias", bias)):
        check_finite(value, f"{place}: {key}")
    return weight, bias, lam


def _columns(rows: Rows, columns: np.ndarray) -> Float[Tensor, "train targets"]:
    """Return some columns of a matrix as float64, a block of rows at a time."""
    n_rows, width = rows.shape
    step = max(1, _ENTRIES // width)
    found = np.empty((n_rows, len(columns)))
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        found[start:stop] = rows.read(start, stop)[:, columns]
    return torch.from_numpy(found)
