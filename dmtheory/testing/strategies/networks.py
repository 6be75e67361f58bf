"""Small networks: trained by hand, so with exact derivatives, and as bare functions."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jacrev

from dmtheory.data.dataset import Dataset
from dmtheory.identity import numbered
from dmtheory.problems import MLP, SGD, Network
from dmtheory.testing.comparing import text_of
from dmtheory.testing.strategies.arrays import matrices
from dmtheory.testing.strategies.responses import ResponseCase

_RATE, _EPOCHS, _DECAY = 0.1, 2, 0.05


def _data(x: Tensor, y: Tensor, x_target: Tensor, y_target: Tensor) -> Dataset:
    return Dataset(
        name="case",
        x_train=x,
        y_train=y,
        x_target=x_target,
        y_target=y_target,
        x_held_out=x_target,
        y_held_out=y_target,
        train_labels=numbered("example", len(x)),
        target_labels=numbered("target", len(x_target)),
    )


@st.composite
def trained_networks(draw: Any) -> ResponseCase:
    """Return a strategy for tanh networks with the exact derivative of each seed.

    Two steps of gradient descent on all examples, which are written out here and
    differentiated as they stand; the mean over any seeds is not known, so the network
    starts where every seed does.
    """
    x, y = draw(matrices(3, 2)), draw(matrices(3, 1))[:, 0]
    x_target = draw(matrices(1, 2)) + 1.0
    start = draw(matrices(9, 1))[:, 0] / 4 + torch.linspace(-0.4, 0.4, 9).double()
    at = torch.ones(3, dtype=torch.float64)

    def make_module() -> torch.nn.Module:
        module = MLP((2, 2, 1))()
        torch.nn.utils.vector_to_parameters(start.float(), module.parameters())
        return module

    first = start.float().double()

    def objective(theta: Tensor, w: Tensor) -> Tensor:
        losses = 0.5 * (_predicted(theta, x) - y).square()
        return w @ losses / w.sum() + 0.5 * _DECAY * theta.square().sum()

    def output(w: Tensor) -> Tensor:
        theta = first
        for _ in range(_EPOCHS):
            theta = theta - _RATE * grad(objective)(theta, w)
        return _predicted(theta, x_target)

    return ResponseCase(
        problem=Network(
            make_module=make_module,
            data=_data(x, y, x_target, torch.zeros(1).double()),
            training=SGD(
                learning_rate=_RATE,
                epochs=_EPOCHS,
                batch_size=3,
                momentum=0.0,
                schedule="constant",
                weight_decay=_DECAY,
            ),
            output="prediction",
        ),
        at=at,
        derivative=jacrev(output)(at).T,
        said=f"network 2-2-1 from {text_of(first)} on x = {text_of(x)}, y = "
        f"{text_of(y)}, target {text_of(x_target)}",
    )


def _predicted(theta: Tensor, x: Tensor) -> Tensor:
    hidden = torch.tanh(x @ theta[:4].reshape(2, 2).T + theta[4:6])
    return hidden @ theta[6:8] + theta[8]


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterCase:
    """A network at parameters where it was not trained to, with weights w_j / W.

    Attributes:
        x: Features.
        y: Classes 0, 1 or 2, or responses.
        params: Where the curvature is taken.
        scaled_weights: w_j / W.
        ridge: Penalty.
        classes: Whether y are classes.
    """

    x: Float[Tensor, "train features"]
    y: Tensor
    params: Float[Tensor, " params"]
    scaled_weights: Float[Tensor, " train"]
    ridge: float
    classes: bool

    @cached_property
    def problem(self) -> Network:
        """The case as a problem of this package."""
        return Network(
            make_module=MLP((2, 2, 3 if self.classes else 1)),
            data=_data(self.x, self.y, self.x[:1], self.y[:1]),
            training=SGD(epochs=1, batch_size=len(self.x), weight_decay=self.ridge),
            output="margin" if self.classes else "prediction",
        )

    def __str__(self) -> str:
        return (
            f"network 2-2-{3 if self.classes else 1}, theta = {text_of(self.params)}, "
            f"x = {text_of(self.x)}, y = {self.y.tolist()}, w/W = "
            f"{text_of(self.scaled_weights)}, ridge {self.ridge:g}"
        )

    __repr__ = __str__


@st.composite
def parameter_cases(draw: Any) -> ParameterCase:
    """Return a strategy for small networks, far from any minimum."""
    n_train, classes = draw(st.integers(3, 4)), draw(st.booleans())
    n_params = 15 if classes else 9
    numbers = draw(matrices(n_params, 1))[:, 0]
    labels = draw(matrices(n_train, 1))[:, 0]
    weighted = draw(
        st.lists(st.sampled_from([1.0, 0.5, 2.0]), min_size=n_train, max_size=n_train)
    )
    return ParameterCase(
        x=draw(matrices(n_train, 2)) + torch.tensor([[1.0, -0.5]]).double(),
        y=labels.long() % 3 if classes else labels,
        # Never all zero: there the layers' Jacobians vanish and all curvatures agree.
        params=numbers / 4 + torch.linspace(-0.7, 0.9, n_params).double(),
        scaled_weights=torch.tensor(weighted).double() / n_train,
        ridge=draw(st.sampled_from([0.1, 0.5])),
        classes=classes,
    )
