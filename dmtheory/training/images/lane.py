"""One model in training: its tensors stay where they are, so a step can be captured."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.training.images.plan import Plan
from dmtheory.training.images.stock import Stock

BatchLoss = Callable[..., Tensor]


class Lane:
    """The place of one model at a time: parameters, memory, plan and clock.

    Nothing of a step is decided on the host: the clock, the batch and the step sizes
    are read from the device.
    """

    def __init__(self, stock: Stock, capacity: int, loss: BatchLoss) -> None:
        """Make room.

        Args:
            stock: What all models share.
            capacity: The most steps of a model.
            loss: The batch's loss, plain or compiled.
        """
        device, kept = stock.device, stock.precision.kept
        batch, n_groups = stock.recipe.batch_size, len(stock.recipe.groups)
        self.stock, self.loss = stock, loss
        module = stock.module
        # Copies keep the layout of the module's filters.
        self.values = [
            module.get_parameter(name).detach().clone() for name in stock.names
        ]
        self.velocities = [torch.zeros_like(value) for value in self.values]
        self.buffers = {n: b.clone() for n, b in module.named_buffers()}
        self.rows = torch.zeros(capacity, batch, dtype=torch.int64, device=device)
        self.moves = torch.zeros(capacity, batch, 5, dtype=torch.int8, device=device)
        self.weights = torch.zeros(capacity, batch, dtype=kept, device=device)
        self.factors = torch.zeros(capacity, batch, dtype=kept, device=device)
        self.rates = torch.zeros(capacity, n_groups, dtype=kept, device=device)
        self.clock = torch.zeros(1, dtype=torch.int64, device=device)
        self.n_steps = 0
        self.plain = True

    @torch.no_grad()
    def load(self, start: Float[Tensor, " params"], plan: Plan) -> None:
        """Begin a new model."""
        pieces = start.split([value.numel() for value in self.values])
        for value, piece in zip(self.values, pieces, strict=True):
            value.copy_(piece.view(value.shape))
        torch._foreach_zero_(self.velocities)
        for name, buffer in self.stock.module.named_buffers():
            self.buffers[name].copy_(buffer)
        for name in ("rows", "moves", "weights", "factors", "rates"):
            getattr(self, name)[: plan.n_steps].copy_(getattr(plan, name))
        self.clock.zero_()
        self.n_steps, self.plain = plan.n_steps, plan.plain

    def run(self) -> None:
        """Take all steps of the model, one after another."""
        for _ in range(self.n_steps):
            self.step(plain=self.plain)

    def step(self, *, plain: bool) -> None:
        """Take the step that the clock says, and move the clock.

        Args:
            plain: Whether the batch is whole and of weight 1, so that batch statistics
                need no weights.
        """
        stock = self.stock
        rows, moves, weights, factors, rates = (
            table.index_select(0, self.clock)[0]
            for table in (self.rows, self.moves, self.weights, self.factors, self.rates)
        )
        scale = stock.precision.loss_scale
        with torch.enable_grad(), stock.precision.computing(stock.device):
            # New leaves in every step, which belong to the stream that it is taken on.
            leaves = [value.detach().requires_grad_() for value in self.values]
            loss = self.loss(
                self._named(leaves), rows, moves, factors, None if plain else weights
            )
            slopes = list(torch.autograd.grad(loss * scale, leaves))
        with torch.no_grad(), stock.precision.computing(stock.device):
            if scale != 1:
                torch._foreach_div_(slopes, scale)
            self._update(slopes, rates)
            self.clock += 1

    def state(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name."""
        return self._named(self.values)

    def moving(self) -> list[Tensor]:
        """Return everything that a step changes in place."""
        return [*self.values, *self.velocities, *self.buffers.values(), self.clock]

    def flat(self) -> Float[Tensor, " params"]:
        """Return the trained parameters as one vector."""
        return torch.cat([value.flatten() for value in self.values])

    def _named(self, values: list[Tensor]) -> dict[str, Tensor]:
        return {**dict(zip(self.stock.names, values, strict=True)), **self.buffers}

    def _update(self, slopes: list[Tensor], rates: Tensor) -> None:
        for number, (group, places) in enumerate(
            zip(self.stock.recipe.groups, self.stock.group_places, strict=True)
        ):
            values, own, velocities = (
                [tensors[place] for place in places]
                for tensors in (self.values, slopes, self.velocities)
            )
            if group.weight_decay:
                torch._foreach_add_(own, values, alpha=group.weight_decay)
            group.update(values, own, velocities, rates[number])
