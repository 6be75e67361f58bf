"""Where every subset can be enumerated: the linear bound, exactly."""

import torch

from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.estimand import Point
from dmtheory.responses.collect import collect
from dmtheory.theory import exhaustive
from dmtheory.theory.noise_laws import ols_law
from validation.claim import Evidence, exact_part
from validation.claims.exact import exact_attribution
from validation.claims.linear_bounds import (
    NAMED,
    REACHED,
    every_subset,
    many,
    numbered,
    reached,
    rows_named,
    spectrum_by_degree,
)
from validation.laboratory import Laboratory
from validation.statistics.replicates import mean_of
from validation.verdicts.verdict import Part

EXACT = 1e-10
# Datamodels of independent models.
REPLICATES = 12


def measure_exactly(laboratory: Laboratory, name: str) -> Evidence:
    """Enumerate all subsets; fit to random ones as often as the noise law names."""
    problem, p = laboratory.problem(name), laboratory.settings[name].p
    description = problem.description
    table = exhaustive.tabulate(problem)
    spectrum = spectrum_by_degree(table, p)
    linear, higher = spectrum[1], spectrum[2:].sum(0)
    n_models = rows_named(ols_law, (higher / linear).max().item(), description.n_train)
    seed = 100 * laboratory.experiment_seed("evaluation")
    laboratory.models_trained += REPLICATES * n_models
    estimates = {
        "population": exact_attribution(
            problem,
            exhaustive.population_regression(table, p)[1],
            quantity="datamodel",
            point=Point("subsets", p),
            method="population regression, by enumeration",
        )
    }
    for place in range(REPLICATES):
        law = Bernoulli(p=p, n_models=n_models, seed=seed + place)
        estimates[f"OLS {place}"] = fit_datamodel(collect(problem, law))
    total = linear + higher
    return Evidence(
        estimates=estimates,
        numbers={
            **numbered("bound", (linear / total).sqrt()),
            **numbered("higher degrees", higher / total),
        },
        held_out={"every subset": every_subset(table, estimates["population"])},
    )


def judge_exactly(evidence: Evidence) -> list[Part]:
    """The bound is reached, what is missing is the rest, and m models come near."""
    every = evidence.held_out["every subset"]
    n_targets = every.outputs.shape[2]
    bounds = many(evidence, "bound", n_targets)
    population = reached(evidence.estimates["population"].scores, every)
    fits = [a for name, a in evidence.estimates.items() if name != "population"]
    shares = [(reached(a.scores, every).correlation / bounds).mean() for a in fits]
    missing = population.missing - many(evidence, "higher degrees", n_targets)
    return [
        exact_part(
            "correlation less its linear bound",
            "datamodel with F on every subset: the bound sqrt(degree-1 share)",
            (population.correlation - bounds).abs().max().item(),
            EXACT,
        ),
        exact_part(
            "what is missing",
            "1 - R² is the spectrum's share of degree 2 and more",
            missing.abs().max().item(),
            EXACT,
        ),
        Part(
            name="OLS over the linear bound",
            statement=f"{fits[0].n_models} models, as the law names for {NAMED}; mean "
            f"over targets and {len(fits)} studies, at least {REACHED}",
            interval=mean_of(torch.stack(shares)),
            tolerance=(REACHED, None),
        ),
    ]
