"""Datamodels of single images: the estimates that several claims share."""

from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.lasso.lasso import Lasso
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT, TRAK, place_of
from validation.cifar10.players import carried
from validation.cifar10.works import IMAGES, INFLUENCE_AT_HALF, SINGLE

RIDGE, LASSO, SHRUNK = "ridge", "LASSO", "ridge toward influence"
INFLUENCE = "influence"
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


def wide_datamodel(archive: Archive, n_targets: int) -> Attribution:
    """Return the ridge datamodel on more targets than are judged, without its units."""

    def make() -> Attribution:
        responses = archive.read(IMAGES, n_targets)
        return fit_datamodel(responses, estimator=Ridge())

    return archive.made(("datamodel", SINGLE, n_targets), make)
