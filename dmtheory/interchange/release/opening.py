"""The datamodels release: masks, margins and logits, opened without reading them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dmtheory.checks import check_choice
from dmtheory.estimand import Point
from dmtheory.interchange.files.npy import NpyRows, open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.imported.laws import INDEPENDENT, check_share
from dmtheory.interchange.imported.rows import ChangedRows, Rows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.release import published
from dmtheory.problems.outputs import OF_CLASSES

# What the paper's code measures; the release's README says "correct-class margin" only.
MARGIN = "max-margin"


def open_release(
    folder: Location | Place,
    *,
    dataset: str,
    percent: int,
    split: str = "test",
    held_out: tuple[int, int] | None = None,
    output: str = MARGIN,
    options: dict[str, Any] | None = None,
) -> ImportedRuns:
    """Open masks and margins of the release.

    Files are looked for as in the bucket (`cifar/data/train_masks_50pct.npy`) and
    beside one another (`train_masks_50pct.npy`). Row ranges of remote files are
    fetched by byte range.

    Training of these models took batches' mean losses and epochs over the subset, so
    that its normalisation is "sum" and its steps are "proportional" to the subset.

    Args:
        folder: A local folder or a URL, such as "s3://madrylab-datamodels".
        dataset: "cifar" or "fmow".
        percent: The share of examples in a subset, in percent.
        split: "test" or "train" targets.
        held_out: Rows of the file for evaluation, first and end. The release has
            10,000 beyond those for estimation and does not say which.
        output: Name of the margin. `margin_formula` tells it where logits are there.
        options: For fsspec, such as {"requester_pays": True}.

    Returns:
        Models with their tags.

    Raises:
        ValueError: If files are missing or damaged, have other types than the release,
            differ in rows, or hold subsets of another share.

    References:
        Ilyas et al. 2022, Datamodels, section 2 and appendix B; the data's README.
    """
    root = Place.of(folder, options)
    masks = open_matrix(
        root, dataset, published.mask_name(percent), published.MASK_TYPE, 2
    )
    name = published.output_name("margins", split, percent)
    margins = open_matrix(root, dataset, name, published.OUTPUT_TYPE, 2)
    return _runs(masks, margins, dataset, percent, held_out, output)


def open_release_logits(
    folder: Location | Place,
    *,
    classes: np.ndarray,
    dataset: str,
    percent: int,
    split: str = "test",
    held_out: tuple[int, int] | None = None,
    output: str = "margin",
    options: dict[str, Any] | None = None,
) -> ImportedRuns:
    """Open masks and logits of the release, from which outputs are computed.

    Args:
        folder: A local folder or a URL.
        classes: The correct class of every target, in the data set's default order.
        dataset: "cifar", which alone has logits.
        percent: The share of examples in a subset, in percent.
        split: "test" or "train" targets.
        held_out: Rows of the file for evaluation, first and end.
        output: "margin", "max-margin", "logit", "log-likelihood", "loss" or
            "probability".
        options: For fsspec.

    Returns:
        Models with their tags.

    Raises:
        ValueError: If files are missing, damaged or of other types, or classes do not
            match.
    """
    check_choice(output, tuple(OF_CLASSES), "output")
    root = Place.of(folder, options)
    masks = open_matrix(
        root, dataset, published.mask_name(percent), published.MASK_TYPE, 2
    )
    name = published.output_name("logits", split, percent)
    logits = open_matrix(root, dataset, name, published.OUTPUT_TYPE, 3)
    n_targets, n_classes = logits.shape[1:]
    correct = np.asarray(classes)
    if correct.shape != (n_targets,) or correct.dtype.kind not in "iu":
        raise ValueError(
            f"classes must be {n_targets} whole numbers, one a target, got shape "
            f"{correct.shape} of {correct.dtype}"
        )
    if not 0 <= int(correct.min()) <= int(correct.max()) < n_classes:
        raise ValueError(f"classes must lie in [0, {n_classes})")
    outputs = ChangedRows(
        rows=logits, change=_output_of(output, correct), width=n_targets
    )
    return _runs(masks, outputs, dataset, percent, held_out, output)


def _output_of(output: str, classes: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    of_logits, labels = OF_CLASSES[output], torch.from_numpy(classes.astype(np.int64))

    def change(logits: np.ndarray) -> np.ndarray:
        return of_logits(torch.from_numpy(logits.astype(np.float64)), labels).numpy()

    return change


def open_matrix(root: Place, dataset: str, name: str, dtype: str, axes: int) -> NpyRows:
    """Open a matrix of the release, in the type that the release has.

    Returns:
        Its rows, unread.

    Raises:
        ValueError: If it is missing, damaged or of another type.
    """
    place = locate(root, dataset, "data", name)
    rows = open_npy(place, axes=axes)
    if rows.header.dtype.newbyteorder("=") != np.dtype(dtype):
        raise ValueError(
            f"{place.path} must hold {dtype} as the release does, got "
            f"{rows.header.dtype}"
        )
    return rows


def locate(root: Place, dataset: str, folder: str, name: str) -> Place:
    """Return where a file of the release lies, in the bucket's layout or beside others.

    Raises:
        ValueError: If the data set is unknown or the file is nowhere.
    """
    check_choice(dataset, tuple(published.DATASETS), "dataset")
    places = [root / dataset / folder / name, root / folder / name, root / name]
    for place in places:
        if place.exists():
            return place
    raise ValueError(
        f"folder must hold {dataset}/{folder}/{name} or {name}, got {root.path}"
    )


def _runs(
    masks: Rows,
    outputs: Rows,
    dataset: str,
    percent: int,
    held_out: tuple[int, int] | None,
    output: str,
) -> ImportedRuns:
    tags = Tags(
        source=f"datamodels release, {dataset}, {percent} %",
        problem=f"datamodels release: {dataset}",
        output=output,
        normalisation="sum",
        step_policy="proportional",
        held_out=held_out,
    )
    found = ImportedRuns.of(masks, outputs, tags)
    check_share(found.counts(), percent / 100, "masks")
    if found.tags.law is not None and found.tags.law.law == INDEPENDENT:
        law = Point("subsets", percent / 100, INDEPENDENT)
        found = found.stating(law, "p is the percentage in the file's name")
    expected = published.DATASETS[dataset]
    n_rows = expected.n_rows(percent)
    notes = []
    if found.n_models != n_rows or found.n_train != expected.n_train:
        notes.append(
            f"{found.n_models} models of {found.n_train} examples, where the release "
            f"has {n_rows} of {expected.n_train}"
        )
    if held_out is None:
        notes.append("no held-out rows were named; the release does not name them")
    return replace(found, tags=found.tags.noting(*notes))
