"""Calling a problem: outputs, the same again, by the seeds alone, nothing touched."""

import torch

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.problem.probes import (
    Probe,
    check_outputs,
    outputs_of,
    probes,
    trainings_of,
)
from dmtheory.testing.properties import Declared, Property, Violation

_ANY = probes()


def _returns_outputs(declared: Declared, probe: Probe) -> None:
    found = outputs_of(declared.estimator, *trainings_of(declared.estimator, probe))
    if not bool(torch.isfinite(found).all()):
        raise Violation("outputs must be finite, got some that are not")


def _is_deterministic(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    rows = trainings_of(problem, probe)
    first, second = (outputs_of(problem, *rows) for _ in range(2))
    check_again(second, first, "outputs of the second call")


def _keeps_its_inputs(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    weights, seeds = trainings_of(problem, probe)
    kept = weights.clone(), seeds.clone()
    problem.respond(weights, seeds)
    check_same(weights, kept[0], "weights after the call", tolerance=0.0)
    check_same(seeds.double(), kept[1].double(), "seeds after it", tolerance=0.0)


def _keeps_models_apart(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    weights, seeds = trainings_of(problem, probe)
    together = outputs_of(problem, weights, seeds)
    alone = [outputs_of(problem, weights[[k]], seeds[[k]]) for k in range(len(weights))]
    check_outputs(declared, together, torch.cat(alone), "outputs beside other models")


def _says_whether_seeds_matter(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train).repeat(2, 1)
    first, second = outputs_of(problem, weights, torch.tensor([probe.seed, 12345]))
    same = torch.equal(first, second)
    if problem.description.deterministic and not same:
        raise Violation("training is declared deterministic, but seeds change outputs")
    if not problem.description.deterministic and same:
        raise Violation("training is declared random, but seeds do not change outputs")


CALLS = (
    Property(
        name="outputs",
        statement="respond returns finite float64 [models, targets].",
        cases=_ANY,
        check=_returns_outputs,
    ),
    Property(
        name="determinism",
        statement="The same weights and seeds give the same outputs, to 12 digits.",
        cases=_ANY,
        check=_is_deterministic,
    ),
    Property(
        name="inputs kept",
        statement="Weights and seeds are as before the call.",
        cases=_ANY,
        check=_keeps_its_inputs,
    ),
    Property(
        name="chunk invariance",
        statement="A model's outputs do not depend on which are trained with it.",
        cases=_ANY,
        check=_keeps_models_apart,
    ),
    Property(
        name="seeds as described",
        statement="Seeds change outputs exactly where training is not deterministic.",
        cases=_ANY,
        check=_says_whether_seeds_matter,
    ),
)
