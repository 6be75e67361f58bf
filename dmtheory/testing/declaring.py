"""From an estimator of this package or a bare function to a declared estimator."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.method import DerivativeMethod
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs import SubsetDesign
from dmtheory.influence.curvature.base import Curvature
from dmtheory.problems.base import Problem
from dmtheory.testing.properties import Declared


def declares(contract: str, **promises: Any) -> Callable[[Any], Declared]:
    """Return a decorator that states an estimator's contract and promises.

    Args:
        contract: datamodel, attribution, derivative, curvature or problem.
        **promises: Other fields of `Declared`, such as
            `not_promised={"target linearity": "the penalty is chosen by the data"}`.
    """
    return lambda estimator: declared_as(contract, estimator, promises)


def declared_as(contract: str, estimator: Any, promises: Mapping[str, Any]) -> Declared:
    """Return an estimator as declared under a contract, with more promises.

    Raises:
        ValueError: If it was declared under another one.
    """
    if isinstance(estimator, Declared):
        if estimator.contract != contract:
            raise ValueError(
                f"estimator must be declared under the {contract} contract, got "
                f"{estimator.contract}"
            )
        return replace(estimator, **promises)
    return Declared(
        estimator=_callable(contract, estimator), contract=contract, **promises
    )


def contract_of(estimator: Any) -> str | None:
    """Return the contract that an object's methods name, None for a bare function."""
    if isinstance(estimator, Declared):
        return estimator.contract
    kinds = {
        "problem": Problem,
        "curvature": Curvature,
        "derivative": DerivativeMethod,
        "datamodel": DatamodelEstimator,
    }
    for name, kind in kinds.items():
        if isinstance(estimator, kind):
            return name
    return None


def _callable(contract: str, estimator: Any) -> Any:
    """Return a strategy object of this package as the function a contract calls."""
    if contract == "datamodel" and isinstance(estimator, DatamodelEstimator):
        return _Fit(estimator)
    if contract == "derivative" and isinstance(estimator, DerivativeMethod):
        return _Derive(estimator)
    if contract == "curvature" and isinstance(estimator, Curvature):
        return estimator.operator
    return estimator


class _Named:
    """A function that tables call by what it wraps."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    @property
    def __name__(self) -> str:
        return type(self._wrapped).__name__


class _Fit(_Named):
    def __call__(self, masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Any:
        return fit_datamodel(masks, outputs, design=design, estimator=self._wrapped)


class _Derive(_Named):
    def __call__(self, problem: Problem, **stated: Any) -> Any:
        return response_derivative(problem, self._wrapped, **stated)
