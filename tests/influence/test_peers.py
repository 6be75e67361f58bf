"""The same numbers as other libraries, once their conventions are converted.

Every comparison is of values: slope one, not only the same order.
"""

import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import normal, table
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from dmtheory import GaussNewton, influence
from dmtheory.influence.curvature import EKFAC, EmpiricalFisher, ExactHessian
from dmtheory.problems import MLP, SGD, Network
from dmtheory.problems.outputs import margin

# What peers and their dependencies do with what is deprecated is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")
N_TRAIN, RIDGE, DAMPING = 30, 0.05, 0.4
PROBLEM = Network(
    make_module=MLP((4, 6, 3)),
    data=table(N_TRAIN, 4, n_targets=5, classes=3, seed=1),
    training=SGD(epochs=15, batch_size=10, weight_decay=RIDGE),
)
PARAMS = PROBLEM.fit(torch.ones(1, N_TRAIN).double(), torch.tensor([3])).params[0]


def peer(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # An ImportError of theirs is a reason too, not a failure of ours.
        return pytest.importorskip(
            name, reason=f"needs {name.partition('.')[0]}", exc_type=ImportError
        )


def module() -> nn.Module:
    made = PROBLEM.make_module().double().eval()
    nn.utils.vector_to_parameters(PARAMS, made.parameters())
    return made


def tau(**stated: Any) -> Tensor:
    """Return -grad f' (C + damping)^-1 grad l of every example and target."""
    found = influence(PROBLEM, parameters=PARAMS, damping=DAMPING, **stated)
    g = found.scores * N_TRAIN
    # `sum` has the motion of the divisor in it, which peers know nothing of; the mean
    # of tau comes back from the penalty's gradient only at a stationary point.
    plain = Network(
        make_module=PROBLEM.make_module,
        data=PROBLEM.data,
        training=PROBLEM.training,
        normalisation="count",
    )
    counted = influence(plain, parameters=PARAMS, damping=DAMPING, **stated)
    tau = counted.scores * N_TRAIN
    torch.testing.assert_close(g, tau - tau.mean(0))
    return tau


def check_same(theirs: Tensor, ours: Tensor, near: float) -> None:
    """Check values, with slope and correlation as a reader would state them."""
    theirs = theirs.double()
    slope = ((theirs * ours).sum() / ours.square().sum()).item()
    assert slope == pytest.approx(1, abs=near)
    assert (theirs - ours).norm() < near * ours.norm()


def pieces(flat: Tensor) -> list[Tensor]:
    """Return columns of parameters as curvlinops takes them."""
    sizes = [p.numel() for p in module().parameters()]
    return [
        part.unflatten(0, p.shape)
        for part, p in zip(flat.split(sizes), module().parameters(), strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "curvature"),
    [
        ("HessianLinearOperator", ExactHessian()),
        ("GGNLinearOperator", GaussNewton()),
        ("EFLinearOperator", EmpiricalFisher()),
    ],
)
def test_curvlinops_operators(name: str, curvature: Any) -> None:
    # Theirs: the sum over examples, no penalty. Ours: weights w_j / W, with it.
    library = peer("curvlinops")
    made, data = module(), PROBLEM.data
    theirs = getattr(library, name)(
        made,
        nn.CrossEntropyLoss(reduction="sum"),
        list(made.parameters()),
        [
            (data.x_train[:11], data.y_train[:11]),
            (data.x_train[11:], data.y_train[11:]),
        ],
        check_deterministic=False,
    )
    vectors = normal(len(PARAMS), 4, seed=2)
    expected = torch.cat([part.flatten(0, -2) for part in theirs @ pieces(vectors)])
    share = torch.ones(N_TRAIN).double() / N_TRAIN
    ours = curvature.operator(PROBLEM, PARAMS, share).product(vectors)
    check_same(expected.detach() / N_TRAIN + RIDGE * vectors, ours, 1e-10)


def test_dattri_explicit_influence() -> None:
    # Theirs: grad f' (H + reg I)^-1 grad l, H of the mean loss, in single precision at
    # the end. Its regularisation is our penalty plus our damping; the sign is opposite.
    algorithm = peer("dattri.algorithm.influence_function")
    task, made, data = import_module("dattri.task"), module(), PROBLEM.data

    def predict(params: Any, x: Tensor) -> Tensor:
        return functional_call(made, params, (x if x.ndim == 2 else x[None],))

    def loss(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        return cross_entropy(predict(params, pair[0]), pair[1].reshape(-1))

    def output(params: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        return margin(predict(params, pair[0]), pair[1].reshape(-1)).sum()

    state = {name: p.detach() for name, p in made.state_dict().items()}
    attributor = algorithm.IFAttributorExplicit(
        task=task.AttributionTask(
            loss_func=loss, model=made, checkpoints=[state], target_func=output
        ),
        regularization=DAMPING + RIDGE,
    )
    train = TensorDataset(data.x_train, data.y_train)
    target = TensorDataset(data.x_target, data.y_target)
    # One batch: it adds up the inverses, not the Hessians, of several.
    loader = DataLoader(train, batch_size=N_TRAIN)
    attributor.cache(loader)
    with torch.no_grad():
        found = attributor.attribute(loader, DataLoader(target, batch_size=5))
    check_same(-found, tau(curvature=ExactHessian()), 1e-6)


def test_captum_explicit_influence(tmp_path: Path) -> None:
    # Theirs: grad f' (N H + reg I)^-1 grad l from all eigenvalues of the summed loss,
    # with the target's output given as its loss.
    captum = peer("captum.influence._core.influence_function")
    made, data = module(), PROBLEM.data
    torch.save(made.state_dict(), tmp_path / "model.pt")

    def load(model: nn.Module, path: str) -> float:
        model.load_state_dict(torch.load(path, weights_only=True))
        return 1.0

    def output(logits: Tensor, classes: Tensor) -> Tensor:
        return margin(logits, classes).sum()

    output.reduction = "sum"  # type: ignore[attr-defined]
    naive = captum.NaiveInfluenceFunction(
        model=made,
        train_dataset=TensorDataset(data.x_train, data.y_train),
        checkpoint=str(tmp_path / "model.pt"),
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        test_loss_fn=output,
        batch_size=N_TRAIN,
        sample_wise_grads_per_batch=True,
        projection_dim=len(PARAMS),
        hessian_reg=N_TRAIN * (DAMPING + RIDGE),
    )
    found = N_TRAIN * naive.influence((data.x_target, data.y_target)).T.detach()
    check_same(-found, tau(curvature=ExactHessian()), 1e-6)


def test_kronfluence_ekfac_scores(tmp_path: Path) -> None:
    # Theirs: grad f' (F + damping)^-1 grad l with second moments averaged over rows.
    # Rows are every example with every label, its loss times the root of the label's
    # probability: so is its empirical Fisher our exact one, over the classes.
    kronfluence = peer("kronfluence")
    arguments = import_module("kronfluence.arguments")
    data, made, classes = PROBLEM.data, module(), 3

    class Task(kronfluence.Task):  # type: ignore[misc]
        def compute_train_loss(
            self, batch: Any, model: nn.Module, sample: bool = False
        ) -> Tensor:
            x, y, root = batch
            return (root * cross_entropy(model(x), y, reduction="none")).sum()

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return margin(model(batch[0]), batch[1]).sum()

    chances = torch.softmax(made(data.x_train), 1).detach()
    labels = torch.arange(classes).repeat(N_TRAIN)
    every = TensorDataset(
        data.x_train.repeat_interleave(classes, 0), labels, chances.flatten().sqrt()
    )
    ones = torch.ones(N_TRAIN).double()
    train = TensorDataset(data.x_train, data.y_train, ones)
    target = TensorDataset(data.x_target, data.y_target, ones[:5])
    task = Task()
    analyzer = kronfluence.Analyzer(
        analysis_name="peer",
        model=kronfluence.prepare_model(made, task),
        task=task,
        cpu=True,
        output_dir=str(tmp_path),
        disable_tqdm=True,
    )
    double = (
        "activation_covariance_dtype",
        "gradient_covariance_dtype",
        "eigendecomposition_dtype",
        "per_sample_gradient_dtype",
        "lambda_dtype",
    )
    analyzer.fit_all_factors(
        factors_name="factors",
        dataset=every,
        per_device_batch_size=45,
        factor_args=arguments.FactorArguments(
            strategy="ekfac",
            use_empirical_fisher=True,
            **dict.fromkeys(double, torch.float64),
        ),
    )
    score_types = ("per_sample_gradient_dtype", "precondition_dtype", "score_dtype")
    analyzer.compute_pairwise_scores(
        scores_name="scores",
        factors_name="factors",
        query_dataset=target,
        train_dataset=train,
        per_device_query_batch_size=5,
        per_device_train_batch_size=N_TRAIN,
        score_args=arguments.ScoreArguments(
            damping_factor=(DAMPING + RIDGE) / classes,
            **dict.fromkeys(score_types, torch.float64),
        ),
    )
    found = analyzer.load_pairwise_scores("scores")["all_modules"] / classes
    peer("curvlinops")
    check_same(-found.T, tau(curvature=EKFAC()), 1e-9)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Peers set the number of threads; the next test has ours again."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
