"""Datamodels of the release: weights of a `.pt` file, in units of the raw mask."""

from pathlib import Path

import torch

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.estimand import Estimand
from dmtheory.interchange.places import Location, Place
from dmtheory.interchange.published import weight_name
from dmtheory.interchange.release import locate
from dmtheory.interchange.runs import ImportedRuns
from dmtheory.interchange.torch_files import load_tensors
from dmtheory.interchange.units_of_weights import (
    RAW,
    STANDARDISED,
    decide_units,
    raw_units,
    standardisation_of,
    standardisation_of_law,
)
from dmtheory.interchange.using import estimand_fields, seeds_of

_AXES = {"weight": 2, "bias": 1, "lam": 1}


def load_release_datamodel(
    folder: Location,
    *,
    dataset: str,
    percent: int,
    runs: ImportedRuns,
    split: str = "test",
    held_out: tuple[int, int] | None = None,
    units: str | None = None,
    read_masks: bool = True,
) -> Attribution:
    """Load the release's datamodels of the targets that runs are restricted to.

    Args:
        folder: A local folder with `cifar/datamodels/test_50pct.pt`, or with that file.
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

    Returns:
        Scores per unit of the raw mask, positive raises the output, with the intercept.

    Raises:
        ValueError: If the file is missing, damaged or of other shapes, or the rows do
            not tell the units.
    """
    place = locate(
        Place.of(folder, None), dataset, "datamodels", weight_name(split, percent)
    )
    return load_weights(
        place.local,
        runs=runs,
        held_out=held_out,
        units=units,
        read_masks=read_masks,
        source=f"{runs.tags.source}, {split} datamodels",
    )


def load_weights(
    path: Path,
    *,
    runs: ImportedRuns,
    held_out: tuple[int, int] | None,
    units: str | None,
    read_masks: bool,
    source: str,
) -> Attribution:
    """Load `weight`, `bias` and `lam` of a file, for the runs' targets, as raw scores.

    Returns:
        Scores per unit of the raw mask, with the intercept.

    Raises:
        ValueError: If shapes differ from the runs', or the units cannot be told.
    """
    tensors = load_tensors(path, _AXES)
    shape = (runs.n_train, runs.outputs.shape[1])
    if tuple(tensors["weight"].shape) != shape:
        raise ValueError(
            f"{path}: weight must have shape {shape} (train, targets of the margins), "
            f"got {tuple(tensors['weight'].shape)}"
        )
    for key in ("bias", "lam"):
        if len(tensors[key]) != shape[1]:
            raise ValueError(
                f"{path}: {key} must have {shape[1]} entries, got {len(tensors[key])}"
            )
    columns = torch.from_numpy(runs.columns)
    weight = tensors["weight"][:, columns].double()
    bias, lam = (tensors[key][columns].double() for key in ("bias", "lam"))
    fitted, evaluation = (
        (runs, None)
        if held_out is None and runs.tags.held_out is None
        else runs.split(held_out)
    )
    by = standardisation_of(fitted) if read_masks else standardisation_of_law(fitted)
    if units is None:
        if evaluation is None:
            raise ValueError(
                "held_out must name rows to tell raw from standardised coefficients, "
                "or units= state it"
            )
        choice = decide_units(weight, bias, held_out=evaluation, by=by)
        units, how = choice.units, str(choice)
    else:
        check_choice(units, (RAW, STANDARDISED), "units")
        how = f"coefficients stated to be {units}"
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
