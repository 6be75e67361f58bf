"""What the benchmarks of regressions share: data, paired timings, growth with size."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import RESULTS
from dmtheory.datamodels.rows.sample import Sample, independent_rows
from dmtheory.designs import Bernoulli

NONZERO = 30


def study(
    n_models: int, n_train: int, n_targets: int, *, noise: float | np.ndarray = 0.7
) -> Sample:
    """Return half subsets and outputs with 30 true coefficients.

    Noise is relative to the standard deviation of what the coefficients explain.
    """
    rng = np.random.default_rng(0)
    law = Bernoulli(p=0.5, seed=0)
    masks = law.weights(torch.arange(n_models), n_train)
    beta = np.zeros((n_train, n_targets))
    for t in range(n_targets):
        chosen = rng.choice(n_train, min(NONZERO, n_train), replace=False)
        beta[chosen, t] = rng.normal(size=len(chosen))
    signal = masks.numpy() @ beta
    errors = noise * signal.std(0) * rng.normal(size=signal.shape)
    return independent_rows(masks, torch.from_numpy(signal + errors))


def centred(sample: Sample) -> tuple[Tensor, Tensor]:
    """Return the rows about their means."""
    chunk = sample.gathered()
    x, y = chunk.x[:, 0], chunk.y[:, 0]
    return x - x.mean(0), y - y.mean(0)


def slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return the exponent of time against size, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def plot_growth(
    name: str, sizes: Sequence[int], curves: dict[str, Sequence[float]]
) -> None:
    """Draw time against size with slopes, as an SVG beside the results."""
    figure, axes = plt.subplots(figsize=(5, 3.5))
    for label, times in curves.items():
        axes.loglog(
            sizes, times, "o-", label=f"{label}: slope {slope(sizes, times):.2f}"
        )
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("examples (models: twice as many)")
    axes.set_ylabel("CPU seconds")
    axes.set_title(name)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}-growth.svg", metadata={"Date": None})
    plt.close(figure)
