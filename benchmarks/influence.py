"""Influence of 1,000 digits on 200 targets by each solver, beside other libraries.

    pip install -e '.[curvature,peers]' && python -m benchmarks.influence

A tanh network 64-32-10 in double precision at given parameters, damping 0.05 and ridge
0.01, one thread each side, sides in turn. The truth of each curvature is a matrix that
torch.func makes, solved by numpy; errors are relative to it in norm. Each side starts
from parameters and data and ends with the scores of all pairs.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacfwd
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import (
    machine,
    median_with_interval,
    one_thread,
    publish,
    ratios,
    seconds,
)
from dmtheory import (
    EKFAC,
    KFAC,
    EmpiricalFisher,
    ExactHessian,
    GaussNewton,
    influence,
)
from dmtheory.data import digits
from dmtheory.influence.solvers import (
    ConjugateGradients,
    Dense,
    Lanczos,
    Lissa,
    Nystroem,
    Woodbury,
)
from dmtheory.problems import MLP, SGD, Network
from dmtheory.problems.outputs import margin

N_TRAIN, N_TARGETS, DAMPING, RIDGE = 1000, 200, 0.05, 0.01
REPEATS = 5
PEERS = ("captum", "dattri", "curvlinops-for-pytorch", "kronfluence")
Side = Callable[[], Tensor]

PROBLEM = Network(
    make_module=MLP((64, 32, 10)),
    data=digits(n_train=N_TRAIN, n_targets=N_TARGETS),
    training=SGD(epochs=20, batch_size=50, learning_rate=0.15, weight_decay=RIDGE),
    # The motion of the divisor W is no part of what the others compute.
    normalisation="count",
)


def ours(params: Tensor) -> dict[str, dict[str, Side]]:
    """Return our sides, a curvature and solver each; tau, not per weight."""

    def side(curvature: Any, solver: Any = None) -> Side:
        return lambda: (
            influence(
                PROBLEM,
                curvature=curvature,
                solver=solver,
                damping=DAMPING,
                parameters=params,
            ).scores
            * N_TRAIN
        )

    preconditioned = ConjugateGradients(preconditioner=Nystroem(rank=200))
    return {
        "exact Hessian": {
            "dense": side(ExactHessian(), Dense()),
            "cg": side(ExactHessian(), ConjugateGradients()),
            "lissa, 50 steps": side(ExactHessian(), Lissa(depth=50)),
        },
        "Gauss-Newton": {
            "dense": side(GaussNewton(), Dense()),
            "cg": side(GaussNewton(), ConjugateGradients()),
            "cg, Nystroem 200": side(GaussNewton(), preconditioned),
            "nystroem, 200": side(GaussNewton(), Nystroem(rank=200)),
            "lanczos, 200": side(GaussNewton(), Lanczos(rank=200)),
            "K-FAC": side(KFAC()),
            "EK-FAC": side(EKFAC()),
        },
        "empirical Fisher": {
            "dense": side(EmpiricalFisher(), Dense()),
            "woodbury": side(EmpiricalFisher(), Woodbury()),
        },
    }


def truths(params: Tensor) -> dict[str, Tensor]:
    """Return tau by plain matrices of torch.func and numpy's solver."""
    eye = (RIDGE + DAMPING) * np.eye(len(params))

    def mean_loss(theta: Tensor) -> Tensor:
        return PROBLEM.prediction_losses(PROBLEM.predictions(theta)).mean()

    def losses(theta: Tensor) -> Tensor:
        return PROBLEM.prediction_losses(PROBLEM.predictions(theta))

    jacobian = jacfwd(PROBLEM.predictions)(params)
    chances = torch.softmax(PROBLEM.predictions(params), 1)
    own = jacobian - torch.einsum("jc,jcp->jp", chances, jacobian)[:, None]
    gradients = jacfwd(losses)(params)
    matrices = {
        "exact Hessian": hessian(mean_loss)(params),
        "Gauss-Newton": _gram(own * chances.sqrt()[:, :, None]) / N_TRAIN,
        "empirical Fisher": gradients.T @ gradients / N_TRAIN,
    }
    toward = jacfwd(PROBLEM.target_outputs)(params).numpy()
    return {
        name: -gradients
        @ torch.from_numpy(np.linalg.solve(matrix.numpy() + eye, toward.T))
        for name, matrix in matrices.items()
    }


def _gram(rows: Tensor) -> Tensor:
    flat = rows.flatten(0, 1)
    return flat.T @ flat


def module_at(params: Tensor) -> nn.Module:
    """Return the network as an ordinary module."""
    module = PROBLEM.make_module().double().eval()
    nn.utils.vector_to_parameters(params, module.parameters())
    return module


def by_dattri(params: Tensor) -> Side:
    """Return dattri's explicit influence."""
    from dattri.algorithm.influence_function import IFAttributorExplicit
    from dattri.task import AttributionTask

    module, data = module_at(params), PROBLEM.data
    state = {name: p.detach() for name, p in module.state_dict().items()}

    def predict(weights: Any, x: Tensor) -> Tensor:
        return functional_call(module, weights, (x if x.ndim == 2 else x[None],))

    def loss(weights: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        return cross_entropy(predict(weights, pair[0]), pair[1].reshape(-1))

    def output(weights: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        return margin(predict(weights, pair[0]), pair[1].reshape(-1)).sum()

    train = DataLoader(TensorDataset(data.x_train, data.y_train), batch_size=N_TRAIN)
    target = TensorDataset(data.x_target, data.y_target)

    def attribute() -> Tensor:
        task = AttributionTask(
            loss_func=loss, model=module, checkpoints=[state], target_func=output
        )
        made = IFAttributorExplicit(task=task, regularization=RIDGE + DAMPING)
        made.cache(train)
        with torch.no_grad():
            loader = DataLoader(target, batch_size=N_TARGETS)
            return -made.attribute(train, loader).double()

    return attribute


def by_captum(params: Tensor, folder: Path) -> Side:
    """Return captum's explicit influence, of all eigenvalues."""
    from captum.influence._core.influence_function import NaiveInfluenceFunction

    module, data = module_at(params), PROBLEM.data
    place = str(folder / "model.pt")
    torch.save(module.state_dict(), place)

    def load(model: nn.Module, path: str) -> float:
        model.load_state_dict(torch.load(path, weights_only=True))
        return 1.0

    def output(logits: Tensor, classes: Tensor) -> Tensor:
        return margin(logits, classes).sum()

    output.reduction = "sum"  # type: ignore[attr-defined]

    def attribute() -> Tensor:
        made = NaiveInfluenceFunction(
            model=module,
            train_dataset=TensorDataset(data.x_train, data.y_train),
            checkpoint=place,
            checkpoints_load_func=load,
            loss_fn=nn.CrossEntropyLoss(reduction="sum"),
            test_loss_fn=output,
            batch_size=N_TRAIN,
            sample_wise_grads_per_batch=True,
            projection_dim=len(params),
            hessian_reg=N_TRAIN * (RIDGE + DAMPING),
        )
        return -N_TRAIN * made.influence((data.x_target, data.y_target)).T.detach()

    return attribute


def by_curvlinops(params: Tensor, name: str) -> Side:
    """Return a matrix of curvlinops' products, with torch's gradients and solver."""
    import curvlinops

    module, data = module_at(params), PROBLEM.data
    trained = list(module.parameters())
    weights = {n: p.detach() for n, p in module.named_parameters()}

    def loss(w: Any, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(module, w, (x[None],)), y[None])

    def output(w: Any, x: Tensor, y: Tensor) -> Tensor:
        return margin(functional_call(module, w, (x[None],)), y[None])[0]

    def gradients(function: Any, x: Tensor, y: Tensor) -> Tensor:
        each = torch.func.vmap(torch.func.grad(function), (None, 0, 0))(weights, x, y)
        return torch.cat([part.flatten(1) for part in each.values()], 1)

    def attribute() -> Tensor:
        operator = getattr(curvlinops, name)(
            module,
            nn.CrossEntropyLoss(),
            trained,
            [(data.x_train, data.y_train)],
            check_deterministic=False,
        )
        eye = torch.eye(len(params)).double()
        matrix = (operator @ eye).detach() + (RIDGE + DAMPING) * eye
        toward = gradients(output, data.x_target, data.y_target)
        factor = torch.linalg.cholesky(0.5 * (matrix + matrix.T))
        solved = torch.cholesky_solve(toward.T, factor)
        return -gradients(loss, data.x_train, data.y_train) @ solved

    return attribute


def by_kronfluence(params: Tensor, folder: Path) -> Side:
    """Return kronfluence's EK-FAC scores, its Fisher sampled once an example."""
    from kronfluence import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    data = PROBLEM.data

    class Digits(Task):
        def compute_train_loss(
            self, batch: Any, model: nn.Module, sample: bool = False
        ) -> Tensor:
            x, y = batch
            z = model(x)
            if sample:
                y = torch.multinomial(torch.softmax(z.detach(), 1), 1)[:, 0]
            return cross_entropy(z, y, reduction="sum")

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return margin(model(batch[0]), batch[1]).sum()

    double = dict.fromkeys(
        (
            "activation_covariance_dtype",
            "gradient_covariance_dtype",
            "eigendecomposition_dtype",
            "per_sample_gradient_dtype",
            "lambda_dtype",
        ),
        torch.float64,
    )
    scored = dict.fromkeys(
        ("per_sample_gradient_dtype", "precondition_dtype", "score_dtype"),
        torch.float64,
    )

    def attribute() -> Tensor:
        task = Digits()
        analyzer = Analyzer(
            analysis_name="digits",
            model=prepare_model(module_at(params), task),
            task=task,
            cpu=True,
            output_dir=str(folder),
            disable_tqdm=True,
        )
        train = TensorDataset(data.x_train, data.y_train)
        analyzer.fit_all_factors(
            factors_name="factors",
            dataset=train,
            per_device_batch_size=N_TRAIN,
            overwrite_output_dir=True,
            factor_args=FactorArguments(strategy="ekfac", **double),
        )
        analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="factors",
            query_dataset=TensorDataset(data.x_target, data.y_target),
            train_dataset=train,
            per_device_query_batch_size=N_TARGETS,
            per_device_train_batch_size=N_TRAIN,
            overwrite_output_dir=True,
            score_args=ScoreArguments(damping_factor=RIDGE + DAMPING, **scored),
        )
        return -analyzer.load_pairwise_scores("scores")["all_modules"].T.double()

    return attribute


def sides(params: Tensor, folder: Path) -> dict[str, dict[str, Side]]:
    """Return every side under the curvature that it estimates with."""
    found = ours(params)
    found["exact Hessian"] |= {
        "peer dattri, explicit": by_dattri(params),
        "peer captum, explicit": by_captum(params, folder),
        "peer curvlinops, dense": by_curvlinops(params, "HessianLinearOperator"),
    }
    found["Gauss-Newton"] |= {
        "peer curvlinops, dense": by_curvlinops(params, "GGNLinearOperator"),
        "peer kronfluence, EK-FAC": by_kronfluence(params, folder),
    }
    return found


def compared(found: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the relative error, the slope and the correlation of scores."""
    pairs = torch.stack([found.flatten(), truth.flatten()])
    return {
        "error": ((found - truth).norm() / truth.norm()).item(),
        "slope": ((found * truth).sum() / truth.square().sum()).item(),
        "correlation": torch.corrcoef(pairs)[0, 1].item(),
    }


def speedups(times: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return the quickest peer's time over ours, repeat by repeat."""
    found = {}
    for curvature in ("exact Hessian", "Gauss-Newton"):
        peers = [
            taken
            for name, taken in times[curvature].items()
            if name.startswith("peer") and "EK-FAC" not in name
        ]
        best = [min(repeat) for repeat in zip(*peers, strict=True)]
        found[f"{curvature}, dense"] = ratios(best, times[curvature]["dense"])
    newton = times["Gauss-Newton"]
    found["EK-FAC"] = ratios(newton["peer kronfluence, EK-FAC"], newton["EK-FAC"])
    return found


def main() -> None:
    """Run all sides in turn and keep the JSON."""
    warnings.simplefilter("ignore")
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        every, seed = torch.ones(1, N_TRAIN).double(), torch.zeros(1).long()
        params = PROBLEM.fit(every, seed).params[0]
        exact, ways = truths(params), sides(params, Path(folder))
        times: dict[str, dict[str, list[float]]] = {
            name: {way: [] for way in each} for name, each in ways.items()
        }
        quality: dict[str, dict[str, Any]] = {name: {} for name in ways}
        for repeat in range(REPEATS + 1):
            for name, each in ways.items():
                for way, work in each.items():
                    taken, scores = seconds(work)
                    torch.set_num_threads(1)
                    # The first round makes what is made once in a process.
                    if repeat:
                        times[name][way].append(taken)
                    quality[name][way] = compared(scores, exact[name])
    publish(
        "influence",
        {
            "machine": machine("torch", "numpy", *PEERS),
            "examples": N_TRAIN,
            "targets": N_TARGETS,
            "parameters": len(params),
            "damping": DAMPING,
            "ridge": RIDGE,
            "sides": {
                name: {
                    way: {"seconds": median_with_interval(taken), **quality[name][way]}
                    for way, taken in each.items()
                }
                for name, each in times.items()
            },
            "quickest peer over ours": speedups(times),
        },
    )


if __name__ == "__main__":
    main()
