"""The claims on single images, in the order of the report."""

from validation.cifar10 import image_groups, image_leaks, image_removals, image_scores
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim


def image_claims(archive: Archive) -> list[ImageClaim]:
    """Return the claims on single images; their judges know the run's images."""
    return [
        image_scores.claim(archive),
        image_removals.claim(archive),
        image_leaks.claim(archive),
        image_groups.claim(archive),
    ]
