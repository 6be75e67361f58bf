"""Which margin is it? Told from the logits that it was computed from."""

from typing import Any

import numpy as np
import torch

from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.release.opening import open_matrix
from dmtheory.interchange.release.published import OUTPUT_TYPE, output_name
from dmtheory.problems.outputs import OF_CLASSES


def margin_formula(
    folder: Location | Place,
    *,
    dataset: str,
    percent: int,
    split: str = "test",
    n_models: int = 32,
    n_targets: int = 64,
    options: dict[str, Any] | None = None,
) -> tuple[str, float]:
    """Tell by which formula the release's margins follow from its logits.

    Each target's class is that which fits its margins best, so no labels are needed.

    Args:
        folder: A local folder or a URL with margins and logits.
        dataset: "cifar".
        percent: The share of examples in a subset, in percent.
        split: "test" or "train" targets.
        n_models: Models that are compared, from the first.
        n_targets: Targets that are compared, from the first.
        options: For fsspec.

    Returns:
        "max-margin" or "margin", and the mean absolute error that is left. Half
        precision leaves about 1e-3 of the margins' size.

    Raises:
        ValueError: If files are missing or damaged, or differ in shape.
    """
    root = Place.of(folder, options)
    kinds = {
        kind: open_matrix(
            root,
            dataset,
            output_name(kind, split, percent),
            OUTPUT_TYPE,
            axes,
        )
        for kind, axes in (("margins", 2), ("logits", 3))
    }
    if kinds["margins"].shape != kinds["logits"].shape[:2]:
        raise ValueError(
            "margins and logits must be of the same models and targets, got shapes "
            f"{kinds['margins'].shape} and {kinds['logits'].shape}"
        )
    n = min(n_models, kinds["margins"].shape[0])
    margins, logits = (
        torch.from_numpy(rows.read(0, n)[:, :n_targets].astype(np.float64))
        for rows in kinds.values()
    )
    left = {}
    for name in ("max-margin", "margin"):
        errors = [
            (OF_CLASSES[name](logits, torch.full((logits.shape[1],), c)) - margins)
            .abs()
            .mean(0)
            for c in range(logits.shape[2])
        ]
        left[name] = float(torch.stack(errors).amin(0).mean())
    best = min(left, key=lambda name: left[name])
    return best, left[best]
