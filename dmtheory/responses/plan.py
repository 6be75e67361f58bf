"""What a run will cost and give, from a small pilot."""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs import Replicates, SubsetDesign
from dmtheory.designs.base import Design
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import train_block
from dmtheory.theory import noise_laws

PILOT_SUBSETS = 32
PILOT_SEEDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is expected to take and to give.

    Attributes:
        models: Trainings.
        hours: Time in all, at the pilot's speed on the stated number of processes.
        gigabytes: Size of the stored outputs.
        models_per_second: The pilot's speed in one process.
        qualities: What else was measured of the pilot's models, their mean, such as
            held-out accuracy: nothing is learned from models that learned nothing.
        variance: Variance of the outputs over subsets and seeds, mean over targets.
        seed_variance: Of which between seeds of one subset.
        coefficient_error: Standard error of a datamodel coefficient, at most; None
            for designs that are no random subsets.
        lds: Linear datamodeling score of OLS if all of the subsets' effect is linear,
            and if half of it is; None likewise.
        ceiling: The score that no attribution can pass, with one seed a subset.
    """

    models: int
    hours: float
    gigabytes: float
    models_per_second: float
    qualities: dict[str, float]
    variance: float
    seed_variance: float
    coefficient_error: float | None
    lds: tuple[float, float] | None
    ceiling: float | None


def plan(
    problem: Problem, design: Design, *, dtype: str = "float64", n_processes: int = 1
) -> Plan:
    """Train a small pilot and say what the whole run will take and give.

    The pilot has 32 subsets with 2 seeds each; the variances from it are rough (to
    about a quarter), and so is what follows from them.

    Args:
        problem: The training map and its outputs.
        design: The design of the whole run.
        dtype: Precision of the stored outputs.
        n_processes: Processes that will train, at least 1.

    Returns:
        Costs and expected errors.

    Raises:
        ValueError: If there are no processes.
    """
    check_at_least(n_processes, 1, "n_processes")
    columns, seconds = _pilot(problem, design)
    n_targets, names = problem.description.n_targets, problem.description.qualities
    outputs, measured = columns[..., :n_targets], columns[..., n_targets:]
    speed = len(columns.flatten(0, 1)) / seconds
    item = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    seed_variance = outputs.var(1).mean().item()
    between = outputs.mean(1).var(0).mean().item() - seed_variance / outputs.shape[1]
    between = max(between, 1e-12)
    made = Plan(
        models=design.n_models,
        hours=design.n_models / (speed * n_processes) / 3600,
        gigabytes=design.n_models * (columns.shape[-1] * item + 1) / 1e9,
        models_per_second=speed,
        qualities=dict(zip(names, measured.mean((0, 1)).tolist(), strict=True)),
        variance=between + seed_variance,
        seed_variance=seed_variance,
        coefficient_error=None,
        lds=None,
        ceiling=None,
    )
    if not isinstance(design, SubsetDesign):
        return made
    return replace(made, **_expected(design, problem, between, seed_variance))


def _expected(
    design: SubsetDesign, problem: Problem, between: float, seed_variance: float
) -> dict[str, Any]:
    n_train = problem.description.n_train
    groups = getattr(design, "n_groups", n_train)
    ceiling = noise_laws.ceiling(between, seed_variance, 1)

    def lds(linear_share: float) -> float:
        signal = linear_share * between
        noise = between - signal + seed_variance
        found = noise_laws.ols_correlation(signal, noise, groups, design.n_models)
        linear = (signal / (between + seed_variance)) ** 0.5
        return noise_laws.spearman_of_normal(found * linear)

    return {
        "coefficient_error": noise_laws.coefficient_error(
            between + seed_variance, design.inclusion(n_train), design.n_models
        ),
        "lds": (lds(1.0), lds(0.5)),
        "ceiling": noise_laws.spearman_of_normal(ceiling),
    }


def _pilot(problem: Problem, design: Design) -> tuple[Tensor, float]:
    """Return pilot columns [subsets, seeds, columns] and the seconds they took."""
    if isinstance(design, SubsetDesign):
        # Every other row: rows of a pair share their seed and are no independent draw.
        small: Design = Replicates(design=design, n_replicates=PILOT_SEEDS)
        rows = torch.arange(2 * PILOT_SUBSETS * PILOT_SEEDS)
        rows = rows[(rows // PILOT_SEEDS) % 2 == 0]
    else:
        small, rows = design, torch.arange(PILOT_SUBSETS * PILOT_SEEDS)
        rows = rows % design.n_models
    # A first call pays for what is made once.
    train_block(problem, small, rows[:2])
    clock = time.perf_counter()
    columns = train_block(problem, small, rows)
    seconds = time.perf_counter() - clock
    return columns.unflatten(0, (PILOT_SUBSETS, PILOT_SEEDS)), seconds
