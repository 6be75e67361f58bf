"""Wrong response derivatives, each one step away from central differences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from zoo.wrong import Wrong

STEP, N_SEEDS = 1e-3, 30


@dataclass(frozen=True)
class Scores:
    scores: Tensor
    stderr: Tensor | None = None


def seeds_of(seed: int) -> Tensor:
    return 1000 * (seed + 1) + torch.arange(N_SEEDS)


def check(problem: Any, at: Tensor) -> None:
    n = problem.description.n_train
    if at.shape != (n,) or not bool((at >= 0).all()):
        raise ValueError(f"at must be {n} weights >= 0")


def sides(at: Tensor, i: int, step: float) -> tuple[Tensor, Tensor]:
    """Return the weights of both sides, one-sided at a weight of 0."""
    move = torch.zeros_like(at)
    move[i] = 1.0
    below = min(step, at[i].item())
    return at + step * move, at - below * move


def quotients(problem: Any, at: Tensor, i: int, seeds: Tensor) -> Tensor:
    high, low = sides(at, i, STEP)
    rows = torch.stack([high, low]).repeat_interleave(len(seeds), 0)
    up, down = problem.respond(rows, seeds.repeat(2)).chunk(2)
    return (up - down) / (high[i] - low[i])


def right(
    problem: Any, *, at: Tensor, coordinates: Any = None, seed: int = 0
) -> Scores:
    check(problem, at)
    chosen = range(len(at)) if coordinates is None else coordinates
    units = torch.stack([quotients(problem, at, i, seeds_of(seed)) for i in chosen], 1)
    return Scores(units.mean(0), units.std(0) / N_SEEDS**0.5)


def after(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return the right scores, changed."""

    def wrong(problem: Any, **stated: Any) -> Tensor:
        return change(right(problem, **stated).scores)

    return wrong


def through(change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """Return differences of outputs that were changed first."""

    class Changed:
        def __init__(self, problem: Any) -> None:
            self.description, self._respond = problem.description, problem.respond

        def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
            return change(self._respond(weights, seeds))

    def wrong(problem: Any, **stated: Any) -> Any:
        return right(Changed(problem), **stated)

    return wrong


def every(
    one: Callable[[Any, Tensor, int, int], Tensor],
) -> Callable[..., Tensor]:
    """Return a way to differentiate by every coordinate, one after another."""

    def wrong(
        problem: Any, *, at: Tensor, coordinates: Any = None, seed: int = 0
    ) -> Tensor:
        check(problem, at)
        chosen = range(len(at)) if coordinates is None else coordinates
        return torch.stack([one(problem, at, i, seed) for i in chosen])

    return wrong


def mean_at(problem: Any, w: Tensor, seeds: Tensor) -> Tensor:
    return problem.respond(w.repeat(len(seeds), 1), seeds).mean(0)


def forward(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    high, seeds = at.clone(), seeds_of(seed)
    high[i] += 0.1
    return (mean_at(problem, high, seeds) - mean_at(problem, at, seeds)) / 0.1


def removal(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    low, seeds = at.clone(), seeds_of(seed)
    low[i] = 0.0
    return mean_at(problem, at, seeds) - mean_at(problem, low, seeds)


def own_seeds(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    high, low = sides(at, i, STEP)
    up = mean_at(problem, high, seeds_of(seed))
    return (up - mean_at(problem, low, seeds_of(seed + 50))) / (high[i] - low[i])


def twice_the_step(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    return 2 * quotients(problem, at, i, seeds_of(seed)).mean(0)


def clamped(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    high, low = sides(at, i, STEP)
    up, down = (mean_at(problem, w, seeds_of(seed)) for w in (high, low))
    return (up - down) / (2 * STEP)


def giant_step(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    high, low = sides(at, i, 1.0)
    up, down = (mean_at(problem, w, seeds_of(seed)) for w in (high, low))
    return (up - down) / (high[i] - low[i])


def always_full_data(problem: Any, at: Tensor, i: int, seed: int) -> Tensor:
    return quotients(problem, torch.ones_like(at), i, seeds_of(seed)).mean(0)


def one_seed_for_all(problem: Any, *, seed: int = 0, **stated: Any) -> Scores:
    return right(problem, seed=0, **stated)


def unseeded(problem: Any, *, seed: int = 0, **stated: Any) -> Scores:
    return right(problem, seed=int(torch.randint(10**6, (1,))), **stated)


def sorts_coordinates(
    problem: Any, *, coordinates: Any = None, **stated: Any
) -> Scores:
    chosen = None if coordinates is None else sorted(coordinates)
    return right(problem, coordinates=chosen, **stated)


def error_of_one_seed(problem: Any, **stated: Any) -> Scores:
    found = right(problem, **stated)
    assert found.stderr is not None
    return Scores(found.scores, found.stderr * N_SEEDS**0.5)


def steps_in_place(
    problem: Any, *, at: Tensor, coordinates: Any = None, seed: int = 0
) -> Tensor:
    check(problem, at)
    chosen = range(len(at)) if coordinates is None else coordinates
    seeds, rows = seeds_of(seed), []
    for i in chosen:
        before = mean_at(problem, at, seeds)
        at[i] += STEP
        rows.append((mean_at(problem, at, seeds) - before) / STEP)
    return torch.stack(rows)


def takes_any_weights(problem: Any, *, at: Tensor, **stated: Any) -> Scores:
    n = problem.description.n_train
    padded = torch.cat([at, torch.ones(n).double()])[:n]
    return right(problem, at=padded.nan_to_num(1.0).abs(), **stated)


def only_the_first_of_equals(scores: Tensor) -> Tensor:
    seen: set[tuple[float, ...]] = set()
    kept = scores.clone()
    for i, row in enumerate(scores.round(decimals=6).tolist()):
        if tuple(row) in seen:
            kept[i] = 0.0
        seen.add(tuple(row))
    return kept


DERIVATIVES = (
    Wrong(
        mistake="forward difference sold as central",
        by=("curved response",),
        estimator=every(forward),
    ),
    Wrong(
        mistake="leave-one-out sold as a derivative",
        by=("sample mean", "efficiency"),
        estimator=every(removal),
    ),
    Wrong(
        mistake="divided by h instead of 2h",
        by=("set functions",),
        estimator=every(twice_the_step),
    ),
    Wrong(
        mistake="the two sides have seeds of their own",
        by=("common seeds",),
        estimator=every(own_seeds),
        seen="dattri retrain.py",
    ),
    Wrong(
        mistake="the same seeds in every experiment",
        by=("fresh seeds",),
        estimator=one_seed_for_all,
        seen="dattri `retrain_loo`, bergson validate",
    ),
    Wrong(
        mistake="seeds from a global generator", by=("determinism",), estimator=unseeded
    ),
    Wrong(
        mistake="cut off at 0, divided by 2h",
        by=("weight 0",),
        estimator=every(clamped),
    ),
    Wrong(
        mistake="a step as large as the weight",
        by=("networks",),
        estimator=every(giant_step),
    ),
    Wrong(
        mistake="always at w = 1",
        by=("sample mean",),
        estimator=every(always_full_data),
    ),
    Wrong(
        mistake="half precision in a difference",
        by=("precision", "networks"),
        estimator=through(lambda y: y.half().double()),
        seen="bergson #235 (bf16)",
    ),
    Wrong(
        mistake="single precision in a difference",
        by=("precision",),
        estimator=through(lambda y: y.float().double()),
    ),
    Wrong(
        mistake="outputs clipped before the difference",
        by=("target linearity", "scale"),
        estimator=through(lambda y: y.clamp(-2, 2)),
    ),
    Wrong(
        mistake="per epsilon sold as per weight",
        by=("set functions",),
        estimator=after(lambda g: len(g) * g),
    ),
    Wrong(mistake="absolute changes", by=("sign",), estimator=after(torch.abs)),
    Wrong(
        mistake="sign forgotten",
        by=("set functions",),
        estimator=after(torch.neg),
        seen="torch-influence #13",
    ),
    Wrong(
        mistake="rounded to two digits",
        by=("scale",),
        estimator=after(lambda g: g.round(decimals=2)),
    ),
    Wrong(
        mistake="scores centred",
        by=("null players",),
        estimator=after(lambda g: g - g.mean(0)),
    ),
    Wrong(
        mistake="relative to the largest score of all targets",
        by=("targets apart",),
        estimator=after(lambda g: g / g.abs().max().clamp_min(1e-9)),
    ),
    Wrong(
        mistake="targets in rows",
        by=("table of scores",),
        estimator=after(lambda g: g.T),
    ),
    Wrong(
        mistake="rows in the order of a sort",
        by=("train permutation",),
        estimator=after(lambda g: g[g[:, 0].argsort()]),
    ),
    Wrong(
        mistake="the first of equals keeps all",
        by=("duplicates share",),
        estimator=after(only_the_first_of_equals),
    ),
    Wrong(
        mistake="coordinates sorted",
        by=("chunk invariance",),
        estimator=sorts_coordinates,
    ),
    Wrong(
        mistake="standard error of one seed",
        by=("interval coverage",),
        estimator=error_of_one_seed,
    ),
    Wrong(
        mistake="earlier steps stay in the point",
        by=("inputs kept",),
        estimator=steps_in_place,
    ),
    Wrong(
        mistake="any weights taken",
        by=("bad input refused",),
        estimator=takes_any_weights,
    ),
)
