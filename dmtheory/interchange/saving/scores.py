"""Attributions as the score files of other libraries."""

import json
from pathlib import Path

import numpy as np
import torch

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.interchange.files.tensors import write_safetensors
from dmtheory.interchange.imported.laws import FIXED_SIZE
from dmtheory.interchange.imported.units_of_weights import (
    RAW,
    STANDARDISED,
    Standardisation,
    standard_units,
)
from dmtheory.interchange.peers.bergson_scores import PAIR
from dmtheory.interchange.peers.kronfluence import ALL_MODULES
from dmtheory.interchange.saving.lost import Lost, lost_of_scores, rounded
from dmtheory.whole_files import write_whole


def save_datamodel_weights(
    attribution: Attribution,
    path: Path,
    *,
    penalty: float,
    standardised_by: Standardisation | None = None,
) -> Lost:
    """Write `weight`, `bias` and `lam` as the release and the datamodels code do.

    Args:
        attribution: A datamodel with its intercept.
        path: The `.pt` file.
        penalty: What `lam` says of every target; nan where there was none.
        standardised_by: The masks' moments, to write coefficients per standard
            deviation as the code does; per unit of the raw mask by default.

    Returns:
        What was lost: single precision keeps seven digits.

    Raises:
        ValueError: If there is no intercept.
    """
    weight = attribution.in_unit("per_weight").scores
    bias = attribution.intercept
    if bias is None:
        raise ValueError(
            "attribution must have an intercept for these files, got a "
            f"{attribution.estimand.quantity} without one"
        )
    if standardised_by is not None:
        weight, bias = standard_units(weight, bias, standardised_by)
    single, changes = zip(
        *(rounded(v.numpy(), np.float32, "scores") for v in (weight, bias)), strict=True
    )
    content = {
        "weight": torch.from_numpy(single[0]),
        "bias": torch.from_numpy(single[1]),
        "lam": torch.full((len(bias),), penalty),
    }
    write_whole(path, lambda file: torch.save(content, file))
    units = RAW if standardised_by is None else STANDARDISED
    fields = (*lost_of_scores(attribution, "intercept"), f"that weights are {units}")
    return Lost(fields, max(changes))


def save_trak_scores(attribution: Attribution, folder: Path, experiment: str) -> Lost:
    """Write scores as `scores/EXPERIMENT.mmap`, in single precision, per weight.

    Returns:
        What was lost.
    """
    values, change = _single(attribution.in_unit("per_weight"))
    path = folder / "scores" / f"{experiment}.mmap"
    write_whole(path, lambda file: np.save(file, values))
    return Lost(lost_of_scores(attribution), change)


def save_kronfluence_scores(attribution: Attribution, path: Path) -> Lost:
    """Write scores as kronfluence does: negated, per epsilon, queries by train.

    Returns:
        What was lost.
    """
    values, change = _single(attribution.in_unit("per_epsilon"))
    write_safetensors(path, {ALL_MODULES: -values.T}, {})
    return Lost(lost_of_scores(attribution), change)


def save_feldman_zhang(attribution: Attribution, path: Path) -> Lost:
    """Write `influence` as Feldman and Zhang do: E[f | i in S] - E[f | i not in S].

    Returns:
        What was lost.

    Raises:
        ValueError: If the attribution is no datamodel of subsets of one size.
    """
    estimand = attribution.estimand
    check_choice(estimand.quantity, ("datamodel",), "quantity")
    check_choice(estimand.point.law, (FIXED_SIZE,), "law")
    n = attribution.n_train
    scaled = attribution.in_unit("per_weight").scaled(n / (n - 1))
    values, change = _single(scaled)
    write_whole(path, lambda file: np.savez(file, influence=values.T))
    return Lost(lost_of_scores(attribution), change)


def save_bergson_scores(attribution: Attribution, folder: Path) -> Lost:
    """Write `info.json` and `scores.bin`, in single precision, per weight.

    A `config.yaml` says that a high score raises the output: bergson takes scores for
    those of a loss.

    Returns:
        What was lost.
    """
    values, change = _single(attribution.in_unit("per_weight"))
    n_rows, n_scores = values.shape
    # Eight bytes a pair; the last three are never looked at.
    pair = np.dtype([("score", "<f4"), ("written", "u1"), ("rest", "u1", (3,))])
    rows = np.zeros(values.shape, dtype=pair)
    rows["score"], rows["written"] = values, 1
    stated = {
        "names": [f"{kind}_{k}" for k in range(n_scores) for kind in PAIR],
        "formats": ["float32", "bool"] * n_scores,
        "offsets": [8 * k + at for k in range(n_scores) for at in (0, 4)],
        "itemsize": 8 * n_scores,
    }
    info = {
        "attribute_tokens": False,
        "num_items": n_rows,
        "num_rows": n_rows,
        "num_scores": n_scores,
        "dtype": stated,
    }
    config = "steps:\n- score:\n    score_cfg:\n      higher_is_better: false\n"
    write_whole(folder / "scores.bin", rows.tobytes())
    write_whole(folder / "config.yaml", config.encode())
    write_whole(folder / "info.json", json.dumps(info, indent=2).encode())
    return Lost(lost_of_scores(attribution), change)


def _single(attribution: Attribution) -> tuple[np.ndarray, float]:
    return rounded(attribution.scores.numpy(), np.float32, "scores")
