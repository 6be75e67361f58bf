"""Weighted binary logistic regression."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.problems.convex.families import Bernoulli
from dmtheory.problems.linear_classifier import LinearClassifier


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticRegression(LinearClassifier):
    r"""Ridge-penalised logistic regression of two classes.

    J(theta; w) = (1/W) sum_j w_j log(1 + exp(-s_j x_j' theta)) + ridge/2 |theta|^2
    with s = +1 for class 1 and -1 for class 0. The margin of a target is
    s x' theta = log(p_correct / (1 - p_correct)). Training is deterministic: seeds
    have no effect. F(empty) is the response of theta = 0.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        y = torch.cat([self.data.y_train, self.data.y_target, self.data.y_held_out])
        classes = set(y.tolist())
        if not classes <= {0, 1}:
            raise ValueError(
                f"data must have classes 0 and 1, got {sorted(classes)}: use "
                "SoftmaxRegression for more classes"
            )

    @property
    def family(self) -> Bernoulli:
        """The logistic loss."""
        return Bernoulli()

    def logits(
        self, z: Float[Tensor, "*models examples 1"]
    ) -> Float[Tensor, "*models examples 2"]:
        """Return 0 for class 0 and z for class 1."""
        return torch.cat([torch.zeros_like(z), z], dim=-1)
