"""How few examples a prediction hangs on: the smallest removal that flips its sign."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dmtheory.applications.counterfactual import as_choices, columns_of
from dmtheory.applications.flip_search import Flip, Trial, begin, trial_of
from dmtheory.applications.retraining import Sets, outputs_without
from dmtheory.attribution import Attribution
from dmtheory.designs.seeds import Purpose, model_seeds
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress


def smallest_flips(
    problem: Problem,
    attribution: Attribution,
    *,
    targets: Sequence[int | str] | None = None,
    most: int | None = None,
    n_seeds: int = 10,
    seed: int = 0,
    engine: Engine | str | None = None,
    progress: Progress | None = None,
) -> tuple[Flip, ...]:
    """Find how few of the first examples of an order flip a target's output.

    A positive mean output loses its most helpful examples, a negative one its most
    harmful. The search begins where the scores predict the flip, doubles until models
    flip, and bisects; every step is decided by retraining, all targets' steps of a
    round in one batch, all with the same seeds. What is found is then trained again
    with fresh seeds, since the smallest of several noisy candidates is partly luck.

    Args:
        problem: The training map and its outputs, whose sign is the decision: margins.
        attribution: Scores.
        targets: Targets by number or label; all by default.
        most: The largest number removed, below N; half of the examples by default.
        n_seeds: Training seeds; one where training is deterministic.
        seed: The experiment's seed, not the attribution's.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        One result a target.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Ilyas et al. 2022, Datamodels, section 4.1 (data support).
    """
    description = problem.description
    columns = columns_of(problem, as_choices({"": attribution}), targets, seed)
    most = description.n_train // 2 if most is None else most
    if not 1 <= most < description.n_train:
        raise ValueError(f"most must lie in [1, {description.n_train}), got {most}")

    def train(sets: Sets, seed: int) -> Tensor:
        return outputs_without(
            problem,
            sets,
            n_seeds=n_seeds,
            seed=seed,
            engine=engine,
            progress=progress,
        )

    # Signs first: they decide which examples are removed.
    whole = train(((),), seed)[:, 0]
    searches = [begin(attribution, t, whole[:, t], most) for t in columns]
    exact = description.deterministic
    while wanted := [search for search in searches if search.probe]:
        found = train(tuple(search.first(search.probe) for search in wanted), seed)
        for place, search in enumerate(wanted):
            outputs = found[:, place, search.target]
            search.learn(trial_of(search.probe, outputs, exact=exact))
    again: dict[int, Trial] = {}
    flipped = [search for search in searches if search.high is not None]
    if flipped and not exact:
        fresh = int(model_seeds(seed, torch.zeros(1).long(), Purpose.REPLICATE))
        found = train(tuple(search.first(search.high) for search in flipped), fresh)
        for place, search in enumerate(flipped):
            outputs = found[:, place, search.target]
            again[search.target] = trial_of(search.high or 0, outputs, exact=False)
    return tuple(
        search.result(
            description.target_labels[search.target],
            trial_of(0, whole[:, search.target], exact=exact),
            again.get(search.target),
            n_seeds=len(whole),
        )
        for search in searches
    )
