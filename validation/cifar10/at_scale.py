"""Ridge and LASSO of single images, where the models are trained."""

import time

import torch

from dmtheory.datamodels.estimators.linear_fit import LinearFit
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import regression_of
from dmtheory.responses.responses import Responses
from validation.cifar10.archive import Archive
from validation.cifar10.images import lasso
from validation.cifar10.training import on_device
from validation.cifar10.works import IMAGES, SINGLE

Found = dict[str, float | str]


def regress(archive: Archive) -> Found:
    """Fit ridge to every margin and the LASSO to those of the judged; time both.

    Ridge takes one penalty for all, the median of those that leave-one-out chooses for
    the judged test images, so that one factor solves for all margins.

    Raises:
        ValueError: If a margin is not solved to its certificate's tolerance.
    """
    device = archive.subjects.device
    responses = on_device(archive.read(IMAGES), device)
    judged = on_device(archive.responses(SINGLE), device)
    l2_penalty = _chosen_penalty(judged)
    seconds, fit = _ridge(responses, l2_penalty)
    assert fit.certificate is not None
    fit.certificate.check()
    n_train, n_targets = fit.coefficients.shape
    clock = time.perf_counter()
    found = lasso(archive)
    taken = time.perf_counter() - clock
    return {
        "images": n_train,
        "test images": n_targets,
        "models": responses.n_models,
        "ridge seconds": seconds,
        "ridge penalty": l2_penalty,
        "ridge, largest relative residual": float(fit.certificate.value.max()),
        "targets with a finite fit": int(torch.isfinite(fit.coefficients).all(0).sum()),
        "LASSO test images": len(found.target_labels),
        "LASSO seconds": taken,
        "LASSO": found.method,
    }


def _chosen_penalty(judged: Responses) -> float:
    fit = Ridge(errors="none").fit(regression_of(judged).sample)
    assert fit.penalty is not None
    return float(fit.penalty.median())


def _ridge(responses: Responses, l2_penalty: float) -> tuple[float, LinearFit]:
    clock = time.perf_counter()
    rule = Ridge(l2_penalties=(l2_penalty,), errors="none")
    fit = rule.fit(regression_of(responses).sample)
    # Reading a number waits for the device.
    float(fit.coefficients[0, 0])
    return time.perf_counter() - clock, fit
