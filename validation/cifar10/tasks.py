"""What is done between trainings: attributions at a few models, fits at scale."""

from dmtheory.agreement.subset_outputs import evaluation_of
from validation.cifar10.archive import Archive
from validation.cifar10.at_scale import regress
from validation.cifar10.attributions import (
    PRODUCT,
    TRAK,
    keep_dense,
    keep_influence,
)
from validation.cifar10.ledger import Ledger
from validation.cifar10.models import N_MODELS, POINTS
from validation.cifar10.needs import (
    Need,
    lasso_need,
    product_need,
    products_a_second,
    ridge_need,
    trak_need,
)
from validation.cifar10.plan import Speed, Task
from validation.cifar10.works import GROUPS, IMAGES, REGRESSION, task_of

# How a note of what went wrong begins.
FAILED = "failed:"


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

    needs, rate = _needs(archive), products_a_second(archive.subjects.device)
    dense, fit = (
        [
            Task(
                name=name,
                seconds=max(sizes.analysis_seconds, needs[name].operations / rate),
                serves=serves,
                bytes=needs[name].bytes,
            )
            for name in names
        ]
        for names, serves in (
            ((TRAK, PRODUCT), "why-datamodels-win, sample-efficiency"),
            ((REGRESSION,), "ridge of all margins and LASSO, timed"),
        )
    )
    return [*of(first), *dense, *(t for rule in others for t in of(rule)), *fit]


def _needs(archive: Archive) -> dict[str, Need]:
    """Return what each task takes that works on all images at once."""
    sizes, subjects = archive.sizes, archive.subjects
    images = {"n_train": subjects.data.n_train, "n_targets": sizes.n_targets}
    models = {**images, "n_models": N_MODELS, "n_params": subjects.n_params}
    n_fitted = max(archive.there(IMAGES), sizes.images[0])
    ridge = ridge_need(
        n_models=n_fitted,
        n_train=subjects.data.n_train,
        n_targets=subjects.data.n_targets,
    )
    lasso = lasso_need(n_models=n_fitted, **images)
    return {
        TRAK: trak_need(dimension=sizes.trak_dimension, **models),
        PRODUCT: product_need(**models),
        REGRESSION: Need(
            operations=ridge.operations + lasso.operations,
            bytes=max(ridge.bytes, lasso.bytes),
        ),
    }


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
