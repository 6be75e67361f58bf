"""What TRAK publishes and writes: masks and margins, and scores of an experiment."""

from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand, Point
from dmtheory.identity import numbered
from dmtheory.interchange.files.npy import open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags


def open_matrices(
    masks: Location | Place,
    outputs: Location | Place,
    *,
    problem: str,
    output: str,
    source: str = "arrays",
    held_out: tuple[int, int] | None = None,
    options: dict[str, Any] | None = None,
) -> ImportedRuns:
    """Open masks and outputs in two `.npy` files, whoever wrote them.

    Args:
        masks: 0/1 masks, [models, train].
        outputs: Outputs, [models, targets].
        problem: Name of the problem.
        output: The output function.
        source: Name of the format.
        held_out: Rows of the file for evaluation, first and end.
        options: For fsspec.

    Returns:
        The models.

    Raises:
        ValueError: If files are missing, damaged, or differ in rows.
    """
    return ImportedRuns.of(
        open_npy(Place.of(masks, options), axes=2),
        open_npy(Place.of(outputs, options), axes=2),
        Tags(source=source, problem=problem, output=output, held_out=held_out),
    )


def open_trak(
    folder: Location | Place,
    *,
    problem: str,
    held_out: tuple[int, int] | None = None,
    options: dict[str, Any] | None = None,
) -> ImportedRuns:
    """Open TRAK's `mask.npy` and `val_margins.npy`.

    The margin is the correct logit less the log-sum-exp of the others, and not the
    datamodels paper's margin over the largest.

    Args:
        folder: The folder of both files, or a URL.
        problem: Name of the problem.
        held_out: Rows of the file for evaluation, first and end.
        options: For fsspec.

    Returns:
        The models.

    References:
        Park et al. 2023, TRAK, section 3 (the output function).
    """
    root = Place.of(folder, options)
    return open_matrices(
        root / "mask.npy",
        root / "val_margins.npy",
        problem=problem,
        output="margin",
        source="TRAK masks and margins",
        held_out=held_out,
    )


def load_trak_scores(
    folder: Location | Place,
    experiment: str,
    *,
    problem: str,
    output: str = "margin",
) -> Attribution:
    """Load the scores of a TRAK experiment, `scores/EXPERIMENT.mmap`.

    Args:
        folder: The save folder of the attribution. What its JSON files say of paths is
            not followed.
        experiment: The experiment's name.
        problem: Name of the problem.
        output: The output function of the task.

    Returns:
        Scores as TRAK wrote them, [train, targets], positive raises the output; their
        scale is that of no derivative.

    Raises:
        ValueError: If the name is a path, the file is missing or damaged, or the scores
            of a target were never finished.
    """
    if not experiment or PurePath(experiment).name != experiment:
        raise ValueError(f"experiment must be a plain name, got {experiment!r}")
    rows = open_npy(Place.of(folder) / "scores" / f"{experiment}.mmap", axes=2)
    scores = rows.read(0, rows.shape[0]).astype(np.float64)
    empty = np.flatnonzero((scores == 0).all(0))
    if len(empty):
        raise ValueError(
            f"{rows.place.path} must hold finished scores, got zeros throughout for "
            f"target {empty[0]} ({len(empty)} such): run finalize_scores"
        )
    return Attribution(
        scores=torch.from_numpy(scores),
        estimand=Estimand(
            quantity="TRAK",
            point=Point("weights", 1.0),
            output=output,
            normalisation="unknown",
            step_policy="unknown",
            problem=problem,
        ),
        train_labels=numbered("example", scores.shape[0]),
        target_labels=numbered("target", scores.shape[1]),
        n_train=scores.shape[0],
        method=f"TRAK scores of the experiment {experiment}",
    )
