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
from samples import dataset, normal, table, unchecked, weight_rows
from torch import Tensor, nn

from dmtheory.problems import Network
from dmtheory.training import (
    MLP,
    SGD,
    Compiled,
    CrossEntropy,
    OneByOne,
    SquaredError,
    Vmapped,
    together,
)

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
    close(params, plain.execution.train(plain.task(), start, weights, SEEDS[:3]))
    alone = replace(network, execution=OneByOne())
    close(alone.fit(weights, SEEDS[:3]).params, params)


def narrow() -> nn.Module:
    return nn.Linear(4, 2)


def frozen() -> nn.Module:
    return nn.Linear(4, 3).requires_grad_(False)


def still_batch() -> nn.Module:
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    return nn.Sequential(nn.Linear(4, 4), norm, nn.Linear(4, 3))


class Loud(Centred):
    """Hides that it mixes examples behind large logits."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1e4


class Recurrent(nn.Module):
    """Has no vmapped form."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(1, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.memory(x[:, :, None])[0][:, -1]


class Branching(nn.Module):
    """Looks at its values."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return z if z.sum().item() > 1e9 else 2 * z


class Sideways(nn.Module):
    """Drops where the first axis is not that of the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 3), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.drop(x.T).T)


SHARED = nn.Linear(4, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Noisy, "draws no random numbers of its own"),
        (lambda: nn.Sequential(nn.Dropout1d(0.01), nn.Linear(4, 3)), "no random numb"),
        (Centred, "depends on no other example of the batch"),
        (Loud, "depends on no other example of the batch"),
        (still_batch, "depends on no other example of the batch"),
        (Recurrent, r"share in one vmapped step, but it fails: .*OneByOne\(\)"),
        (Branching, r"share in one vmapped step, but it fails: .*OneByOne\(\)"),
        (Sideways, "dropout is keyed by example: its input must have 3 examples fir"),
        (lambda: SHARED, "a fresh module each time, got the same one twice"),
        (lambda: nn.LazyLinear(3), "knows its sizes, got a lazy layer"),
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
    with unchecked(), pytest.raises((ValueError, TypeError), match=message):
        Network(make_module=make, data=DATA)


@pytest.mark.parametrize("make", [Recurrent, Branching, Noisy, still_batch])
def test_one_by_one_works_with_any_module(make: Callable[[], nn.Module]) -> None:
    network = Network(
        make_module=make, data=DATA, training=TRAINING, execution=OneByOne()
    )
    weights = weight_rows(5, N, seed=8)
    with torch.no_grad():
        outputs, quality = network.measure(weights, SEEDS)
    assert outputs.isfinite().all()
    assert quality.accuracy is not None
    params = network.fit(weights, SEEDS).params
    alone = network.fit(weights[2:3], SEEDS[2:3]).params
    assert torch.equal(alone[0], params[2])
    moved = params - network.initial(SEEDS)
    assert moved.abs().amax(1).min() > 1e-3


class Unused(nn.Module):
    """Holds a parameter that predictions do not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.idle = nn.Linear(4, 3), nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_an_unused_parameter_only_decays() -> None:
    for execution in (Vmapped(), OneByOne()):
        network = Network(
            make_module=Unused, data=DATA, training=TRAINING, execution=execution
        )
        params = network.fit(weight_rows(2, N, seed=9), SEEDS[:2]).params
        assert 0.9 < params[0, :2].min() < 1


class Drawn(nn.Module):
    """Random features that are not trained: a frozen layer and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.randn(6))
        self.frozen = nn.Linear(4, 6).requires_grad_(False)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.frozen(x) + self.shift))


def test_random_features_are_the_same_wherever_they_are_made() -> None:
    weights = weight_rows(3, N, seed=10)
    found, digests = [], set()
    for draws in range(3):
        torch.randn(draws)
        network = Network(make_module=Drawn, data=DATA, training=TRAINING)
        torch.randn(1)
        found.append(network.respond(weights, SEEDS[:3]))
        found.append(pickle.loads(pickle.dumps(network)).respond(weights, SEEDS[:3]))
        digests.add(network.description.digest)
    assert all(torch.equal(outputs, found[0]) for outputs in found)
    assert len(digests) == 1


def test_a_loss_that_is_no_loss_of_one_example_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"one number an example, .* got \(\): take no"
    ):
        replace(NETWORK, loss=nn.CrossEntropyLoss())

    def column(z: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(z, y, reduction="none")[:, None]

    with pytest.raises(ValueError, match=r"shape \(2,\), got \(2, 1\): take no mean"):
        replace(NETWORK, loss=column)
    own = replace(NETWORK, loss=nn.CrossEntropyLoss(reduction="none"))
    weights = weight_rows(2, N, seed=11)
    close(own.respond(weights, SEEDS[:2]), NETWORK.respond(weights, SEEDS[:2]))


def test_the_loss_follows_the_output_and_may_not_contradict_it() -> None:
    numbers = table(N, 4, seed=0)
    network = Network(
        make_module=MLP((4, 1)), data=numbers, output="prediction", training=TRAINING
    )
    stated = replace(network, loss=SquaredError())
    assert stated.description.digest == network.description.digest
    with pytest.raises(ValueError, match="loss must fit the output prediction, got Cr"):
        replace(network, loss=CrossEntropy())
    with pytest.raises(ValueError, match="loss must fit the output margin, got Square"):
        replace(NETWORK, loss=SquaredError())


def test_seeds_are_one_64_bit_number_a_model() -> None:
    weights = weight_rows(3, N, seed=12)
    with (
        unchecked(),
        pytest.raises(TypeError, match=r"seeds must be of type torch\.int64, got"),
    ):
        NETWORK.respond(weights, SEEDS[:3].int())
    with (
        unchecked(),
        pytest.raises(ValueError, match=r"seeds must have shape \(3,\), one a row"),
    ):
        NETWORK.respond(weights, SEEDS[:2])


def test_what_is_kept_is_made_outside_of_transforms() -> None:
    params = Network(make_module=MLP((4, 3)), data=DATA).initial(SEEDS)
    fresh = Network(make_module=MLP((4, 3)), data=DATA)
    outputs = torch.func.vmap(fresh.target_outputs)(params)
    slopes = torch.func.jacrev(fresh.target_outputs)(params[0])
    assert outputs.shape == (5, 4)
    assert slopes.shape == (4, 15)
    assert fresh.quality(params).loss.shape == (5,)


def test_examples_that_require_gradients_are_refused() -> None:
    with pytest.raises(ValueError, match="x_train and y_train must not require gradi"):
        replace(DATA, x_train=DATA.x_train.clone().requires_grad_())


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
    assert compiled.execution.chunk(compiled.task()) > 5
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

    monkeypatch.setattr(together, "step_of", broken)
    network = replace(NETWORK, execution=Compiled(memory=2**17))
    with pytest.raises(ArithmeticError, match="the step is wrong"):
        network.respond(weight_rows(5, N, seed=6), SEEDS)


PEAK = """
import gc, sys, torch
from dataclasses import replace
from pathlib import Path
from torch import nn
from dmtheory.data import digits
from dmtheory.problems import Network
from dmtheory.training import MLP, SGD, Adam, GaussianNoise, Vmapped

def memory(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024

def dropping():
    layers = nn.Linear(64, 64), nn.Tanh(), nn.Dropout(.2), nn.Linear(64, 10)
    return nn.Sequential(*layers)

case, budget = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
network = Network(
    make_module=MLP((64, 64, 10)),
    data=digits(),
    training=SGD(epochs=1, batch_size=100),
    execution=Vmapped(memory=budget),
)
if case == "adam, wide":
    training = Adam(epochs=1, batch_size=10)
    network = replace(network, make_module=MLP((64, 300, 10)), training=training)
if case == "own orders":
    training = SGD(epochs=40, batch_size=100, order="per-model")
    network = replace(network, make_module=MLP((64, 10)), training=training)
if case == "noise":
    network = replace(network, augment=GaussianNoise(.1))
if case == "dropout":
    network = replace(network, make_module=dropping)
task = network.task()
n = network.execution.chunk(task)
weights, seeds = torch.ones(n, 300).double(), torch.arange(n)
start = network.initial(seeds)
network.execution.train(task, start[:2], weights[:2], seeds[:2])
network.quality(start[:2])
gc.collect()
Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
before = memory("VmRSS")
if case == "measuring":
    network.quality(start)
else:
    network.execution.train(task, start, weights, seeds)
print(n, memory("VmHWM") - before)
"""
CASES = {
    "momentum": 2**28,
    "adam, wide": 2**28,
    "own orders": 2**27,
    "noise": 2**28,
    "dropout": 2**28,
    "measuring": 2**26,
}


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc"
)
@pytest.mark.parametrize("case", CASES)
def test_a_chunk_stays_within_the_memory_that_it_was_given(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, case, str(CASES[case])],
        capture_output=True,
        text=True,
        check=True,
    )
    chunk, grown = map(int, done.stdout.split())
    assert chunk > 10
    # The lower limit: an estimate far above what is used would waste speed.
    assert 0.25 * CASES[case] < grown < CASES[case]


def test_a_budget_below_two_models_trains_two_at_a_time() -> None:
    small = replace(NETWORK, execution=Vmapped(memory=1))
    assert small.execution.chunk(small.task()) == 2
    with pytest.raises(ValueError, match="memory must be at least 1, got 0"):
        Vmapped(memory=0)


def test_a_problem_travels_without_what_it_made() -> None:
    weights = weight_rows(2, N, seed=7)
    network = copy.copy(NETWORK)
    expected = network.respond(weights, SEEDS[:2])
    sent = pickle.dumps(network)
    assert len(sent) < len(pickle.dumps(DATA)) + 2000
    assert torch.equal(pickle.loads(sent).respond(weights, SEEDS[:2]), expected)
