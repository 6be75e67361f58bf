"""The claims on single images, whose judges need what images they are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds_table
from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.applications.counterfactual import removal_table
from dmtheory.applications.leakage import CopiesFound, copies_found, recall_difference
from dmtheory.applications.subpopulations import (
    clusters,
    embedding,
    permuted_columns,
    recovery,
    vectors_of,
)
from dmtheory.attribution import Attribution
from dmtheory.data.copies import near_copies
from dmtheory.designs.seeds import Purpose, permutation
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT
from validation.cifar10.images import (
    INFLUENCE,
    RIDGE,
    SHRUNK,
    estimates,
    wide_datamodel,
)
from validation.cifar10.pixels import as_rows, real_valued
from validation.cifar10.removals import RANDOM, choosers, retrained
from validation.cifar10.works import (
    IMAGE_SUBSETS,
    IMAGES,
    INFLUENCE_AT_HALF,
    REMOVALS,
    SINGLE,
)
from validation.claim import RANK, SIGN, Claim, Entry, Evidence
from validation.claims import counterfactual, leakage, sample_efficiency, subpopulations
from validation.verdict import SUPPORTED, Part

# Images that a near-duplicate has to be among.
TOP = 10
COMPONENTS, PERMUTATIONS = 20, 5
# Images whose embedding is clustered, and test images that it is made of.
CLUSTERED, WIDE = 2000, 1000
_LEAST_TARGETS = 4
_HELD_OUT, _FULL = "held out", "full data"
_NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageClaim:
    """A claim on single images.

    Attributes:
        claim: The claim with its own judge.
        needs: Work that it is made of.
        measure: Gathers the evidence.
    """

    claim: Claim
    needs: tuple[str, ...]
    measure: Callable[[Archive], Evidence]

    @property
    def entry(self) -> Entry:
        """Where it is decided."""
        return Entry(scale="G", problem=SINGLE, suite="cifar10")


def image_claims(archive: Archive) -> list[ImageClaim]:
    """Return the claims on single images, in the order of the report."""
    return [
        ImageClaim(
            claim=_claim(
                sample_efficiency.CLAIM,
                "At one number of trainings, ridge shrunk toward influence predicts "
                "held-out subsets better than ridge alone.",
                _judge_scores,
                (SIGN, RANK),
            ),
            needs=(IMAGES, IMAGE_SUBSETS, INFLUENCE_AT_HALF),
            measure=_scores,
        ),
        ImageClaim(
            claim=_claim(
                counterfactual.CLAIM,
                "Images that a datamodel puts first, removed from the full data, lower "
                "a test image's margin more than as many at random.",
                partial(_judge_removals, archive),
                (SIGN,),
            ),
            needs=(IMAGES, REMOVALS),
            measure=_removals,
        ),
        ImageClaim(
            claim=_claim(
                leakage.CLAIM,
                "Near-duplicates of a test image among the training images are among "
                f"the first {TOP} of its datamodel more often than by chance.",
                partial(_judge_leaks, archive),
                (SIGN,),
            ),
            needs=(IMAGES,),
            measure=_wide,
        ),
        ImageClaim(
            claim=_claim(
                subpopulations.CLAIM,
                "Images of a class lie together in the datamodel's embedding, more "
                "than by chance and than by their pixels.",
                partial(_judge_groups, archive),
                (RANK,),
            ),
            needs=(IMAGES,),
            measure=_wide,
        ),
    ]


def _claim(
    like: Claim,
    statement: str,
    judge: Callable[[Evidence, Entry], list[Part]],
    notices: tuple[str, ...],
) -> Claim:
    """Return a claim of the suite as it is put to single images."""
    return Claim(
        id=like.id,
        title=like.title,
        statement=statement,
        source=like.source,
        expected=SUPPORTED,
        entries=(),
        measure=like.measure,
        judge=judge,
        drawn=lambda evidence: (evidence.estimates[RIDGE], evidence.references[RIDGE]),
        predicted_slope=lambda _: (1.0, "slope 1: itself"),
        notices=notices,
    )


def _scores(archive: Archive) -> Evidence:
    """Gather every estimate of single images, and models that none has seen."""
    found = estimates(archive)
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
        _above_zero(
            "shrinkage over ridge",
            "LDS of ridge toward influence less that of ridge, same trainings: above 0",
            by_name[SHRUNK].difference,
        ),
        _above_zero("ridge alone", "its LDS: above 0", by_name[RIDGE].lds.mean),
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


def _wide(archive: Archive) -> Evidence:
    """Fit the datamodel of many test images."""
    n_targets = min(WIDE, archive.subjects.data.n_targets)
    datamodel = wide_datamodel(archive, n_targets)
    kept = estimates(archive)
    others = {n: kept[n] for n in (INFLUENCE, PRODUCT) if n in kept}
    return Evidence(
        estimates={RIDGE: datamodel},
        references={RIDGE: datamodel, **others},
        blocked=archive.blocked(SINGLE),
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
        _above_zero(
            "above permuted coefficients",
            f"adjusted Rand index of the classes among {len(rows)} images in {k} "
            "clusters, minus that of coefficients permuted within each test image, "
            f"mean of {PERMUTATIONS}: above 0",
            found.difference(RIDGE, "permuted"),
        ),
        _above_zero(
            "above raw pixels",
            "minus that of the pixels: above 0",
            found.difference(RIDGE, "pixels"),
            headline=False,
        ),
    ]


def _clustered(vectors: Tensor, k: int) -> Tensor:
    return clusters(embedding(vectors, COMPONENTS), k)


def _above_zero(
    name: str, statement: str, interval: Interval, *, headline: bool = True
) -> Part:
    return Part(
        name=name,
        statement=statement,
        interval=interval,
        tolerance=(0.0, None),
        headline=headline,
    )
