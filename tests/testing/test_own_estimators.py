"""This package's own estimators keep every contract.

`pytest tests/testing --hypothesis-profile deep` tries more cases.
"""

import pytest
from own import OWN
from samples import unchecked

from dmtheory.testing import PROPERTIES, Profile, run_contract

# What may be left out, so that nothing becomes inapplicable unseen.
NO_DATA = {"weight 0 = absent", "train permutation"}
NO_PARAMETERS = {"fit and respond", "stationarity"}
ERRORS = {"interval coverage", "coverage under pairs", "errors fall"}
NOT_APPLICABLE = {
    "datamodel: ridge": {"additive truth"},
    "datamodel: LASSO": {"additive truth", *ERRORS},
    "datamodel: difference of means, enumerated": {"intercept", "errors fall"},
    "curvature: Hessian": {"positive"},
    "problem: ridge, count": {"scale-free"},
    "problem: set function": {"scale-free", *NO_DATA, *NO_PARAMETERS},
    "problem: sample mean": {*NO_DATA, *NO_PARAMETERS},
    "problem: network": {"stationarity"},
}
ON_NETWORKS = {"determinism", "chunk invariance", "networks"}
EVERY = {each.name for each in PROPERTIES["derivative"]}
NOT_APPLICABLE["derivative: pathwise"] = EVERY - ON_NETWORKS


# Close relatives of others, or slow.
LONG = {
    "attribution: conjugate gradients",
    "attribution: Richardson differences",
    "attribution: implicit function theorem",
    "curvature: EK-FAC",
    "curvature: Fisher",
    "curvature: Hessian",
    "curvature: K-FAC",
    "curvature: empirical Fisher",
    "datamodel: robust OLS",
    "derivative: central",
    "derivative: forward",
    "derivative: random directions",
    "problem: ridge, count",
    "problem: softmax",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in LONG else [])
        for name in OWN
    ],
)
def test_every_promise_is_kept(name: str, tried: Profile) -> None:
    declared = OWN[name]
    with unchecked():
        table = run_contract(PROPERTIES[declared.contract], declared, tried)
    table.check()
    left_out = {x.property for x in table.outcomes if x.verdict == "not applicable"}
    assert left_out == NOT_APPLICABLE.get(name, set()), str(table)
