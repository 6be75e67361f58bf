"""The derivative through training, against a loop of double backward passes.

    python -m benchmarks.pathwise

The digits network of the small suite, 12 seeds x 300 examples x 30 targets in double
precision, one thread each side, sides in turn. The loop unrolls one seed's training
with create_graph=True and takes one target's gradient by the weights; it is measured on
a few seeds and targets and scaled up. Once it builds the graph for each target, once it
keeps a seed's graph for all of them. Then peak memory against the number of steps, each
in a process of its own, and the bridge: the averaged derivative beside ridge datamodels
for the same number of trainings, by their LDS on fresh subsets.
"""

import gc
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from benchmarks.memory import status
from benchmarks.timing import (
    machine,
    matrix_rate,
    median_with_interval,
    one_thread,
    publish,
    ratios,
    seconds,
)
from dmtheory import Ridge, collect, fit_datamodel, lds, response_derivative
from dmtheory.data import digits
from dmtheory.derivatives.averages.averaged import AveragedDerivative
from dmtheory.derivatives.through_training.modes import ReverseMode
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs import Bernoulli
from dmtheory.problems import Network
from dmtheory.problems.outputs import margin
from dmtheory.training import MLP, SGD
from dmtheory.training.order import visits

SEEDS = 12
TARGETS = 30
EXAMPLES = 300
WIDTHS = (64, 16, 10)
SMOOTH = SGD(epochs=20, batch_size=50, learning_rate=0.15, weight_decay=1e-2)
STEPS = 120
REPEATS = 7
LOOP_TARGETS = 3
# Peak memory: parameters enough that a kept state counts beside the work of a step.
MEMORY_WIDTHS = (64, 256, 10)
MEMORY_SEEDS = 4
EPOCHS = {"ours": (10, 40, 160, 640), "loop": (10, 40, 160)}
TRAININGS = (12, 50, 100, 200, 400)


def network(widths: tuple[int, ...] = WIDTHS, training: SGD = SMOOTH) -> Network:
    """Return the problem that both sides differentiate."""
    return Network(make_module=MLP(widths), data=digits(), training=training)


def unrolled_by_autograd(problem: Network, seed: int) -> tuple[Tensor, Tensor]:
    """Return the weights and the outputs of one training, joined by its graph."""
    data, training = problem.data, problem.training
    x, module = data.x_train.double(), problem.make_module().double()
    names = [name for name, _ in module.named_parameters()]
    start = problem.initial(torch.tensor([seed]))[0]
    torch.nn.utils.vector_to_parameters(start, module.parameters())
    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    velocity = [torch.zeros_like(value) for value in values]
    weights = torch.ones(EXAMPLES, dtype=torch.float64, requires_grad=True)
    plan = visits(training, data.ids, weights.detach()[None], torch.tensor([seed]))
    scale = EXAMPLES / weights.sum()
    for step, (rows,) in enumerate(plan.rows):
        rate = training.rates(step, plan.n_steps).item()
        params = dict(zip(names, values, strict=True))
        logits = functional_call(module, params, (x[rows],))
        losses = cross_entropy(logits, data.y_train[rows], reduction="none")
        loss = scale * (weights[rows] @ losses) / len(rows)
        slopes = torch.autograd.grad(loss, values, create_graph=True)
        velocity = [
            training.momentum * v + g + training.weight_decay * p
            for v, g, p in zip(velocity, slopes, values, strict=True)
        ]
        values = [p - rate * v for p, v in zip(values, velocity, strict=True)]
    logits = functional_call(
        module, dict(zip(names, values, strict=True)), (data.x_target.double(),)
    )
    return weights, margin(logits, data.y_target)


def graph_a_target(problem: Network) -> Tensor:
    """Return a few targets' derivatives, the training unrolled for each."""
    found = []
    for target in range(LOOP_TARGETS):
        weights, outputs = unrolled_by_autograd(problem, 0)
        found += torch.autograd.grad(outputs[target], weights)
    return torch.stack(found, 1)


def graph_kept(problem: Network) -> tuple[float, float, Tensor]:
    """Return the seconds of unrolling, those a target, and the derivatives."""
    building, (weights, outputs) = seconds(lambda: unrolled_by_autograd(problem, 0))
    pulling, found = seconds(
        lambda: [
            torch.autograd.grad(outputs[target], weights, retain_graph=True)[0]
            for target in range(LOOP_TARGETS)
        ]
    )
    return building, pulling / LOOP_TARGETS, torch.stack(found, 1)


def ours(problem: Network, n_seeds: int = SEEDS) -> Tensor:
    """Return all derivatives, [seeds, train, targets]."""
    weights = torch.ones(n_seeds, EXAMPLES, dtype=torch.float64)
    method = Pathwise(mode=ReverseMode(memory=2**30))
    return method.at_models(problem, weights, torch.arange(n_seeds))


def operations() -> int:
    """Return the multiplications and additions that all products take at least.

    For each seed, target, step and example: along an adjoint a layer has one product
    forward and one for its weights; layers behind the first have two forward, two for
    the weights and two for their inputs.
    """
    layers = list(itertools.pairwise(WIDTHS))
    products = [6 if number else 2 for number in range(len(layers))]
    macs = sum(n * a * b for n, (a, b) in zip(products, layers, strict=True))
    return 2 * macs * STEPS * SMOOTH.batch_size * SEEDS * TARGETS


def timed() -> dict[str, Any]:
    """Run all sides in turn."""
    problem = network()
    loop = graph_a_target(problem)
    # The first trainings wait for the recording of a step.
    first = [seconds(lambda: ours(problem)) for _ in range(3)]
    truth = first[0][1]
    graph_kept(problem)
    taken: dict[str, list[float]] = {"ours": [], "a graph a target": [], "kept": []}
    for _ in range(REPEATS):
        taken["ours"].append(seconds(lambda: ours(problem))[0])
        scale = SEEDS * TARGETS / LOOP_TARGETS
        taken["a graph a target"].append(
            scale * seconds(lambda: graph_a_target(problem))[0]
        )
        building, pulling, _ = graph_kept(problem)
        taken["kept"].append(SEEDS * (building + TARGETS * pulling))
    floor = operations() / matrix_rate(torch.float64)
    gap = truth[0, :, :LOOP_TARGETS] - loop
    return {
        "CPU seconds": {name: median_with_interval(s) for name, s in taken.items()},
        "times as fast as the loop, a graph a target": ratios(
            taken["a graph a target"], taken["ours"]
        ),
        "times as fast as the loop, a graph a seed": ratios(
            taken["kept"], taken["ours"]
        ),
        "CPU seconds of the first calls, recording included": [t for t, _ in first],
        "relative difference from the loop": (gap.norm() / loop.norm()).item(),
        "physical floor in seconds": floor,
    }


def peak(side: str, epochs: int) -> dict[str, Any]:
    """Differentiate one training in this process and return what it took."""
    torch.set_num_threads(1)

    def work(epochs: int) -> Tensor:
        training = SGD(epochs=epochs, batch_size=50, learning_rate=0.05)
        problem = network(MEMORY_WIDTHS, training)
        problem = Network(
            make_module=problem.make_module,
            data=digits(n_targets=1),
            training=training,
        )
        if side == "ours":
            return ours(problem, MEMORY_SEEDS)
        weights, outputs = unrolled_by_autograd(problem, 0)
        return torch.autograd.grad(outputs[0], weights)[0]

    work(1)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    work(epochs)
    n_seeds = MEMORY_SEEDS if side == "ours" else 1
    return {
        "steps": 6 * epochs,
        "bytes a seed": (status("VmHWM") - before) / n_seeds,
    }


def peaks() -> dict[str, Any]:
    """Measure each number of steps in a process of its own."""
    found: dict[str, Any] = {}
    for side, lengths in EPOCHS.items():
        rows = []
        for epochs in lengths:
            command = [sys.executable, "-m", "benchmarks.pathwise", side, str(epochs)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
        steps, taken = ([row[key] for row in rows] for key in ("steps", "bytes a seed"))
        slope = np.polyfit(np.log(steps), np.log(taken), 1)[0]
        found[side] = {"peaks": rows, "slope on log-log": float(slope)}
    return found


def bridge() -> dict[str, Any]:
    """Return the LDS of averaged derivatives and of ridge datamodels, by trainings."""
    problem = network()
    held_out = collect(problem, Bernoulli(p=0.5, n_models=400, seed=99))
    found: dict[str, Any] = {}
    ways: dict[str, Callable[[int], Any]] = {
        "averaged derivative": lambda n: response_derivative(
            problem,
            AveragedDerivative(by=Pathwise(), n_units=n),
            at=Bernoulli(p=0.5),
        ),
        "ridge datamodel": lambda n: fit_datamodel(
            collect(problem, Bernoulli(p=0.5, n_models=n)), estimator=Ridge()
        ),
    }
    for name, estimate in ways.items():
        found[name] = {}
        for n in TRAININGS:
            taken, scores = seconds(lambda n=n, estimate=estimate: estimate(n))
            score = lds(scores, held_out).mean
            found[name][n] = {
                "LDS": score.value,
                "low": score.low,
                "high": score.high,
                "CPU seconds": taken,
            }
    return found


def main() -> None:
    """Run everything and keep the JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(peak(sys.argv[1], int(sys.argv[2]))))
        return
    with one_thread():
        result = timed()
        memory = peaks()
        averages = bridge()
    publish(
        "pathwise",
        {
            "machine": machine("torch", "numpy"),
            "seeds": SEEDS,
            "examples": EXAMPLES,
            "targets": TARGETS,
            "steps": STEPS,
            **result,
            "operations": operations(),
            "peak memory": memory,
            "LDS by trainings": averages,
        },
    )


if __name__ == "__main__":
    main()
