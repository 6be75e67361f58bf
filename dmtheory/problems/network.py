"""Small neural networks, many at once: weighted SGD on stacked parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from dmtheory.checks import check_at_least, check_choice, check_positive, check_weights
from dmtheory.data.dataset import Dataset
from dmtheory.designs.seeds import Purpose, model_seeds, permutation
from dmtheory.identity import digest
from dmtheory.problems.base import (
    NORMALISATIONS,
    Description,
    Fit,
    Normalisation,
    normaliser,
)
from dmtheory.problems.outputs import margin

Params = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum on J, its data order shared.

    The order of examples is the same for every model: it is part of the procedure,
    not of the seed. That is also the common-random-number choice, and nearly twice
    as fast, since the batch is not copied for each model.

    Attributes:
        epochs: Passes over all N examples, whatever their weights.
        batch_size: Examples a step.
        learning_rate: First step size; it falls linearly to zero.
        momentum: Heavy-ball momentum in [0, 1).
        weight_decay: R(theta) = weight_decay/2 |theta|^2.
        order_seed: Seed of the data order.
    """

    epochs: int = 20
    batch_size: int = 50
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-3
    order_seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.epochs, 1, "epochs")
        check_at_least(self.batch_size, 1, "batch_size")
        check_positive(self.learning_rate, "learning_rate")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be >= 0, got {self.weight_decay}")

    @cache  # noqa: B019 -- a frozen description, a few of which exist
    def batches(self, n_train: int) -> list[Tensor]:
        """Return the examples of every step of the run, in order."""
        ids = torch.arange(n_train)
        return [
            batch
            for epoch in range(self.epochs)
            for batch in permutation(self.order_seed, Purpose.ORDER, epoch, ids).split(
                self.batch_size
            )
        ]


@dataclass(frozen=True, slots=True)
class MLP:
    """Make a multilayer perceptron with tanh between its layers.

    Attributes:
        widths: Sizes of the layers, input and output included, such as (64, 16, 10).
    """

    widths: tuple[int, ...]

    def __call__(self) -> nn.Sequential:
        """Return a freshly initialised module in float64."""
        layers: list[nn.Module] = []
        for n_in, n_out in zip(self.widths[:-1], self.widths[1:], strict=True):
            layers += [nn.Linear(n_in, n_out, dtype=torch.float64), nn.Tanh()]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A classifier trained by weighted SGD; the output is the margin at each target.

    The objective is J(theta; w) = (1/W) sum_j w_j l_j(theta) + R(theta) with l the
    cross-entropy. A batch B estimates its data term by (N/|B|)/W times the weighted
    sum over B, so the divisor never depends on the weights inside the batch. A batch
    whose weights are all zero takes the regulariser's step only. The seed draws the
    initialisation.

    Attributes:
        make_module: Returns a freshly initialised module. Its parameters are all that
            is trained; it must have no buffers.
        data: Training examples, targets and held-out examples.
        training: The training procedure.
        normalisation: "sum" or "count".
        chunk: Models trained together, which bounds memory.
    """

    make_module: Callable[[], nn.Module]
    data: Dataset
    training: SGD = field(default_factory=SGD)
    normalisation: Normalisation = "sum"
    chunk: int = 256

    def __post_init__(self) -> None:
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_at_least(self.chunk, 1, "chunk")
        buffers = [name for name, _ in self._module.named_buffers()]
        if buffers:
            raise ValueError(
                "make_module must return a module without buffers, got "
                f"{buffers[0]!r}: batch statistics break 'weight 0 means absent'; use "
                "a normalisation without them, such as LayerNorm or GroupNorm"
            )

    @cached_property
    def _module(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return self.make_module()

    @cached_property
    def _names(self) -> list[str]:
        return [name for name, _ in self._module.named_parameters()]

    @cached_property
    def _shapes(self) -> list[torch.Size]:
        return [parameter.shape for parameter in self._module.parameters()]

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name=f"{self.data.name}-network",
            digest=digest(
                "network",
                str(self._module),
                self._fingerprint,
                self.data.digest,
                self.training,
                self.normalisation,
            ),
            output="margin",
            normalisation=self.normalisation,
            step_policy="fixed",
            train_labels=self.data.train_labels,
            target_labels=self.data.target_labels,
        )

    @property
    def _fingerprint(self) -> list[float]:
        """A few first logits: modules that print alike may compute different things.

        Rounded, so that the digest is the same on machines that round differently.
        """
        seed = torch.zeros(1, dtype=torch.int64)
        logits = self._logits(self.initial(seed)[0], self.data.x_target[:2])
        return [float(f"{value:.6g}") for value in logits.flatten().tolist()]

    def initial(
        self, seeds: Int64[Tensor, " models"]
    ) -> Float[Tensor, "models params"]:
        """Return each model's initialisation, by the module's own rule.

        The global generator is seeded for each model and restored afterwards.
        """
        draws = model_seeds(0, seeds, Purpose.INITIALISATION).tolist()
        rows = []
        with torch.random.fork_rng(devices=[]):
            for draw in draws:
                torch.manual_seed(draw)
                parameters = self.make_module().parameters()
                rows.append(torch.cat([p.detach().flatten() for p in parameters]))
        return torch.stack(rows)

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Fit:
        """Train one model a row, `chunk` at a time."""
        check_weights(weights, self.description.n_train)
        batches = self.training.batches(self.description.n_train)
        params = torch.cat([
            self._train(w, s, batches)
            for w, s in zip(
                weights.split(self.chunk), seeds.split(self.chunk), strict=True
            )
        ])
        return Fit(
            params=params,
            gradient_norm=torch.full((len(params),), torch.nan),
            converged=torch.isfinite(params).all(1),
        )

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Train one model a row and return the margin at every target."""
        return vmap(self.target_outputs)(self.fit(weights, seeds).params)

    def held_out_accuracy(
        self, params: Float[Tensor, "models params"]
    ) -> Float[Tensor, " models"]:
        """Return the share of held-out examples that each model classifies rightly."""
        logits = vmap(self._logits, in_dims=(0, None))(params, self.data.x_held_out)
        return (logits.argmax(-1) == self.data.y_held_out).double().mean(1)

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the logits at every training example."""
        return self._logits(params, self.data.x_train)

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return the cross-entropy at every training example."""
        return cross_entropy(predictions, self.data.y_train, reduction="none")

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return the margin at every target."""
        return margin(self._logits(params, self.data.x_target), self.data.y_target)

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return R(theta) = weight_decay/2 |theta|^2."""
        return 0.5 * self.training.weight_decay * (params**2).sum()

    def _logits(self, params: Tensor, x: Tensor) -> Tensor:
        return functional_call(self._module, self._unflatten(params), (x,))

    def _unflatten(self, flat: Tensor) -> Params:
        pieces = flat.split([shape.numel() for shape in self._shapes], dim=-1)
        return {
            name: piece.reshape(flat.shape[:-1] + shape)
            for name, piece, shape in zip(
                self._names, pieces, self._shapes, strict=True
            )
        }

    def _train(self, weights: Tensor, seeds: Tensor, batches: list[Tensor]) -> Tensor:
        params = self._unflatten(self.initial(seeds))
        names, values = list(params), [p.contiguous() for p in params.values()]
        velocity = [torch.zeros_like(v) for v in values]
        n_train = self.description.n_train
        scale = normaliser(weights, self.normalisation) * n_train
        gradient = vmap(grad(self._batch_loss), in_dims=(0, 0, None, None))
        for step, batch in enumerate(batches):
            rate = self.training.learning_rate * (1 - step / len(batches))
            per_example = weights[:, batch] * (scale / len(batch))[:, None]
            slopes = gradient(
                dict(zip(names, values, strict=True)),
                per_example,
                self.data.x_train[batch],
                self.data.y_train[batch],
            )
            steps = [slopes[name] for name in names]
            torch._foreach_add_(steps, values, alpha=self.training.weight_decay)
            torch._foreach_mul_(velocity, self.training.momentum)
            torch._foreach_add_(velocity, steps)
            torch._foreach_add_(values, velocity, alpha=-rate)
        return torch.cat([v.flatten(1) for v in values], dim=1)

    def _batch_loss(
        self, params: Params, weights: Tensor, x: Tensor, y: Tensor
    ) -> Tensor:
        logits = functional_call(self._module, params, (x,))
        return weights @ cross_entropy(logits, y, reduction="none")
