"""Logistic regressions on many weight vectors, against loops over scikit-learn.

    python -m benchmarks.convex

Both sides solve the same penalised objectives to a gradient of 1e-10, on tensors in
memory, with one thread each; CPU time, sides in turn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression as Reference
from torch import Tensor

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
from dmtheory.problems import LogisticRegression, SoftmaxRegression
from dmtheory.problems.linear_classifier import LinearClassifier

MODELS = 256
REPEATS = 7
# The slow peer fits so many of the models; its time is scaled up.
SOFTMAX_PEER_MODELS = 32


def standardised(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features with mean 0 and variance 1."""
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-9), y


def table(x: np.ndarray, y: np.ndarray, n_train: int) -> Dataset:
    """Return features with an intercept; the last rows are targets."""
    x = np.hstack([x, np.ones((len(x), 1))])
    rows = torch.from_numpy(x)
    return Dataset(
        name="benchmark",
        x_train=rows[:n_train],
        y_train=torch.from_numpy(y[:n_train]),
        x_target=rows[n_train : n_train + 10],
        y_target=torch.from_numpy(y[n_train : n_train + 10]),
        x_held_out=rows[n_train + 10 :],
        y_held_out=torch.from_numpy(y[n_train + 10 :]),
        train_labels=numbered("row", n_train),
        target_labels=numbered("question", 10),
    )


def gradient_norms(
    problem: LinearClassifier, weights: Tensor, params: Tensor
) -> Tensor:
    """Return the largest gradient entry of J at each model's parameters."""

    def one(w: Tensor, theta: Tensor) -> Tensor:
        losses = problem.prediction_losses(problem.predictions(theta))
        return w @ losses / w.sum() + problem.penalty(theta)

    slopes = torch.func.vmap(torch.func.grad(one, argnums=1))(weights, params)
    return slopes.abs().amax(1)


def by_scikit_learn(
    problem: LinearClassifier, weights: Tensor, solver: str
) -> Callable[[], Tensor]:
    """Return a loop of fits of the same objectives; it returns their parameters."""
    x, y = problem.data.x_train.numpy(), problem.data.y_train.numpy()
    rows = weights.numpy()

    def loop() -> Tensor:
        found = []
        for w in rows:
            reference = Reference(
                C=1 / (problem.ridge * w.sum()),
                solver=solver,
                fit_intercept=False,
                tol=1e-10,
                max_iter=1000,
            )
            reference.fit(x, y, sample_weight=w)
            # Features first, then classes.
            found.append(torch.from_numpy(reference.coef_.T.copy()).flatten())
        return torch.stack(found)

    return loop


def compare(
    problem: LinearClassifier, solver: str, n_peer: int, flops: float
) -> dict[str, Any]:
    """Return times of both sides in turn, their ratio and their certificates."""
    law = Bernoulli(p=0.5, seed=0)
    weights = law.weights(torch.arange(MODELS), problem.data.n_train)
    seeds = torch.zeros(MODELS, dtype=torch.int64)
    loop = by_scikit_learn(problem, weights[:n_peer], solver)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(REPEATS):
        spent, fit = seconds(lambda: problem.fit(weights, seeds))
        ours.append(spent)
        spent, reference = seconds(loop)
        theirs.append(spent * MODELS / n_peer)
    return {
        "peer": f"loop over scikit-learn's {solver}, {n_peer} of {MODELS} models",
        "seconds": {
            "ours": median_with_interval(ours),
            "peer": median_with_interval(theirs),
        },
        "ratio": ratios(theirs, ours),
        "largest gradient": {
            "ours": gradient_norms(problem, weights, fit.params).max().item(),
            "peer": gradient_norms(problem, weights[:n_peer], reference).max().item(),
        },
        "largest difference of parameters": (fit.params[:n_peer] - reference)
        .abs()
        .max()
        .item(),
        "physical limit in seconds": flops / matrix_rate(torch.float64),
    }


def main() -> None:
    """Run both comparisons and keep the JSON."""
    records, diagnoses = load_breast_cancer(return_X_y=True)
    pixels, numbers = load_digits(return_X_y=True)
    cancer = table(*standardised(records, diagnoses), n_train=500)
    digits = table(pixels / 16, numbers, n_train=1000)
    even_digits = table(*standardised(pixels, numbers), n_train=1000)
    binary = LogisticRegression(data=cancer, ridge=1 / 250)
    # About 9 Newton steps of one product with the distinct x_j x_j' each; and about 6
    # steps of 8 products with X and X' and one with the preconditioner.
    p, q, k = 31, 65, 10
    direct = 9 * 2 * MODELS * 500 * p * (p + 1) / 2
    iterative = 6 * 8 * MODELS * (2 * 2 * 1000 * q * k + 2 * (q * k) ** 2)
    with one_thread():
        result = {
            "machine": machine("torch", "scikit-learn", "numpy"),
            "models": MODELS,
            "binary, breast cancer 500 x 31": compare(
                binary, "newton-cholesky", MODELS, direct
            ),
            "multinomial, digits 1000 x 65 x 10": compare(
                SoftmaxRegression(data=digits, ridge=1 / 500),
                "newton-cg",
                SOFTMAX_PEER_MODELS,
                iterative,
            ),
            "the same, features standardised": compare(
                SoftmaxRegression(data=even_digits, ridge=1 / 500),
                "newton-cg",
                SOFTMAX_PEER_MODELS,
                iterative,
            ),
        }
    publish("convex", result)


if __name__ == "__main__":
    main()
