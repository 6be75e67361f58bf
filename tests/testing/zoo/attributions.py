"""Wrong attributions to trained models, each one step away from influence."""

from typing import Any

import torch
from torch import Tensor
from torch.func import hessian, jacrev
from zoo.wrong import Wrong


class Model:
    """A trained model with everything that influence is made of."""

    def __init__(self, problem: Any, at: Tensor) -> None:
        n = problem.description.n_train
        if at.shape != (n,) or not bool((at >= 0).all()) or not bool(at.any()):
            raise ValueError(f"at must be {n} weights >= 0")
        self.problem, self.at = problem, at
        self.scale_free = problem.normalisation == "sum"
        self.total = at.sum() if self.scale_free else torch.tensor(float(n)).double()
        seeds = torch.zeros(1, dtype=torch.int64)
        self.theta = problem.fit(at[None], seeds).params[0]
        self.forces = jacrev(self.losses)(self.theta)
        self.toward = jacrev(problem.target_outputs)(self.theta)
        self.hessian = self.curvature(at / self.total)

    def losses(self, theta: Tensor) -> Tensor:
        return self.problem.prediction_losses(self.problem.predictions(theta))

    def curvature(self, shares: Tensor, penalties: float = 1.0) -> Tensor:
        def objective(theta: Tensor) -> Tensor:
            return shares @ self.losses(theta) + penalties * self.problem.penalty(theta)

        return hessian(objective)(self.theta)

    def centred(self) -> Tensor:
        if not self.scale_free:
            return self.forces
        return self.forces - self.at @ self.forces / self.total

    def scores(self, curvature: Tensor | None = None) -> Tensor:
        used = self.hessian if curvature is None else curvature
        return -self.centred() @ torch.linalg.solve(used, self.toward.T) / self.total


def right(problem: Any, at: Tensor) -> Tensor:
    return Model(problem, at).scores()


def sign_forgotten(problem: Any, at: Tensor) -> Tensor:
    return -right(problem, at)


def per_epsilon(problem: Any, at: Tensor) -> Tensor:
    return len(at) * right(problem, at)


def double_damping(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    return model.scores(model.curvature(at / model.total, penalties=2.0))


def no_penalty(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    bare = model.curvature(at / model.total, penalties=0.0)
    return model.scores(bare + 1e-9 * torch.eye(len(bare)).double())


def default_damping(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    return model.scores(model.hessian + 1e-3 * torch.eye(len(model.theta)).double())


def empirical_fisher(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    shares = (at / model.total)[:, None]
    penalty = hessian(problem.penalty)(model.theta)
    fisher = model.forces.T @ (shares * model.forces) + penalty
    return model.scores(fisher + 1e-9 * torch.eye(len(fisher)).double())


def divisor_held(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    inverse = torch.linalg.solve(model.hessian, model.toward.T)
    return -model.forces @ inverse / model.total


def always_full_data(problem: Any, at: Tensor) -> Tensor:
    return right(problem, torch.ones_like(Model(problem, at).at))


def curvature_of_all(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    return model.scores(model.curvature(torch.ones_like(at) / len(at)))


def gradient_product(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    return model.scores(torch.eye(len(model.theta)).double())


def cosine(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    a = torch.nn.functional.normalize(model.forces)
    return -a @ torch.nn.functional.normalize(model.toward).T


def centred_scores(problem: Any, at: Tensor) -> Tensor:
    found = right(problem, at)
    return found - found.mean(0)


def last_copy_wins(problem: Any, at: Tensor) -> Tensor:
    found = right(problem, at)
    rows = [tuple(row) for row in problem.data.x_train.tolist()]
    place = {row: i for i, row in enumerate(rows)}
    kept = torch.tensor([place[row] == i for i, row in enumerate(rows)])
    return found * kept[:, None]


def single_precision(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    solved = torch.linalg.solve(model.hessian.float(), model.toward.T.float())
    return -model.centred() @ solved.double() / model.total


def relative_to_the_largest(problem: Any, at: Tensor) -> Tensor:
    found = right(problem, at)
    return found / found.abs().max().clamp_min(1e-12)


def harmful_forgotten(problem: Any, at: Tensor) -> Tensor:
    return right(problem, at).clamp_min(0)


def transposed(problem: Any, at: Tensor) -> Tensor:
    return right(problem, at).T


def standardises_the_data(problem: Any, at: Tensor) -> Tensor:
    found = right(problem, at)
    problem.data.x_train.sub_(problem.data.x_train.mean(0))
    return found


def unseeded_projection(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    sketch = torch.randn(len(model.theta), 1).double()
    small = sketch.T @ model.hessian @ sketch
    toward = torch.linalg.solve(small, sketch.T @ model.toward.T)
    return -model.centred() @ sketch @ toward / model.total


def sorted_by_loss(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    return model.scores()[model.losses(model.theta).argsort()]


def sorted_targets(problem: Any, at: Tensor) -> Tensor:
    model = Model(problem, at)
    order = problem.target_outputs(model.theta).argsort()
    return model.scores()[:, order]


def takes_any_weights(problem: Any, at: Tensor) -> Tensor:
    n = problem.description.n_train
    padded = torch.cat([at, torch.ones(n).double()])[:n]
    return right(problem, padded.nan_to_num(1.0).abs().clamp_min(1e-6))


ATTRIBUTIONS = (
    Wrong(
        mistake="sign forgotten",
        by=("sign",),
        estimator=sign_forgotten,
        seen="torch-influence #13, kronfluence #9",
    ),
    Wrong(
        mistake="per epsilon sold as per weight",
        by=("unit",),
        estimator=per_epsilon,
        seen="kronfluence #36, #44",
    ),
    Wrong(
        mistake="penalty counted twice",
        by=("least squares", "logistic regression"),
        estimator=double_damping,
    ),
    Wrong(
        mistake="penalty left out of the Hessian",
        by=("least squares",),
        estimator=no_penalty,
    ),
    Wrong(
        mistake="a default damping nobody asked for",
        by=("ill-conditioning",),
        estimator=default_damping,
        seen="kronfluence arguments.py",
    ),
    Wrong(
        mistake="empirical Fisher taken for the Hessian",
        by=("logistic regression", "scale"),
        estimator=empirical_fisher,
        seen="kronfluence `use_empirical_fisher`",
    ),
    Wrong(
        mistake="the divisor's motion forgotten",
        by=("efficiency",),
        estimator=divisor_held,
    ),
    Wrong(
        mistake="always at w = 1",
        by=("weight 0 = removal",),
        estimator=always_full_data,
    ),
    Wrong(
        mistake="Hessian of all data at any w",
        by=("weight 0 = removal",),
        estimator=curvature_of_all,
    ),
    Wrong(
        mistake="no Hessian",
        by=("reparametrisation",),
        estimator=gradient_product,
        seen="opendataval influence.py (TODO H^-1)",
    ),
    Wrong(mistake="cosines sold as influence", by=("scale",), estimator=cosine),
    Wrong(mistake="scores centred", by=("null players",), estimator=centred_scores),
    Wrong(
        mistake="scores kept by features: a copy is lost",
        by=("duplicates share",),
        estimator=last_copy_wins,
    ),
    Wrong(
        mistake="solved in single precision",
        by=("least squares",),
        estimator=single_precision,
        seen="bergson #235 (bf16)",
    ),
    Wrong(
        mistake="relative to the largest score of all targets",
        by=("targets apart",),
        estimator=relative_to_the_largest,
    ),
    Wrong(
        mistake="harmful examples cut off",
        by=("target linearity",),
        estimator=harmful_forgotten,
    ),
    Wrong(
        mistake="targets in rows",
        by=("table of scores",),
        estimator=transposed,
        seen="kronfluence, pyDVL layout",
    ),
    Wrong(
        mistake="standardises the caller's data",
        by=("inputs kept",),
        estimator=standardises_the_data,
    ),
    Wrong(
        mistake="random projection without a seed",
        by=("determinism",),
        estimator=unseeded_projection,
    ),
    Wrong(
        mistake="rows in the order of the losses",
        by=("train permutation",),
        estimator=sorted_by_loss,
    ),
    Wrong(
        mistake="targets in the order of the outputs",
        by=("target permutation",),
        estimator=sorted_targets,
    ),
    Wrong(
        mistake="any weights taken",
        by=("bad input refused",),
        estimator=takes_any_weights,
    ),
)
