"""Explain one's own torch model: three estimates, and how they agree."""

import torch
from sklearn.datasets import load_wine
from torch import nn

from dmtheory import (
    FiniteDifference,
    GaussNewton,
    agreement,
    collect,
    fit_datamodel,
    influence,
    response_derivative,
)
from dmtheory.data import Dataset
from dmtheory.designs import ComplementaryPairs
from dmtheory.problems import SGD, Network


def make_module() -> nn.Module:
    return nn.Sequential(nn.Linear(13, 6), nn.Tanh(), nn.Linear(6, 3))


x, y = (torch.from_numpy(array) for array in load_wine(return_X_y=True))
x = (x - x.mean(0)) / x.std(0)
data = Dataset.split("wine", x, y, n_train=120, n_targets=10)
training = SGD(epochs=60, weight_decay=0.1)
problem = Network(make_module=make_module, data=data, training=training)

if __name__ == "__main__":
    responses = collect(problem, ComplementaryPairs(n_pairs=500, seed=1))
    print(f"accuracy {responses.quality('held-out accuracy').mean():.3f}")
    datamodel = fit_datamodel(responses)
    exact = response_derivative(problem, FiniteDifference(n_seeds=5), at=0.5, seed=2)
    guess = influence(problem, curvature=GaussNewton(), damping=1e-3, at=0.5, n_seeds=5)
    best = datamodel.top(target=0, k=1).helpful[0]
    print(f"most helpful: {best.label}, {best.score:+.3f} ± {1.96 * best.stderr:.3f}")
    for name, a, b in (("datamodel", datamodel, exact), ("influence", guess, exact)):
        s = agreement(a, b).slope
        print(f"{name} on dF/dw: slope {s.value:.2f} ({s.low:.2f} to {s.high:.2f})")
