"""Loss families of linear models: losses, slopes and curvature in the predictions.

Arrays have the models last, [train, outputs, models], so that sums over examples and
outputs run over contiguous models.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot, softplus

Predictions = Float[Tensor, "train outputs models"]


@runtime_checkable
class Family(Protocol):
    """A convex loss l(z, y) of the predictions z = Theta' x of one example."""

    @property
    def n_outputs(self) -> int:
        """Predictions an example."""
        ...

    @property
    def quadratic(self) -> bool:
        """Whether one Newton step solves the problem."""
        ...

    def encode(self, y: Tensor) -> Float[Tensor, "train outputs 1"]:
        """Return classes or responses as the other methods take them."""
        ...

    def losses(
        self, z: Predictions, y: Float[Tensor, "train outputs 1"]
    ) -> Float[Tensor, "train models"]:
        """Return l(z_j, y_j)."""
        ...

    def means(self, z: Predictions) -> Predictions:
        """Return what the response's mean would be; the slope of l is this minus y."""
        ...

    def curve_(self, means: Predictions, v: Predictions) -> Predictions:
        """Return (d^2 l / dz^2) v of each example, written over v."""
        ...

    def block(
        self, means: Predictions, a: int, b: int
    ) -> Float[Tensor, "train models"]:
        """Return d^2 l / dz_a dz_b of each example."""
        ...


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Half the squared error (y - z)^2 / 2."""

    @property
    def n_outputs(self) -> int:
        """Predictions an example."""
        return 1

    @property
    def quadratic(self) -> bool:
        """Whether one Newton step solves the problem."""
        return True

    def encode(self, y: Tensor) -> Float[Tensor, "train 1 1"]:
        """Return the responses."""
        return y.double()[:, None, None]

    def losses(
        self, z: Predictions, y: Float[Tensor, "train outputs 1"]
    ) -> Float[Tensor, "train models"]:
        """Return (y - z)^2 / 2."""
        return 0.5 * (z - y).square().sum(1)

    def means(self, z: Predictions) -> Predictions:
        """Return z."""
        return z

    def curve_(self, means: Predictions, v: Predictions) -> Predictions:
        """Return v: the curvature is 1."""
        return v

    def block(
        self, means: Predictions, a: int, b: int
    ) -> Float[Tensor, "train models"]:
        """Return 1."""
        return torch.ones_like(means[:, 0])


@dataclass(frozen=True, slots=True)
class Bernoulli:
    """Logistic loss log(1 + e^z) - y z of classes 0 and 1."""

    @property
    def n_outputs(self) -> int:
        """Predictions an example."""
        return 1

    @property
    def quadratic(self) -> bool:
        """Whether one Newton step solves the problem."""
        return False

    def encode(self, y: Tensor) -> Float[Tensor, "train 1 1"]:
        """Return the classes."""
        return y.double()[:, None, None]

    def losses(
        self, z: Predictions, y: Float[Tensor, "train outputs 1"]
    ) -> Float[Tensor, "train models"]:
        """Return log(1 + exp(-s z)) with s = 2y - 1: exact for large margins."""
        return softplus((1 - 2 * y) * z)[:, 0]

    def means(self, z: Predictions) -> Predictions:
        """Return the probability of class 1."""
        return torch.sigmoid(z)

    def curve_(self, means: Predictions, v: Predictions) -> Predictions:
        """Return p (1 - p) v."""
        return v.mul_(means).mul_(1 - means)

    def block(
        self, means: Predictions, a: int, b: int
    ) -> Float[Tensor, "train models"]:
        """Return p (1 - p)."""
        return means[:, 0] * (1 - means[:, 0])


@dataclass(frozen=True, slots=True)
class Categorical:
    """Cross-entropy logsumexp(z) - z_y of K classes.

    Attributes:
        n_classes: K, at least 2.
    """

    n_classes: int

    @property
    def n_outputs(self) -> int:
        """Predictions an example."""
        return self.n_classes

    @property
    def quadratic(self) -> bool:
        """Whether one Newton step solves the problem."""
        return False

    def encode(self, y: Tensor) -> Float[Tensor, "train outputs 1"]:
        """Return the classes as unit vectors."""
        return one_hot(y.long(), self.n_classes).double()[:, :, None]

    def losses(
        self, z: Predictions, y: Float[Tensor, "train outputs 1"]
    ) -> Float[Tensor, "train models"]:
        """Return logsumexp(z) - z_y."""
        return torch.logsumexp(z, 1) - (z * y).sum(1)

    def means(self, z: Predictions) -> Predictions:
        """Return the probabilities of the classes."""
        return torch.softmax(z, 1)

    def curve_(self, means: Predictions, v: Predictions) -> Predictions:
        """Return p v - p (p'v)."""
        v.mul_(means)
        return v.addcmul_(means, v.sum(1, keepdim=True), value=-1)

    def block(
        self, means: Predictions, a: int, b: int
    ) -> Float[Tensor, "train models"]:
        """Return p_a (1[a = b] - p_b)."""
        here = means[:, a]
        return here * (1 - here) if a == b else -here * means[:, b]
