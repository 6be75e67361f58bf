"""Data that do not fit: chunks, budgets, and stores that survive their writers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import peak_bytes, table
from torch import Tensor, nn

from dmtheory import GaussNewton, influence
from dmtheory.influence.at_models import stored
from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.curvature import Curvature, EmpiricalFisher, ExactHessian
from dmtheory.influence.solvers import (
    ConjugateGradients,
    Dense,
    Diagonal,
    Nystroem,
    Solver,
    Woodbury,
)
from dmtheory.problems import MLP, SGD, Network
from dmtheory.responses.remote import StoreError

HERE = Path(__file__).parent
DAMPING = 2.0


def network(n_train: int, n_targets: int = 7, **changes: Any) -> Network:
    stated: dict[str, Any] = {
        "make_module": MLP((4, 12, 3)),
        "data": table(n_train, 4, n_targets=n_targets, classes=3, seed=1),
        "training": SGD(epochs=1, batch_size=50, weight_decay=0.05),
    }
    return Network(**{**stated, **changes})


def wide() -> nn.Module:
    """A module without linear layers alone, so that products go through its rows."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 4)),
        nn.Conv1d(1, 40, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 3),
    )


def params_of(problem: Network, seed: int = 0) -> Tensor:
    return problem.initial(torch.tensor([seed]))[0]


WAYS: list[tuple[Curvature, Solver | None]] = [
    (GaussNewton(), ConjugateGradients(tolerance=1e-12)),
    (GaussNewton(), ConjugateGradients(tolerance=1e-12, preconditioner=Diagonal())),
    (GaussNewton(), Nystroem(rank=10)),
    (GaussNewton(), Dense()),
    (ExactHessian(), None),
    (EmpiricalFisher(), Woodbury()),
]


@pytest.mark.parametrize("make", [MLP((4, 12, 3)), wide], ids=["layers", "rows"])
@pytest.mark.parametrize(("curvature", "solver"), WAYS)
def test_numbers_are_the_same_whatever_the_chunks(
    curvature: Curvature,
    solver: Solver | None,
    make: Callable[[], nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = network(23, make_module=make)
    stated: Any = {
        "curvature": curvature,
        "solver": solver,
        "damping": DAMPING,
        "parameters": params_of(problem),
    }
    whole = influence(problem, **stated).scores
    # Five examples, three columns and two targets at a time.
    asked = []
    monkeypatch.setattr(Budget, "rows", lambda *_: asked.append("rows") or 5)
    monkeypatch.setattr(Budget, "tile", lambda *_, **__: asked.append("tile") or (5, 3))
    parts = influence(problem, **stated).scores
    assert "rows" in asked
    near = 1e-9 * whole.abs().max().item()
    torch.testing.assert_close(parts, whole, rtol=0, atol=near)


@pytest.mark.parametrize("make", [MLP((4, 60, 3)), wide], ids=["layers", "rows"])
@pytest.mark.parametrize("curvature", [GaussNewton(), ExactHessian()])
def test_chunks_stay_in_the_budget(
    curvature: Curvature, make: Callable[[], nn.Module]
) -> None:
    # All gradients would take 1500 x 483 x 8 bytes = 6 MB, all activations more.
    n, c, t = 1500, 3, 5
    problem = network(n, n_targets=t, make_module=make)
    params = params_of(problem)
    loose = ConjugateGradients(tolerance=0.9)
    stated: Any = {"curvature": curvature, "damping": 2.0, "solver": loose}

    def at(memory: int) -> int:
        return peak_bytes(
            lambda: influence(problem, parameters=params, memory=memory, **stated)
        )

    influence(problem, parameters=params, **stated)
    # What no chunk holds: weights, predictions, slopes, roots or blocks, scores.
    kept = 8 * n * (3 + 4 * c + 3 * c**2 + 3 * t)
    memory = 2**21
    assert at(memory) < memory + kept
    assert at(2**28) > 3 * (memory + kept)


def test_a_store_is_resumed_and_holds_what_a_call_returns(tmp_path: Path) -> None:
    problem = network(12, n_targets=150)
    counts: list[int] = []
    stated: Any = {
        "curvature": GaussNewton(),
        "damping": DAMPING,
        "n_seeds": 2,
        "seed": 3,
        "coordinates": [7, 2, 4],
    }
    plain = influence(problem, **stated)
    place = tmp_path / "scores"
    found = influence(problem, store=place, progress=counts.append, **stated)
    torch.testing.assert_close(found.scores, plain.scores, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.stderr, plain.stderr, rtol=0, atol=1e-12)
    assert found.train_labels == ("row 7", "row 2", "row 4")
    assert sum(counts) == 2 * 150
    assert len(counts) == 5  # blocks of 64 of the 300 rows
    assert "residual at most" in found.method
    # Found, not computed: nothing is prepared any more.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "at_model", None)
        again = influence(problem, store=place, **stated)
    assert torch.equal(again.scores, found.scores)
    assert again.method == found.method
    for change in (
        {"damping": 0.6},
        {"curvature": ExactHessian(), "damping": 5.0},
        {"seed": 4},
        {"coordinates": [7, 2]},
        {"solver": Dense()},
        {"memory": 2**29},
    ):
        with pytest.raises(StoreError, match="store holds another run"):
            influence(problem, store=place, **{**stated, **change})


def test_a_damaged_block_is_computed_anew(tmp_path: Path) -> None:
    problem = network(12, n_targets=70)
    stated: Any = {
        "curvature": GaussNewton(),
        "damping": DAMPING,
        "store": tmp_path / "scores",
    }
    before = influence(problem, **stated).scores
    chunk = next(p for p in (tmp_path / "scores/outputs").rglob("c/0/0"))
    content = bytearray(chunk.read_bytes())
    content[40] ^= 1
    chunk.write_bytes(content)
    assert torch.equal(influence(problem, **stated).scores, before)


# Kills a writer at the n-th place that a block's write reaches, for every n, resuming
# each time, and prints whether the bytes are those of a run that nobody killed.
KILLING = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
import test_large
from dmtheory import GaussNewton, influence
from dmtheory.responses import store as stores

folder = Path(sys.argv[1])
problem = test_large.network(12, n_targets=150)
params = torch.stack([test_large.params_of(problem, seed) for seed in range(2)])


def run(place, death):
    reached = iter(range(1, death)) if death else None

    def die(where):
        if reached is not None and next(reached, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    stores.reached = die
    influence(
        problem, curvature=GaussNewton(), damping=0.5, parameters=params, store=place
    )


def forked(place, death):
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = 1
    try:
        run(place, death)
        code = 0
    finally:
        os._exit(code)


def contents(place):
    files = (p for p in place.rglob("*") if p.is_file())
    return {str(p.relative_to(place)): p.read_bytes() for p in files}


codes = [forked(folder / "truth", 0)]
for death in (1, 2, 3, 4, 6, 11, 0):
    codes.append(forked(folder / "killed", death))
same = contents(folder / "truth") == contents(folder / "killed")
n_files = len(contents(folder / "truth"))
print(json.dumps({"codes": codes, "same": same, "files": n_files}))
"""


def test_a_killed_run_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    paths = os.pathsep.join(map(str, (HERE.parent, HERE.parents[1])))
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", KILLING, str(tmp_path), str(HERE)],
        env={**os.environ, **threads, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["codes"] == [0, *[-9] * 6, 0]
    assert report["same"]
    assert report["files"] > 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("curvature", [GaussNewton(), ExactHessian()])
def test_a_gpu_gives_the_same_numbers(curvature: Curvature) -> None:
    problem = network(40)
    params = params_of(problem)
    stated: Any = {"curvature": curvature, "damping": DAMPING}
    here = influence(problem, parameters=params, **stated).scores
    there = influence(problem, parameters=params.cuda(), **stated).scores
    torch.testing.assert_close(there, here, rtol=0, atol=1e-10)
