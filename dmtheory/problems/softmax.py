"""Weighted multinomial logistic regression."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.problems.convex.families import Categorical
from dmtheory.problems.linear_classifier import LinearClassifier


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftmaxRegression(LinearClassifier):
    r"""Ridge-penalised multinomial logistic regression of K classes.

    J(Theta; w) = (1/W) sum_j w_j (logsumexp_k z_jk - z_j,y_j) + ridge/2 |Theta|^2
    with z_j = Theta' x_j and K the number of classes of training examples and
    targets. All K columns are parameters; the penalty makes the minimiser unique.
    Parameters run over features first, then classes. Training is deterministic: seeds
    have no effect. F(empty) is the response of Theta = 0.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        y = torch.cat([self.data.y_train, self.data.y_target, self.data.y_held_out])
        if y.is_floating_point() or bool((y < 0).any()):
            raise ValueError(
                "data must have whole classes 0, 1, ..., got "
                f"{y.dtype} with smallest {y.min().item():g}"
            )
        known, held_out = self.family.n_classes, self.data.y_held_out
        if bool((held_out >= known).any()):
            raise ValueError(
                f"data must have held-out classes below {known}, as training examples "
                f"and targets have, got {held_out.max().item()}: leave those rows out"
            )

    @property
    def family(self) -> Categorical:
        """The cross-entropy."""
        y = torch.cat([self.data.y_train, self.data.y_target])
        return Categorical(max(int(y.max()) + 1, 2))

    def logits(
        self, z: Float[Tensor, "*models examples classes"]
    ) -> Float[Tensor, "*models examples classes"]:
        """Return the predictions as they are."""
        return z
