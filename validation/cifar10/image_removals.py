"""Images removed from the full data: whose choice lowers a margin most."""

from functools import partial

from dmtheory.applications.counterfactual import removal_table
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim, put_to_images
from validation.cifar10.images import INFLUENCE, RIDGE
from validation.cifar10.removals import RANDOM, choosers, retrained
from validation.cifar10.works import IMAGES, REMOVALS, SINGLE
from validation.claim import SIGN, Entry, Evidence
from validation.claims import counterfactual
from validation.verdicts.verdict import Part

_FULL = "full data"


def claim(archive: Archive) -> ImageClaim:
    """Return the claim that what a datamodel names does what it says."""
    return ImageClaim(
        claim=put_to_images(
            counterfactual.CLAIM,
            "Images that a datamodel puts first, removed from the full data, lower a "
            "test image's margin more than as many at random.",
            partial(_judge_removals, archive),
            (SIGN,),
        ),
        needs=(IMAGES, REMOVALS),
        measure=_removals,
    )


def _removals(archive: Archive) -> Evidence:
    """Take the models without chosen images, and who chose them."""
    named, found = choosers(archive), retrained(archive)
    assert found is not None
    return Evidence(
        estimates={RIDGE: named[RIDGE]},
        references=named,
        retrained={_FULL: found},
        blocked=archive.blocked(SINGLE),
    )


def _judge_removals(archive: Archive, evidence: Evidence, _: Entry) -> list[Part]:
    """The fall of margins against chance and others; what the datamodel foretold."""
    ks = archive.sizes.removed
    named = {**evidence.references, RIDGE: evidence.estimates[RIDGE]}
    table = removal_table(
        evidence.retrained[_FULL],
        named,
        ks=ks,
        targets=range(archive.sizes.removal_targets),
    )
    falls = [
        Part(
            name=f"larger fall than by {other}, k = {k}",
            statement="mean fall of the margin, minus that of removals by the other: "
            + ("reported" if other == INFLUENCE else "above 0"),
            interval=table.difference(other, RIDGE, k),
            tolerance=(None if other == INFLUENCE else 0.0, None),
            headline=other == RANDOM,
        )
        for other in named
        if other != RIDGE
        for k in ks
    ]
    foretold = [
        Part(
            name=f"slope on what it foretold, k = {k}",
            statement="actual on predicted change, chosen and predicted by the same "
            "models, which shrinks it (reported)",
            interval=table.slope([RIDGE], k),
            tolerance=(None, None),
            headline=False,
        )
        for k in ks
        if named[RIDGE].units is not None
    ]
    return falls + foretold
