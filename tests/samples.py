"""Small made-up data; every truth is computed by the tests, never here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from dmtheory import Attribution, Estimand, Point, Responses
from dmtheory.data import Dataset
from dmtheory.identity import numbered
from dmtheory.problems import Description


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def table(
    n_train: int, n_features: int, *, n_targets: int = 4, classes: int = 0, seed: int
) -> Dataset:
    """Return normal features; responses are noisy linear, or classes drawn by them."""
    n_held_out = 5
    x = normal(n_train + n_targets + n_held_out, n_features, seed=seed)
    if classes:
        logits = x @ normal(n_features, classes, seed=seed + 1)
        y = (logits + normal(len(x), classes, seed=seed + 2)).argmax(1)
    else:
        noise = normal(len(x), seed=seed + 2)
        y = x @ normal(n_features, seed=seed + 1) + noise
    return dataset(x, y, n_train=n_train, n_targets=n_targets)


def dataset(x: Tensor, y: Tensor, *, n_train: int, n_targets: int) -> Dataset:
    """Return the first rows as training examples, the next as targets."""
    ends = n_train, n_train + n_targets
    return Dataset(
        name="made-up",
        x_train=x[: ends[0]],
        y_train=y[: ends[0]],
        x_target=x[ends[0] : ends[1]],
        y_target=y[ends[0] : ends[1]],
        x_held_out=x[ends[1] :],
        y_held_out=y[ends[1] :],
        train_labels=numbered("row", n_train),
        target_labels=numbered("question", n_targets),
    )


def weight_rows(n_models: int, n_train: int, *, seed: int) -> Tensor:
    """Return weights in [0, 2), about a third of them zero."""
    drawn = torch.rand(
        2, n_models, n_train, generator=generator(seed), dtype=torch.float64
    )
    return 2 * drawn[0] * (drawn[1] > 1 / 3)


def no_seeds(n_models: int) -> Tensor:
    return torch.zeros(n_models, dtype=torch.int64)


STATED: dict[str, Any] = {
    "quantity": "datamodel",
    "point": Point("subsets", 0.5),
    "output": "margin",
    "normalisation": "sum",
    "step_policy": "fixed",
    "problem": "made-up",
}


def an_estimand(**changes: Any) -> Estimand:
    return Estimand(**{**STATED, **changes})


def an_attribution(
    scores: Tensor,
    *,
    units: Tensor | None = None,
    stderr: Tensor | None = None,
    **changes: Any,
) -> Attribution:
    """Return scores under made-up labels; fields of the estimand go by name."""
    seeds = changes.pop("seeds", frozenset())
    n_train = changes.pop("n_train", len(scores))
    return Attribution(
        scores=scores,
        units=units,
        stderr=stderr,
        estimand=an_estimand(**changes),
        train_labels=numbered("row", len(scores)),
        target_labels=numbered("question", scores.shape[1]),
        n_train=n_train,
        seeds=seeds,
    )


def a_description(n_train: int, n_targets: int, **changes: Any) -> Description:
    fields: dict[str, Any] = {
        "name": "made-up",
        "digest": "made-up",
        "output": "margin",
        "normalisation": "sum",
        "step_policy": "fixed",
        "train_labels": numbered("row", n_train),
        "target_labels": numbered("question", n_targets),
    }
    return Description(**{**fields, **changes})


def responses_of(design: Any, outputs: Tensor, description: Description) -> Responses:
    """Return made-up outputs of a design; those that are not finite diverged."""
    return Responses(
        outputs=outputs,
        design=design,
        description=description,
        diverged=~torch.isfinite(outputs).all(1),
    )


@contextmanager
def unchecked() -> Iterator[None]:
    """Call the library as its users do: without a runtime type checker."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def peak_bytes(work: Callable[[], Any]) -> int:
    """Return the most that was allocated at a time."""
    # Runtime checks of annotations keep arguments alive.
    with (
        unchecked(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found,
    ):
        work()
    events = found.profiler.kineto_results.events()
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in events
        if event.name() == "[memory]"
    )
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    return most
