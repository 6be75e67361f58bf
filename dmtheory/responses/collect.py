"""Train a model on each row of a design and keep its outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.designs.base import Design
from dmtheory.engines.local import Engine, Serial
from dmtheory.problems.base import Description, Problem

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Responses:
    """Outputs of trained models, with the design that says how each was trained.

    Attributes:
        outputs: f(Phi(seed_k; w_k)) of model k at each target.
        design: Where weights and seeds of row k come from.
        description: The problem.
        diverged: Models whose outputs are not finite; fits leave them out.
    """

    outputs: Float[Tensor, "models targets"]
    design: Design
    description: Description
    diverged: Bool[Tensor, " models"]

    @property
    def n_models(self) -> int:
        """How many models were trained."""
        return len(self.outputs)

    def weights(self) -> Float[Tensor, "models train"]:
        """Return the weight vectors, computed anew from the design."""
        return self.design.weights(
            torch.arange(self.n_models), self.description.n_train
        )


def collect(
    problem: Problem,
    design: Design,
    *,
    engine: Engine | None = None,
    block: int = 256,
    progress: Progress | None = None,
) -> Responses:
    """Train a model on each row of the design and return its outputs.

    The result depends on (problem, design) alone: not on the engine, and on the block
    size only through the rounding of batched linear algebra.

    Args:
        problem: The training map and its outputs.
        design: Weight vectors and seeds.
        engine: Where blocks run; in this process by default.
        block: Models a block, at least 1.
        progress: Called with the number of models that were just finished.

    Returns:
        Outputs of all rows, in order.
    """
    rows = torch.arange(design.n_models).split(block)

    def done(index: int) -> None:
        if progress is not None:
            progress(len(rows[index]))

    blocks = (engine or Serial()).map(
        partial(_train_block, problem, design), list(rows), done
    )
    outputs = torch.cat(blocks)
    return Responses(
        outputs=outputs,
        design=design,
        description=problem.description,
        diverged=~torch.isfinite(outputs).all(1),
    )


def _train_block(problem: Problem, design: Design, rows: Tensor) -> Tensor:
    weights = design.weights(rows, problem.description.n_train)
    return problem.respond(weights, design.seeds(rows))
