"""Other libraries' estimators in the shape that the contracts call, and no more.

Each adapter converts what the library documents (sign, divisor, penalty) and passes the
rest through; what it does not take raises NotImplementedError with the reason.
"""

import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from dmtheory.problems import LogisticRegression


class Linear:
    """A convex problem trained by us, as the module and losses that peers take."""

    def __init__(self, problem: Any, at: Tensor) -> None:
        if at.shape != (problem.description.n_train,):
            raise ValueError("at must be one weight an example")
        if not bool((at == 1).all()):
            raise NotImplementedError("weights other than 1 are not theirs to take")
        self.problem, self.data = problem, problem.data
        self.n_train, self.ridge = len(at), problem.ridge
        seeds = torch.zeros(1, dtype=torch.int64)
        self.theta = problem.fit(at[None], seeds).params[0]
        self.module = nn.Linear(len(self.theta), 1, bias=False).double()
        nn.utils.vector_to_parameters(self.theta, self.module.parameters())
        self.classes = isinstance(problem, LogisticRegression)
        self.y, self.y_target = (
            2.0 * y - 1 if self.classes else y
            for y in (self.data.y_train, self.data.y_target)
        )

    def losses(self, z: Tensor, y: Tensor) -> Tensor:
        z, y = z.reshape(-1), y.reshape(-1)
        return softplus(-y * z) if self.classes else 0.5 * (z - y).square()

    def outputs(self, z: Tensor, y: Tensor) -> Tensor:
        return z.reshape(-1) * (y.reshape(-1) if self.classes else 1.0)

    def per_weight(self, tau: Tensor) -> Tensor:
        """Return dF/dw from tau = -grad f' (H + ridge)^-1 grad l, the divisor's share.

        Under `sum` a weight moves the divisor too; at a minimum of J that is the mean.
        """
        tau = tau.detach().double()
        if self.problem.normalisation == "sum":
            tau = tau - tau.mean(0)
        return tau / self.n_train


def dattri(name: str, *, n_batches: int = 1) -> Callable[..., Tensor]:
    """Return one of dattri's influence functions; their sign is the opposite."""

    def attribute(problem: Any, at: Tensor) -> Tensor:
        library = import_module("dattri.algorithm.influence_function")
        task = import_module("dattri.task")
        model = Linear(problem, at)

        def predict(params: Any, x: Tensor) -> Tensor:
            return functional_call(model.module, params, (x,))

        def loss(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
            return model.losses(predict(params, pair[0]), pair[1]).mean()

        def output(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
            return model.outputs(predict(params, pair[0]), pair[1]).sum()

        state = {name: p.detach() for name, p in model.module.state_dict().items()}
        made = getattr(library, name)(
            task=task.AttributionTask(
                loss_func=loss,
                model=model.module,
                checkpoints=[state],
                target_func=output,
            ),
            regularization=model.ridge,
        )
        size = -(-model.n_train // n_batches)
        train = DataLoader(TensorDataset(model.data.x_train, model.y), batch_size=size)
        target = DataLoader(
            TensorDataset(model.data.x_target, model.y_target), batch_size=64
        )
        made.cache(train)
        with torch.no_grad():
            found = made.attribute(train, target)
        return model.per_weight(-found)

    return attribute


def captum(problem: Any, at: Tensor) -> Tensor:
    """Return captum's NaiveInfluenceFunction, of the summed loss."""
    library = import_module("captum.influence._core.influence_function")
    model = Linear(problem, at)

    def output(z: Tensor, y: Tensor) -> Tensor:
        return model.outputs(z, y).sum()

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return model.losses(z, y).sum()

    output.reduction = loss.reduction = "sum"  # type: ignore[attr-defined]

    def load(module: nn.Module, path: str) -> float:
        module.load_state_dict(torch.load(path, weights_only=True))
        return 1.0

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.pt")
        torch.save(model.module.state_dict(), path)
        naive = library.NaiveInfluenceFunction(
            model=model.module,
            train_dataset=TensorDataset(model.data.x_train, model.y),
            checkpoint=path,
            checkpoints_load_func=load,
            loss_fn=loss,
            test_loss_fn=output,
            batch_size=model.n_train,
            sample_wise_grads_per_batch=True,
            projection_dim=len(model.theta),
            hessian_reg=model.n_train * model.ridge,
        )
        found = naive.influence((model.data.x_target, model.y_target))
    return model.per_weight(-model.n_train * found.T)


def kronfluence(problem: Any, at: Tensor) -> Tensor:
    """Return kronfluence's EK-FAC scores, the Fisher from rows made for it.

    Rows for the factors have a residual of 1, or every label times the root of its
    probability: so the empirical Fisher is the exact one.
    """
    library = import_module("kronfluence")
    arguments = import_module("kronfluence.arguments")
    linear = Linear(problem, at)

    class Task(library.Task):  # type: ignore[misc, name-defined]
        def compute_train_loss(
            self, batch: Any, model: nn.Module, sample: bool = False
        ) -> Tensor:
            x, y, root = batch
            return (root * linear.losses(model(x), y)).sum()

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return linear.outputs(model(batch[0]), batch[1]).sum()

    x = linear.data.x_train
    z = (x @ linear.theta).detach()
    if linear.classes:
        ones = torch.ones_like(z)
        labels, signs = torch.cat([ones, -ones]), torch.cat([z, -z])
        every = TensorDataset(x.repeat(2, 1), labels, torch.sigmoid(signs).sqrt())
    else:
        every = TensorDataset(x, z + 1, torch.ones_like(z))
    double = (
        "activation_covariance_dtype",
        "gradient_covariance_dtype",
        "eigendecomposition_dtype",
        "per_sample_gradient_dtype",
        "lambda_dtype",
    )
    score = ("per_sample_gradient_dtype", "precondition_dtype", "score_dtype")
    task, copies = Task(), len(every) / linear.n_train
    with tempfile.TemporaryDirectory() as folder:
        analyzer = library.Analyzer(
            analysis_name="peer",
            # It replaces layers inside a module, so not one that is a layer itself.
            model=library.prepare_model(nn.Sequential(linear.module), task),
            task=task,
            cpu=True,
            output_dir=folder,
            disable_tqdm=True,
        )
        analyzer.fit_all_factors(
            factors_name="factors",
            dataset=every,
            per_device_batch_size=len(every),
            factor_args=arguments.FactorArguments(
                strategy="ekfac",
                use_empirical_fisher=True,
                **dict.fromkeys(double, torch.float64),
            ),
        )
        analyzer.compute_pairwise_scores(
            scores_name="scores",
            factors_name="factors",
            query_dataset=TensorDataset(
                linear.data.x_target,
                linear.y_target,
                torch.ones_like(linear.y_target).double(),
            ),
            train_dataset=TensorDataset(x, linear.y, torch.ones_like(z)),
            per_device_query_batch_size=64,
            per_device_train_batch_size=64,
            score_args=arguments.ScoreArguments(
                damping_factor=linear.ridge / copies,
                **dict.fromkeys(score, torch.float64),
            ),
        )
        found = analyzer.load_pairwise_scores("scores")["all_modules"]
    return linear.per_weight(-found.T / copies)


class Summed:
    """A curvlinops operator of the summed loss, as one of J."""

    def __init__(self, operator: Any, factor: float, ridge: float, sizes: Any) -> None:
        self._operator, self._factor = operator, factor
        self._ridge, self._sizes = ridge, sizes

    def product(self, vectors: Tensor) -> Tensor:
        pieces = [
            part.unflatten(0, shape)
            for part, shape in zip(
                vectors.split([shape.numel() for shape in self._sizes]),
                self._sizes,
                strict=True,
            )
        ]
        found = torch.cat([part.flatten(0, -2) for part in self._operator @ pieces])
        return self._factor * found.detach() + self._ridge * vectors


def curvlinops(name: str, **stated: Any) -> Callable[..., Summed]:
    """Return one of curvlinops' operators; the penalty is added by this adapter.

    Their MSELoss has no 1/2: its Hessian is twice ours, its gradients' products four
    times.
    """

    def operator(problem: Any, params: Tensor, shares: Tensor) -> Summed:
        given = shares[shares > 0]
        if not bool((given == given[0]).all()):
            raise NotImplementedError("example weights are not theirs to take")
        library = import_module("curvlinops")
        module = problem.make_module().double()
        nn.utils.vector_to_parameters(params, module.parameters())
        data, rows = problem.data, shares > 0
        classes = not data.y_train.is_floating_point()
        loss: nn.Module = nn.CrossEntropyLoss(reduction="sum")
        y, factor = data.y_train[rows], 1.0
        if not classes:
            loss, y = nn.MSELoss(reduction="sum"), y[:, None]
            factor = 0.25 if name in {"EFLinearOperator"} else 0.5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = getattr(library, name)(
                module,
                loss,
                list(module.parameters()),
                [(data.x_train[rows], y)],
                check_deterministic=False,
                **stated,
            )
        sizes = [p.shape for p in module.parameters()]
        return Summed(
            made, factor * given[0].item(), problem.training.weight_decay, sizes
        )

    return operator


def sklearn(make: Callable[[int], Any]) -> Callable[..., Any]:
    """Return an estimator of scikit-learn, made for a number of models."""

    class Found:
        def __init__(self, fitted: Any, n_targets: int) -> None:
            self.scores = torch.from_numpy(fitted.coef_).reshape(n_targets, -1).T
            self.intercept = torch.from_numpy(fitted.intercept_).reshape(n_targets)

    def fit(masks: Tensor, outputs: Tensor, design: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = make(len(masks)).fit(masks.numpy(), outputs.numpy())
        return Found(made, outputs.shape[1])

    return fit
