"""Ridge and LASSO of 50,000 examples and 10,000 targets on one GPU.

    python -m benchmarks.regression_at_scale --device cuda
    python -m benchmarks.regression_at_scale --rehearse

Masks are made from seeds, chunk by chunk, wherever they are needed. Ridge is timed from
these to coefficients with a residual of the normal equations, for more models than
examples and for fewer; the LASSO along 100 penalties, every column with its duality
gap; and at one penalty beside SAGA, the algorithm of fast_l1 (`benchmarks.saga`), by
curves of the largest gap against time. A rehearsal takes the same lines with few
examples on the CPU, where its times say nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.saga import Saga
from benchmarks.timing import RESULTS, machine, one_thread, publish
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.lasso.batched import solve, walk
from dmtheory.datamodels.lasso.duality_gap import duality_gap
from dmtheory.datamodels.lasso.gram import Gram
from dmtheory.datamodels.lasso.path import penalty_path
from dmtheory.datamodels.lasso.scaling import scaled
from dmtheory.datamodels.rows.moments import Centred, moments_of
from dmtheory.datamodels.rows.sample import CHUNK, Chunk, Sample, make_chunk
from dmtheory.designs import Bernoulli

GAP = 1e-6
LAW = Bernoulli(p=0.5, seed=0)
NONZERO, NOISE = 30, 2.0
L2_PENALTY = 0.05
# One penalty for curves, of each target's largest; the end of the path.
ONE, LEAST = 0.1, 0.01
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
STEPS = (5e-3, 2e-2)
OURS = "this package, Gram matrix given"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is regressed.

    Attributes:
        n_train: Examples.
        n_targets: Targets.
        tall: Models, more than examples.
        wide: Models, fewer than examples.
        penalties: Penalties of the path.
        beside: Targets that SAGA is run on.
        batch: Its rows a step.
        patience: Seconds that SAGA is given for each step size.
    """

    n_train: int
    n_targets: int
    tall: int
    wide: int
    penalties: int
    beside: int
    batch: int
    patience: float


FULL = Sizes(
    n_train=50_000,
    n_targets=10_000,
    tall=100_000,
    wide=10_000,
    penalties=100,
    beside=1_000,
    batch=2_000,
    patience=120.0,
)
REHEARSAL = Sizes(
    n_train=300,
    n_targets=40,
    tall=600,
    wide=100,
    penalties=100,
    beside=20,
    batch=12,
    patience=4.0,
)


def masks(start: int, stop: int, n_train: int, device: torch.device) -> Tensor:
    """Return rows of the design, made on the device."""
    with device:
        return LAW.weights(torch.arange(start, stop), n_train)


def study(n_models: int, sizes: Sizes, device: torch.device) -> Sample:
    """Return masks from seeds, and kept outputs with 30 true coefficients a target."""
    draw = torch.Generator(device).manual_seed(0)
    shape = sizes.n_train, sizes.n_targets
    with device:
        beta = torch.zeros(shape)
        for t in range(sizes.n_targets):
            chosen = torch.randint(sizes.n_train, (NONZERO,), generator=draw)
            beta[chosen, t] = torch.randn(NONZERO, generator=draw)
        outputs = torch.empty(n_models, sizes.n_targets)
        for start, stop in runs(n_models):
            signal = masks(start, stop, sizes.n_train, device).float() @ beta
            noise = torch.randn(signal.shape, generator=draw)
            outputs[start:stop] = signal + NOISE * noise
    shift = outputs.double().mean(0)

    def chunks() -> Iterator[Chunk]:
        for start, stop in runs(n_models):
            yield make_chunk(
                masks(start, stop, sizes.n_train, device),
                outputs[start:stop].double() - shift,
                torch.arange(start, stop, device=device),
                size=1,
                has_mean=True,
            )

    return Sample(
        chunks=chunks,
        n_blocks=n_models,
        has_mean=True,
        level=0.5,
        shift=shift,
        null_directions=torch.zeros(0, sizes.n_train).double().to(device),
    )


def runs(n_models: int) -> Iterator[tuple[int, int]]:
    """Go over runs of models."""
    for start in range(0, n_models, CHUNK):
        yield start, min(start + CHUNK, n_models)


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return wall seconds of a call, its kernels finished, and its result."""
    settle(device)
    clock = time.perf_counter()
    found = work()
    settle(device)
    return time.perf_counter() - clock, found


def settle(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ridge(sample: Sample, device: torch.device) -> dict[str, Any]:
    """Return the seconds of ridge for all targets, from seeds to a certificate."""
    rule = Ridge(l2_penalties=(L2_PENALTY,), errors="none")
    seconds, fit = timed(lambda: rule.fit(sample), device)
    assert fit.certificate is not None
    return {
        "models": sample.n_blocks,
        "seconds": seconds,
        "largest relative residual": float(fit.certificate.value.max()),
        "effective parameters": float(fit.effective_parameters[0]),
    }


def path(whole: Centred, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Return the seconds and gaps of a path of penalties, all targets."""
    penalties = penalty_path(whole.cross, sizes.penalties, LEAST)
    lengths = torch.full((len(penalties),), sizes.penalties)
    solved = torch.zeros(sizes.penalties, dtype=torch.int64)
    largest = torch.zeros(sizes.penalties)
    support = torch.zeros(sizes.penalties)
    work = {"overall": 0, "exact": 0}

    def down() -> None:
        for point in walk(whole, penalties, lengths, GAP):
            k, found = point.place, point.solved
            solved[k] += int((found.gaps <= GAP).sum())
            largest[k] = max(float(largest[k]), float(found.gaps.max()))
            support[k] += int((found.coefficients != 0).sum())
            work["overall"] += found.overall
            work["exact"] += found.exact

    seconds, _ = timed(down, device)
    return {
        "penalties": sizes.penalties,
        "last over first": LEAST,
        "seconds": seconds,
        "columns": sizes.penalties * sizes.n_targets,
        "columns certified": int(solved.sum()),
        "largest relative duality gap": float(largest.max()),
        "mean support, first and last penalty": [
            float(support[0]) / sizes.n_targets,
            float(support[-1]) / sizes.n_targets,
        ],
        "products of all examples, low precision and float64": [
            work["overall"],
            work["exact"],
        ],
    }


def beside(
    whole: Centred, sample: Sample, sizes: Sizes, device: torch.device
) -> dict[str, Any]:
    """Return curves of the largest gap against time at one penalty."""
    part = slice(0, sizes.beside)
    cross, squares = whole.cross[:, part].contiguous(), whole.output_squares[part]
    penalty = ONE * 2 * cross.abs().amax(0)
    gram = Gram(whole.gram)
    ours = []
    for tolerance in TOLERANCES:
        seconds, found = timed(
            lambda tolerance=tolerance: solve(
                gram, cross, squares, penalty, torch.zeros_like(cross), tolerance
            ),
            device,
        )
        ours.append({"seconds": seconds, "gap": float(found.gaps.max())})
    rows, outputs = kept(sample, sizes, device)

    def gap(coefficients: Tensor) -> float:
        values = coefficients.double()
        return float(duality_gap(whole.gram, cross, squares, values, penalty).max())

    curves = {}
    for step in STEPS:
        saga = Saga(
            masks=rows,
            outputs=outputs,
            alpha=penalty / 2,
            deviation=(LAW.p * (1 - LAW.p)) ** 0.5,
            step=step,
            batch=sizes.batch,
        )
        curves[f"SAGA, step {step:g}"] = saga_curve(saga, gap, sizes, device)
    return {
        "targets": sizes.beside,
        "penalty over the largest": ONE,
        "curves": {OURS: ours, **{name: thinned(c) for name, c in curves.items()}},
        "seconds to a gap": {
            f"{g:g}": {
                name: next((p["seconds"] for p in curve if p["gap"] <= g), None)
                for name, curve in {OURS: ours, **curves}.items()
            }
            for g in (1e-2, 1e-4, 1e-6)
        },
    }


def thinned(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return points a tenth of their time apart, the first and last among them."""
    found = curve[:1]
    for point in curve[1:]:
        if point["seconds"] >= 1.1 * found[-1]["seconds"] or point is curve[-1]:
            found.append(point)
    return found


def saga_curve(
    saga: Saga, gap: Callable[[Tensor], float], sizes: Sizes, device: torch.device
) -> list[dict[str, float]]:
    """Return gaps after each epoch, while time or until they are small enough.

    Looking at the gap is not timed.
    """
    curve: list[dict[str, float]] = []
    epochs, spent, reached = saga.epochs(), 0.0, torch.inf
    while spent < sizes.patience and reached > TOLERANCES[-1]:
        seconds, coefficients = timed(lambda: next(epochs), device)
        spent, reached = spent + seconds, gap(coefficients)
        curve.append({"seconds": spent, "gap": reached})
    return curve


def kept(sample: Sample, sizes: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return masks in 8 bits and centred outputs of some targets, for SAGA."""
    rows = torch.empty(sample.n_blocks, sizes.n_train, dtype=torch.int8, device=device)
    outputs = torch.empty(sample.n_blocks, sizes.beside, device=device)
    for chunk in sample.chunks():
        rows[chunk.blocks] = chunk.x[:, 0].to(torch.int8)
        outputs[chunk.blocks] = chunk.y[:, 0, : sizes.beside].float()
    return rows, outputs - outputs.mean(0)


def plot(name: str, curves: dict[str, list[dict[str, float]]]) -> None:
    """Draw gaps against time, as an SVG beside the results."""
    figure, axes = plt.subplots(figsize=(5, 3.5))
    for label, curve in curves.items():
        axes.loglog(
            [p["seconds"] for p in curve], [p["gap"] for p in curve], ".-", label=label
        )
    axes.set_xlabel("seconds")
    axes.set_ylabel("largest relative duality gap")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def measure(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Return everything, in the order of its need of memory."""
    wide = ridge(study(sizes.wide, sizes, device), device)
    sample = study(sizes.tall, sizes, device)
    tall = ridge(sample, device)
    seconds, whole = timed(
        lambda: scaled(moments_of(sample).centred(), sample.shift), device
    )
    return {
        "examples": sizes.n_train,
        "targets": sizes.n_targets,
        "ridge, more models than examples": tall,
        "ridge, fewer models than examples": wide,
        "seconds for the Gram matrix and X'Y": seconds,
        "lasso": path(whole, sizes, device),
        "at one penalty": beside(whole, sample, sizes, device),
        "peak of device memory, bytes": (
            torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        ),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regression_at_scale", description=__doc__
    )
    parser.add_argument("--rehearse", action="store_true", help="few examples")
    parser.add_argument("--device", default="cpu", help="such as cuda; cpu by default")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cpu" and not asked.rehearse:
        parser.error("the full size needs a GPU: --device cuda, or --rehearse")
    name = "regression_at_scale" + ("_rehearsal" if asked.rehearse else "")
    result = measure(REHEARSAL if asked.rehearse else FULL, device)
    plot(name, result["at one penalty"]["curves"])
    publish(
        name,
        {
            "benchmark": "regression at scale",
            "rehearsal": asked.rehearse,
            "peer": "SAGA as in fast_l1, our own code",
            "device": (
                torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
            ),
            **result,
            "machine": machine("numpy", "torch"),
        },
    )


if __name__ == "__main__":
    with one_thread():
        main()
