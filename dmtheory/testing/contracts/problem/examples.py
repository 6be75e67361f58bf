"""Examples that are absent, or in another order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from dmtheory.data.dataset import Dataset
from dmtheory.testing.contracts.problem.probes import (
    Probe,
    check_outputs,
    outputs_of,
    probes,
)
from dmtheory.testing.properties import Declared, NotApplicable, Property

_ANY = probes()


def _with_data(problem: Any, change: Callable[[Dataset], Dataset]) -> Any:
    data = getattr(problem, "data", None)
    if not isinstance(data, Dataset):
        raise NotApplicable("the problem has no `data` that could be changed")
    return replace(problem, data=change(data))


def _ignores_weight_zero(declared: Declared, probe: Probe) -> None:
    """An example of weight 0 may be replaced by another with the same label."""
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train)
    weights[:, 0] = 0.0

    def change(data: Dataset) -> Dataset:
        x = data.x_train.clone()
        x[0] = x[-1].flip(-1) + 1
        return replace(data, x_train=x)

    other = _with_data(problem, change)
    seeds = torch.tensor([probe.seed])
    check_outputs(
        declared,
        outputs_of(other, weights, seeds),
        outputs_of(problem, weights, seeds),
        "outputs after a change of an example of weight 0",
    )


def _forgets_the_order(declared: Declared, probe: Probe) -> None:
    """Examples reordered with their numbers, labels and weights."""
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train)
    order = torch.arange(weights.shape[1]).flip(0)

    def change(data: Dataset) -> Dataset:
        labels = tuple(data.train_labels[i] for i in order.tolist())
        return replace(
            data,
            x_train=data.x_train[order],
            y_train=data.y_train[order],
            train_labels=labels,
            train_ids=data.ids[order],
            raw_train=None,
        )

    other, seeds = _with_data(problem, change), torch.tensor([probe.seed])
    check_outputs(
        declared,
        outputs_of(other, weights[:, order], seeds),
        outputs_of(problem, weights, seeds),
        "outputs after a reordering",
    )


EXAMPLES = (
    Property(
        name="weight 0 = absent",
        statement="The features of an example of weight 0 do not matter.",
        cases=probes(zeros=False),
        check=_ignores_weight_zero,
    ),
    Property(
        name="train permutation",
        statement="Examples reordered with their ids and weights: the same outputs.",
        cases=_ANY,
        check=_forgets_the_order,
    ),
)
