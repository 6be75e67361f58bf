"""What is done between trainings: attributions at a few models, fits at scale."""

import time

import torch

from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.estimators.target_blocks import TargetBlocks
from dmtheory.datamodels.fit import fit_datamodel
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import (
    PRODUCT,
    TRAK,
    keep_dense,
    keep_influence,
)
from validation.cifar10.images import LASSO, MOST_FOR_LASSO, estimates
from validation.cifar10.ledger import Ledger
from validation.cifar10.models import N_MODELS, POINTS
from validation.cifar10.plan import Speed, Task
from validation.cifar10.works import GROUPS, IMAGES, REGRESSION, task_of

# How a note of what went wrong begins.
FAILED = "failed:"
# Targets of one block of the fit at scale.
_BLOCK = 1000


def tasks(archive: Archive, speed: Speed) -> list[Task]:
    """Return all tasks, in order of worth: the first rule's before the others'."""
    sizes = archive.sizes
    trainings = N_MODELS * speed.seconds_a_model[GROUPS]
    first, *others = sizes.rules

    def of(rule: str) -> list[Task]:
        return [
            Task(
                name=task_of(point, rule),
                # All rules take the same models.
                seconds=sizes.analysis_seconds + (trainings if rule == first else 0.0),
                serves=f"why-datamodels-win, by {rule}",
            )
            for point in POINTS
        ]

    dense = [
        Task(
            name=name,
            seconds=sizes.analysis_seconds,
            serves="why-datamodels-win, sample-efficiency",
        )
        for name in (TRAK, PRODUCT)
    ]
    fit = Task(
        name=REGRESSION,
        seconds=sizes.analysis_seconds,
        serves="ridge and LASSO of all margins, timed",
    )
    return [*of(first), *dense, *(t for rule in others for t in of(rule)), fit]


def do_task(name: str, archive: Archive, ledger: Ledger) -> None:
    """Do a task; note what is left out of it or fails, and go on without it.

    An hour of trainings is not lost because an optional package is missing, or a
    curvature does not fit in the GPU's memory.
    """
    try:
        why = _done(name, archive, ledger)
    except (ImportError, RuntimeError, ValueError) as error:
        why = f"{FAILED} {' '.join(str(error).split())}"
    ledger.notes.pop(name, None)
    if why:
        ledger.notes[name] = why
    if name not in ledger.finished:
        ledger.finished.append(name)


def _done(name: str, archive: Archive, ledger: Ledger) -> str:
    """Do a task and return why something was left out; empty if nothing was."""
    where = archive.subjects, archive.folder, archive.sizes
    if name == REGRESSION:
        ledger.throughput[REGRESSION] = regress(archive)
        return ""
    if name in {TRAK, PRODUCT}:
        return keep_dense(name, *where, seed=archive.seed)
    point, rule = name.split(", ")
    pilot = evaluation_of(archive.responses(GROUPS))
    return keep_influence(point, rule, pilot, *where, seed=archive.seed)


def regress(archive: Archive) -> dict[str, float | str]:
    """Fit ridge to every margin, and the LASSO where it fits in memory; time both."""
    responses = archive.read(IMAGES)
    clock = time.perf_counter()
    fitted = fit_datamodel(
        responses, estimator=TargetBlocks(estimator=Ridge(), size=_BLOCK)
    )
    seconds = time.perf_counter() - clock
    n_train, n_targets = fitted.scores.shape
    found: dict[str, float | str] = {
        "images": n_train,
        "test images": n_targets,
        "models": responses.n_models,
        "ridge seconds": seconds,
        "ridge": fitted.method,
    }
    if n_train <= MOST_FOR_LASSO:
        clock = time.perf_counter()
        lasso = estimates(archive)[LASSO]
        found["LASSO seconds"] = time.perf_counter() - clock
        found["LASSO"] = lasso.method
    return found | {"targets with a finite fit": int(_finite(fitted.scores))}


def _finite(scores: torch.Tensor) -> int:
    return int(torch.isfinite(scores).all(0).sum())
