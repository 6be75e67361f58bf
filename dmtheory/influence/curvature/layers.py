"""Networks of linear layers: parameters as what they add to each layer's sum.

A layer's sum is a = W h + b. Parameters that move by V move it by V (h, 1), so that
first and second derivatives by all parameters follow from those by the sums, which are
far fewer, and from the layers' inputs h.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacfwd, vmap

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import Rows
from dmtheory.problems.network import Network
from dmtheory.training.modules import prepared
from dmtheory.training.task import unflattened


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A linear layer at every example.

    Attributes:
        places: Numbers of its parameters, a row an output, the bias last.
        sums: Which of all sums are its own.
        inputs: (h, 1), or h where there is no bias.
        moved: Derivative of h by all sums; None where they do not move it.
    """

    places: Int64[Tensor, "outputs inputs"]
    sums: slice
    inputs: Float[Tensor, "rows inputs"]
    moved: Float[Tensor, "rows features all_sums"] | None

    def some(self, rows: Tensor) -> "Layer":
        """Return the layer at some examples."""
        moved = None if self.moved is None else self.moved[rows]
        return replace(self, inputs=self.inputs[rows], moved=moved)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layers:
    """All linear layers of a network at every example.

    Attributes:
        layers: The layers.
        predictions: Derivative of the predictions by all sums.
        bends: Second derivative, by all sums, of given multiples of the predictions.
    """

    layers: tuple[Layer, ...]
    predictions: Float[Tensor, "rows classes sums"]
    bends: Float[Tensor, "rows sums sums"] | None

    def some(self, rows: Tensor) -> "Layers":
        """Return the layers at some examples."""
        return Layers(
            layers=tuple(layer.some(rows) for layer in self.layers),
            predictions=self.predictions[rows],
            bends=None if self.bends is None else self.bends[rows],
        )

    def forward(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "rows sums sides"]:
        """Return how the sums move with the parameters, each layer's inputs held."""
        n_rows, _, n_sums = self.predictions.shape
        found = vectors.new_empty(n_rows, n_sums, vectors.shape[1])
        for layer in self.layers:
            own = vectors[layer.places]
            found[:, layer.sums] = torch.tensordot(layer.inputs, own, ([1], [1]))
        return found

    def backward(
        self, slopes: Float[Tensor, "rows sums sides"], n_params: int
    ) -> Float[Tensor, "params sides"]:
        """Return the transpose of `forward` times each column."""
        found = slopes.new_zeros(n_params, slopes.shape[2])
        for layer in self.layers:
            own = torch.tensordot(slopes[:, layer.sums], layer.inputs, ([0], [0]))
            found[layer.places] = own.permute(0, 2, 1)
        return found


def layers_of(
    rows: Rows,
    params: Float[Tensor, " params"],
    budget: Budget,
    multiples: Float[Tensor, "rows classes"] | None = None,
) -> Layers | None:
    """Return a network's layers at every example.

    Args:
        rows: The examples.
        params: Where.
        budget: What all arrays together may take.
        multiples: Of the predictions, for `bends`.

    Returns:
        The layers; None for other problems, for networks with other trained
        parameters or with layers that are used on more than one row an example, and
        where the arrays do not fit the budget.
    """
    if not isinstance(rows.problem, Network) or rows.x is None:
        return None
    traced = _traced(rows.problem, params, rows.x[:2])
    if traced is None or not _fit(traced, len(rows.x), budget):
        return None
    slopes, bends = _derivatives(traced, rows.x, multiples, budget)
    predictions, *moved = slopes
    with torch.no_grad():
        inputs = traced.inputs(rows.x)
    order = [number for number, _ in traced.seen]
    layers = []
    for number, (places, h, by) in enumerate(
        zip(traced.places, inputs, moved, strict=True)
    ):
        if places.shape[1] > h.shape[1]:
            h = torch.cat([h, torch.ones_like(h[:, :1])], 1)
        start = sum(traced.sizes[:number])
        layers.append(
            Layer(
                places=places,
                sums=slice(start, start + traced.sizes[number]),
                inputs=h,
                moved=by if bool(by.any()) else None,
            )
        )
    # In the order of use: sums move the inputs of later layers alone.
    used = tuple(layers[number] for number in order)
    return Layers(layers=used, predictions=predictions, bends=bends)


@dataclass(slots=True)
class _Traced:
    """A module whose linear layers show their inputs and take additions to their sums.

    Attributes:
        module: It, with hooks on these layers.
        weights: Its trained parameters.
        places: Numbers of each layer's parameters.
        added: What is added to each layer's sums.
        seen: Inputs of the layers, in the order in which they were used.
    """

    module: nn.Module
    weights: dict[str, Tensor]
    places: list[Tensor] = field(default_factory=list)
    added: tuple[Tensor, ...] = ()
    seen: list[tuple[int, Tensor]] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        """Outputs of each layer."""
        return [len(places) for places in self.places]

    def watch(self, layer: nn.Linear, number: int) -> None:
        """Record a layer's input and add to its output."""

        def change(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            self.seen.append((number, inputs[0]))
            return output + self.added[number] if self.added else output

        layer.register_forward_hook(change)

    def run(self, x: Tensor) -> Tensor:
        """Return the predictions."""
        self.seen.clear()
        return functional_call(self.module, self.weights, (x,))

    def inputs(self, x: Tensor) -> list[Tensor]:
        """Return each layer's inputs."""
        self.added = ()
        self.run(x)
        return [h for _, h in sorted(self.seen, key=lambda pair: pair[0])]

    def one(self, added: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """Return the predictions and inputs at one example with additions."""
        self.added = added.split(self.sizes)
        z = self.run(x[None])[0]
        return z, *(h[0] for _, h in sorted(self.seen, key=lambda pair: pair[0]))


def _traced(problem: Network, params: Tensor, x: Tensor) -> _Traced | None:
    module = prepared(problem.make_module, problem.dtype).to(params.device).eval()
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    ends = torch.tensor([0, *(p.numel() for p in trained.values())]).cumsum(0).tolist()
    numbers = {
        name: torch.arange(ends[i], ends[i + 1], device=params.device).view(p.shape)
        for i, (name, p) in enumerate(trained.items())
    }
    traced = _Traced(module=module, weights=unflattened(trained, params))
    for name, layer in module.named_modules():
        weight, bias = f"{name}.weight".lstrip("."), f"{name}.bias".lstrip(".")
        if not isinstance(layer, nn.Linear) or weight not in numbers:
            continue
        places = numbers.pop(weight)
        if bias in numbers:
            places = torch.cat([places, numbers.pop(bias)[:, None]], 1)
        traced.watch(layer, len(traced.places))
        traced.places.append(places)
    with torch.no_grad():
        traced.run(x)
    uses = [number for number, h in traced.seen if h.ndim == 2]
    # Left over: parameters elsewhere, or a bias whose weight is not trained.
    if numbers or sorted(uses) != list(range(len(traced.places))):
        return None
    return traced if len(uses) == len(traced.seen) else None


def _fit(traced: _Traced, n_rows: int, budget: Budget) -> bool:
    n_sums = sum(traced.sizes)
    features = sum(places.shape[1] for places in traced.places)
    # Predictions are sums too, of the last layer or fewer.
    return budget.fits(2 * n_rows * (n_sums * (3 * n_sums + features) + features))


def _derivatives(
    traced: _Traced, x: Tensor, multiples: Tensor | None, budget: Budget
) -> tuple[list[Tensor], Tensor | None]:
    """Return first derivatives by the sums, of all that `one` returns, and bends."""
    some = next(iter(traced.weights.values()))
    n_sums = sum(traced.sizes)
    zero = some.new_zeros(n_sums)
    features = sum(places.shape[1] for places in traced.places)
    size = budget.rows(16 * n_sums * (n_sums + features))

    def slopes(row: Tensor) -> tuple[Tensor, ...]:
        return jacfwd(traced.one)(zero, row)

    def bend(row: Tensor, multiple: Tensor) -> Tensor:
        return hessian(lambda added: traced.one(added, row)[0] @ multiple)(zero)

    parts = [vmap(slopes)(rows) for rows in x.split(size)]
    first = [torch.cat(pieces) for pieces in zip(*parts, strict=True)]
    if multiples is None:
        return first, None
    pairs = zip(x.split(size), multiples.split(size), strict=True)
    return first, torch.cat([vmap(bend)(*pair) for pair in pairs])
