"""How good trained models are on held-out data, so that nobody explains noise."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

# What is said of a classifier, and of a regression.
OF_CLASSIFIERS = ("held-out loss", "held-out accuracy")
OF_REGRESSIONS = ("held-out loss",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Held-out loss and, of classifiers, accuracy of each model.

    Attributes:
        loss: Mean loss over the held-out examples; NaN where there are none.
        accuracy: Share of held-out examples classified rightly; None for a regression.
    """

    loss: Float[Tensor, " models"]
    accuracy: Float[Tensor, " models"] | None = None

    def columns(self) -> Float[Tensor, "models qualities"]:
        """Return one column a quality, in the order of their names."""
        parts = [self.loss] if self.accuracy is None else [self.loss, self.accuracy]
        return torch.stack(parts, dim=1)

    @staticmethod
    def of_classes(
        logits: Float[Tensor, "models held_out classes"], classes: Tensor
    ) -> "Quality":
        """Return mean cross-entropy and accuracy."""
        y = classes.long().expand(logits.shape[:-1])
        losses = cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        return Quality(
            loss=losses.unflatten(0, y.shape).double().mean(1),
            accuracy=(logits.argmax(-1) == y).double().mean(1),
        )

    @staticmethod
    def of_responses(
        predictions: Float[Tensor, "models held_out"], responses: Tensor
    ) -> "Quality":
        """Return the mean of half the squared error."""
        return Quality(loss=0.5 * (predictions - responses).square().double().mean(1))

    @staticmethod
    def together(parts: "list[Quality]") -> "Quality":
        """Return the models of all parts, in order."""
        accuracies = [p.accuracy for p in parts if p.accuracy is not None]
        return Quality(
            loss=torch.cat([p.loss for p in parts]),
            accuracy=torch.cat(accuracies) if accuracies else None,
        )
