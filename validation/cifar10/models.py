"""A few trained models at a point, which attributions are taken at; kept as files."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.whole_files import write_whole
from validation.cifar10.players import GroupPlayers
from validation.cifar10.subjects import Subjects
from validation.cifar10.works import (
    HALF,
    INFLUENCE_AT_HALF,
    INFLUENCE_AT_ONE,
    INFLUENCE_OVER,
    experiment_seed,
)
from validation.claims.why_datamodels_win import SEEDS

# The level of each point; None is an average over half subsets.
POINTS: dict[str, float | None] = {
    INFLUENCE_AT_HALF: HALF,
    INFLUENCE_AT_ONE: 1.0,
    INFLUENCE_OVER: None,
}
N_MODELS = max(SEEDS)


def models_at(
    point: str, subjects: Subjects, folder: Path, seed: int
) -> tuple[Tensor, Tensor]:
    """Return trained parameters, and the weights of the images that they had.

    Args:
        point: A key of `POINTS`.
        subjects: The weighted recipe and its random groups.
        folder: The run's folder, where the parameters are kept.
        seed: The suite's seed.
    """
    level, experiment = POINTS[point], point_seed(point, seed)
    if level is None:
        weights = _half_subsets(subjects.groups, experiment)
    else:
        shape = N_MODELS, subjects.data.n_train
        weights = torch.full(shape, level, dtype=torch.float64)
    path = folder / "models" / f"{point.replace(' ', '-')}.npy"
    if not path.exists():
        seeds = model_seeds(experiment, torch.arange(N_MODELS))
        fit = subjects.weighted.fit(weights, seeds)
        params = fit.params.cpu().double().numpy()
        write_whole(path, lambda file: np.save(file, params))
    return torch.from_numpy(np.load(path, allow_pickle=False)), weights


def point_seed(point: str, seed: int) -> int:
    """Return the experiment seed; both levels share it, so that only they differ."""
    stream = INFLUENCE_OVER if POINTS[point] is None else INFLUENCE_AT_ONE
    return experiment_seed(seed, stream)


def _half_subsets(players: GroupPlayers, experiment: int) -> Tensor:
    """Return the images' weights in random half subsets of groups, none of them empty.

    Where nothing is trained on there is no derivative; of 64 groups none ever is.
    """
    law = Bernoulli(p=HALF, seed=experiment)
    chosen = law.weights(torch.arange(8 * N_MODELS), players.description.n_train)
    return chosen[chosen.any(1)][:N_MODELS][:, list(players.groups)]
