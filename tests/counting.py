"""A cheap problem that writes down what it trains, and what a store's files hold."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmtheory.designs.base import Design
from dmtheory.identity import numbered
from dmtheory.problems import Description

N_TRAIN = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Counting:
    """A smooth function of weights and seed, in place of training.

    Attributes:
        log: A file that gets the first seed of every block that is trained.
        n_targets: Outputs a model.
        before: Called with the seeds of a block before it is trained.
        after: Called with seeds and outputs; returns the outputs.
    """

    log: Path | None = None
    n_targets: int = 2
    before: Callable[[Tensor], None] | None = None
    after: Callable[[Tensor, Tensor], Tensor] | None = None

    @cached_property
    def description(self) -> Description:
        # What goes wrong in a training is no part of what the problem is.
        return Description(
            name="counting",
            digest="counting",
            output="sine",
            normalisation="count",
            step_policy="fixed",
            train_labels=numbered("row", N_TRAIN),
            target_labels=numbered("question", self.n_targets),
        )

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{int(seeds[0])}\n")
        if self.before is not None:
            self.before(seeds)
        targets = torch.arange(1, self.n_targets + 1, dtype=torch.float64)
        angle = (weights @ torch.arange(1.0, N_TRAIN + 1).double())[:, None]
        outputs = torch.sin(angle * targets + seeds[:, None] % 1009)
        return outputs if self.after is None else self.after(seeds, outputs)


def die_at(seed: int, once: Path | None, seeds: Tensor) -> None:
    """End the process without a word where a seed is trained, if asked once only."""
    if seed in seeds.tolist() and not (once is not None and once.exists()):
        if once is not None:
            once.touch()
        os._exit(9)


def fail_at(seed: int, seeds: Tensor) -> None:
    if seed in seeds.tolist():
        raise ArithmeticError(f"no model has seed {seed}")


def sleep(seconds: float, seeds: Tensor) -> None:
    time.sleep(seconds)


def trainings(log: Path, design: Design, block: int) -> Counter[int]:
    """Return how often each block was trained, by what the problem wrote down."""
    seeds = design.seeds(torch.arange(design.n_models)).tolist()
    row = {seed: i for i, seed in enumerate(seeds)}
    lines = log.read_text().split() if log.exists() else []
    return Counter(row[int(line)] // block for line in lines)


def contents(store: Path) -> dict[str, bytes]:
    """Return every file of a store but half-written ones."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.suffix != ".partial"
    }


def marked(store: Path, n_models: int, block: int) -> set[int]:
    """Return the blocks whose mark says that all of their rows are written."""
    found = set()
    for number in range(-(-n_models // block)):
        path = store / "marks" / "c" / str(number) / "0"
        n_rows = min(block, n_models - number * block)
        if path.exists():
            stated = np.frombuffer(path.read_bytes()[:8], dtype="<u8")[0]
            found |= {number} if stated == n_rows else set()
    return found


def leftovers(store: Path) -> list[Path]:
    """Return the half-written files of a store."""
    return sorted(store.rglob("*.partial"))
