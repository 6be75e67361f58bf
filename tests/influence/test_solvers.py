"""Solvers against numpy's solution of the written matrix."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.curvature import (
    EKFAC,
    EmpiricalFisher,
    ExactHessian,
    GaussNewton,
)
from dmtheory.influence.curvature.operators import OuterProduct
from dmtheory.influence.curvature.regulariser import Regulariser
from dmtheory.influence.solvers import (
    ConjugateGradients,
    Dense,
    Diagonal,
    Eigendecomposition,
    InEigenbasis,
    Lanczos,
    Lissa,
    Nystroem,
    Solver,
    Woodbury,
    chosen_solver,
    solve,
)
from dmtheory.problems import MLP, SGD, Network

N_TRAIN = 6
DAMPING = 0.05


def network(**changes: Any) -> Network:
    stated: dict[str, Any] = {
        "make_module": MLP((4, 5, 3)),
        "data": table(N_TRAIN, 4, classes=3, seed=2),
        "training": SGD(epochs=4, batch_size=3, weight_decay=0.02),
    }
    return Network(**{**stated, **changes})


PROBLEM = network()
N_PARAMS = 43


def operator(curvature: Any = GaussNewton(), *, trained: bool = False) -> Any:  # noqa: B008
    """Return the curvature at random or at trained parameters, with uneven weights."""
    params = 0.5 * normal(N_PARAMS, seed=3)
    if trained:
        params = PROBLEM.fit(torch.ones(1, N_TRAIN).double(), no_seeds(1)).params[0]
    scaled = weight_rows(1, N_TRAIN, seed=4)[0] / 4
    return curvature.operator(PROBLEM, params, scaled)


SIDES = torch.cat([normal(N_PARAMS, 6, seed=5), torch.zeros(N_PARAMS, 1).double()], 1)


def truth(made: Any, damping: float = DAMPING, sides: Tensor = SIDES) -> Tensor:
    matrix = made.dense().numpy() + damping * np.eye(len(made.params))
    return torch.from_numpy(np.linalg.solve(matrix, sides.numpy()))


EXACT: dict[str, tuple[Solver, float]] = {
    "dense": (Dense(), 1e-10),
    "eigendecomposition": (Eigendecomposition(), 1e-10),
    "woodbury": (Woodbury(), 1e-10),
    "cg": (ConjugateGradients(tolerance=1e-10), 1e-8),
    "cg diagonal": (
        ConjugateGradients(tolerance=1e-10, preconditioner=Diagonal()),
        1e-8,
    ),
    "cg nystroem": (
        ConjugateGradients(tolerance=1e-10, preconditioner=Nystroem(rank=5)),
        1e-8,
    ),
    # Of full rank, or deep enough, the approximations are exact too.
    "nystroem": (Nystroem(rank=N_PARAMS), 1e-9),
    "lanczos": (Lanczos(rank=N_PARAMS), 1e-9),
    "lissa": (Lissa(depth=1500), 1e-8),
}


@pytest.mark.parametrize("name", EXACT)
def test_solutions_are_numpys(name: str) -> None:
    made, (solver, near) = operator(), EXACT[name]
    expected = truth(made)
    found = solve(made, SIDES, solver=solver, damping=DAMPING)
    error = (found.solution - expected).norm(dim=0) / expected.norm(dim=0).clamp_min(1)
    assert error.max() < near
    assert not found.solution[:, -1].any()  # the side that is zero
    # The residual is what the matrix says, not what the recursion believes.
    matrix = made.dense() + DAMPING * torch.eye(N_PARAMS).double()
    left = (matrix @ found.solution - SIDES).norm(dim=0)
    size = SIDES.norm(dim=0).clamp_min(1e-300)
    torch.testing.assert_close(found.residual, left / size, rtol=1e-2, atol=1e-13)


@pytest.mark.parametrize("name", ["dense", "eigendecomposition", "cg", "cg diagonal"])
def test_an_indefinite_hessian_is_solved_once_damping_makes_it_positive(
    name: str,
) -> None:
    made = operator(ExactHessian())
    lowest = torch.linalg.eigvalsh(made.dense())[0].item()
    assert lowest < -0.01
    damping = -lowest + 0.2
    found = solve(made, SIDES, solver=EXACT[name][0], damping=damping)
    expected = truth(made, damping)
    torch.testing.assert_close(found.solution, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    "solver",
    [
        Dense(),
        Eigendecomposition(),
        ConjugateGradients(),
        ConjugateGradients(preconditioner=Nystroem(rank=8)),
        Nystroem(rank=N_PARAMS),
        Lanczos(rank=10, steps=N_PARAMS),
    ],
    ids=lambda solver: solver.name,
)
def test_negative_curvature_is_detected_with_the_remedy(solver: Solver) -> None:
    with pytest.raises(ValueError, match="exact Hessian positive definite, but") as e:
        solve(operator(ExactHessian()), SIDES, solver=solver, damping=0.0)
    assert "raise damping, or use the Gauss-Newton curvature" in str(e.value)
    assert "damping 0 leaves" in str(e.value)


def test_lissa_says_when_it_diverges() -> None:
    for made, scale in ((operator(ExactHessian()), None), (operator(), 0.01)):
        with pytest.raises(ValueError, match="scale must make LiSSA converge"):
            solve(made, SIDES, solver=Lissa(depth=2000, scale=scale))


def test_lissa_sees_negative_curvature_in_what_is_left_before_it_diverges() -> None:
    # Along a direction of curvature c what is left is multiplied by 1 - c/scale a step.
    made = operator(ExactHessian())
    least, along = torch.linalg.eigh(made.dense())
    assert least[0] < 0
    side = along[:, -1:] + 1e-3 * along[:, :1]
    damping = 0.5 * least[0].abs().item()
    with pytest.raises(ValueError, match=r"positive definite, but damping .* raise d"):
        solve(made, side, solver=Lissa(depth=12), damping=damping)
    flat = Lissa(depth=12)
    found = solve(made, side, solver=flat, damping=1.05 * least[0].abs().item())
    assert 1e-6 < found.worst < 1


def test_lissa_in_batches_averages_to_the_solution() -> None:
    # The error of the mean of 40 runs is about a sixth of that of one run.
    made = operator()
    expected = truth(made, 0.5)
    stated = {"depth": 120, "batch": 2, "scale": 4.0, "seed": 1}
    one = solve(made, SIDES, solver=Lissa(**stated), damping=0.5)
    many = solve(made, SIDES, solver=Lissa(repeats=40, **stated), damping=0.5)
    errors = [(found.solution - expected).norm() for found in (one, many)]
    assert errors[0] > 0.003 * expected.norm()  # noisy, so that batches were taken
    assert errors[1] < 0.4 * errors[0]
    assert many.iterations == 40 * 120


def test_conjugate_gradients_never_stop_short_in_silence() -> None:
    made = operator()
    short = ConjugateGradients(tolerance=1e-12, max_iterations=3)
    with pytest.raises(ValueError, match="must reach a residual of 1e-12, got") as e:
        solve(made, SIDES, solver=short, damping=1e-4)
    assert "after 3 iterations: raise damping, max_iterations or tolerance" in str(
        e.value
    )
    loose = solve(made, SIDES, solver=ConjugateGradients(tolerance=1e-2), damping=0.05)
    tight = solve(made, SIDES, solver=ConjugateGradients(tolerance=1e-9), damping=0.05)
    assert 1e-5 < loose.worst <= 1e-2
    assert tight.worst <= 1e-9
    assert loose.iterations < tight.iterations <= N_PARAMS + 5


def test_preconditioners_save_iterations() -> None:
    made = operator(trained=True)
    stated = {"sides": SIDES, "damping": 1e-4}
    plain = solve(made, solver=ConjugateGradients(), **stated).iterations
    by = Nystroem(rank=20)
    fast = solve(made, solver=ConjugateGradients(preconditioner=by), **stated)
    assert fast.iterations < 0.5 * plain


@pytest.mark.parametrize("make", [Nystroem, Lanczos])
def test_low_rank_reports_what_it_misses(make: Any) -> None:
    made = operator()
    ranks = [1, 4, 12, N_PARAMS]
    found = [solve(made, SIDES, solver=make(rank=r), damping=DAMPING) for r in ranks]
    residuals = [solution.worst for solution in found]
    assert residuals[0] > 0.1
    assert residuals[-1] < 1e-9
    assert residuals[2] < residuals[0]
    assert found[1].iterations == (4 if make is Nystroem else 8)


@pytest.mark.parametrize("make", [Nystroem, Lanczos])
def test_low_rank_with_nothing_added_has_no_inverse(make: Any) -> None:
    bare = network(training=SGD(epochs=1, batch_size=3, weight_decay=0.0))
    made = GaussNewton().operator(bare, normal(N_PARAMS, seed=3), torch.ones(6) / 6.0)
    with pytest.raises(ValueError, match="damping must make damping"):
        solve(made, SIDES, solver=make(rank=3))


def test_one_eigendecomposition_serves_many_dampings() -> None:
    made, dampings = operator(), [0.0, 0.01, 1.0]
    found = Eigendecomposition().path(made, dampings, SIDES)
    for damping, solution in zip(dampings, found, strict=True):
        torch.testing.assert_close(
            solution.solution, truth(made, damping), rtol=1e-8, atol=1e-9
        )


def test_solvers_refuse_curvatures_that_they_cannot_use() -> None:
    with pytest.raises(TypeError, match="a sum of outer products for Woodbury"):
        solve(operator(ExactHessian()), SIDES, solver=Woodbury(), damping=1.0)
    with pytest.raises(TypeError, match=r"must be KFAC\(\) or EKFAC\(\)"):
        solve(operator(), SIDES, solver=InEigenbasis(), damping=1.0)
    with pytest.raises(ValueError, match="damping must be finite and >= 0, got -1"):
        solve(operator(), SIDES, solver=Dense(), damping=-1.0)
    with pytest.raises(ValueError, match="damping must be finite and >= 0, got nan"):
        solve(operator(), SIDES, solver=Dense(), damping=float("nan"))


def test_singular_to_rounding_is_no_solution() -> None:
    # A penalty of 1e-15 keeps Cholesky alive and the answer meaningless.
    made = operator()
    flat = Regulariser(
        curve=lambda v: 1e-15 * v, diagonal=torch.full((N_PARAMS,), 1e-15).double()
    )
    shrunk = replace(made, regulariser=flat)
    for solver in (Dense(), Woodbury(), Eigendecomposition()):
        with pytest.raises(ValueError, match=r"raise damping"):
            solve(shrunk, SIDES, solver=solver)


@dataclass
class Sized:
    """What the choice looks at, without the work."""

    rank: int
    n_params: int
    ridge: float = 0.1

    def outer(self) -> OuterProduct:
        made: OuterProduct = operator(EmpiricalFisher())
        return replace(
            made,
            params=torch.zeros(self.n_params).double(),
            rows=replace(made.rows, n_rows=self.rank),
            roots=torch.zeros(self.rank, 3, 1).double(),
            regulariser=Regulariser(
                curve=lambda v: v,
                diagonal=torch.full((self.n_params,), self.ridge).double(),
            ),
        )


@pytest.mark.parametrize(
    ("sized", "damping", "memory", "expected"),
    [
        (Sized(10, 300), 0.0, 2**30, "Cholesky"),
        (Sized(10, 3000), 0.0, 2**30, "Woodbury"),
        (Sized(2000, 3000), 0.0, 2**30, "Cholesky"),
        (Sized(10, 3000, ridge=0.0), 0.0, 2**30, "Cholesky"),
        (Sized(10, 3000, ridge=0.0), 0.1, 2**30, "Woodbury"),
        (Sized(2000, 3000), 0.0, 2**27, "conjugate gradients"),
        (Sized(400, 3000), 0.0, 2**24, "conjugate gradients"),
    ],
)
def test_the_choice_of_a_solver(
    sized: Sized, damping: float, memory: int, expected: str
) -> None:
    found = chosen_solver(sized.outer(), damping, Budget(memory))
    assert found.name == expected


def test_the_choice_for_kronecker_factors_is_their_own_basis() -> None:
    pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
    params = 0.5 * normal(N_PARAMS, seed=3)
    made = EKFAC().operator(PROBLEM, params, torch.ones(N_TRAIN).double() / N_TRAIN)
    solver = chosen_solver(made, 0.0, Budget())
    found = solve(made, SIDES, solver=solver, damping=DAMPING)
    assert found.worst < 1e-12
    torch.testing.assert_close(found.solution, truth(made))
