"""Small files in exactly the release's layout, written with numpy and torch alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

N_TRAIN, N_TEST, N_CLASSES = 24, 5, 10
FIT, EVALUATION = 400, 120


@dataclass(frozen=True)
class Written:
    """What was written, and by which truth.

    Attributes:
        folder: The release's root.
        masks: Boolean masks.
        margins: Half-precision margins of the test targets.
        slope: The true coefficients of the raw mask, [train, targets].
        level: The true intercepts.
        mean: Means of the masks' columns over the rows to fit.
        deviation: Population deviations over the same rows.
    """

    folder: Path
    masks: np.ndarray
    margins: np.ndarray
    slope: np.ndarray
    level: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def fixed_size_masks(
    rng: np.random.Generator, n_models: int, n_train: int, size: int
) -> np.ndarray:
    order = rng.random((n_models, n_train)).argsort(1)
    return order < size


def write_release(
    folder: Path,
    *,
    dataset: str = "cifar",
    percent: int = 50,
    noise: float = 0.3,
    standardised: bool = False,
    flat: bool = False,
    seed: int = 0,
) -> Written:
    """Write masks, margins of both splits, logits and datamodels of a linear truth."""
    rng = np.random.default_rng(seed)
    n_models = FIT + EVALUATION
    size = N_TRAIN * percent // 100
    masks = fixed_size_masks(rng, n_models, N_TRAIN, size)
    slope = rng.normal(size=(N_TRAIN, N_TEST))
    level = rng.normal(size=N_TEST) + 3.0
    exact = masks @ slope + level + noise * rng.normal(size=(n_models, N_TEST))
    # Logits whose correct class is the target's number, with this max-margin.
    others = rng.normal(size=(n_models, N_TEST, N_CLASSES)) - 3.0
    classes = np.arange(N_TEST)
    np.put_along_axis(others, classes[None, :, None], -np.inf, axis=2)
    logits = others.copy()
    correct = exact + others.max(2)
    np.put_along_axis(logits, classes[None, :, None], correct[..., None], axis=2)
    margins = exact.astype(np.float16)
    own = rng.normal(size=(n_models, N_TRAIN)).astype(np.float16)

    mean = masks[:FIT].mean(0)
    deviation = masks[:FIT].std(0)
    weight, bias = slope, level
    if standardised:
        weight, bias = slope * deviation[:, None], level + mean @ slope
    data = folder if flat else folder / dataset / "data"
    models = folder if flat else folder / dataset / "datamodels"
    data.mkdir(parents=True, exist_ok=True)
    models.mkdir(parents=True, exist_ok=True)
    np.save(data / f"train_masks_{percent}pct.npy", masks)
    np.save(data / f"test_margins_{percent}pct.npy", margins)
    np.save(data / f"train_margins_{percent}pct.npy", own)
    np.save(data / f"test_logits_{percent}pct.npy", logits.astype(np.float16))
    torch.save(
        {
            "weight": torch.from_numpy(weight.astype(np.float32)),
            "bias": torch.from_numpy(bias.astype(np.float32)),
            "lam": torch.full((N_TEST,), 0.01),
        },
        models / f"test_{percent}pct.pt",
    )
    return Written(folder, masks, margins, slope, level, mean, deviation)
