"""The peer of `cifar_throughput`: one model at a time, compiled, by torch's own means.

The same network, steps, images and views as the package's trainer, written as a fast
script for one model would be: a compiled module, torch's fused optimiser, random
numbers from torch's generator, a mask of who is in. Muon is the package's rule.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dmtheory.data import Dataset
from dmtheory.training.images.pixels import channels_last, moved
from dmtheory.training.images.precision import Precision
from dmtheory.training.images.recipe import Group, Recipe
from dmtheory.training.images.stock import in_layout, make_stock
from dmtheory.training.images.updates import Momentum

_AT_ONCE = 2000


class Loop:
    """Trains one model after another; the compiled module is used again."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        *,
        dtype: torch.dtype,
        device: torch.device,
        compiled: bool,
    ) -> None:
        """Bring images and module to the device."""
        self.recipe, self.device, self.data = recipe, device, data
        self.precision = Precision(dtype)
        stock = make_stock(
            recipe,
            self.precision,
            data.x_train,
            data.y_train,
            data.ids,
            n_classes=len(data.class_names),
            device=device,
        )
        self.images, self.classes, self.scale = stock.images, stock.classes, stock.scale
        self.test = channels_last(data.x_held_out).to(device)
        self.module = stock.module
        self.forward = torch.compile(stock.module) if compiled else stock.module

    def accuracy(self, mask: Tensor, seed: int) -> float:
        """Train a model on the images of a mask and return its accuracy."""
        torch.manual_seed(seed)
        self._start_anew()
        rows = mask.to(self.device).nonzero()[:, 0]
        n_steps = self.recipe.epochs * max(len(rows) // self.recipe.batch_size, 1)
        steps = [_Step(self.module, group, n_steps) for group in self.recipe.groups]
        scale = self.precision.loss_scale
        for x, y in self._batches(rows):
            with self.precision.computing(self.device):
                smoothing = self.recipe.loss.label_smoothing
                logits = self.forward(x).to(self.precision.kept)
                loss = cross_entropy(logits, y, label_smoothing=smoothing)
            (loss * scale).backward()
            with torch.no_grad(), self.precision.computing(self.device):
                for step in steps:
                    step.take(scale)
            self.module.zero_grad(set_to_none=True)
        return self._tested()

    def _start_anew(self) -> None:
        """Draw parameters; constants (the whitening) stay."""
        fresh = self.recipe.network(len(self.data.class_names))
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(fresh.get_parameter(name))
            for name, buffer in self.module.named_buffers():
                buffer.copy_(fresh.get_buffer(name))
        self.module.train()

    def _batches(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield whole batches of each epoch, images moved; one where there are few."""
        size = min(self.recipe.batch_size, len(rows))
        first = self._uniforms()
        for epoch in range(self.recipe.epochs):
            moves = self._moves(first, epoch)
            order = rows[torch.randperm(len(rows), device=self.device)]
            for batch in order.split(size):
                if len(batch) == size:
                    cutout = self.recipe.moves.cutout
                    x = moved(
                        self.scale, self.images, batch, moves[batch], cutout=cutout
                    )
                    yield in_layout(x), self.classes[batch]

    def _uniforms(self) -> Tensor:
        return torch.rand(len(self.images), 5, device=self.device)

    def _moves(self, first: Tensor, epoch: int) -> Tensor:
        moves, now = self.recipe.moves, self._uniforms()
        side = self.images.shape[1]
        flips = moves.flips(now[:, 0], first[:, 0], epoch)
        shifts = (now[:, 1:3] * (2 * moves.shift + 1)).floor() - moves.shift
        corners = (now[:, 3:] * (side - moves.cutout + 1)).floor()
        return torch.cat([flips[:, None], shifts, corners], 1).to(torch.int8)

    @torch.no_grad()
    def _tested(self) -> float:
        self.module.eval()
        total = torch.zeros((), device=self.device)
        everyone = torch.arange(len(self.test), device=self.device)
        for view in self.recipe.views:
            parts = []
            for rows in everyone.split(_AT_ONCE):
                moves = torch.tensor(view.move, device=self.device)
                moves = moves.expand(len(rows), 5)
                x = moved(self.scale, self.test, rows, moves, cutout=0)
                with self.precision.computing(self.device):
                    parts.append(self.forward(in_layout(x)).float())
            total = total + view.share * torch.cat(parts)
        right = total.argmax(1) == self.data.y_held_out.to(self.device)
        return float(right.double().mean())


class _Step:
    """The steps of a group of parameters: torch's optimiser, or the package's Muon."""

    def __init__(self, module: nn.Module, group: Group, n_steps: int) -> None:
        named = module.named_parameters()
        self.group, self.number = group, 0
        self.values = [p for n, p in named if p.requires_grad and group.has(n, p)]
        done = torch.arange(n_steps) / n_steps
        self.rates = (group.rate * group.shape(done)).tolist()
        self.optimiser: torch.optim.SGD | None = None
        if isinstance(group.update, Momentum):
            self.optimiser = torch.optim.SGD(
                self.values,
                lr=group.rate,
                momentum=group.update.momentum,
                nesterov=group.update.nesterov,
                weight_decay=group.weight_decay,
                fused=True,
            )
        else:
            self.velocities = [torch.zeros_like(p) for p in self.values]

    def take(self, scale: float) -> None:
        """Take a step by gradients that were multiplied by a scale."""
        slopes = [p.grad for p in self.values if p.grad is not None]
        if scale != 1:
            torch._foreach_div_(slopes, scale)
        rate = self.rates[min(self.number, len(self.rates) - 1)]
        self.number += 1
        if self.optimiser is not None:
            self.optimiser.param_groups[0]["lr"] = rate
            self.optimiser.step()
        else:
            on = torch.tensor(rate, device=self.values[0].device)
            values = [p.data for p in self.values]
            self.group.update(values, slopes, self.velocities, on)
