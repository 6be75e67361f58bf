"""Every operator against a matrix that is written out another way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor, nn

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.gradients import (
    example_gradients,
    prediction_jacobian,
    target_gradients,
)
from dmtheory.influence.at_models.rows import rows_of, rows_with_weight
from dmtheory.influence.curvature import (
    EKFAC,
    KFAC,
    Curvature,
    EmpiricalFisher,
    ExactHessian,
    Fisher,
    GaussNewton,
)
from dmtheory.influence.curvature.base import LowRank
from dmtheory.influence.curvature.layered import LayeredHessian, LayeredOuterProduct
from dmtheory.influence.curvature.layers import layers_of
from dmtheory.influence.curvature.regulariser import regulariser_of
from dmtheory.problems import (
    MLP,
    SGD,
    LeastSquares,
    LogisticRegression,
    Network,
    SoftmaxRegression,
)
from dmtheory.problems.outputs import margin
from dmtheory.training import CrossEntropy, SquaredError

N_TRAIN = 9


def network(**changes: Any) -> Network:
    stated: dict[str, Any] = {
        "make_module": MLP((3, 4, 3)),
        "data": table(N_TRAIN, 3, classes=3, seed=2),
        "training": SGD(epochs=2, batch_size=3, weight_decay=0.02),
    }
    return Network(**{**stated, **changes})


def regression_network() -> Network:
    return network(
        make_module=MLP((3, 4, 1)), data=table(N_TRAIN, 3, seed=5), output="prediction"
    )


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 3)),
        nn.Conv2d(1, 2, 2, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


class Branches(nn.Module):
    """Layers named against their order, a layer without bias, and a way around."""

    def __init__(self) -> None:
        super().__init__()
        self.a_last = nn.Linear(5, 3)
        self.b_first = nn.Linear(3, 2, bias=False)
        self.c_middle = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.b_first(x))
        return self.a_last(torch.cat([h, torch.sigmoid(self.c_middle(h))], 1))


class Twice(nn.Module):
    """One layer used twice: its parameters' moves meet."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.inside(torch.tanh(self.inside(x)))))


class Alone:
    """A problem without row access: what the protocol asks, and no more."""

    def __init__(self, problem: Any) -> None:
        self._problem = problem

    def __getattr__(self, name: str) -> Any:
        if name in {"_predict", "features", "predictions_at", "n_labels"}:
            raise AttributeError(name)
        return getattr(self._problem, name)


class Own:
    """A problem of one's own with all that chunks and Fishers ask for."""

    def __init__(self) -> None:
        self.inner = network()

    def __getattr__(self, name: str) -> Any:
        if name in {"description", "fit", "respond", "penalty", "prediction_losses"}:
            return getattr(self.inner, name)
        raise AttributeError(name)

    def features(self, device: torch.device) -> Tensor:
        return self.inner.data.x_train

    def predictions_at(self, params: Tensor, x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ params[:12].view(4, 3).T + params[12:16])
        return hidden @ params[16:28].view(3, 4).T + params[28:]

    def predictions(self, params: Tensor) -> Tensor:
        return self.predictions_at(params, self.features(params.device))

    def targets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        return self.inner.data.x_target, self.inner.data.y_target

    def outputs_at(self, params: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return margin(self.predictions_at(params, x), y)

    def target_outputs(self, params: Tensor) -> Tensor:
        return self.outputs_at(params, *self.targets(params.device))

    @property
    def n_labels(self) -> int:
        return 3

    def label_losses(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return CrossEntropy()(predictions, labels)


PROBLEMS: dict[str, Callable[[], Any]] = {
    "network": network,
    "regression network": regression_network,
    "convolution": lambda: network(
        make_module=convolution, data=table(N_TRAIN, 9, classes=3, seed=3)
    ),
    "branches": lambda: network(make_module=Branches),
    "twice": lambda: network(make_module=Twice),
    "least squares": lambda: LeastSquares(data=table(N_TRAIN, 3, seed=0), ridge=0.2),
    "logistic": lambda: LogisticRegression(
        data=table(N_TRAIN, 3, classes=2, seed=4), ridge=0.1
    ),
    "softmax": lambda: SoftmaxRegression(
        data=table(N_TRAIN, 3, classes=3, seed=4), ridge=0.1
    ),
    "alone": lambda: Alone(network()),
    "own": Own,
}
FAMILIES = ["network", "regression network", "least squares", "logistic", "softmax"]


@dataclass
class Place:
    problem: Any
    params: Tensor
    scaled: Tensor


def place(name: str) -> Place:
    """Return parameters that are nowhere near an optimum, and uneven weights."""
    problem = PROBLEMS[name]()
    weights = weight_rows(1, N_TRAIN, seed=6)[0]
    assert 0 < (weights == 0).sum() < N_TRAIN - 3
    n_params = problem.fit(torch.ones(1, N_TRAIN).double(), no_seeds(1)).params.shape[1]
    return Place(problem, 0.5 * normal(n_params, seed=7), weights / 5)


def gradients_one_by_one(problem: Any, params: Tensor) -> Tensor:
    """Return every example's gradient by torch.autograd, an example at a time."""
    rows = []
    for j in range(N_TRAIN):
        theta = params.clone().requires_grad_()
        loss = problem.prediction_losses(problem.predictions(theta))[j]
        rows.append(torch.autograd.grad(loss, theta)[0])
    return torch.stack(rows)


def written_hessian(at: Place) -> Tensor:
    def objective(theta: Tensor) -> Tensor:
        losses = at.problem.prediction_losses(at.problem.predictions(theta))
        return at.scaled @ losses + at.problem.penalty(theta)

    return torch.autograd.functional.hessian(objective, at.params)


def written_gauss_newton(at: Place) -> Tensor:
    problem, params = at.problem, at.params
    jacobian = torch.autograd.functional.jacobian(problem.predictions, params)
    z = problem.predictions(params).detach()

    def total(values: Tensor) -> Tensor:
        return problem.prediction_losses(values).sum()

    blocks = torch.autograd.functional.hessian(total, z)
    found = torch.autograd.functional.hessian(problem.penalty, params)
    for j in range(N_TRAIN):
        found = found + at.scaled[j] * jacobian[j].T @ blocks[j, :, j] @ jacobian[j]
    return found


def written_empirical_fisher(at: Place) -> Tensor:
    gradients = gradients_one_by_one(at.problem, at.params)
    penalty = torch.autograd.functional.hessian(at.problem.penalty, at.params)
    return (gradients * at.scaled[:, None]).T @ gradients + penalty


RULES: dict[str, tuple[Curvature, Callable[[Place], Tensor]]] = {
    "hessian": (ExactHessian(), written_hessian),
    "ggn": (GaussNewton(), written_gauss_newton),
    # Equal for these losses: theory, and no shared code.
    "fisher": (Fisher(), written_gauss_newton),
    "empirical": (EmpiricalFisher(), written_empirical_fisher),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", PROBLEMS)
def test_operators_are_the_written_matrices(rule: str, name: str) -> None:
    at = place(name)
    if (rule, name) == ("fisher", "alone"):
        pytest.skip("the expectation needs the loss of other labels")
    curvature, written = RULES[rule]
    expected = written(at)
    # The smallest budget: one example and one column at a time would fit less.
    budgets = [Budget(), Budget(2**20)]
    vectors = normal(len(at.params), 5, seed=8)
    for budget in budgets:
        found = curvature.operator(at.problem, at.params, at.scaled, budget=budget)
        near = {"rtol": 0, "atol": 1e-11}
        torch.testing.assert_close(found.product(vectors), expected @ vectors, **near)
        torch.testing.assert_close(found.dense(), expected, **near)
    jacobian = prediction_jacobian(at.problem, at.params)
    matrix = curvature.matrix(at.problem, at.params, at.scaled, jacobian)
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-11)
    if isinstance(found, LowRank):
        factor = found.factor()
        assert factor.shape == (len(at.params), found.rank)
        data = expected - torch.autograd.functional.hessian(
            at.problem.penalty, at.params
        )
        torch.testing.assert_close(factor @ factor.T, data, rtol=0, atol=1e-11)
        torch.testing.assert_close(found.diagonal(), data.diagonal(), **near)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_empirical_fisher_is_another_matrix_than_the_fisher(name: str) -> None:
    at = place(name)
    fisher = written_gauss_newton(at)
    assert (written_empirical_fisher(at) - fisher).norm() > 0.1 * fisher.norm()


LAYERED = {"network", "regression network", "branches"}


@pytest.mark.parametrize("name", PROBLEMS)
def test_rows_and_targets_are_taken_alone_where_they_can_be(name: str) -> None:
    at = place(name)
    rows = rows_of(at.problem, at.params.device)
    assert (rows.x is None) == (name == "alone")
    whole = at.problem.predictions(at.params)
    chunks = list(rows.chunks(2))
    assert len(chunks) == (1 if name == "alone" else 5)
    parts = torch.cat([predict(at.params) for _, predict in chunks])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", PROBLEMS)
def test_networks_of_linear_layers_go_through_the_layers_sums(name: str) -> None:
    at = place(name)
    for curvature in (ExactHessian(), GaussNewton()):
        found = curvature.operator(at.problem, at.params, at.scaled)
        layered = isinstance(found, LayeredHessian | LayeredOuterProduct)
        assert layered == (name in LAYERED)
    # Where the layers' arrays do not fit, the same numbers come by products.
    rows, _ = rows_with_weight(at.problem, at.scaled)
    assert layers_of(rows, at.params, Nothing()) is None


class Nothing(Budget):
    def fits(self, n_numbers: int) -> bool:
        return False


@pytest.mark.parametrize("name", ["network", "convolution"])
@pytest.mark.parametrize("rule", ["hessian", "ggn", "empirical"])
def test_chunks_of_examples_and_of_columns_change_nothing(
    rule: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = place(name)
    curvature = RULES[rule][0]
    vectors = normal(len(at.params), 5, seed=8)
    whole = curvature.operator(at.problem, at.params, at.scaled)
    expected = whole.product(vectors), whole.dense()
    monkeypatch.setattr(Budget, "tile", lambda *_, **__: (2, 3))
    monkeypatch.setattr(Budget, "rows", lambda *_: 2)
    parts = curvature.operator(at.problem, at.params, at.scaled)
    torch.testing.assert_close(parts.product(vectors), expected[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(parts.dense(), expected[1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["network", "convolution"])
@pytest.mark.parametrize("rule", ["hessian", "ggn", "fisher", "empirical"])
def test_random_batches_are_unbiased(rule: str, name: str) -> None:
    at = place(name)
    operator: Any = RULES[rule][0].operator(at.problem, at.params, at.scaled)
    parts = operator.batches(2, torch.Generator().manual_seed(0))
    present = int((at.scaled > 0).sum())
    assert sorted(part.rows.n_rows for part in parts)[0] >= 2
    assert sum(part.rows.n_rows for part in parts) == present
    mean = torch.stack([part.dense() for part in parts]).mean(0)
    torch.testing.assert_close(mean, operator.dense(), rtol=0, atol=1e-12)
    assert (parts[0].dense() - mean).norm() > 0.1 * mean.norm()


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_are_those_of_one_example_at_a_time(name: str) -> None:
    at = place(name)
    expected = gradients_one_by_one(at.problem, at.params)
    found = example_gradients(at.problem, at.params)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(at.problem.predictions, at.params)
    found = prediction_jacobian(at.problem, at.params)
    torch.testing.assert_close(found, jacobian, rtol=0, atol=1e-12)
    outputs = torch.autograd.functional.jacobian(at.problem.target_outputs, at.params)
    found = target_gradients(at.problem, at.params)
    torch.testing.assert_close(found, outputs, rtol=0, atol=1e-12)
    some = target_gradients(at.problem, at.params, slice(1, 3))
    torch.testing.assert_close(some, outputs[1:3], rtol=0, atol=1e-12)


def test_a_fisher_needs_a_likelihood() -> None:
    at = place("network")
    smooth = network(loss=CrossEntropy(label_smoothing=0.1))
    with pytest.raises(ValueError, match="loss must be minus a log-likelihood"):
        Fisher().operator(smooth, at.params, at.scaled)
    at = place("regression network")
    doubled = replace(at.problem, loss=_twice)
    with pytest.raises(ValueError, match="loss must be minus a log-likelihood"):
        Fisher().operator(doubled, at.params, at.scaled)
    at = place("alone")
    with pytest.raises(ValueError, match="problem must have `n_labels`"):
        Fisher().operator(at.problem, at.params, at.scaled)


def _twice(predictions: Tensor, y: Tensor) -> Tensor:
    return 2 * SquaredError()(predictions, y)


def _wave(predictions: Tensor, y: Tensor) -> Tensor:
    return torch.sin(3 * (predictions.squeeze(-1) - y))


def test_gauss_newton_needs_losses_that_are_convex_in_the_prediction() -> None:
    at = place("regression network")
    bent = replace(at.problem, loss=_wave)
    with pytest.raises(ValueError, match="losses must be convex in the predictions"):
        GaussNewton().operator(bent, at.params, at.scaled)


class Coupled(Alone):
    """A penalty whose second derivative is no diagonal."""

    def penalty(self, params: Tensor) -> Tensor:
        return params.sum().square()


def test_a_penalty_is_diagonal_only_where_it_is() -> None:
    at = place("network")
    found = regulariser_of(at.problem, at.params)
    torch.testing.assert_close(found.diagonal, torch.full_like(at.params, 0.02))
    coupled = Coupled(network())
    found = regulariser_of(coupled, at.params)
    assert found.diagonal is None
    vectors = normal(len(at.params), 2, seed=3)
    torch.testing.assert_close(
        found.product(vectors), 2 * vectors.sum(0).expand_as(vectors)
    )
    expected = written_hessian(replace(at, problem=coupled))
    operator = ExactHessian().operator(coupled, at.params, at.scaled)
    torch.testing.assert_close(operator.dense(), expected, rtol=0, atol=1e-11)
    with pytest.raises(ValueError, match="penalty must have a diagonal second"):
        found.shifts(0.1)


def kronecker_truth(at: Place, *, corrected: bool) -> Tensor:
    """Return K-FAC or EK-FAC from layer inputs and gradients, an example at a time."""
    problem, present = at.problem, at.scaled > 0
    module = problem.make_module().eval()
    nn.utils.vector_to_parameters(at.params, module.parameters())
    layers = [m for m in module if isinstance(m, nn.Linear)]
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    for layer in layers:
        layer.register_forward_hook(
            lambda one, inputs, output: seen.update({one: (inputs[0].detach(), output)})
        )
    x = problem.data.x_train[present]
    z = module(x)
    if z.shape[1] == 1:
        chances, scores = [torch.ones(len(x)).double()], [torch.ones_like(z)]
    else:
        chances = list(torch.softmax(z, 1).T.detach())
        unit = torch.eye(z.shape[1]).double()
        scores = [torch.softmax(z, 1).detach() - row for row in unit]
    scale, start = at.scaled[present][0], 0
    found = torch.autograd.functional.hessian(problem.penalty, at.params)
    for layer in layers:
        inputs = torch.cat([seen[layer][0], torch.ones(len(x), 1).double()], 1)
        a = inputs.T @ inputs / len(x)
        g, slopes = torch.zeros(layer.out_features, layer.out_features).double(), []
        for chance, score in zip(chances, scores, strict=True):
            (slope,) = torch.autograd.grad(z, seen[layer][1], score, retain_graph=True)
            g = g + (slope * chance[:, None]).T @ slope
            slopes.append(slope)
        block = torch.kron(g, a)
        if corrected:
            basis = torch.kron(torch.linalg.eigh(g)[1], torch.linalg.eigh(a)[1])
            exact = torch.zeros_like(block)
            for chance, slope in zip(chances, slopes, strict=True):
                own = torch.einsum("jo,ji->joi", slope, inputs).flatten(1)
                exact = exact + (own * chance[:, None]).T @ own
            moments = (basis.T @ exact @ basis).diagonal()
            block = (basis * moments) @ basis.T
        # Ours: the weight, row by row, then the bias.
        n_out, n_in = layer.out_features, layer.in_features
        weight = torch.arange(n_out * n_in)
        order = torch.cat([
            weight // n_in * (n_in + 1) + weight % n_in,
            torch.arange(n_out) * (n_in + 1) + n_in,
        ])
        size = len(order)
        found[start : start + size, start : start + size] += (
            scale * block[order][:, order]
        )
        start += size
    return found


def equal_place(name: str) -> Place:
    """Return a place where some examples have no weight and the rest the same."""
    at = place(name)
    return replace(at, scaled=0.3 * (at.scaled > 0))


@pytest.mark.parametrize("name", ["network", "regression network"])
@pytest.mark.parametrize("curvature", [KFAC(), EKFAC()], ids=["kfac", "ekfac"])
def test_kronecker_factors_are_the_written_ones(curvature: Any, name: str) -> None:
    pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
    at = equal_place(name)
    expected = kronecker_truth(at, corrected=isinstance(curvature, EKFAC))
    found = curvature.operator(at.problem, at.params, at.scaled)
    torch.testing.assert_close(found.dense(), expected, rtol=0, atol=1e-11)
    vectors = normal(len(at.params), 3, seed=9)
    torch.testing.assert_close(
        found.product(vectors), expected @ vectors, rtol=0, atol=1e-11
    )
    damped = expected + 0.07 * torch.eye(len(expected))
    torch.testing.assert_close(
        found.inverse_product(vectors, 0.07), torch.linalg.solve(damped, vectors)
    )
    # Layer by layer it is near the Gauss-Newton matrix, and no nearer by scale.
    exact = written_gauss_newton(at)
    block = slice(0, at.problem.make_module()[0].weight.numel())
    ours, truth = found.dense()[block, block], exact[block, block]
    slope = ((ours * truth).sum() / truth.square().sum()).item()
    assert 0.7 < slope < 1.3


@pytest.mark.parametrize("curvature", [KFAC(), EKFAC()], ids=["kfac", "ekfac"])
def test_ekfac_of_a_convolution_keeps_second_moments(curvature: Any) -> None:
    pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
    at = equal_place("convolution")
    found = curvature.operator(at.problem, at.params, at.scaled)
    vectors = normal(len(at.params), 3, seed=9)
    dense = found.dense()
    torch.testing.assert_close(dense, dense.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        found.inverse_product(vectors, 0.07),
        torch.linalg.solve(dense + 0.07 * torch.eye(len(dense)), vectors),
    )
    if isinstance(curvature, EKFAC):
        # A diagonal in an orthonormal basis keeps each layer's trace.
        exact = written_gauss_newton(at)
        for layer in (slice(0, 8), slice(8, None)):
            assert dense[layer, layer].trace() == pytest.approx(
                exact[layer, layer].trace().item(), rel=1e-9
            )


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize("rule", [*RULES, "kfac", "ekfac"])
def test_vectors_of_another_length_are_refused(rule: str, extra: int) -> None:
    at = equal_place("network")
    if "fac" in rule:
        pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
        curvature: Any = KFAC() if rule == "kfac" else EKFAC()
    else:
        curvature, _ = RULES[rule]
    found = curvature.operator(at.problem, at.params, at.scaled)
    n = len(at.params)
    vectors = normal(n + extra, 2, seed=9)
    message = rf"vectors must have shape \({n}, sides\), .* got \({n + extra}, 2\)"
    with pytest.raises(ValueError, match=message):
        found.product(vectors)
    if "fac" in rule:
        with pytest.raises(ValueError, match=message):
            found.inverse_product(vectors, 0.1)


def test_kronecker_factors_know_no_weights() -> None:
    pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
    at = place("network")
    with pytest.raises(ValueError, match="weights must be equal, zero aside, for K"):
        KFAC().operator(at.problem, at.params, at.scaled)
    convex = place("softmax")
    with pytest.raises(TypeError, match="problem must be a Network for EK-FAC"):
        EKFAC().operator(convex.problem, convex.params, convex.scaled)


def test_kronecker_factors_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "curvlinops", None)
    at = equal_place("network")
    with pytest.raises(ImportError, match=r"pip install 'dmtheory\[curvature\]'"):
        KFAC().operator(at.problem, at.params, at.scaled)
