"""Ways to train together: what each accepts, refuses, and keeps the same."""

import copy
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples import dataset, normal, table, weight_rows
from torch import Tensor, nn

from dmtheory.problems import Network
from dmtheory.training import MLP, SGD, Compiled, OneByOne, Vmapped
from dmtheory.training import execution as executions

N = 15
DATA = table(N, 4, classes=3, seed=0)
TRAINING = SGD(epochs=3, batch_size=4, learning_rate=0.2)
NETWORK = Network(make_module=MLP((4, 5, 3)), data=DATA, training=TRAINING)
SEEDS = torch.arange(5)


class Convolution(nn.Module):
    """A small image network with a layer and a group normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(self.conv(x)))
        return self.head(nn.functional.avg_pool2d(hidden, 2).flatten(1))


def images() -> Network:
    x = normal(N + 9, 1, 4, 4, seed=1)
    data = dataset(x, torch.arange(N + 9) % 3, n_train=N, n_targets=4)
    return Network(make_module=Convolution, data=data, training=TRAINING)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("make", [lambda: NETWORK, images], ids=["mlp", "images"])
def test_weight_zero_is_an_empty_slot(make: Callable[[], Network]) -> None:
    # Also where layers normalise: one-by-one training never shows the example.
    network = make()
    weights = weight_rows(5, N, seed=2)
    assert int((weights == 0).sum()) > 10
    alone = replace(network, execution=OneByOne())
    close(network.respond(weights, SEEDS), alone.respond(weights, SEEDS))


@pytest.mark.parametrize("make", [lambda: NETWORK, images], ids=["mlp", "images"])
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_full_batches_know_removal_copies_and_rows(
    make: Callable[[], Network], normalisation: str
) -> None:
    training = SGD(epochs=6, batch_size=100, learning_rate=0.2)
    network = replace(make(), training=training, normalisation=normalisation)

    def on_rows(rows: Tensor, factor: float = 1.0) -> Network:
        data = replace(
            network.data,
            x_train=network.data.x_train[rows],
            y_train=network.data.y_train[rows],
            train_labels=tuple(f"row {i}" for i in range(len(rows))),
        )
        return replace(network, data=data)

    seeds = SEEDS[:1]
    counts = torch.arange(N) % 4
    weights = counts[None].double()
    # Under `count` the divisor is the N of the data set: weights make up for it.
    copies = torch.arange(N).repeat_interleave(counts)
    share = 1.0 if normalisation == "sum" else len(copies) / N
    ones = torch.full((1, len(copies)), share, dtype=torch.float64)
    close(on_rows(copies).respond(ones, seeds), network.respond(weights, seeds))
    kept = counts.nonzero().flatten()
    share = 1.0 if normalisation == "sum" else len(kept) / N
    fewer = share * weights[:, kept]
    close(on_rows(kept).respond(fewer, seeds), network.respond(weights, seeds))


def test_one_by_one_works_with_batch_statistics() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))

    training = SGD(epochs=3, batch_size=N)
    with pytest.raises(ValueError, match=r"BatchNorm1d '1' changes '1\.running_mean'"):
        Network(make_module=make, data=DATA, training=training)
    network = Network(
        make_module=make, data=DATA, training=training, execution=OneByOne()
    )
    weights = torch.ones(1, N).double()
    weights[0, 8:] = 0
    outputs = network.respond(weights, SEEDS[:1])
    # By hand: the module only ever sees the eight examples.
    module = make().double()
    nn.utils.vector_to_parameters(network.initial(SEEDS[:1])[0], module.parameters())
    optimiser = torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3
    )
    for step in range(3):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 3)
        loss = nn.functional.cross_entropy(module(DATA.x_train[:8]), DATA.y_train[:8])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    module.eval()
    own = torch.softmax(module(DATA.x_target), 1)[torch.arange(4), DATA.y_target]
    close(outputs[0], torch.log(own / (1 - own)))
    assert network.measure(weights, SEEDS[:1])[1].accuracy is not None
    with pytest.raises(ValueError, match=r"changes the buffer '1\.running_mean'"):
        network.fit(weights, SEEDS[:1])


class Noisy(nn.Module):
    """Draws random numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x + torch.randn_like(x))


class Centred(nn.Module):
    """Subtracts the batch's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x - x.mean(0))


class Fixed(nn.Module):
    """Holds a constant buffer and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((4,), 0.5))
        self.frozen = nn.Linear(4, 4)
        nn.init.eye_(self.frozen.weight).requires_grad_(False)
        nn.init.ones_(self.frozen.bias).requires_grad_(False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.frozen(x * self.scale))


def test_constant_buffers_and_frozen_parameters_are_left_alone() -> None:
    network = Network(make_module=Fixed, data=DATA, training=TRAINING)
    weights = weight_rows(3, N, seed=3)
    params = network.fit(weights, SEEDS[:3]).params
    assert params.shape == (3, 4 * 3 + 3)
    # The head alone, on the features that the frozen layers make of the examples.
    plain = Network(
        make_module=lambda: nn.Linear(4, 3),
        data=replace(
            DATA,
            x_train=0.5 * DATA.x_train + 1,
            x_target=0.5 * DATA.x_target + 1,
            x_held_out=0.5 * DATA.x_held_out + 1,
        ),
        training=TRAINING,
    )
    start = network.initial(SEEDS[:3])
    close(params, plain.execution.train(plain._task, start, weights, SEEDS[:3]))
    alone = replace(network, execution=OneByOne())
    close(alone.fit(weights, SEEDS[:3]).params, params)


def narrow() -> nn.Module:
    return nn.Linear(4, 2)


def frozen() -> nn.Module:
    return nn.Linear(4, 3).requires_grad_(False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Noisy, "draws no random numbers of its own"),
        (Centred, "depends on no other example of the batch"),
        (narrow, "with at least 3 outputs, one a class, got 2"),
        (frozen, "a module with trainable parameters"),
        (lambda: nn.Linear(5, 3), r"takes a batch of examples of shape \(2, 4\), but"),
        (lambda: nn.Flatten(0), "a module with trainable parameters"),
        (lambda: nn.Unflatten(1, (2, 2)), "a module with trainable parameters"),
        (
            lambda: nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (2, 2))),
            r"predictions of shape \(batch, outputs\), got \(2, 2, 2\)",
        ),
        (lambda: MLP((4, 3)), "make_module must return a torch module, got MLP"),
    ],
)
def test_a_module_that_cannot_be_trained_is_refused(
    make: Callable[[], nn.Module], message: str
) -> None:
    from samples import unchecked

    with unchecked(), pytest.raises((ValueError, TypeError), match=message):
        Network(make_module=make, data=DATA)


def test_real_classes_and_wide_regressions_are_refused() -> None:
    numbers = table(N, 4, seed=0)
    with pytest.raises(ValueError, match=r"whole classes 0, 1, .* got torch.float64"):
        Network(make_module=MLP((4, 3)), data=numbers)
    with pytest.raises(ValueError, match="one output for prediction, got 3"):
        Network(make_module=MLP((4, 3)), data=numbers, output="prediction")
    with pytest.raises(ValueError, match=r"output must be one of margin, .*; got 'acc"):
        replace(NETWORK, output="accuracy")
    with pytest.raises(
        ValueError, match=r"dtype must be torch\.float64 or torch\.float32"
    ):
        replace(NETWORK, dtype=torch.float16)


def test_single_precision_data_and_modules_are_trained_in_the_stated_type() -> None:
    single = replace(
        DATA,
        x_train=DATA.x_train.float(),
        x_target=DATA.x_target.float(),
        x_held_out=DATA.x_held_out.float(),
    )
    weights = weight_rows(5, N, seed=4)
    network = replace(NETWORK, data=single)
    assert network.fit(weights, SEEDS).params.dtype == torch.float64
    exact = NETWORK.respond(weights, SEEDS)
    close(network.respond(weights, SEEDS), exact, 1e-5)
    rounded = replace(NETWORK, dtype=torch.float32)
    assert rounded.fit(weights, SEEDS).params.dtype == torch.float32
    outputs = rounded.respond(weights, SEEDS)
    assert outputs.dtype == torch.float64
    assert not torch.equal(outputs, exact)
    close(outputs, exact, 1e-3)
    assert rounded.description.digest != NETWORK.description.digest


COMPILED = """
import sys, torch, warnings
sys.path[:0] = ["tests"]
from dataclasses import replace
from samples import table, weight_rows
from dmtheory.problems import Network
from dmtheory.training import MLP, SGD, Adam, Compiled
warnings.simplefilter("error", RuntimeWarning)
data, seeds = table(15, 4, classes=3, seed=0), torch.arange(5)
weights = weight_rows(5, 15, seed=5)
procedures = {
    "sgd": SGD(epochs=3, batch_size=4, learning_rate=0.2),
    "adam": Adam(epochs=2, batch_size=4, order="per-model"),
}
for name in sys.argv[1:]:
    training = procedures[name]
    network = Network(make_module=MLP((4, 5, 3)), data=data, training=training)
    compiled = replace(network, execution=Compiled(memory=2**17))
    assert compiled.execution.chunk(compiled._task) > 5
    outputs = compiled.respond(weights, seeds)
    gap = (outputs - network.respond(weights, seeds)).abs().max().item()
    parts = zip(weights.split(2), seeds.split(2))
    same = torch.equal(torch.cat([compiled.respond(*part) for part in parts]), outputs)
    print(gap, same)
"""


@pytest.mark.parametrize(
    "procedure", ["sgd", pytest.param("adam", marks=pytest.mark.long)]
)
def test_compiled_steps_are_the_same_steps(procedure: str) -> None:
    # In a process of its own: the compiler cannot see through a runtime type checker.
    # Its chunks have one size, so a model's bits depend on no other.
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, procedure],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    gap, same = done.stdout.split()
    assert float(gap) < 1e-10
    assert same == "True"


def test_a_compiler_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object, **settings: object) -> Callable[..., None]:
        def fail(*arguments: object) -> None:
            raise RuntimeError("no compiler here")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    weights = weight_rows(5, N, seed=6)
    network = replace(NETWORK, execution=Compiled(memory=2**17))
    with pytest.warns(RuntimeWarning, match="could not be compiled") as caught:
        outputs = network.respond(weights, SEEDS)
    assert len(caught) == 1
    close(outputs, NETWORK.respond(weights, SEEDS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.respond(weights, SEEDS)  # said once


def test_an_error_of_the_step_itself_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)

    def broken(task: object) -> Callable[..., None]:
        def take(*arguments: object) -> None:
            raise ArithmeticError("the step is wrong")

        return take

    monkeypatch.setattr(executions, "_step_of", broken)
    network = replace(NETWORK, execution=Compiled(memory=2**17))
    with pytest.raises(ArithmeticError, match="the step is wrong"):
        network.respond(weight_rows(5, N, seed=6), SEEDS)


PEAK = """
import gc, sys, torch
from pathlib import Path
from dmtheory.problems import Network
from dmtheory.training import MLP, SGD, Vmapped
from dmtheory.data import digits

def memory(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024

torch.set_num_threads(1)
network = Network(
    make_module=MLP((64, 64, 10)),
    data=digits(),
    training=SGD(epochs=1, batch_size=100),
    execution=Vmapped(memory=int(sys.argv[1])),
)
task = network._task
n = network.execution.chunk(task)
weights, seeds = torch.ones(n, 300).double(), torch.arange(n)
start = network.initial(seeds)
network.execution.train(task, start[:2], weights[:2], seeds[:2])
gc.collect()
Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
before = memory("VmRSS")
network.execution.train(task, start, weights, seeds)
print(n, memory("VmHWM") - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc"
)
def test_a_chunk_stays_within_the_memory_that_it_was_given() -> None:
    budget = 2**28
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(budget)],
        capture_output=True,
        text=True,
        check=True,
    )
    chunk, grown = map(int, done.stdout.split())
    assert chunk > 100
    assert 0.3 * budget < grown < budget


def test_a_budget_below_one_model_trains_one_at_a_time() -> None:
    small = replace(NETWORK, execution=Vmapped(memory=1))
    assert small.execution.chunk(small._task) == 1
    with pytest.raises(ValueError, match="memory must be at least 1, got 0"):
        Vmapped(memory=0)


def test_a_problem_travels_without_what_it_made() -> None:
    weights = weight_rows(2, N, seed=7)
    network = copy.copy(NETWORK)
    expected = network.respond(weights, SEEDS[:2])
    sent = pickle.dumps(network)
    assert len(sent) < len(pickle.dumps(DATA)) + 2000
    assert torch.equal(pickle.loads(sent).respond(weights, SEEDS[:2]), expected)
