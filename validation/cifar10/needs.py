"""What attributions and fits at scale take: products, and memory beside the data."""

import time
from dataclasses import dataclass
from functools import lru_cache

import torch

from dmtheory.datamodels.lasso.lasso import WIDE

_DOUBLE = 8
# Chunks of gradients or rows, with what is made of them on the way.
_CHUNKS = 4 * 2**30
# Rows that are made from seeds at a time, and bytes an entry while they are.
_ROWS, _MAKING = 4096, 60
# Matrices of coefficients that a descent has at a time, and products that it takes.
_DESCENT, _PRODUCTS = 15, 20_000
_SIDE, _TRIES = 512, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a piece of work takes.

    Attributes:
        operations: Of matrix products, most of them in float64.
        bytes: Of memory on the device, at most.
    """

    operations: float
    bytes: float


def trak_need(
    *, n_train: int, n_params: int, dimension: int, n_targets: int, n_models: int
) -> Need:
    """Return what TRAK in chunks takes: signs, projected gradients and scores.

    The backward passes, one an image and model, are not counted.
    """
    projected = n_train * n_params * dimension
    kernel = n_train * dimension * (dimension + n_targets)
    kept = n_params * dimension + n_train * (2 * dimension + 2 * n_targets)
    return Need(
        operations=2.0 * n_models * (projected + kernel),
        bytes=_DOUBLE * kept + _CHUNKS,
    )


def product_need(*, n_train: int, n_params: int, n_targets: int, n_models: int) -> Need:
    """Return what gradient products in chunks take."""
    return Need(
        operations=2.0 * n_models * n_train * n_params * n_targets,
        bytes=_DOUBLE * (n_params + 3 * n_train) * n_targets + _CHUNKS,
    )


def ridge_need(*, n_models: int, n_train: int, n_targets: int) -> Need:
    """Return what ridge at one penalty takes, from seeds to its certificate.

    One factor of the smaller of kernel and Gram matrix, and three matrices of
    coefficients beside the outputs.
    """
    side = min(n_models, n_train)
    products = n_models * n_train * (side + 4 * n_targets)
    kept = side**2 + 3 * n_train * n_targets + 2 * n_models * n_targets
    rows = min(n_models, _ROWS) * n_train * _MAKING
    return Need(
        operations=products + 2 * side**3 / 3 + 2.0 * side**2 * n_targets,
        bytes=_DOUBLE * kept + rows,
    )


def lasso_need(*, n_models: int, n_train: int, n_targets: int) -> Need:
    """Return what the LASSO takes, by rows where models are few, else by the matrix."""
    coefficients = _DOUBLE * _DESCENT * n_train * n_targets
    rows = min(n_models, _ROWS) * n_train * _MAKING
    if n_train >= WIDE and 2 * n_models < n_train:
        product = 4.0 * n_models * n_train * n_targets
        matrices = 7.0 * n_models * n_train + _CHUNKS
    else:
        product = 2.0 * n_train**2 * n_targets
        matrices = (3 * _DOUBLE + 6.0) * n_train**2
    return Need(operations=_PRODUCTS * product, bytes=coefficients + matrices + rows)


@lru_cache
def products_a_second(device: str) -> float:
    """Return a device's operations a second in float64, the best of a few tries."""
    a = torch.ones(_SIDE, _SIDE, dtype=torch.float64, device=device)
    times = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        float((a @ a)[0, 0])
        times.append(time.perf_counter() - begun)
    return 2 * _SIDE**3 / max(min(times), 1e-9)
