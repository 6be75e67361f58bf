"""What one of k copies counts for: nothing to retraining without it, much to beta."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval, bootstrap
from dmtheory.agreement.statistics import Split
from dmtheory.applications.copy_counts import CopyCounts
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.units import check_none_diverged, from_labelled_units
from dmtheory.designs.points import check_coordinates
from dmtheory.designs.seeds import Purpose, model_seeds
from dmtheory.engines.base import Engine
from dmtheory.estimand import Point
from dmtheory.problems.base import Description, Problem
from dmtheory.responses.collect import Progress, collect


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CopyEffects:
    """What one of k copies does to the target that it copies, k = 1, ..., K.

    Attributes:
        leave_one_out: F with k copies minus F with k - 1, all others there.
        datamodel: The coefficient of one of k copies under S ~ Bernoulli(p).
    """

    leave_one_out: Attribution
    datamodel: Attribution


def copy_effects(
    problem: Problem,
    copies: Mapping[int, Sequence[int]],
    *,
    p: float = 0.5,
    n_subsets: int = 40,
    n_seeds: int = 10,
    seed: int = 0,
    engine: Engine | str | None = None,
    progress: Progress | None = None,
) -> CopyEffects:
    r"""Measure leave-one-out and datamodel effects of one of k exact copies.

    With D_m = F(m + 1 copies) - F(m copies): leave-one-out is D_{k-1} at the full data,
    and beta = sum_{m<k} C(k-1, m) p^m (1-p)^{k-1-m} E_S D_m, since the other k - 1
    copies are in a random subset independently. Both come from the same K + 1 numbers
    of copies, so that all k have the same targets.

    Args:
        problem: A problem whose training examples hold the copies.
        copies: K exact copies of each target, by target number.
        p: Inclusion probability of the datamodel.
        n_subsets: Random subsets behind the datamodel, with a seed each.
        n_seeds: Training seeds behind leave-one-out; one where training is
            deterministic.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Two attributions with a row "one of k" for each k and a column a target.

    Raises:
        ValueError: If targets have different numbers of copies, or an argument is out
            of range.
    """
    description = problem.description
    rows = _checked(copies, description)
    check_at_least(n_seeds, 1, "n_seeds")
    check_at_least(n_subsets, 1, "n_subsets")
    other = int(model_seeds(seed, torch.zeros(1).long(), Purpose.REPLICATE))
    seeds = 1 if description.deterministic else n_seeds
    full = CopyCounts(copies=rows, n_draws=seeds, seed=seed)
    random = CopyCounts(copies=rows, n_draws=n_subsets, seed=other, p=p)
    targets = tuple(copies)
    whole, rises = (
        _rises(problem, design, targets, engine, progress) for design in (full, random)
    )
    stated = replace(
        description, target_labels=tuple(description.target_labels[t] for t in targets)
    )
    return CopyEffects(
        leave_one_out=_attribution(
            whole,
            stated,
            quantity="leave-one-out",
            point=Point("weights", 1.0),
            seed=None if description.deterministic else seed,
            n_models=full.n_models,
        ),
        datamodel=_attribution(
            rises @ _binomial(len(rows[0]), p),
            stated,
            quantity="datamodel",
            point=Point("subsets", p),
            seed=other,
            n_models=random.n_models,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Leave-one-out over beta of a copy: what removing one shows of what they do.

    Attributes:
        by_k: The share for k = 1, ..., K copies.
        fall: The share at 1 minus the share at K.
    """

    by_k: tuple[Interval, ...]
    fall: Interval


def loo_over_datamodel(leave_one_out: Attribution, datamodel: Attribution) -> Shares:
    """Return the slope of leave-one-out on beta over targets, for each k.

    Through the origin, errors in variables; the interval is over training seeds and
    subsets, with these targets held fixed.

    Args:
        leave_one_out: Of `copy_effects`.
        datamodel: Of `copy_effects`.

    Returns:
        Shares by k, and how much they fall.

    Raises:
        ValueError: If rows or columns differ, or an estimate has fewer than 4 units.
    """
    for axis in ("train_labels", "target_labels"):
        if getattr(leave_one_out, axis) != getattr(datamodel, axis):
            raise ValueError(f"leave_one_out and datamodel must have the same {axis}")
    found = bootstrap([leave_one_out, datamodel], _shares)
    names = [name for name in found if name != "fall"]
    return Shares(by_k=tuple(found[name] for name in names), fall=found["fall"])


def _shares(pair: list[Split]) -> dict[str, Tensor]:
    loo, beta = pair
    top = (loo.whole * beta.whole).sum(-1)
    by_k = top / (beta.first * beta.second).sum(-1)
    named = {str(k): by_k[:, k] for k in range(by_k.shape[1])}
    return {**named, "fall": by_k[:, 0] - by_k[:, -1]}


def _rises(
    problem: Problem,
    design: CopyCounts,
    targets: tuple[int, ...],
    engine: Engine | str | None,
    progress: Progress | None,
) -> Float[Tensor, "draws targets counts"]:
    """Return F(m + 1 copies) - F(m copies) of each target, m = 0, ..., K - 1."""
    responses = collect(problem, design, engine=engine, progress=progress)
    check_none_diverged(responses.diverged)
    shape = (design.n_draws, len(targets), design.n_counts)
    outputs = responses.outputs.unflatten(0, shape)
    own = [outputs[:, place, :, target] for place, target in enumerate(targets)]
    return torch.stack(own, 1).diff(dim=2)


def _binomial(n_copies: int, p: float) -> Float[Tensor, "counts ks"]:
    """Return the probability that m of the other k - 1 copies are in, a column a k."""
    law = torch.zeros(n_copies, n_copies, dtype=torch.float64)
    for k in range(1, n_copies + 1):
        for m in range(k):
            law[m, k - 1] = comb(k - 1, m) * p**m * (1 - p) ** (k - 1 - m)
    return law


def _attribution(
    effects: Float[Tensor, "draws targets ks"],
    description: Description,
    *,
    quantity: str,
    point: Point,
    seed: int | None,
    n_models: int,
) -> Attribution:
    return from_labelled_units(
        effects.mT,
        description,
        tuple(f"one of {k + 1}" for k in range(effects.shape[2])),
        n_train=description.n_train,
        quantity=quantity,
        point=point,
        n_models=n_models,
        seed=seed,
        method=f"retraining with and without copies, {len(effects)} draw(s)",
    )


def _checked(
    copies: Mapping[int, Sequence[int]], description: Description
) -> tuple[tuple[int, ...], ...]:
    check_at_least(len(copies), 1, "number of targets with copies")
    numbers = {len(rows) for rows in copies.values()}
    if len(numbers) > 1:
        raise ValueError(
            f"copies must be as many for each target, got {sorted(numbers)} of them"
        )
    for target, rows in copies.items():
        if not 0 <= target < description.n_targets:
            raise ValueError(
                f"copies must be of targets in [0, {description.n_targets}), got "
                f"{target}"
            )
        check_coordinates(tuple(rows), description.n_train, f"copies of {target}")
    return tuple(tuple(rows) for rows in copies.values())
