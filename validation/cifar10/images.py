"""Datamodels of single images: the estimates that several claims share."""

from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.lasso.lasso import Lasso
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT, TRAK, place_of
from validation.cifar10.players import carried
from validation.cifar10.works import IMAGES, INFLUENCE_AT_HALF, SINGLE
from validation.claim import Evidence

RIDGE, LASSO, SHRUNK = "ridge", "LASSO", "ridge toward influence"
INFLUENCE = "influence"
# Test images that leaks and groups are looked for in.
WIDE = 1000
# The LASSO holds up to three Gram matrices of the images.
MOST_FOR_LASSO = 10_000


def estimates(archive: Archive) -> dict[str, Attribution]:
    """Return all estimates of single images on the judged targets, made once.

    Influence and TRAK come from models of the weighted recipe; what they are shrunk
    toward and scored on is the fast recipe's. The penalty of shrinkage is chosen by
    leave-one-out among the models that are fitted to.
    """
    rule = next(iter(archive.sizes.rules))
    problem = archive.subjects.images
    found = {RIDGE: archive.datamodel(SINGLE)}
    if problem.description.n_train <= MOST_FOR_LASSO:
        found[LASSO] = archive.made(
            ("LASSO", SINGLE),
            lambda: fit_datamodel(archive.responses(SINGLE), estimator=Lasso()),
        )
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
