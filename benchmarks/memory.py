"""Peak memory of a model in training, against its parameter count and our estimate.

    python -m benchmarks.memory

Each size trains one chunk in a process of its own, whose high-water mark is read from
/proc (Linux). The floor is what must be there: parameters, gradient and velocity.
"""

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import machine, publish
from dmtheory.data import digits
from dmtheory.problems import Network
from dmtheory.training import MLP, SGD, Adam, Procedure, Vmapped
from dmtheory.training.memory import bytes_a_model

BUDGET = 2**28
SIZES: dict[str, tuple[tuple[int, ...], Procedure, torch.dtype]] = {
    "64-16-10": ((64, 16, 10), SGD(epochs=1), torch.float64),
    "64-32-10": ((64, 32, 10), SGD(epochs=1), torch.float64),
    "64-32-10, single": ((64, 32, 10), SGD(epochs=1), torch.float32),
    "64-128-10": ((64, 128, 10), SGD(epochs=1), torch.float64),
    "64-512-10": ((64, 512, 10), SGD(epochs=1), torch.float64),
    "64-512-10, Adam": ((64, 512, 10), Adam(epochs=1), torch.float64),
    "64-256-256-10": ((64, 256, 256, 10), SGD(epochs=1), torch.float64),
    "64-32-10, own orders": (
        (64, 32, 10),
        SGD(epochs=1, order="per-model"),
        torch.float64,
    ),
}


def status(name: str) -> int:
    """Return an entry of this process's memory status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def measure(name: str) -> dict[str, Any]:
    """Train one chunk in this process and return what a model took."""
    torch.set_num_threads(1)
    widths, training, dtype = SIZES[name]
    network = Network(
        make_module=MLP(widths),
        data=digits(),
        training=training,
        dtype=dtype,
        execution=Vmapped(memory=BUDGET),
    )
    task = network.task()
    n_models = network.execution.chunk(task)
    weights, seeds = torch.ones(n_models, 300).double(), torch.arange(n_models)
    start = network.initial(seeds)
    network.execution.train(task, start[:2], weights[:2], seeds[:2])
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    network.execution.train(task, start, weights, seeds)
    taken, n_params = (status("VmHWM") - before) / n_models, start.shape[1]
    return {
        "models": n_models,
        "parameters": n_params,
        "bytes a model": taken,
        "over parameters, gradient and velocity": taken
        / (3 * n_params * start.element_size()),
        "over our estimate": taken / bytes_a_model(task),
    }


def main() -> None:
    """Measure each size in a process of its own and keep the JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    found = {}
    for name in SIZES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", name],
            capture_output=True,
            text=True,
            check=True,
        )
        found[name] = json.loads(done.stdout)
    publish("memory", {"machine": machine("torch"), "budget": BUDGET, "sizes": found})


if __name__ == "__main__":
    main()
