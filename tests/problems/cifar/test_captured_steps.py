"""Captured steps rehearsed without a GPU: orders, streams, and what a step may do."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from pretended_cuda import Pretended, PretendedCuda
from samples import unchecked, weight_rows
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dmtheory.data import synthetic_images
from dmtheory.problems import FIDELITY, SMOOTH, THROUGHPUT, Cifar, Recipe
from dmtheory.training.images.lane import Lane
from dmtheory.training.images.precision import Precision
from dmtheory.training.images.running import InTurn
from dmtheory.training.images.stock import make_stock

N_TRAIN = 22
DATA = synthetic_images(n_train=N_TRAIN, n_targets=3, n_test=3, n_classes=4)


def small(recipe: Recipe) -> Recipe:
    return recipe.smaller(width=2, epochs=1, batch_size=5)


def problem(recipe: Recipe, **changes: Any) -> Cifar:
    fields: dict[str, Any] = {"data": DATA, "recipe": small(recipe)}
    return Cifar(**{**fields, "execution": Pretended(), **changes})


def masks(n_models: int) -> Tensor:
    """Return subsets that take unequal numbers of steps, one of them few."""
    chosen = (weight_rows(n_models, N_TRAIN, seed=6) > 0).double()
    chosen[1, 8:] = 0
    return chosen


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedCuda]:
    with unchecked():
        yield PretendedCuda(monkeypatch)


@pytest.mark.parametrize("mode", ["subset", "weighted"])
@pytest.mark.parametrize("recipe", [FIDELITY, SMOOTH])
def test_replays_are_bitwise_the_plain_steps(
    recipe: Recipe, mode: str, cuda: PretendedCuda
) -> None:
    """Lanes reused, the last with fewer models than lanes."""
    weights, seeds = masks(5), torch.arange(5)
    found = problem(recipe, mode=mode, models_at_once=3)
    captured = found.respond(weights, seeds)
    assert cuda.replays > 0
    plain = replace(found, execution=InTurn(), models_at_once=1)
    assert torch.equal(captured, plain.respond(weights, seeds))


@pytest.mark.parametrize("wrong", ["skips a lane", "goes twice as far"])
def test_graphs_that_go_elsewhere_are_given_up(wrong: str, cuda: PretendedCuda) -> None:
    skipped: list[Lane] = []

    def replayed(lane: Lane, plain: bool) -> None:
        if wrong == "goes twice as far":
            lane.rates.mul_(2)
            cuda.step(lane, plain=plain)
            lane.rates.div_(2)
        elif wrong == "skips a lane":
            skipped.append(lane)
            if lane is not skipped[0]:
                cuda.step(lane, plain=plain)

    cuda.replayed = replayed
    weights, seeds = masks(4), torch.arange(4)
    found = problem(FIDELITY, models_at_once=2)
    with pytest.warns(RuntimeWarning, match="do not go where plain ones do"):
        captured = found.respond(weights, seeds)
    plain = replace(found, execution=InTurn())
    assert torch.equal(captured, plain.respond(weights, seeds))


def test_a_capture_that_fails_leaves_plain_steps(cuda: PretendedCuda) -> None:
    def refused(graph: Any, **_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    weights, seeds = masks(2), torch.arange(2)
    found = problem(FIDELITY, models_at_once=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "graph", refused)
        with pytest.warns(RuntimeWarning, match=r"captured \(operation not permitted"):
            captured = found.respond(weights, seeds)
    assert cuda.replays == 0
    plain = replace(found, execution=InTurn())
    assert torch.equal(captured, plain.respond(weights, seeds))


# Operations that wait for the device, decide by what it holds, or draw.
_NEVER = ("item", "_local_scalar_dense", "nonzero", "is_nonzero", "_unique2", "equal",
          "masked_select", "rand", "rand_like", "randn", "randint", "randperm",
          "bernoulli", "bernoulli_", "normal_", "uniform_", "native_dropout",
          "lift_fresh")  # fmt: skip


class OnTheDevice(TorchDispatchMode):
    """Refuses operations that a captured step may not have."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.seen = device, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__.split(".")[0]
        assert name not in _NEVER, name
        if name in {"index", "index_put_", "index_put"}:
            # How many there are of a mask the host would have to ask.
            places = [place for place in args[1] if place is not None]
            assert all(place.dtype != torch.bool for place in places), name
        found = func(*args, **(kwargs or {}))
        self.seen += 1
        for leaf in tree_leaves((args, kwargs, found)):
            if isinstance(leaf, Tensor):
                assert leaf.device == self.device, name
        return found


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT, SMOOTH])
def test_a_step_stays_on_the_device_and_waits_for_nothing(
    recipe: Recipe, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device whose tensors hold nothing that could be looked at."""
    monkeypatch.setattr(Precision, "computing", lambda *_: nullcontext())
    device = torch.device("meta")
    stock = make_stock(
        small(recipe),
        Precision(torch.bfloat16),
        DATA.x_train,
        DATA.y_train,
        DATA.ids,
        n_classes=4,
        device=device,
    )
    lane = Lane(stock, 4, stock.batch_loss)
    places = [id(tensor) for tensor in lane.moving()]
    with OnTheDevice(device) as watched:
        lane.step(plain=plain)
    assert watched.seen > 100
    assert [id(tensor) for tensor in lane.moving()] == places


@pytest.mark.parametrize(
    ("device", "forbidden"),
    [
        ("cpu", lambda x: x.sum().item()),
        ("cpu", lambda x: x[x > 0]),
        ("cpu", torch.rand_like),
        ("meta", lambda x: x * torch.ones(())),
        ("meta", lambda x: torch.zeros(3, device="cpu")),
    ],
)
def test_the_watch_sees_what_a_step_may_not_do(device: str, forbidden: Any) -> None:
    x = torch.ones(3, device=device)
    with OnTheDevice(torch.device(device)), pytest.raises(AssertionError):
        forbidden(x)
