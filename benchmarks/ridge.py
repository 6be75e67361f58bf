"""Ridge with a penalty a target by leave-one-out, against scikit-learn's RidgeCV.

    python -m benchmarks.ridge

Both start from uncentred masks and outputs, and end with a penalty and coefficients a
target. This package's whole fit, with standard errors and resampling units, which the
peer has not, stands beside them. Choices are the same but where rows about equal
examples: this package takes no penalty there that leaves hardly a residual. No case
here is one, so the share of equal choices should be 1.
"""

from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV

from benchmarks.regressions import (
    plot_growth,
    slope,
    study,
)
from benchmarks.timing import (
    machine,
    median_with_interval,
    one_thread,
    publish,
    ratios,
    seconds,
)
from dmtheory.datamodels.estimators.ridge import Ridge, chosen_ridge
from dmtheory.datamodels.rows.sample import Sample

REPEATS = 5
MODELS, EXAMPLES, TARGETS = 2000, 1000, 500
WIDE = (1000, 2000, 500)
SIZES = (125, 250, 500, 1000, 2000)
PENALTIES = tuple(float(v) for v in np.geomspace(1e-3, 100, 20))


def ours(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return penalties and coefficients [train, targets]."""
    found = chosen_ridge(sample, PENALTIES)
    return found.penalty.numpy(), found.coefficients.numpy()


def ridge_cv(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return the same by scikit-learn, whose alpha is m lambda."""
    chunk = sample.gathered()
    n_models = len(chunk.x)
    model = RidgeCV(alphas=n_models * np.array(PENALTIES), alpha_per_target=True)
    model.fit(chunk.x[:, 0].numpy(), chunk.y[:, 0].numpy())
    return model.alpha_ / n_models, model.coef_.T


def measure(n_models: int, n_train: int, n_targets: int) -> dict[str, Any]:
    """Return times and ratios, solvers taking turns."""
    # Targets with little and with much noise want different penalties.
    noise = np.geomspace(0.2, 5, n_targets)
    sample = study(n_models, n_train, n_targets, noise=noise)
    times: dict[str, list[float]] = {"ours": [], "RidgeCV": [], "ours, whole fit": []}
    for _ in range(REPEATS):
        taken, (penalty, beta) = seconds(lambda: ours(sample))
        times["ours"].append(taken)
        taken, (other_penalty, other_beta) = seconds(lambda: ridge_cv(sample))
        times["RidgeCV"].append(taken)
        taken, _ = seconds(lambda: Ridge(l2_penalties=PENALTIES).fit(sample))
        times["ours, whole fit"].append(taken)
    return {
        "models": n_models,
        "examples": n_train,
        "targets": n_targets,
        "penalties": len(PENALTIES),
        "distinct penalties chosen": len(set(penalty.tolist())),
        "share of targets with the same choice": float(
            np.isclose(penalty, other_penalty, rtol=1e-9).mean()
        ),
        "largest difference of coefficients": float(np.abs(beta - other_beta).max()),
        "CPU seconds": {n: median_with_interval(t) for n, t in times.items()},
        "peer over ours": ratios(times["RidgeCV"], times["ours"]),
        "peer over ours, whole fit": ratios(times["RidgeCV"], times["ours, whole fit"]),
    }


def growth() -> dict[str, Any]:
    """Return time against size, m = 2N and 100 targets."""
    curves: dict[str, list[float]] = {"this package": [], "RidgeCV": []}
    for n_train in SIZES:
        sample = study(2 * n_train, n_train, 100)
        repeats = 3 if n_train < 1000 else 1
        for name, solve in (("this package", ours), ("RidgeCV", ridge_cv)):
            taken = [seconds(lambda s=solve, d=sample: s(d))[0] for _ in range(repeats)]
            curves[name].append(min(taken))
    plot_growth("ridge", SIZES, curves)
    return {
        "examples": SIZES,
        "CPU seconds": curves,
        "slope": {name: slope(SIZES, times) for name, times in curves.items()},
    }


def main() -> None:
    """Run the benchmark."""
    ridge_cv(study(40, 20, 2))
    ours(study(40, 20, 2))
    result = {
        "benchmark": "ridge",
        "peer": "scikit-learn's RidgeCV(alpha_per_target=True)",
        "threads": 1,
        "cases": {
            "models > examples": measure(MODELS, EXAMPLES, TARGETS),
            "models < examples": measure(*WIDE),
        },
        "time against size": growth(),
        "machine": machine("scikit-learn", "numpy", "torch"),
    }
    publish("ridge", result)


if __name__ == "__main__":
    with one_thread():
        main()
