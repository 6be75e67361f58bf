"""The claims with judges of their own, in the order of the report."""

from validation.cifar10 import (
    image_groups,
    image_leaks,
    image_removals,
    image_scores,
    seed_claim,
)
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim


def image_claims(archive: Archive) -> list[ImageClaim]:
    """Return the claims on seeds and single images; judges know the run's images."""
    return [
        seed_claim.claim(archive),
        image_scores.claim(archive),
        image_removals.claim(archive),
        image_leaks.claim(archive),
        image_groups.claim(archive),
    ]
