"""What a datamodel regresses on what, from arrays or from responses."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import as_matrix
from dmtheory.designs import (
    Bernoulli,
    ComplementaryPairs,
    FixedSize,
    Grouped,
    Replicates,
    SubsetDesign,
)
from dmtheory.identity import digest, numbered
from dmtheory.responses.responses import Responses


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One row a distinct weight vector of the players.

    Attributes:
        weights: The players' weights.
        outputs: Outputs, averaged over replicates.
        design: The law of the rows.
        train_labels: One label a player.
        target_labels: One label a target.
        estimand: Fields of the estimand that the source decides.
        n_models: Trainings behind it all.
        n_diverged: Of which diverged; what they belong to is left out.
        seeds: Experiment seeds of the trainings; empty where unknown.
    """

    weights: Float[Tensor, "models train"]
    outputs: Float[Tensor, "models targets"]
    design: SubsetDesign
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    estimand: dict[str, Any]
    n_models: int
    n_diverged: int
    seeds: frozenset[int]


def from_responses(responses: Responses) -> Regression:
    """Average replicates, take groups as players, leave diverged models out.

    Returns:
        The regression.

    Raises:
        TypeError: If the design is none of random subsets.
    """
    design, outputs = responses.design, responses.outputs
    problem, kept, replicates = responses.description, ~responses.diverged, 1
    if not isinstance(design, SubsetDesign):
        raise TypeError(
            "responses must come from a design of random subsets for a datamodel, got "
            f"{type(design).__name__}"
        )
    labels = problem.train_labels
    while isinstance(design, Replicates | Grouped):
        if isinstance(design, Replicates):
            # A weight vector counts when all its replicates do.
            outputs = outputs.unflatten(0, (-1, design.n_replicates)).mean(1)
            kept = kept.unflatten(0, (-1, design.n_replicates)).all(1)
            replicates *= design.n_replicates
        else:
            labels = design.group_labels
        design = design.design
    if isinstance(design, ComplementaryPairs):
        kept = kept.unflatten(0, (-1, 2)).all(1).repeat_interleave(2)
    weights = design.weights(torch.arange(len(outputs)), len(labels))
    return Regression(
        weights=weights[kept],
        outputs=outputs[kept],
        design=design,
        train_labels=labels,
        target_labels=problem.target_labels,
        estimand={
            "output": problem.output,
            "normalisation": problem.normalisation,
            "step_policy": problem.step_policy,
            "problem": problem.digest,
            "seeds_per_weight": replicates,
        },
        n_models=responses.n_models,
        n_diverged=int(responses.diverged.sum()),
        seeds=frozenset({design.seed}),
    )


def from_arrays(
    masks: Any, outputs: Any, design: SubsetDesign, output: str, problem: str | None
) -> Regression:
    """Check masks and outputs from elsewhere against each other and the stated law.

    Returns:
        The regression.

    Raises:
        TypeError: If the design is not one that arrays can be checked against.
        ValueError: If shapes differ, entries are not finite, masks are not 0 and 1,
            or they contradict the design.
    """
    x = as_matrix(masks, "masks", "models x train")
    y = as_matrix(outputs, "outputs", "models x targets")
    if len(x) != len(y):
        raise ValueError(
            f"masks and outputs must have one row a model, got {len(x)} and {len(y)} "
            "rows"
        )
    if bool(((x != 0) & (x != 1)).any()):
        raise ValueError("masks must hold 0 and 1 only")
    _check_law(x, design)
    return Regression(
        weights=x,
        outputs=y,
        design=design,
        train_labels=numbered("example", x.shape[1]),
        target_labels=numbered("target", y.shape[1]),
        estimand={
            "output": output,
            "normalisation": "unknown",
            "step_policy": "unknown",
            "problem": problem or f"arrays-{digest(x, y)}",
        },
        n_models=len(x),
        n_diverged=0,
        # Nobody knows the seeds, but two fits of the same arrays share their errors.
        seeds=frozenset({int(digest(x, y), 16)}),
    )


def _check_law(masks: Tensor, design: SubsetDesign) -> None:
    if isinstance(design, Bernoulli):
        share = masks.mean().item()
        sigma = (design.p * (1 - design.p) / masks.numel()) ** 0.5
        # Eight standard deviations: no honest masks are refused.
        if abs(share - design.p) > 8 * sigma:
            raise ValueError(
                f"design must match the masks: p = {design.p:g} was stated, but their "
                f"share of ones is {share:.4f}"
            )
    elif isinstance(design, ComplementaryPairs):
        if len(masks) % 2 or bool((masks[::2] + masks[1::2] != 1).any()):
            raise ValueError(
                "design must match the masks: complementary pairs were stated, but "
                "consecutive rows are no complements"
            )
    elif isinstance(design, FixedSize):
        if bool((masks.sum(1) != design.size).any()):
            raise ValueError(
                f"design must match the masks: size {design.size} was stated, but rows "
                f"hold {int(masks.sum(1).min())} to {int(masks.sum(1).max())} examples"
            )
    else:
        raise TypeError(
            "design of arrays must be Bernoulli, ComplementaryPairs or FixedSize, got "
            f"{type(design).__name__}"
        )
