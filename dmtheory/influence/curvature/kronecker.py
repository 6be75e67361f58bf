"""Kronecker-factored curvature of networks: K-FAC and EK-FAC, through curvlinops."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import Rows, rows_with_weight
from dmtheory.influence.curvature.kronecker_products import KroneckerProducts, Layer
from dmtheory.influence.curvature.regulariser import regulariser_of
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.problems.network import Network
from dmtheory.training.losses import CrossEntropy, SquaredError
from dmtheory.training.modules import prepared


@dataclass(frozen=True, slots=True)
class _Kronecker(ABC):
    """A Kronecker-factored approximation of Gauss-Newton, layer by layer."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The rule's name in results."""

    @abstractmethod
    def eigenbases(self, library: Any, *described: Any) -> dict[str, list[Tensor]]:
        """Return outputs' and inputs' eigenvectors and eigenvalues, a layer."""

    def matrix(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        jacobian: Float[Tensor, "train classes params"],
    ) -> Float[Tensor, "params params"]:
        """Return the curvature of J(.; w); zero between layers."""
        return self.operator(problem, params, scaled_weights).dense()

    def operator(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        *,
        budget: Budget = Budget(),  # noqa: B008 -- frozen
    ) -> KroneckerProducts:
        """Return the curvature of J(.; w).

        Raises:
            TypeError: If the problem is no network of linear and convolution layers
                with cross-entropy or squared error.
            ValueError: If the examples' weights, zero aside, are not all equal: the
                factors are sums over examples, which know no weights.
            ImportError: If curvlinops is not installed.
        """
        library = _curvlinops()
        if not isinstance(problem, Network):
            raise TypeError(
                f"problem must be a Network for {self.name}, got "
                f"{type(problem).__name__}: use GaussNewton()"
            )
        scale = _common(scaled_weights, self.name)
        rows, chosen = rows_with_weight(problem, scaled_weights)
        module = _module_at(problem, params)
        loss, factor = _loss_of(problem, self.name)
        trained = [p for p in module.parameters() if p.requires_grad]
        data = _batches(problem, rows, chosen, params, budget)
        try:
            places = library.KFACLinearOperator.compute_parameter_mapping(
                trained, module
            )
        except NotImplementedError as error:
            raise TypeError(
                f"make_module must have parameters in linear and convolution layers "
                f"alone for {self.name} ({error}): use GaussNewton()"
            ) from error
        bases = self.eigenbases(library, module, loss, trained, data)
        return KroneckerProducts(
            name=self.name,
            params=params,
            layers=_layers(places, trained, bases, scale * factor),
            regulariser=regulariser_of(problem, params),
        )


@dataclass(frozen=True, slots=True)
class KFAC(_Kronecker):
    """K-FAC: one Kronecker product a layer, of exact second moments.

    The gradients' factor is the exact expectation over the model's predictions, not a
    sample (curvlinops' FisherType.TYPE2).

    References:
        Martens and Grosse 2015, Optimizing neural networks with Kronecker-factored
        approximate curvature, section 3.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "K-FAC"

    def eigenbases(self, library: Any, *described: Any) -> dict[str, list[Tensor]]:
        """Return eigenvectors of both factors, with products of their eigenvalues."""
        made = library.KFACLinearOperator(*described, **_options(library))
        made.compute_kronecker_factors()
        state, found = made.state_dict(), {}
        for name, moment in state["gradient_covariances"].items():
            values, outputs = torch.linalg.eigh(moment)
            others, inputs = torch.linalg.eigh(state["input_covariances"][name])
            product = values.clamp_min(0)[:, None] * others.clamp_min(0)
            found[name] = [outputs, inputs, product]
        return found


@dataclass(frozen=True, slots=True)
class EKFAC(_Kronecker):
    """EK-FAC: K-FAC's eigenvectors with the exact second moments along them.

    References:
        George et al. 2018, Fast approximate natural gradient descent in a
        Kronecker-factored eigenbasis, section 3.
        Grosse et al. 2023, Studying large language model generalization with influence
        functions, section 2.3.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "EK-FAC"

    def eigenbases(self, library: Any, *described: Any) -> dict[str, list[Tensor]]:
        """Return eigenvectors of both factors, with second moments along them."""
        made = library.EKFACLinearOperator(*described, **_options(library))
        made.compute_kronecker_factors()
        made.compute_eigenvalue_correction()
        state = made.state_dict()
        outputs, inputs, values = (
            state[name]
            for name in (
                "gradient_covariances_eigenvectors",
                "input_covariances_eigenvectors",
                "corrected_eigenvalues",
            )
        )
        # A layer without bias has its values under its weight's number.
        return {
            name: [
                outputs[name],
                inputs[name],
                *(found.values() if isinstance(found, dict) else [found]),
            ]
            for name, found in values.items()
        }


def _options(library: Any) -> dict[str, Any]:
    return {
        "fisher_type": library.FisherType.TYPE2,
        "separate_weight_and_bias": False,
        "check_deterministic": False,
    }


def _curvlinops() -> Any:
    try:
        with warnings.catch_warnings():
            # Its own dependencies import what torch has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            return import_module("curvlinops")
    except ImportError as error:
        raise ImportError(
            "K-FAC and EK-FAC need curvlinops: pip install 'dmtheory[curvature]'"
        ) from error


def _common(scaled_weights: Tensor, name: str) -> float:
    present = scaled_weights[scaled_weights > 0]
    if len(present) == 0:
        return 0.0
    if bool((present != present[0]).any()):
        raise ValueError(
            f"weights must be equal, zero aside, for {name}, got "
            f"{present.min().item():g} to {present.max().item():g} of W: use "
            "GaussNewton()"
        )
    return present[0].item()


def _module_at(problem: Network, params: Tensor) -> nn.Module:
    module = prepared(problem.make_module, problem.dtype).to(params.device).eval()
    trained = [p for p in module.parameters() if p.requires_grad]
    nn.utils.vector_to_parameters(params, trained)
    return module


def _loss_of(problem: Network, name: str) -> tuple[nn.Module, float]:
    """Return torch's loss, summed, and what to multiply its curvature by."""
    loss = problem.task().loss
    if isinstance(loss, CrossEntropy):
        # Label smoothing is linear in the logits: it has no curvature.
        return nn.CrossEntropyLoss(reduction="sum"), 1.0
    if isinstance(loss, SquaredError):
        return nn.MSELoss(reduction="sum"), 0.5
    raise TypeError(
        f"loss must be CrossEntropy() or SquaredError() for {name}, got {loss}: use "
        "GaussNewton()"
    )


def _batches(
    problem: Network, rows: Rows, chosen: Tensor, params: Tensor, budget: Budget
) -> list[tuple[Tensor, Tensor]]:
    assert rows.x is not None
    y = problem.labels(params.device)[chosen]
    if y.is_floating_point():
        y = y[:, None]
    size, _ = budget.tile(rows.n_rows, 1, rows.entries_a_row(params))
    return list(zip(rows.x.split(size), y.split(size), strict=True))


def _layers(
    places: dict[str, dict[str, int]],
    trained: list[nn.Parameter],
    bases: dict[str, list[Tensor]],
    scale: float,
) -> tuple[Layer, ...]:
    ends = torch.tensor([0, *(p.numel() for p in trained)]).cumsum(0).tolist()
    found = []
    for name, numbers in places.items():
        if "weight" not in numbers:
            raise TypeError(f"make_module must train the weight of layer {name!r} too")
        pieces = tuple(
            slice(ends[numbers[part]], ends[numbers[part] + 1])
            for part in ("weight", "bias")
            if part in numbers
        )
        outputs, inputs, values = bases[name]
        found.append(
            Layer(pieces=pieces, outputs=outputs, inputs=inputs, values=scale * values)
        )
    return tuple(found)
