"""Imported models as responses whose design reads the masks from their file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs import SubsetDesign
from dmtheory.interchange.imported.laws import design_of_law
from dmtheory.interchange.imported.rows import Rows, read_numbers
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.using import seeds_of
from dmtheory.problems.base import Description
from dmtheory.responses.responses import Responses
from dmtheory.weighting import Normalisation, StepPolicy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredMasks:
    """A design whose masks lie in a file, row by row.

    Attributes:
        masks: The file's masks.
        numbers: Rows of the file, one a model.
        law: A design of the law that they follow.
        seed: Tells the file from others.
    """

    masks: Rows
    numbers: np.ndarray
    law: SubsetDesign
    seed: int

    @property
    def n_models(self) -> int:
        """How many rows the design has."""
        return len(self.numbers)

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the stored mask of each row."""
        wanted, back = np.unique(self.numbers[rows.numpy()], return_inverse=True)
        found = read_numbers(self.masks, wanted)[back]
        return torch.from_numpy(found.astype(np.float64))

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the rows' numbers in the file, in place of seeds nobody knows."""
        return torch.from_numpy(self.numbers)[rows]

    def inclusion(self, n_train: int) -> float:
        """Return the probability p that an example is in a row's subset."""
        return self.law.inclusion(n_train)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance of the law."""
        return self.law.covariance(n_train)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return the directions in which masks of the law never vary."""
        return self.law.null_directions(n_train)


def responses_of_runs(
    runs: ImportedRuns,
    *,
    normalisation: Normalisation | None = None,
    step_policy: StepPolicy | None = None,
) -> Responses:
    """Return imported models as responses; masks stay in their file.

    Args:
        runs: The models; their outputs are held in memory as float64.
        normalisation: How training normalised weights, where the format does not say.
        step_policy: How many steps training took, where the format does not say.

    Returns:
        Responses whose design reads the masks.

    Raises:
        ValueError: If the law, the normalisation or the step policy is unknown.
    """
    tags = runs.tags
    if tags.law is None:
        raise ValueError("law must be known for responses: state it in the tags")
    training: dict[str, Any] = {
        "normalisation": normalisation or tags.normalisation,
        "step_policy": step_policy or tags.step_policy,
    }
    for name, value in training.items():
        if value == "unknown":
            raise ValueError(
                f"{name} must be known for responses, but {tags.source} does not say "
                f"it: state {name}="
            )
    return Responses(
        outputs=torch.from_numpy(runs.read_outputs(runs.numbers)),
        design=StoredMasks(
            masks=runs.masks,
            numbers=runs.numbers,
            law=design_of_law(tags.law, runs.n_train, runs.n_models),
            seed=min(seeds_of(runs)),
        ),
        description=Description(
            name=tags.problem,
            digest=tags.problem,
            output=tags.output,
            train_labels=runs.train_labels,
            target_labels=runs.target_labels,
            **training,
        ),
        diverged=torch.zeros(runs.n_models, dtype=torch.bool),
    )
