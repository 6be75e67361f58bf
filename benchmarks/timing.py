"""What benchmarks share: medians with intervals, the machine, one JSON."""

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results"


def median_with_interval(values: Sequence[float]) -> dict[str, float]:
    """Return the median of repeats with a 95 % bootstrap interval of the median."""
    sample = np.asarray(values)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(sample), (4000, len(sample)))
    medians = np.median(sample[picks], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return {
        "median": float(np.median(sample)),
        "low": float(low),
        "high": float(high),
        "repeats": len(sample),
    }


def machine(*packages: str) -> dict[str, Any]:
    """Return the versions behind a benchmark."""
    return {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def publish(name: str, result: dict[str, Any]) -> None:
    """Print the result and keep it beside the benchmarks."""
    text = json.dumps(result, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


@contextmanager
def one_thread() -> Iterator[None]:
    """Give every library one thread."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of one call, and its result.

    CPU time of a single thread: other work on the machine moves it little.
    """
    clock = time.process_time()
    result = work()
    return time.process_time() - clock, result


def matrix_rate(dtype: torch.dtype, size: int = 1024) -> float:
    """Return this machine's matrix products in operations a second, one thread."""
    a = torch.randn(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        clock = time.process_time()
        a @ a
        best = min(best, time.process_time() - clock)
    return 2 * size**3 / best


def ratios(peer: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Return peer over ours, run one after the other, as a median with interval."""
    return median_with_interval([p / o for p, o in zip(peer, ours, strict=True)])
