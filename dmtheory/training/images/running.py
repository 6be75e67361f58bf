"""How the steps of several lanes run: in turn, or as branches of captured graphs."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from dmtheory.training.images.captured import CapturedRunner
from dmtheory.training.images.compiling import compiled_loss
from dmtheory.training.images.lane import BatchLoss, Lane
from dmtheory.training.images.stock import Stock


@runtime_checkable
class Runner(Protocol):
    """Takes all steps of the models that lanes were loaded with."""

    def make_ready(self, plain: set[bool]) -> None:
        """Prepare for such steps; lanes may hold anything afterwards."""
        ...

    def run(self, n_models: int) -> None:
        """Train the first n_models lanes to the end."""
        ...


@runtime_checkable
class Running(Protocol):
    """A way to take the steps of several models."""

    def loss(self, stock: Stock) -> BatchLoss:
        """Return the batch's loss, as the device is to compute it."""
        ...

    def runner(self, lanes: list[Lane]) -> Runner:
        """Return what runs these lanes."""
        ...


@dataclass(frozen=True, slots=True)
class InTurn:
    """One step after another, operation by operation, on any device."""

    def loss(self, stock: Stock) -> BatchLoss:
        """Return the loss itself."""
        return stock.batch_loss

    def runner(self, lanes: list[Lane]) -> Runner:
        """Return a loop."""
        return _Loop(lanes)


@dataclass(frozen=True, slots=True)
class CompiledInTurn:
    """One step after another, the loss and its gradient compiled.

    The compiler fuses element-wise work; rounding differs from `InTurn`.
    """

    def loss(self, stock: Stock) -> BatchLoss:
        """Return the compiled loss."""
        return compiled_loss(stock)

    def runner(self, lanes: list[Lane]) -> Runner:
        """Return a loop."""
        return _Loop(lanes)


@dataclass(frozen=True, slots=True)
class Captured:
    """Branches of one captured graph, a replay a step; needs a CUDA device.

    Attributes:
        compiled: Whether the compiler fuses element-wise work before the capture.
    """

    compiled: bool = True

    def loss(self, stock: Stock) -> BatchLoss:
        """Return the compiled loss, or the loss itself.

        Raises:
            ValueError: If the device is no CUDA device.
        """
        if stock.device.type != "cuda":
            raise ValueError(
                f"execution must be InTurn() on {stock.device.type}: captured graphs "
                "need a CUDA device"
            )
        return compiled_loss(stock) if self.compiled else stock.batch_loss

    def runner(self, lanes: list[Lane]) -> Runner:
        """Return what captures and replays."""
        return CapturedRunner(lanes)


def usual_running(device: torch.device) -> Running:
    """Return branches of a compiled and captured graph on a GPU, else a loop."""
    return Captured() if device.type == "cuda" else InTurn()


@dataclass(frozen=True, slots=True)
class _Loop:
    lanes: list[Lane]

    def make_ready(self, plain: set[bool]) -> None:
        """Do nothing: a loop needs no preparation."""

    def run(self, n_models: int) -> None:
        for lane in self.lanes[:n_models]:
            lane.run()
