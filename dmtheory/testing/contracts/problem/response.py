"""The response as a function of the weights."""

import torch

from dmtheory.testing.contracts.problem.probes import (
    Probe,
    check_outputs,
    outputs_of,
    probes,
)
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation

_ANY = probes()


def _is_defined_everywhere(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    n = problem.description.n_train
    rows = torch.zeros(3, n, dtype=torch.float64)
    rows[1, 0], rows[2] = 1.0, 1.0
    found = outputs_of(problem, rows, torch.full((3,), probe.seed))
    if not bool(torch.isfinite(found).all()):
        raise Violation(
            "F must be defined for no example, for one and for all, got an output "
            "that is not finite"
        )


def _is_scale_free(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    if problem.description.normalisation != "sum":
        raise NotApplicable("the normalisation is not `sum`")
    weights = probe.weights(problem.description.n_train)
    rows = torch.cat([weights, 3 * weights])
    found = outputs_of(problem, rows, torch.full((2,), probe.seed))
    check_outputs(declared, found[1], found[0], "outputs at 3w")


def _is_continuous(declared: Declared, probe: Probe) -> None:
    """A weight moved by 1e-3, 1e-6: outputs move in proportion, not by a jump."""
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train)
    first = torch.zeros_like(weights)
    first[:, 0] = 1.0
    rows = torch.cat([weights, weights + 1e-3 * first, weights + 1e-6 * first])
    here, far, near = outputs_of(problem, rows, torch.full((3,), probe.seed))
    allowed = 0.1 * (far - here).abs() + 1e-4 * here.abs() + 1e-6
    if bool(((near - here).abs() > allowed).any()):
        step = (near - here).abs().max().item()
        raise Violation(f"a weight moved by 1e-6 moves an output by {step:.3g}")


RESPONSE = (
    Property(
        name="defined everywhere",
        statement="F is finite for no example, for one and for all.",
        cases=_ANY,
        check=_is_defined_everywhere,
    ),
    Property(
        name="scale-free",
        statement="Under `sum`, F(3w) = F(w).",
        cases=_ANY,
        check=_is_scale_free,
    ),
    Property(
        name="continuity",
        statement="Outputs have no jump in a weight above 0.",
        cases=probes(zeros=False),
        check=_is_continuous,
    ),
)
