"""Wrong curvature operators, each one step away from a dense matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import hessian, jacrev
from zoo.wrong import Wrong


@dataclass(frozen=True)
class Matrix:
    """A matrix as an operator."""

    matrix: Tensor

    def product(self, vectors: Tensor) -> Tensor:
        return self.matrix @ vectors

    def dense(self) -> Tensor:
        return self.matrix


def losses_of(problem: Any) -> Callable[[Tensor], Tensor]:
    return lambda theta: problem.prediction_losses(problem.predictions(theta))


def of_losses(problem: Any, params: Tensor, shares: Tensor) -> Tensor:
    losses = losses_of(problem)
    return hessian(lambda theta: shares @ losses(theta))(params)


def penalty(problem: Any, params: Tensor) -> Tensor:
    return hessian(problem.penalty)(params)


def exact(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    return Matrix(of_losses(problem, params, shares) + penalty(problem, params))


def changed(change: Callable[[Tensor], Tensor]) -> Callable[..., Matrix]:
    """Return the exact Hessian, changed."""
    return lambda *stated: Matrix(change(exact(*stated).matrix))


def gauss_newton(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    z = problem.predictions(params)
    jacobian = jacrev(problem.predictions)(params)
    blocks = torch.stack([
        hessian(
            lambda one, j=j: problem.prediction_losses(
                torch.cat([z[:j], one[None], z[j + 1 :]])
            )[j]
        )(z[j])
        for j in range(len(z))
    ])
    data = torch.einsum("j,jcp,jcd,jdq->pq", shares, jacobian, blocks, jacobian)
    return Matrix(data + penalty(problem, params))


def empirical(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    forces = jacrev(losses_of(problem))(params)
    return Matrix(forces.T @ (shares[:, None] * forces) + penalty(problem, params))


def monte_carlo(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    """One drawn output a prediction: J' S u, u standard normal."""
    jacobian = jacrev(problem.predictions)(params)
    drawn = torch.randn(jacobian.shape[:2]).double()
    forces = torch.einsum("jc,jcp->jp", drawn, jacobian)
    return Matrix(forces.T @ (shares[:, None] * forces) + penalty(problem, params))


def unweighted(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    return exact(problem, params, torch.ones_like(shares) / len(shares))


def no_penalty(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    return Matrix(of_losses(problem, params, shares))


def double_damping(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    return Matrix(exact(problem, params, shares).matrix + penalty(problem, params))


def last_batch_dropped(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    kept = shares.clone()
    kept[2 * (len(shares) // 2) :] = 0.0
    kept[-1] *= 0.5
    return exact(problem, params, kept)


def weights_renormalised(problem: Any, params: Tensor, shares: Tensor) -> Matrix:
    return exact(problem, params, shares / shares.sum())


def transposed_result(problem: Any, params: Tensor, shares: Tensor) -> Any:
    class Flat(Matrix):
        def product(self, vectors: Tensor) -> Tensor:
            return (self.matrix @ vectors).T

    return Flat(exact(problem, params, shares).matrix)


def normalises(problem: Any, params: Tensor, shares: Tensor) -> Any:
    class Unit(Matrix):
        def product(self, vectors: Tensor) -> Tensor:
            return self.matrix @ (vectors / vectors.norm(dim=0))

    return Unit(exact(problem, params, shares).matrix)


def mixes_sides(problem: Any, params: Tensor, shares: Tensor) -> Any:
    class Mixed(Matrix):
        def product(self, vectors: Tensor) -> Tensor:
            centred = vectors - 0.1 * vectors.mean(1, keepdim=True)
            return self.matrix @ centred

    return Mixed(exact(problem, params, shares).matrix)


def in_place(problem: Any, params: Tensor, shares: Tensor) -> Any:
    found = exact(problem, params, shares)
    shares.div_(shares.sum())
    return found


def takes_any_vector(problem: Any, params: Tensor, shares: Tensor) -> Any:
    class Padded(Matrix):
        def product(self, vectors: Tensor) -> Tensor:
            n = len(self.matrix)
            rest = torch.zeros(max(n - len(vectors), 0), vectors.shape[1]).double()
            return self.matrix @ torch.cat([vectors, rest])[:n]

    return Padded(exact(problem, params, shares).matrix)


def dense_without_penalty(problem: Any, params: Tensor, shares: Tensor) -> Any:
    class Other(Matrix):
        def dense(self) -> Tensor:
            return self.matrix - penalty(problem, params)

    return Other(exact(problem, params, shares).matrix)


def shared_buffer() -> Callable[..., Any]:
    """Return operators that all look at the parameters asked for last."""
    buffer: dict[str, Tensor] = {}

    class Buffered:
        def product(self, vectors: Tensor) -> Tensor:
            return buffer["matrix"] @ vectors

    def make(problem: Any, params: Tensor, shares: Tensor) -> Any:
        buffer["matrix"] = exact(problem, params, shares).matrix
        return Buffered()

    return make


CURVATURES = (
    Wrong(
        mistake="Gauss-Newton taken for the Hessian",
        by=("dense oracle",),
        estimator=gauss_newton,
        seen="pyDVL `SecondOrderMode`",
    ),
    Wrong(
        mistake="empirical Fisher taken for the Fisher",
        by=("dense oracle",),
        estimator=empirical,
        kind="fisher",
        seen="kronfluence `use_empirical_fisher`",
    ),
    Wrong(
        mistake="one drawn label taken for the Fisher",
        by=("determinism",),
        estimator=monte_carlo,
        kind="fisher",
        seen="default of curvlinops and kronfluence",
    ),
    Wrong(
        mistake="Hessian taken for Gauss-Newton",
        by=("positive",),
        estimator=exact,
        kind="gauss-newton",
    ),
    Wrong(
        mistake="weights ignored",
        by=("weight 0 = removal", "weights add up"),
        estimator=unweighted,
    ),
    Wrong(
        mistake="weights renormalised",
        by=("weights add up",),
        estimator=weights_renormalised,
    ),
    Wrong(mistake="penalty left out", by=("penalty once",), estimator=no_penalty),
    Wrong(
        mistake="penalty counted twice", by=("penalty once",), estimator=double_damping
    ),
    Wrong(
        mistake="the last batch counted by its own size",
        by=("train permutation",),
        estimator=last_batch_dropped,
        seen="dattri: one batch only",
    ),
    Wrong(
        mistake="only the upper triangle filled in",
        by=("symmetry",),
        estimator=changed(torch.triu),
    ),
    Wrong(
        mistake="single precision",
        by=("dense oracle",),
        estimator=changed(lambda matrix: matrix.float().double()),
    ),
    Wrong(
        mistake="diagonal taken for the matrix",
        by=("dense oracle",),
        estimator=changed(lambda matrix: torch.diag(matrix.diagonal())),
    ),
    Wrong(
        mistake="sides in rows", by=("shape of products",), estimator=transposed_result
    ),
    Wrong(mistake="vectors normalised", by=("linearity",), estimator=normalises),
    Wrong(
        mistake="columns of a product mixed",
        by=("chunk invariance",),
        estimator=mixes_sides,
    ),
    Wrong(
        mistake="the caller's weights divided in place",
        by=("inputs kept",),
        estimator=in_place,
    ),
    Wrong(
        mistake="vectors padded to length",
        by=("bad input refused",),
        estimator=takes_any_vector,
    ),
    Wrong(
        mistake="dense form without the penalty",
        by=("dense form",),
        estimator=dense_without_penalty,
    ),
    Wrong(
        mistake="operators share one buffer",
        by=("point kept",),
        estimator=shared_buffer(),
    ),
)
