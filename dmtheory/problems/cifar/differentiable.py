"""Losses and outputs of an image problem, by its network in float64."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.problems.network import Network


class ByNetwork(ABC):
    """What `DifferentiableProblem` asks for beside training, of a network."""

    @property
    @abstractmethod
    def network(self) -> Network:
        """The network that is differentiated."""

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the logits at every training image, unmoved."""
        return self.network.predictions(params)

    def features(self, device: torch.device) -> Tensor:
        """Return the training images on a device."""
        return self.network.features(device)

    def predictions_at(
        self, params: Float[Tensor, " params"], x: Tensor
    ) -> Float[Tensor, "rows classes"]:
        """Return the logits at any images."""
        return self.network.predictions_at(params, x)

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return the loss at every training image."""
        return self.network.prediction_losses(predictions)

    @property
    def n_labels(self) -> int | None:
        """Number of classes."""
        return self.network.n_labels

    def label_losses(
        self, predictions: Float[Tensor, "rows classes"], labels: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the loss of each prediction if its label were this."""
        return self.network.label_losses(predictions, labels)

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return the output at every target."""
        return self.network.target_outputs(params)

    def targets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the targets on a device, with their classes."""
        return self.network.targets(device)

    def outputs_at(
        self, params: Float[Tensor, " params"], x: Tensor, y: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the output at any images with their classes."""
        return self.network.outputs_at(params, x, y)

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return R(theta) = weight_decay/2 |theta|^2."""
        return self.network.penalty(params)
