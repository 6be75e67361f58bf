"""LASSO along a path, against scikit-learn and celer at the same duality gap.

    python -m benchmarks.lasso

Needs `pip install celer numba`. Each solver gets what it works on, ready made: the Gram
matrix here and in scikit-learn, the centred masks in celer. Each solution's duality gap
is computed by one function and is at most 1e-6 of the objective at 0; a peer is given
the loosest tolerance with which it gets there. Peers run on some of the targets, their
time scaled to all.
"""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import lasso_path as sklearn_path

from benchmarks.regressions import (
    centred,
    plot_growth,
    slope,
    study,
)
from benchmarks.timing import (
    machine,
    median_with_interval,
    one_thread,
    publish,
    ratios,
    seconds,
)
from dmtheory.datamodels.lasso.coordinate_descent import descend
from dmtheory.datamodels.lasso.duality_gap import duality_gap

GAP = 1e-6
REPEATS = 5
SIZES = (125, 250, 500, 1000, 2000)
# Multiples of a peer's tolerance that are tried, so that it does no more than is asked.
LOOSER = (300, 100, 30, 10, 3, 1)
TRIED = 10
Solve = Callable[["Prepared", int, float], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A path to go down.

    Attributes:
        n_models: Models.
        n_train: Examples.
        n_targets: Targets.
        least: Last penalty over the first at which all coefficients vanish.
        n_penalties: Penalties.
        peers: Targets that each peer is timed on.
    """

    n_models: int
    n_train: int
    n_targets: int
    least: float
    n_penalties: int
    peers: dict[str, int]


CASES = {
    "sparse part": Case(2000, 1000, 500, 0.06, 12, {"scikit-learn": 100, "celer": 20}),
    "models < examples": Case(
        1000, 2000, 200, 0.15, 10, {"scikit-learn": 20, "celer": 10}
    ),
    "dense end": Case(2000, 1000, 500, 0.01, 20, {"scikit-learn": 50}),
}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that any solver starts from."""

    x: np.ndarray
    y: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    squares: np.ndarray
    alphas: np.ndarray


def prepare(case: Case) -> Prepared:
    """Return data, moments and penalties."""
    sample = study(case.n_models, case.n_train, case.n_targets)
    x, y = (part.numpy() for part in centred(sample))
    cross = np.ascontiguousarray((x.T @ y).T) / len(x)
    shape = np.geomspace(1, case.least, case.n_penalties + 1)[1:]
    return Prepared(
        x=np.asfortranarray(x),
        y=np.asfortranarray(y),
        gram=x.T @ x / len(x),
        cross=cross,
        squares=(y**2).mean(0),
        alphas=np.abs(cross).max(1)[:, None] * shape,
    )


def ours(data: Prepared, n_targets: int) -> np.ndarray:
    """Return coefficients [targets, penalties, train]."""
    none = np.zeros((0, 0))
    lengths = np.full(n_targets, data.alphas.shape[1])
    found, _ = descend(
        data.gram,
        data.cross[:n_targets],
        data.squares[:n_targets],
        data.alphas[:n_targets],
        lengths,
        GAP,
        True,
        1,
        none,
        none,
        np.zeros(0),
    )
    return found


def scikit_learn(data: Prepared, n_targets: int, tolerance: float) -> np.ndarray:
    """Return the same by its path with the Gram matrix given, a target at a time."""
    m = len(data.x)
    gram, found = m * data.gram, []
    for t in range(n_targets):
        _, path, _ = sklearn_path(
            data.x,
            data.y[:, t],
            alphas=data.alphas[t],
            precompute=gram,
            Xy=m * data.cross[t],
            tol=tolerance,
            max_iter=20_000,
            check_input=False,
            copy_X=False,
        )
        found.append(path.T)
    return np.stack(found)


def celer(data: Prepared, n_targets: int, tolerance: float) -> np.ndarray:
    """Return the same by celer, which works on the rows."""
    from celer import celer_path

    found = []
    for t in range(n_targets):
        _, path, _ = celer_path(
            data.x, data.y[:, t], "lasso", alphas=data.alphas[t], tol=tolerance
        )
        found.append(path.T)
    return np.stack(found)


SOLVERS: dict[str, Solve] = {"scikit-learn": scikit_learn, "celer": celer}


def largest_gap(data: Prepared, found: np.ndarray) -> float:
    """Return the largest relative duality gap of a solver's coefficients."""
    n_targets, n_penalties, _ = found.shape
    gaps = [
        duality_gap(
            torch.from_numpy(data.gram),
            torch.from_numpy(data.cross[:n_targets].T),
            torch.from_numpy(data.squares[:n_targets]),
            torch.from_numpy(np.ascontiguousarray(found[:, k].T)),
            torch.from_numpy(2 * data.alphas[:n_targets, k]),
        )
        for k in range(n_penalties)
    ]
    return float(torch.stack(gaps).max())


def loosest(data: Prepared, solve: Solve) -> float:
    """Return the largest tolerance at which a peer reaches the gap on some targets.

    A peer's tolerance is relative to |y|^2, twice the objective at 0, but what it
    reaches depends on how often it looks.
    """
    for factor in LOOSER:
        found = solve(data, TRIED, factor * GAP / 2)
        if largest_gap(data, found) <= GAP:
            return factor * GAP / 2
    return GAP / 2


def measure(case: Case) -> dict[str, Any]:
    """Return times, ratios and gaps of one case, solvers taking turns."""
    data = prepare(case)
    times: dict[str, list[float]] = {name: [] for name in ("ours", *case.peers)}
    gaps: dict[str, float] = {}
    tolerances = {name: loosest(data, SOLVERS[name]) for name in case.peers}
    for _ in range(REPEATS):
        taken, found = seconds(lambda: ours(data, case.n_targets))
        times["ours"].append(taken)
        gaps["ours"] = largest_gap(data, found)
        support = (found != 0).sum(2).mean(0)
        for name, n_targets in case.peers.items():
            taken, found = seconds(
                lambda name=name, n=n_targets: SOLVERS[name](data, n, tolerances[name])
            )
            times[name].append(taken * case.n_targets / n_targets)
            gaps[name] = largest_gap(data, found)
    return {
        "models": case.n_models,
        "examples": case.n_train,
        "targets": case.n_targets,
        "penalties": case.n_penalties,
        "mean support, first and last penalty": [float(support[0]), float(support[-1])],
        "targets that peers were timed on": case.peers,
        "tolerances that peers were given": tolerances,
        "largest relative duality gap": gaps,
        "CPU seconds": {n: median_with_interval(t) for n, t in times.items()},
        "peer over ours": {n: ratios(times[n], times["ours"]) for n in case.peers},
    }


def growth() -> dict[str, Any]:
    """Return time against size along the sparse part, m = 2N and 100 targets."""
    curves: dict[str, list[float]] = {"this package": [], "scikit-learn, Gram": []}
    for n_train in SIZES:
        data = prepare(Case(2 * n_train, n_train, 100, 0.06, 12, {}))
        best = min(seconds(lambda data=data: ours(data, 100))[0] for _ in range(5))
        curves["this package"].append(best)
        taken, _ = seconds(lambda data=data: scikit_learn(data, 20, GAP / 2))
        curves["scikit-learn, Gram"].append(5 * taken)
    plot_growth("lasso", SIZES, curves)
    return {
        "examples": SIZES,
        "CPU seconds": curves,
        "slope": {name: slope(SIZES, times) for name, times in curves.items()},
    }


def main() -> None:
    """Run the benchmark."""
    try:
        import celer as _celer  # noqa: F401
    except ImportError:
        sys.exit("error: this benchmark compares with celer: pip install celer")
    # Compiling, and celer's remarks on its own progress, are not what is measured.
    warnings.simplefilter("ignore")
    small = prepare(Case(40, 20, 2, 0.1, 3, {}))
    ours(small, 2)
    for solve in SOLVERS.values():
        solve(small, 2, GAP)
    result = {
        "benchmark": "lasso",
        "peer": "scikit-learn's lasso_path with the Gram matrix given; celer_path",
        "threads": 1,
        "cases": {name: measure(case) for name, case in CASES.items()},
        "time against size": growth(),
        "machine": machine("scikit-learn", "celer", "numba", "numpy", "torch"),
    }
    publish("lasso", result)


if __name__ == "__main__":
    with one_thread():
        main()
