"""Influence block by block into a store, which an interrupted run resumes.

A row of the store is a target at a model; its columns are the scores of the examples,
then the residual and the iterations of its solution. It is a store of
`dmtheory.responses.store`, whose words for the columns are kept: `n_targets` there says
how many scores a row has.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.identity import digest
from dmtheory.influence.at_models.many_models import Effort, Trained
from dmtheory.influence.at_models.one_model import ModelInfluence, Rule, at_model
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress
from dmtheory.responses.store import (
    Block,
    BlockError,
    ResponseStore,
    open_store,
)

# Targets a block: what an interruption may cost.
_TARGETS = 64


def stored_derivatives(
    location: Any,
    problem: DifferentiableProblem,
    trained: Trained,
    rule: Rule,
    examples: tuple[int, ...],
    progress: Progress | None = None,
) -> tuple[Float[Tensor, "models examples targets"], Effort]:
    """Return g_i at each model, computed into a store or found there.

    The same bytes however often it was interrupted.

    Args:
        location: A path, a URL or a zarr store.
        problem: Losses and outputs.
        trained: The models.
        rule: How.
        examples: Which.
        progress: Called with the number of rows, a target at a model each, that were
            just found or finished.

    Raises:
        ValueError: If a damped curvature is not positive definite.
        StoreError: If the store holds something else, or cannot be reached.
    """
    n_targets = problem.description.n_targets
    block = min(
        _TARGETS,
        rule.targets_at_a_time(trained.params.shape[1], len(examples), n_targets),
    )
    config = _config(problem, trained, rule, examples, block)
    store = open_store(location, config, len(trained) * n_targets)
    report = progress or (lambda _: None)
    missing = []
    for number, content in store.contents(range(store.n_blocks)):
        if isinstance(content, BlockError):
            missing.append(number)
        else:
            report(len(store.rows(number)))
    _fill(store, missing, problem, trained, rule, torch.tensor(examples), report)
    units, residual, spent = _read(store, len(trained), n_targets)
    name = "the cheapest solver" if rule.solver is None else rule.solver.name
    return units, Effort(name, residual, spent)


def _config(
    problem: DifferentiableProblem,
    trained: Trained,
    rule: Rule,
    examples: tuple[int, ...],
    block: int,
) -> dict[str, Any]:
    """Return everything that decides the bytes."""
    description = problem.description
    return {
        # Whoever takes the rows for responses is told so.
        "kind": "scores of influence",
        "deterministic": description.deterministic,
        "problem": description.name,
        "problem_digest": description.digest,
        "output": description.output,
        "normalisation": description.normalisation,
        "step_policy": description.step_policy,
        "curvature": repr(rule.curvature),
        "damping": rule.damping,
        "solver": repr(rule.solver),
        "memory": rule.budget.memory,
        "parameters": digest(trained.params),
        "weights": digest(trained.weights),
        "n_targets": len(examples),
        "qualities": ["residual", "iterations"],
        "train_labels": [description.train_labels[i] for i in examples],
        "target_labels": list(description.target_labels),
        "block": block,
        "dtype": "float64",
    }


def _fill(
    store: ResponseStore,
    missing: list[int],
    problem: DifferentiableProblem,
    trained: Trained,
    rule: Rule,
    examples: Tensor,
    report: Progress,
) -> None:
    n_targets = problem.description.n_targets
    at: tuple[int, ModelInfluence] | None = None
    for number in missing:
        rows, parts = store.rows(number), []
        for model, targets in _pieces(rows, n_targets):
            if at is None or at[0] != model:
                prepared = at_model(
                    problem, trained.params[model], trained.weights[model], rule
                )
                at = model, prepared
            scores, found = at[1].scores(targets, examples)
            spent = torch.full_like(found.residual, found.iterations)
            parts.append(torch.cat([scores, found.residual[None], spent[None]]).T)
        columns = torch.cat(parts).cpu().numpy()
        store.write(number, store.cast(columns, np.zeros(len(columns), dtype=bool)))
        report(len(rows))


def _pieces(rows: range, n_targets: int) -> list[tuple[int, slice]]:
    """Return the models and targets that rows of the store are."""
    pieces = []
    for model in range(rows.start // n_targets, (rows.stop - 1) // n_targets + 1):
        first = max(rows.start - model * n_targets, 0)
        last = min(rows.stop - model * n_targets, n_targets)
        pieces.append((model, slice(first, last)))
    return pieces


def _read(
    store: ResponseStore, n_models: int, n_targets: int
) -> tuple[Float[Tensor, "models examples targets"], float, int]:
    blocks = []
    for _, content in store.contents(range(store.n_blocks)):
        if not isinstance(content, Block):
            raise content
        blocks.append(content)
    scores = torch.from_numpy(np.concatenate([block.outputs for block in blocks]))
    residual, spent = np.concatenate([block.qualities for block in blocks]).T
    units = scores.unflatten(0, (n_models, n_targets)).transpose(1, 2).contiguous()
    return units, float(residual.max()), int(spent.max())
