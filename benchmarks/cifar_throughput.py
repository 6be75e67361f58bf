"""Models an hour on one GPU: several at a time, beside a compiled loop over one.

    python -m benchmarks.cifar_throughput --device cuda --data PATH
    python -m benchmarks.cifar_throughput --rehearse

Sides train random halves of the images by the same recipe, in blocks that take turns:
the loop (`benchmarks.cifar_loop`) and the package's trainer with 1, 2, 4 and 8 models
at a time. What is made before the first measured block (compiling, capturing) is
reported apart. A rehearsal takes the same lines with few made-up images and a narrow
network on the CPU, without compiler and graphs; its rates say nothing.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cifar_loop import Loop
from benchmarks.timing import machine, median_with_interval, one_thread, publish
from dmtheory.data import Dataset, cifar10, synthetic_images
from dmtheory.designs import Bernoulli
from dmtheory.problems import FIDELITY, THROUGHPUT, Cifar, Recipe

LOOP = "loop"
# Reads and writes of an activation where element-wise work is fused, both ways.
PASSES = 6
RECIPES = {"fidelity": FIDELITY, "throughput": THROUGHPUT}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured.

    Attributes:
        recipe: The recipe.
        data: Images.
        device: Where.
        dtype: Precision of the layers.
        at_once: Numbers of models at a time.
        seconds: At least so long a block.
        blocks: Blocks a side.
        compiled: Whether the loop is compiled.
        rehearsal: Whether rates say nothing.
    """

    recipe: Recipe
    data: Dataset
    device: torch.device
    dtype: torch.dtype
    at_once: tuple[int, ...]
    seconds: float
    blocks: int
    compiled: bool
    rehearsal: bool


Train = Callable[[range], list[float]]


def sides(settings: Settings) -> dict[str, Train]:
    """Return every side: a function of model numbers to accuracies."""
    n_train = settings.data.n_train
    law = Bernoulli(p=0.5, seed=0)

    def masks(models: range) -> Tensor:
        return law.weights(torch.arange(models.start, models.stop), n_train)

    loop = Loop(
        settings.recipe,
        settings.data,
        dtype=settings.dtype,
        device=settings.device,
        compiled=settings.compiled,
    )

    def one_by_one(models: range) -> list[float]:
        return [
            loop.accuracy(mask, seed)
            for mask, seed in zip(masks(models), models, strict=True)
        ]

    def together(problem: Cifar) -> Train:
        def train(models: range) -> list[float]:
            quality = problem.measure(masks(models), torch.tensor(list(models)))[1]
            assert quality.accuracy is not None
            return quality.accuracy.tolist()

        return train

    problem = Cifar(
        data=settings.data,
        recipe=settings.recipe,
        mode="subset",
        device=settings.device,
        dtype=settings.dtype,
    )
    ours = {
        f"{n} at a time": together(replace(problem, models_at_once=n))
        for n in settings.at_once
    }
    return {LOOP: one_by_one, **ours}


@dataclass(frozen=True, kw_only=True)
class Block:
    """One side's turn.

    Attributes:
        models: Models trained.
        seconds: Wall clock, the device waited for at both ends.
        accuracies: Of every model, all test images.
        memory: Most bytes that tensors took on the device; the process's on a CPU.
    """

    models: int
    seconds: float
    accuracies: list[float]
    memory: int


def measured(train: Train, models: range, device: torch.device) -> Block:
    """Train some models and time it."""
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    clock = time.perf_counter()
    accuracies = train(models)
    if gpu:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - clock
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = torch.cuda.max_memory_allocated(device) if gpu else peak
    return Block(
        models=len(models), seconds=seconds, accuracies=accuracies, memory=memory
    )


def in_turns(settings: Settings) -> tuple[dict[str, list[Block]], dict[str, float]]:
    """Return the blocks of every side, and what each took before its first."""
    ways = sides(settings)
    warm_up, sizes = {}, {}
    unit = max(settings.at_once)
    for name, train in ways.items():
        first = measured(train, range(unit), settings.device)
        again = measured(train, range(unit), settings.device)
        warm_up[name] = max(first.seconds - again.seconds, 0.0)
        sizes[name] = unit * max(1, round(settings.seconds / again.seconds))
    blocks: dict[str, list[Block]] = {name: [] for name in ways}
    for turn in range(settings.blocks):
        for name, train in ways.items():
            start = (turn + 1) * 10_000
            models = range(start, start + sizes[name])
            blocks[name].append(measured(train, models, settings.device))
    return blocks, warm_up


def operations(settings: Settings) -> float:
    """Return the operations of the products and convolutions of one training.

    Counted by torch on one image, forward and backward, times the images visited: whole
    batches of half of them in every epoch. Measuring and Muon are not counted.
    """
    module, x = _module(settings), torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    return float(counter.get_total_flops()) * visited(settings)


def visited(settings: Settings) -> int:
    """Return how many images a model sees in its training, with repeats."""
    recipe = settings.recipe
    batches = max(settings.data.n_train // 2 // recipe.batch_size, 1)
    return recipe.epochs * batches * recipe.batch_size


def activations(settings: Settings) -> int:
    """Return the entries that convolutions put out for one image."""
    module, total = _module(settings), 0

    def count(layer: nn.Module, given: object, output: Tensor) -> None:
        nonlocal total
        total += output.numel()

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module(torch.zeros(1, 3, 32, 32))
    return total


def _module(settings: Settings) -> nn.Module:
    return settings.recipe.network(len(settings.data.class_names)).eval()


def ceilings(settings: Settings) -> tuple[float, float]:
    """Return this machine's operations and bytes a second, measured."""
    size = 8192 if settings.device.type == "cuda" else 512
    a = torch.randn(size, size, device=settings.device).to(settings.dtype)
    wide = torch.randn(size, 32 * size, device=settings.device).to(settings.dtype)
    kept = torch.empty_like(wide)
    product = _fastest(lambda: a @ a, settings.device)
    copied = _fastest(lambda: kept.copy_(wide), settings.device)
    return 2 * size**3 / product, 2 * wide.numel() * wide.element_size() / copied


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(10):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clock = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - clock)
    return min(times)


def summary(blocks: Sequence[Block], flops: float, peak: float) -> dict[str, Any]:
    """Return a side's rates, accuracy and share of the device's products."""
    rates = [3600 * block.models / block.seconds for block in blocks]
    found = [a for block in blocks for a in block.accuracies]
    spread = statistics.stdev(found) if len(found) > 1 else float("nan")
    median = statistics.median(rates)
    return {
        "models an hour": {"median": median, "min": min(rates), "max": max(rates)},
        "accuracy": {
            "mean": statistics.fmean(found),
            "standard error": spread / len(found) ** 0.5,
            "models": len(found),
        },
        "share of the peak (MFU)": median / 3600 * flops / peak,
        "peak memory in bytes": max(block.memory for block in blocks),
        "blocks": [[block.models, block.seconds] for block in blocks],
    }


def compare(settings: Settings) -> dict[str, Any]:
    """Run all sides in turns and return what is published."""
    peak, bandwidth = ceilings(settings)
    flops = operations(settings)
    item = torch.empty((), dtype=settings.dtype).element_size()
    moved = activations(settings) * item * PASSES * visited(settings)
    floor = flops / peak + moved / bandwidth
    blocks, warm_up = in_turns(settings)
    found = {name: summary(own, flops, peak) for name, own in blocks.items()}
    rates = {
        name: [block.models / block.seconds for block in own]
        for name, own in blocks.items()
    }
    over = {
        name: median_with_interval([
            ours / theirs for ours, theirs in zip(own, rates[LOOP], strict=True)
        ])
        for name, own in rates.items()
        if name != LOOP
    }
    best = max(found[name]["models an hour"]["median"] for name in over)
    gpu = settings.device.type == "cuda"
    return {
        "rehearsal": settings.rehearsal,
        "machine": machine("torch", "numpy"),
        "device": torch.cuda.get_device_name(settings.device) if gpu else "cpu",
        "recipe": settings.recipe.name,
        "images": settings.data.source,
        "training images": settings.data.n_train,
        "images of a model, about": settings.data.n_train // 2,
        "precision": str(settings.dtype).removeprefix("torch."),
        "loop compiled": settings.compiled,
        "sides": found,
        "over the loop": over,
        "seconds before the first block beyond training": warm_up,
        "operations a model": flops,
        "measured operations a second": peak,
        "measured bytes a second": bandwidth,
        "roofline bound in models an hour": 3600 / floor,
        "best over the roofline bound": best * floor / 3600,
    }


def settings_of(options: argparse.Namespace) -> Settings:
    """Return what the command line asks for."""
    recipe = RECIPES[options.recipe]
    if options.rehearse:
        return Settings(
            recipe=recipe.smaller(width=4, epochs=1, batch_size=16),
            data=synthetic_images(n_train=64, n_targets=1, n_test=10),
            device=torch.device("cpu"),
            dtype=torch.float32,
            at_once=(1, 2),
            seconds=0.0,
            blocks=2,
            compiled=False,
            rehearsal=True,
        )
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: there is no CUDA device here: use --rehearse")
    return Settings(
        recipe=recipe,
        data=cifar10(options.data),
        device=device,
        dtype=torch.bfloat16,
        at_once=(1, 2, 4, 8),
        seconds=options.seconds,
        blocks=options.blocks,
        compiled=True,
        rehearsal=False,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sides in turns and keep the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cifar_throughput")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="throughput")
    parser.add_argument("--data", help="CIFAR-10's archive or a folder of parquet")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a block")
    parser.add_argument("--blocks", type=int, default=3, help="of each side")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args(arguments)
    with one_thread():
        result = compare(settings_of(options))
    name = f"cifar_{options.recipe}" + "_rehearsal" * options.rehearse
    publish(name, result)


if __name__ == "__main__":
    main()
