"""From imported models to fits, evaluations and responses, by what this package has."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.fit import attribution_of
from dmtheory.datamodels.rows.regression import Regression
from dmtheory.datamodels.rows.sample import Chunk, Sample, make_chunk
from dmtheory.designs.law import variances
from dmtheory.estimand import Point
from dmtheory.identity import digest
from dmtheory.interchange.imported.laws import design_of_law
from dmtheory.interchange.imported.rows import read_numbers
from dmtheory.interchange.imported.runs import ImportedRuns

# Masks that tell one file from another.
_PRINTED = 64
# A file's own part of a row's seed lies above these bits.
_ROW_BITS = 24


def fit_imported(
    runs: ImportedRuns, *, estimator: DatamodelEstimator | None = None
) -> Attribution:
    """Fit a linear datamodel to imported models, a block of rows at a time.

    The coefficients are those of `fit_datamodel`, in units of the raw mask; positive
    raises the output. Rows are read anew at every pass, so that memory does not grow
    with them.

    Args:
        runs: The models to fit; hold others out with `runs.split`.
        estimator: The regression, OLS by default. `DifferenceOfMeans` holds no matrix
            of examples by examples and so takes as many examples as there are.

    Returns:
        Scores with the tags' estimand.

    Raises:
        ValueError: If the subset law is unknown, masks are not 0 and 1, or outputs are
            not finite.
    """
    estimator = OLS() if estimator is None else estimator
    regression = regression_of_runs(runs)
    return attribution_of(regression, estimator.fit(regression.sample), estimator)


def regression_of_runs(runs: ImportedRuns) -> Regression:
    """Return what a fit regresses, streamed from the files.

    Raises:
        ValueError: If the subset law is unknown.
    """
    design = design_of_law(law_of(runs), runs.n_train, runs.n_models)
    _, _, first = next(runs.blocks())
    shift = torch.from_numpy(first.mean(0))

    def chunks() -> Iterator[Chunk]:
        done = 0
        for numbers, masks, outputs in runs.blocks():
            yield make_chunk(
                torch.from_numpy(masks),
                torch.from_numpy(outputs) - shift,
                torch.arange(done, done + len(numbers)),
                size=1,
                has_mean=True,
            )
            done += len(numbers)

    return Regression(
        sample=Sample(
            chunks=chunks,
            n_blocks=runs.n_models,
            has_mean=True,
            level=law_of(runs).level,
            shift=shift,
            null_directions=design.null_directions(runs.n_train),
            variances=variances(design, runs.n_train),
        ),
        design=design,
        train_labels=runs.train_labels,
        target_labels=runs.target_labels,
        estimand=estimand_fields(runs),
        n_models=runs.n_models * runs.tags.seeds_per_weight,
        n_diverged=0,
        seeds=seeds_of(runs),
        named=True,
    )


def law_of(runs: ImportedRuns) -> Point:
    """Return the law of imported subsets.

    Raises:
        ValueError: If it is unknown.
    """
    if runs.tags.law is None:
        raise ValueError(
            "law must be known for a datamodel, but the masks follow neither a fixed "
            "size nor independent inclusion: runs.stating(Point('subsets', p), why)"
        )
    return runs.tags.law


def estimand_fields(runs: ImportedRuns) -> dict[str, Any]:
    """Return what an estimand of a datamodel of these models says, by field."""
    tags = runs.tags
    return {
        "quantity": "datamodel",
        "point": law_of(runs),
        "output": tags.output,
        "normalisation": tags.normalisation,
        "step_policy": tags.step_policy,
        "problem": tags.problem,
        "seeds_per_weight": tags.seeds_per_weight,
    }


def evaluation_of_runs(runs: ImportedRuns, *, n_replicates: int = 1) -> SubsetOutputs:
    """Return imported models as an evaluation that `lds` and others take.

    Args:
        runs: The models to judge by; their masks are held in memory as float64.
        n_replicates: Consecutive rows that are training seeds of one mask; with 2 or
            more the ceiling is known.

    Returns:
        Outputs by subset and seed. Scores that were fitted to any of these rows are
        recognised and refused.

    Raises:
        ValueError: If masks do not repeat as stated.
    """
    check_at_least(n_replicates, 1, "n_replicates")
    if runs.n_models % n_replicates:
        raise ValueError(
            f"rows must be a multiple of n_replicates = {n_replicates}, got "
            f"{runs.n_models}"
        )
    masks, outputs = runs.all_rows()
    rows = masks.unflatten(0, (-1, n_replicates))
    if bool((rows != rows[:, :1]).any()):
        raise ValueError(
            f"masks must repeat {n_replicates} times in consecutive rows, as "
            "n_replicates says"
        )
    tags = runs.tags
    design = None
    if tags.law is not None:
        design = design_of_law(tags.law, runs.n_train, len(rows))
    stated = {"problem": tags.problem, "output": tags.output}
    for field in ("normalisation", "step_policy"):
        if getattr(tags, field) != "unknown":
            stated[field] = getattr(tags, field)
    return SubsetOutputs(
        weights=rows[:, 0].contiguous(),
        outputs=outputs.unflatten(0, (-1, n_replicates)),
        design=design,
        unit_size=1,
        train_labels=runs.train_labels,
        target_labels=runs.target_labels,
        stated=stated,
        n_models=runs.n_models,
        seeds=seeds_of(runs),
    )


def replicates_in(runs: ImportedRuns) -> int:
    """Return how many consecutive rows share a mask throughout, 1 where none do."""
    head = runs.numbers[: min(runs.n_models, _PRINTED)]
    masks = runs.read_masks(head)
    same = (masks[1:] == masks[:1]).all(1)
    n = 1 + int(np.argmin(same)) if len(same) and not same.all() else 1
    if n == 1 or runs.n_models % n:
        return 1
    starts = runs.numbers[: runs.n_models - runs.n_models % n].reshape(-1, n)
    for part in np.array_split(starts, max(1, len(starts) // 256)):
        whole = runs.read_masks(part.reshape(-1)).reshape(len(part), n, -1)
        if (whole != whole[:, :1]).any():
            return 1
    return n


def seeds_of(runs: ImportedRuns) -> frozenset[int]:
    """Return a number for every model, by its file of masks and its row there.

    Nobody knows the models' seeds; these tell whether two results share models.
    """
    head = read_numbers(runs.masks, np.arange(min(_PRINTED, runs.masks.shape[0])))
    file = digest(torch.from_numpy(head.astype(np.float64)), runs.masks.shape)
    base = (int(file, 16) >> _ROW_BITS) << _ROW_BITS
    return frozenset(base + number for number in runs.numbers.tolist())
