"""Responses of this package as models that can be exported."""

from dataclasses import dataclass

import numpy as np
import torch

from dmtheory.designs import SubsetDesign
from dmtheory.designs.players import players_of
from dmtheory.estimand import Point
from dmtheory.interchange.imported.laws import FIXED_SIZE, INDEPENDENT
from dmtheory.interchange.imported.rows import ArrayRows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.responses.responses import Responses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DesignRows:
    """Masks that are computed from a design as they are asked for.

    Attributes:
        responses: Whose design it is.
    """

    responses: Responses

    @property
    def shape(self) -> tuple[int, ...]:
        """Models and examples."""
        return self.responses.n_models, self.responses.description.n_train

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the masks from start up to stop."""
        rows = torch.arange(start, stop)
        weights = self.responses.design.weights(rows, self.shape[1])
        return weights.numpy()


def runs_of_responses(
    responses: Responses, *, held_out: tuple[int, int] | None = None
) -> ImportedRuns:
    """Return responses as rows of masks and outputs, to be exported.

    Args:
        responses: Models of a design of random subsets. Those that diverged are left
            out.
        held_out: Rows for evaluation, first and end.

    Returns:
        The models. Labels of examples and targets become numbers.

    Raises:
        TypeError: If the design is none of subsets.
    """
    problem = responses.description
    players = players_of(responses.design, problem.train_labels)
    if not isinstance(players.design, SubsetDesign):
        raise TypeError(
            "responses must come from a design of random subsets, got "
            f"{type(players.design).__name__}"
        )
    name = type(players.design).__name__
    law = {"Bernoulli": INDEPENDENT, "FixedSize": FIXED_SIZE}.get(name)
    level = players.design.inclusion(len(players.labels))
    found = ImportedRuns.of(
        DesignRows(responses=responses),
        ArrayRows(responses.outputs.numpy()),
        Tags(
            source="dmtheory",
            problem=problem.digest,
            output=problem.output,
            law=Point("subsets", level, law or name),
            normalisation=problem.normalisation,
            step_policy=problem.step_policy,
            held_out=held_out,
            notes=(f"masks of {name}, problem {problem.name}",),
        ),
        numbers=np.flatnonzero(~responses.diverged.numpy()),
    )
    plain = law is not None and players.groups is None
    return found if plain else found.stating(None, f"rows follow a law of {name}")
