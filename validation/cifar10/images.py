"""Datamodels of single images: the estimates that several claims share."""

from dataclasses import replace

from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.files import save_attribution
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT, TRAK, path_of, place_of
from validation.cifar10.players import carried
from validation.cifar10.training import on_device
from validation.cifar10.works import IMAGES, INFLUENCE_AT_HALF, SINGLE
from validation.claim import Evidence

RIDGE, LASSO, SHRUNK = "ridge", "LASSO", "ridge toward influence"
INFLUENCE = "influence"
# Test images that leaks and groups are looked for in.
WIDE = 1000


def estimates(archive: Archive) -> dict[str, Attribution]:
    """Return estimates of single images on the judged targets, made once.

    Influence and TRAK come from models of the weighted recipe; what they are shrunk
    toward and scored on is the fast recipe's. The penalty of shrinkage is chosen by
    leave-one-out among the models that are fitted to.
    """
    rule = next(iter(archive.sizes.rules))
    problem = archive.subjects.images
    found = {RIDGE: archive.datamodel(SINGLE)}
    for name, place in {
        INFLUENCE: place_of(INFLUENCE_AT_HALF, rule),
        TRAK: TRAK,
        PRODUCT: PRODUCT,
    }.items():
        kept = archive.attribution(place)
        if kept is not None:
            found[name] = carried(kept, problem)
    if INFLUENCE in found:
        found[SHRUNK] = archive.made(
            ("shrunk", SINGLE),
            lambda: fit_datamodel(
                archive.responses(SINGLE),
                estimator=Ridge(),
                prior=found[INFLUENCE],
            ),
        )
    return found


def lasso(archive: Archive) -> Attribution:
    """Return the LASSO of the judged targets, made where models are trained.

    It is kept as a file, and made anew once there are more models.
    """
    responses = archive.responses(SINGLE)
    kept = archive.attribution(LASSO)
    if kept is not None and kept.n_models == responses.n_models:
        return kept
    there = on_device(responses, archive.subjects.device)
    found = fit_datamodel(there, estimator=Lasso())
    intercept = found.intercept
    found = replace(
        found,
        scores=found.scores.cpu(),
        intercept=None if intercept is None else intercept.cpu(),
    )
    path = path_of(archive.folder, LASSO)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_attribution(found, path)
    return found


def wide_datamodel(archive: Archive) -> Attribution:
    """Return the ridge datamodel on more targets than are judged."""
    n_targets = min(WIDE, archive.subjects.data.n_targets)

    def make() -> Attribution:
        responses = archive.read(IMAGES, n_targets)
        return fit_datamodel(responses, estimator=Ridge())

    return archive.made(("datamodel", SINGLE, n_targets), make)


def of_many_targets(archive: Archive) -> Evidence:
    """Take the datamodel of many test images, others of those that are judged."""
    datamodel, kept = wide_datamodel(archive), estimates(archive)
    others = {name: kept[name] for name in (INFLUENCE, PRODUCT) if name in kept}
    return Evidence(
        estimates={RIDGE: datamodel},
        references={RIDGE: datamodel, **others},
        blocked=archive.blocked(SINGLE),
    )
