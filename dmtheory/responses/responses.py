"""Outputs of trained models, with the design that says how each was trained."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.designs.base import Design
from dmtheory.designs.describe import design_from_json, resized
from dmtheory.problems.base import Description
from dmtheory.responses.run import described

if TYPE_CHECKING:
    import xarray

    from dmtheory.responses.store import ResponseStore


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Responses:
    """Outputs of trained models, with the design that says how each was trained.

    Attributes:
        outputs: f(Phi(seed_k; w_k)) of model k at each target.
        design: Where weights and seeds of row k come from.
        description: The problem.
        diverged: Models whose outputs are not finite; fits leave them out.
        qualities: What else was measured of each model, one column for each of the
            description's `qualities`, such as its held-out accuracy.
    """

    outputs: Float[Tensor, "models targets"]
    design: Design
    description: Description
    diverged: Bool[Tensor, " models"]
    qualities: Float[Tensor, "models qualities"] | None = None

    @property
    def n_models(self) -> int:
        """How many models were trained."""
        return len(self.outputs)

    def quality(self, name: str) -> Float[Tensor, " models"]:
        """Return what was measured of each model under this name.

        Args:
            name: One of the description's qualities, such as "held-out accuracy".

        Returns:
            One value a model.

        Raises:
            ValueError: If it was not measured.
        """
        names = self.description.qualities
        if self.qualities is None or name not in names:
            raise ValueError(
                f"name must be one of the measured qualities ({', '.join(names)}), got "
                f"{name!r}"
            )
        return self.qualities[:, names.index(name)]

    def first(self, n_models: int) -> "Responses":
        """Return the first models, whole rows of the design."""
        qualities = self.qualities
        return replace(
            self,
            outputs=self.outputs[:n_models],
            design=resized(self.design, n_models),
            diverged=self.diverged[:n_models],
            qualities=None if qualities is None else qualities[:n_models],
        )

    def weights(self) -> Float[Tensor, "models train"]:
        """Return the weight vectors, computed anew from the design."""
        return self.design.weights(
            torch.arange(self.n_models), self.description.n_train
        )


def load_responses(location: Any) -> Responses:
    """Read all responses of a finished run.

    Args:
        location: A path, a URL or a zarr store.

    Returns:
        The responses, in float64.

    Raises:
        StoreError: If the store is missing or damaged, or blocks are not yet written.
    """
    from dmtheory.responses.store import read_store

    return responses_of(read_store(location))


def responses_of(store: "ResponseStore") -> Responses:
    """Return all responses of an open store, every block checked against its mark.

    Args:
        store: The store.

    Returns:
        The responses, in float64.

    Raises:
        StoreError: If a block is damaged or not yet written.
    """
    from dmtheory.responses.store import DIVERGED, Block

    blocks = []
    for _, content in store.contents(range(store.n_blocks)):
        if not isinstance(content, Block):
            raise content
        blocks.append(content)
    columns = torch.from_numpy(
        np.concatenate([block.columns for block in blocks]).astype(np.float64)
    )
    status = np.concatenate([block.status for block in blocks])
    description = described(dict(store.config))
    return Responses(
        outputs=columns[:, : description.n_targets],
        design=design_of(store),
        description=description,
        diverged=torch.from_numpy(status == DIVERGED),
        qualities=columns[:, description.n_targets :],
    )


def design_of(store: "ResponseStore") -> Design:
    """Return the design of a store's run, with as many rows as it was asked for."""
    return resized(design_from_json(store.config["design"]), store.n_models)


def open_dataset(location: Any) -> "xarray.Dataset":
    """Open a store as a labelled dataset, without reading outputs.

    Of a run whose extension is under way or was cut short it has the models that all
    arrays have room for; those that are not trained have status 0.

    Args:
        location: A path, a URL or a zarr store.

    Returns:
        `outputs` [models, targets], `status` [models] and each quality that was
        measured [models], with target labels and each model's training seed as
        coordinates.

    Raises:
        StoreError: If the store is missing, damaged or cannot be reached.
    """
    import xarray

    from dmtheory.responses.remote import reaching
    from dmtheory.responses.store import read_store

    store = read_store(location)
    # Each alone: while a run is extended its arrays differ in length.
    with reaching(location), warnings.catch_warnings():
        # What a write leaves that was cut short, or one that is under way.
        warnings.filterwarnings("ignore", r"Object at \S+\.partial is not recognized")
        alone = [
            xarray.open_zarr(
                store.group.store,
                chunks=None,
                consolidated=False,
                zarr_format=3,
                drop_variables=others,
            ).isel(models=slice(store.n_models))
            for others in (["status", "marks"], ["outputs", "marks"])
        ]
    dataset = xarray.merge(alone, join="exact", combine_attrs="override")
    seeds = design_of(store).seeds(torch.arange(store.n_models))
    n_targets, columns = store.config["n_targets"], dataset["outputs"]
    measured = {
        name: columns.isel(columns=n_targets + i).rename(name)
        for i, name in enumerate(store.config["qualities"])
    }
    outputs = columns.isel(columns=slice(n_targets)).rename({"columns": "targets"})
    return dataset.assign(outputs=outputs, **measured).assign_coords(
        targets=list(store.config["target_labels"]),
        seed=("models", seeds.numpy()),
    )
