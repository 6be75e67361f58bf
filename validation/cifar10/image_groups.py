"""Images that act on the same test images: do they share a class?"""

from functools import partial

import torch
from torch import Tensor

from dmtheory.applications.subpopulations import (
    clusters,
    embedding,
    permuted_columns,
    recovery,
    vectors_of,
)
from dmtheory.designs.seeds import Purpose, permutation
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim, above_zero, put_to_images
from validation.cifar10.images import RIDGE, of_many_targets
from validation.cifar10.pixels import as_rows
from validation.cifar10.works import IMAGES
from validation.claim import RANK, Entry, Evidence
from validation.claims import subpopulations
from validation.verdicts.verdict import Part

COMPONENTS, PERMUTATIONS = 20, 5
# Images whose embedding is clustered.
CLUSTERED = 2000


def claim(archive: Archive) -> ImageClaim:
    """Return the claim that datamodels show groups."""
    return ImageClaim(
        claim=put_to_images(
            subpopulations.CLAIM,
            "Images of a class lie together in the datamodel's embedding, more than by "
            "chance and than by their pixels.",
            partial(_judge_groups, archive),
            (RANK,),
        ),
        needs=(IMAGES,),
        measure=of_many_targets,
    )


def _judge_groups(archive: Archive, evidence: Evidence, _: Entry) -> list[Part]:
    """Adjusted Rand index of the classes, and what it is above."""
    data, k = archive.subjects.data, archive.sizes.clusters
    rows = permutation(0, Purpose.SPLIT, 3, torch.arange(data.n_train))[:CLUSTERED]
    vectors = vectors_of(evidence.estimates[RIDGE])[rows]
    permuted = [permuted_columns(vectors, seed=s) for s in range(PERMUTATIONS)]
    found = recovery(
        {
            RIDGE: _clustered(vectors, k),
            "pixels": _clustered(as_rows(data.x_train[rows]).double(), k),
            "permuted": [_clustered(p, k) for p in permuted],
        },
        data.y_train[rows].long(),
    )
    return [
        above_zero(
            "above permuted coefficients",
            f"adjusted Rand index of the classes among {len(rows)} images in {k} "
            "clusters, minus that of coefficients permuted within each test image, "
            f"mean of {PERMUTATIONS}: above 0",
            found.difference(RIDGE, "permuted"),
        ),
        above_zero(
            "above raw pixels",
            "minus that of the pixels: above 0",
            found.difference(RIDGE, "pixels"),
            headline=False,
        ),
    ]


def _clustered(vectors: Tensor, k: int) -> Tensor:
    return clusters(embedding(vectors, COMPONENTS), k)
