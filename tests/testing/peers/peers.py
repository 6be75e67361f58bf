"""Which estimators of which libraries are tried, with what they do not promise.

`python tests/testing/peers/peers.py` prints the tables behind docs/peers.md.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from dmtheory.testing import PROPERTIES, Declared, Profile, profile, run_contract
from peers import adapters

PENALTY = 0.1
EVERY = frozenset(each.name for each in PROPERTIES["attribution"])
NOT_REFUSED = frozenset({"bad input refused"})
IN_BATCHES = frozenset({
    "unit",
    "train permutation",
    "reparametrisation",
    "least squares",
    "logistic regression",
    "ill-conditioning",
})


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An estimator of another library.

    Attributes:
        library: The module that must be there.
        declared: The adapted estimator.
        fails: Properties that are known not to hold; docs/peers.md says why.
        examples: Cases a property.
    """

    library: str
    declared: Declared
    fails: frozenset[str] = frozenset()
    examples: int = 20


def attribution(estimator: Any, **promises: Any) -> Declared:
    return Declared(estimator=estimator, contract="attribution", **promises)


def curvature(estimator: Any, kind: str, **promises: Any) -> Declared:
    return Declared(estimator=estimator, contract="curvature", kind=kind, **promises)


def datamodel(make: Any, **promises: Any) -> Declared:
    return Declared(estimator=adapters.sklearn(make), contract="datamodel", **promises)


def linear(kind: str, n_models: int) -> Any:
    """Return scikit-learn's estimator for our penalty on the mean squared error."""
    from sklearn import linear_model

    if kind == "Ridge":
        return linear_model.Ridge(alpha=n_models * PENALTY)
    if kind == "Lasso":
        return linear_model.Lasso(alpha=PENALTY / 2, tol=1e-12, max_iter=100_000)
    return linear_model.LinearRegression()


def shrunk(beta: torch.Tensor, variance: float) -> torch.Tensor:
    return beta / (1 + PENALTY / variance)


def thresholded(beta: torch.Tensor, variance: float) -> torch.Tensor:
    return beta.sign() * (beta.abs() - PENALTY / (2 * variance)).clamp_min(0)


PEERS: dict[str, Peer] = {
    "dattri IFAttributorExplicit, one batch": Peer(
        library="dattri",
        declared=attribution(adapters.dattri("IFAttributorExplicit"), tolerance=1e-5),
    ),
    "dattri IFAttributorExplicit, two batches": Peer(
        library="dattri",
        declared=attribution(
            adapters.dattri("IFAttributorExplicit", n_batches=2), tolerance=1e-5
        ),
        fails=IN_BATCHES,
    ),
    "dattri IFAttributorCG": Peer(
        library="dattri",
        declared=attribution(adapters.dattri("IFAttributorCG"), tolerance=1e-5),
        fails=EVERY - {"inputs kept", "bad input refused"},
    ),
    "captum NaiveInfluenceFunction": Peer(
        library="captum",
        declared=attribution(adapters.captum, tolerance=1e-6),
        fails=frozenset({"ill-conditioning"}),
    ),
    "kronfluence EK-FAC": Peer(
        library="kronfluence",
        declared=attribution(
            adapters.kronfluence,
            tolerance=1e-8,
            not_promised={
                "logistic regression": "the eigenbasis of the features is not that of "
                "their curvature"
            },
        ),
        examples=2,
    ),
    "curvlinops HessianLinearOperator": Peer(
        library="curvlinops",
        declared=curvature(adapters.curvlinops("HessianLinearOperator"), "hessian"),
    ),
    "curvlinops GGNLinearOperator": Peer(
        library="curvlinops",
        declared=curvature(adapters.curvlinops("GGNLinearOperator"), "gauss-newton"),
    ),
    "curvlinops EFLinearOperator": Peer(
        library="curvlinops",
        declared=curvature(adapters.curvlinops("EFLinearOperator"), "empirical-fisher"),
    ),
    "curvlinops FisherMCLinearOperator": Peer(
        library="curvlinops",
        declared=curvature(adapters.curvlinops("FisherMCLinearOperator"), "fisher"),
        fails=frozenset({"dense oracle", "train permutation"}),
    ),
    "scikit-learn LinearRegression": Peer(
        library="sklearn",
        fails=NOT_REFUSED,
        declared=datamodel(partial(linear, "LinearRegression")),
    ),
    "scikit-learn Ridge": Peer(
        library="sklearn",
        fails=NOT_REFUSED,
        declared=datamodel(partial(linear, "Ridge"), limit=shrunk),
    ),
    "scikit-learn Lasso": Peer(
        library="sklearn",
        fails=NOT_REFUSED,
        declared=datamodel(
            partial(linear, "Lasso"),
            limit=thresholded,
            tolerance=1e-6,
            not_promised={
                "target linearity": "the threshold bends it",
                "scale": "the penalty is in units of the output",
                "fixed size": "the constant is picked by its L1 norm",
            },
        ),
    ),
}


def table_of(peer: Peer, tried: Profile | None = None) -> Any:
    """Return the contract's table of a peer."""
    few = Profile(examples=peer.examples, same=True)
    properties = PROPERTIES[peer.declared.contract]
    return run_contract(properties, peer.declared, tried or few)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, peer in PEERS.items():
        if wanted in name:
            tried = None if peer.library == "kronfluence" else profile("dev")
            print(name, table_of(peer, tried), sep="\n", flush=True)
