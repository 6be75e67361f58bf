"""Hidden groups lie together in a datamodel, where features do not show them."""

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.applications.subpopulations import (
    Recovery,
    clusters,
    embedding,
    permuted_columns,
    recovery,
    vectors_of,
)
from dmtheory.attribution import Attribution
from dmtheory.data.hidden_groups import PlantedGroups
from validation.claim import RANK, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.problems import grouped_digits
from validation.verdicts.verdict import SUPPORTED, Part

COMPONENTS = 20
# Classes and hidden groups; who clusters knows how many, not which.
CLUSTERS = 13
PERMUTATIONS = 5
RECOVERED = 0.6


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Attribute where groups are hidden in a class."""
    return Evidence(
        estimates={"datamodel": laboratory.datamodel(entry.problem)},
        references={"influence": laboratory.influence(entry.problem, at=1.0)},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Index of the hidden groups, and what it is above; who acts on whom."""
    planted = grouped_digits()
    datamodel = evidence.estimates["datamodel"]
    found = _recovered(datamodel, planted)
    return [
        Part(
            name="above raw features",
            statement="adjusted Rand index of the hidden groups' members, clustered "
            "among all examples, minus that of the pixels: above 0",
            interval=found.difference("datamodel", "pixels"),
            tolerance=(0.0, None),
            over="members",
        ),
        Part(
            name="above permuted coefficients",
            statement="minus that of coefficients permuted within each target, mean "
            f"of {PERMUTATIONS}: above 0",
            interval=found.difference("datamodel", "permuted"),
            tolerance=(0.0, None),
            over="members",
        ),
        Part(
            name="the index itself",
            statement=f"at least {RECOVERED}",
            interval=found.index("datamodel"),
            tolerance=(RECOVERED, None),
            over="members",
        ),
        Part(
            name="members help their own",
            statement="mean coefficient of members on targets of their group minus on "
            "those of the other groups: above 0",
            interval=_own_minus_others(datamodel, planted),
            tolerance=(0.0, None),
            over="members",
        ),
    ]


def _recovered(datamodel: Attribution, planted: PlantedGroups) -> Recovery:
    vectors = vectors_of(datamodel)
    permuted = [permuted_columns(vectors, seed=s) for s in range(PERMUTATIONS)]
    return recovery(
        {
            "datamodel": _clustered(vectors),
            "pixels": _clustered(planted.data.x_train),
            "permuted": [_clustered(p) for p in permuted],
        },
        planted.train_groups,
        examples=(planted.train_groups >= 0).nonzero().squeeze(1),
    )


def _clustered(vectors: Tensor) -> Tensor:
    return clusters(embedding(vectors, COMPONENTS), CLUSTERS)


def _own_minus_others(datamodel: Attribution, planted: PlantedGroups) -> Interval:
    """Return the contrast with an interval over members."""
    members = (planted.train_groups >= 0).nonzero().squeeze(1)
    targets = (planted.target_groups >= 0).nonzero().squeeze(1)
    scores = datamodel.scores[members][:, targets]
    own = planted.train_groups[members, None] == planted.target_groups[targets]
    contrast = torch.where(own, scores, 0).sum(1) / own.sum(1)
    contrast -= torch.where(own, 0, scores).sum(1) / (~own).sum(1)
    counts = resample_counts(len(members), 1, draws=1000, seed=0)
    return centred_interval(contrast.mean(), counts @ contrast / len(members))


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the datamodel against influence."""
    return evidence.estimates["datamodel"], evidence.references["influence"]


CLAIM = Claim(
    id="subpopulations",
    title="Datamodels show groups that features hide",
    statement=(
        "Groups hidden in a class, told apart by a mark that the model has to know, "
        "are clusters of the datamodel's embedding and not of the pixels'."
    ),
    source="Ilyas et al. 2022, section 4.3",
    expected=SUPPORTED,
    entries=(Entry(scale="M", problem="digits-grouped", suite="thorough"),),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (2.0, "1/p, theory 3.2"),
    notices=(SIGN, RANK),
)
