"""Near-duplicates of test images among the training images, and who finds them."""

from functools import partial

from dmtheory.agreement.bootstrap import Interval
from dmtheory.applications.leakage import CopiesFound, copies_found, recall_difference
from dmtheory.attribution import Attribution
from dmtheory.data.copies import near_copies
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim, put_to_images
from validation.cifar10.images import RIDGE, of_many_targets
from validation.cifar10.pixels import real_valued
from validation.cifar10.works import IMAGES
from validation.claim import SIGN, Entry, Evidence
from validation.claims import leakage
from validation.verdicts.verdict import Part

# Images that a near-duplicate has to be among.
TOP = 10
_LEAST_TARGETS = 4
_NAN = float("nan")


def claim(archive: Archive) -> ImageClaim:
    """Return the claim that datamodels find leaks."""
    return ImageClaim(
        claim=put_to_images(
            leakage.CLAIM,
            "Near-duplicates of a test image among the training images are among the "
            f"first {TOP} of its datamodel more often than by chance.",
            partial(_judge_leaks, archive),
            (SIGN,),
        ),
        needs=(IMAGES,),
        measure=of_many_targets,
    )


def _judge_leaks(archive: Archive, evidence: Evidence, _: Entry) -> list[Part]:
    """Recall of natural near-duplicates against chance and against others'."""
    datamodel = evidence.estimates[RIDGE]
    n_targets = len(datamodel.target_labels)
    data = real_valued(archive.subjects.data, n_targets)
    near = near_copies(data, within=archive.sizes.near)
    found = _found(datamodel, near)
    parts = [
        Part(
            name="recall of near-duplicates",
            statement=f"share of the training images nearer than {archive.sizes.near} "
            f"of the median distance that are among the {TOP} first, over {len(near)} "
            f"of {n_targets} test images: above that of a random order",
            interval=Interval(_NAN, _NAN, _NAN) if found is None else found[0],
            tolerance=(TOP / datamodel.n_train, None),
        )
    ]
    for name, other in evidence.references.items():
        few = datamodel.restricted(targets=other.target_labels)
        shared = {t: rows for t, rows in near.items() if t < len(other.target_labels)}
        ours, theirs = _found(few, shared), _found(other, shared)
        if name != RIDGE and ours is not None and theirs is not None:
            parts.append(
                Part(
                    name=f"recall, minus that by {name}",
                    statement=f"on {len(shared)} test images that have some (reported)",
                    interval=recall_difference(ours[1], theirs[1]),
                    tolerance=(None, None),
                    headline=False,
                )
            )
    return parts


def _found(
    attribution: Attribution, near: dict[int, tuple[int, ...]]
) -> tuple[Interval, CopiesFound] | None:
    if len(near) < _LEAST_TARGETS:
        return None
    found = copies_found(attribution, near, top=TOP)
    return found.mean_recall(), found
