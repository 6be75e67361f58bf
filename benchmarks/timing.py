"""What benchmarks share: medians with intervals, the machine, one JSON."""

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

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
