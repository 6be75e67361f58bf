"""Held-out subsets of images: who predicts what they do."""

from dmtheory.agreement.lds import lds_table
from dmtheory.agreement.subset_outputs import evaluation_of
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim, above_zero, put_to_images
from validation.cifar10.images import LASSO, RIDGE, SHRUNK, estimates, lasso
from validation.cifar10.works import (
    IMAGE_SUBSETS,
    IMAGES,
    INFLUENCE_AT_HALF,
    SINGLE,
    task_of,
)
from validation.claim import RANK, SIGN, Entry, Evidence
from validation.claims import sample_efficiency
from validation.verdicts.verdict import Part

_HELD_OUT = "held out"


def claim(archive: Archive) -> ImageClaim:
    """Return the claim that influence saves trainings."""
    rule = next(iter(archive.sizes.rules))
    return ImageClaim(
        claim=put_to_images(
            sample_efficiency.CLAIM,
            "At one number of trainings, ridge shrunk toward influence predicts "
            "held-out subsets better than ridge alone.",
            _judge_scores,
            (SIGN, RANK),
        ),
        needs=(IMAGES, IMAGE_SUBSETS, task_of(INFLUENCE_AT_HALF, rule)),
        measure=_scores,
    )


def _scores(archive: Archive) -> Evidence:
    """Gather every estimate of single images, and models that none has seen."""
    found = estimates(archive) | {LASSO: lasso(archive)}
    return Evidence(
        estimates=found,
        references={RIDGE: found[RIDGE]},
        held_out={_HELD_OUT: evaluation_of(archive.evaluation(SINGLE))},
        blocked=archive.blocked(SINGLE),
    )


def _judge_scores(evidence: Evidence, _: Entry) -> list[Part]:
    """Shrinkage above ridge; every score beside the ceiling."""
    rows = lds_table(
        list(evidence.estimates.items()), evidence.held_out[_HELD_OUT], reference=RIDGE
    ).rows
    by_name = {row.name: row for row in rows}
    ceiling = rows[0].lds.ceiling
    reported = [(f"LDS: {row.name}", row.lds.mean) for row in rows]
    reported += [] if ceiling is None else [("LDS: the ceiling", ceiling)]
    return [
        above_zero(
            "shrinkage over ridge",
            "LDS of ridge toward influence less that of ridge, same trainings: above 0",
            by_name[SHRUNK].difference,
        ),
        above_zero("ridge alone", "its LDS: above 0", by_name[RIDGE].lds.mean),
        *(
            Part(
                name=name,
                statement="mean over test images (reported)",
                interval=interval,
                tolerance=(-1.0, 1.0),
                headline=False,
            )
            for name, interval in reported
        ),
    ]
