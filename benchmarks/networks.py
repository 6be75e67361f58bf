"""Many small networks, against a loop of ordinary modules and against plain vmap.

    python -m benchmarks.networks

256 networks 64-32-10 on 1,000 digits, 20 epochs of 20 steps, single precision, weights
per model, one thread each side, sides in turn. The loop is torch at its best: tensors
in memory, the faster of torch's fused and foreach optimisers.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from benchmarks.timing import (
    machine,
    matrix_rate,
    median_with_interval,
    one_thread,
    publish,
    ratios,
    seconds,
)
from dmtheory.data import Dataset
from dmtheory.designs import Bernoulli
from dmtheory.identity import numbered
from dmtheory.problems import Network
from dmtheory.training import MLP, SGD, Compiled, Execution, Vmapped
from dmtheory.training.memory import bytes_a_model
from dmtheory.training.order import visits

MODELS = 256
LOOP_MODELS = 8
REPEATS = 7
WIDTHS = (64, 32, 10)
N_TRAIN = 1000
TRAINING = SGD(epochs=20, batch_size=50, learning_rate=0.1)
STEPS = 20 * N_TRAIN // 50
LOOPS = ("loop, fused", "loop, foreach")


def digits_table() -> Dataset:
    """Return 1,000 digits as training examples, the next ten as targets."""
    x, y = load_digits(return_X_y=True)
    rows, classes = torch.from_numpy(x / 16).float(), torch.from_numpy(y)
    ends = N_TRAIN, N_TRAIN + 10
    return Dataset(
        name="benchmark",
        x_train=rows[: ends[0]],
        y_train=classes[: ends[0]],
        x_target=rows[ends[0] : ends[1]],
        y_target=classes[ends[0] : ends[1]],
        x_held_out=rows[ends[1] :],
        y_held_out=classes[ends[1] :],
        train_labels=numbered("digit", N_TRAIN),
        target_labels=numbered("question", 10),
    )


def network(data: Dataset, execution: Execution) -> Network:
    """Return the problem that both sides train."""
    return Network(
        make_module=MLP(WIDTHS),
        data=data,
        training=TRAINING,
        dtype=torch.float32,
        execution=execution,
    )


def batches(problem: Network) -> Iterator[tuple[float, Tensor]]:
    """Yield step size and examples of every step of the shared order."""
    one = torch.ones(1, N_TRAIN).double()
    plan = visits(TRAINING, problem.data.ids, one, torch.zeros(1, dtype=torch.int64))
    for step, rows in enumerate(plan.rows):
        yield TRAINING.rates(step, plan.n_steps).item(), rows[0]


def in_a_loop(problem: Network, weights: Tensor, fused: bool) -> Callable[[], Tensor]:
    """Return the training of one module after another by torch's own optimiser."""
    data, steps = problem.data, list(batches(problem))
    starts = problem.initial(torch.arange(len(weights)))
    scaled = (weights / weights.sum(1, keepdim=True)).float() * N_TRAIN / 50

    def loop() -> Tensor:
        found = []
        for start, w in zip(starts, scaled, strict=True):
            module = problem.make_module()
            nn.utils.vector_to_parameters(start.clone(), module.parameters())
            optimiser = torch.optim.SGD(
                module.parameters(),
                lr=0.1,
                momentum=TRAINING.momentum,
                weight_decay=TRAINING.weight_decay,
                fused=fused,
                foreach=not fused,
            )
            for rate, rows in steps:
                optimiser.param_groups[0]["lr"] = rate
                losses = cross_entropy(
                    module(data.x_train[rows]), data.y_train[rows], reduction="none"
                )
                optimiser.zero_grad()
                (w[rows] @ losses).backward()
                optimiser.step()
            parameters = nn.utils.parameters_to_vector(module.parameters())
            found.append(parameters.detach())
        return torch.stack(found)

    return loop


def by_plain_vmap(problem: Network, weights: Tensor) -> Callable[[], Tensor]:
    """Return the training of all at once by vmap(grad) as its documentation has it."""
    data, steps = problem.data, list(batches(problem))
    starts = problem.initial(torch.arange(len(weights)))
    scaled = (weights / weights.sum(1, keepdim=True)).float() * N_TRAIN / 50
    module = problem.make_module()
    named = dict(module.named_parameters())
    sizes = [p.numel() for p in named.values()]

    def loss(params: dict[str, Tensor], w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(module, params, (x,))
        return w @ cross_entropy(logits, y, reduction="none")

    gradient = vmap(grad(loss), in_dims=(0, 0, None, None))

    def train() -> Tensor:
        pieces = starts.split(sizes, dim=1)
        params = {
            name: piece.reshape(-1, *p.shape).clone()
            for (name, p), piece in zip(named.items(), pieces, strict=True)
        }
        velocity = {name: torch.zeros_like(p) for name, p in params.items()}
        for rate, rows in steps:
            slopes = gradient(
                params, scaled[:, rows], data.x_train[rows], data.y_train[rows]
            )
            for name, p in params.items():
                slope = slopes[name] + TRAINING.weight_decay * p
                velocity[name].mul_(TRAINING.momentum).add_(slope)
                p.sub_(rate * velocity[name])
        return torch.cat([p.flatten(1) for p in params.values()], dim=1)

    return train


def sides(data: Dataset) -> dict[str, tuple[int, Callable[[], Tensor]]]:
    """Return every way to train, with how many models it trains."""
    law = Bernoulli(p=0.5, seed=0)
    weights, seeds = law.weights(torch.arange(MODELS), N_TRAIN), torch.arange(MODELS)
    compiled = network(data, Compiled(memory=2**24))
    eager = network(data, Vmapped(memory=2**24))
    few = weights[:LOOP_MODELS]
    return {
        "compiled": (MODELS, lambda: compiled.fit(weights, seeds).params),
        "vmapped": (MODELS, lambda: eager.fit(weights, seeds).params),
        "plain vmap": (MODELS, by_plain_vmap(eager, weights)),
        LOOPS[0]: (LOOP_MODELS, in_a_loop(eager, few, fused=True)),
        LOOPS[1]: (LOOP_MODELS, in_a_loop(eager, few, fused=False)),
    }


def operations() -> int:
    """Return the multiplications and additions of one model's training.

    A product forward, one for the weights' gradient, and but in the first layer one for
    the inputs' gradient.
    """
    layers = list(itertools.pairwise(WIDTHS))
    products = [3 if number else 2 for number in range(len(layers))]
    macs = sum(n * a * b for n, (a, b) in zip(products, layers, strict=True))
    return 2 * macs * STEPS * 50


def compared(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Return our rates over the better loop's and over plain vmap's."""
    loop = [max(pair) for pair in zip(*(rates[name] for name in LOOPS), strict=True)]
    peers = {"the loop": loop, "plain vmap": rates["plain vmap"]}
    return {
        f"{ours} over {peer}": ratios(rates[ours], theirs)
        for peer, theirs in peers.items()
        for ours in ("compiled", "vmapped")
    }


def main() -> None:
    """Run all sides in turn and keep the JSON."""
    data = digits_table()
    with one_thread():
        ways = sides(data)
        clock = time.perf_counter()
        first = {name: work() for name, (_, work) in ways.items()}
        warm_up = time.perf_counter() - clock
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(REPEATS):
            for name, (n_models, work) in ways.items():
                rates[name].append(n_models / seconds(work)[0])
        limit = matrix_rate(torch.float32) / operations()
    gaps = {name: p[:LOOP_MODELS] - first[LOOPS[0]] for name, p in first.items()}
    publish(
        "networks",
        {
            "machine": machine("torch", "numpy"),
            "models": MODELS,
            "models a second": {n: median_with_interval(r) for n, r in rates.items()},
            "ratio": compared(rates),
            "median difference of parameters from the loop": {
                name: gap.abs().amax(1).median().item() for name, gap in gaps.items()
            },
            "seconds before the first measured run, compiling included": warm_up,
            "physical limit in models a second": limit,
            "bytes a model": bytes_a_model(network(data, Vmapped()).task()),
            "parameters a model": int(first["compiled"].shape[1]),
        },
    )


if __name__ == "__main__":
    main()
