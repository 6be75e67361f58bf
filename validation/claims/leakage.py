"""Datamodels find copies of a target; leaving one of several out shows little of it."""

import torch

from dmtheory.agreement.bootstrap import Interval
from dmtheory.applications.copy_effects import Shares, copy_effects, loo_over_datamodel
from dmtheory.applications.leakage import copies_found, recall_difference
from dmtheory.attribution import Attribution
from dmtheory.data.copies import near_copies
from dmtheory.influence.baselines.gradient_product import gradient_product
from validation.claim import RANK, SIGN, Claim, Entry, Evidence, exact_part
from validation.laboratory import Laboratory
from validation.problems import copied_digits, interpolated_digits, leaked_digits
from validation.verdicts.verdict import SUPPORTED, Part

LEAKED, COPIED, INTERPOLATED = "digits-leaked", "digits-copied", "parity-interpolated"
SUBSETS, SEEDS = {COPIED: 32, INTERPOLATED: 40}, 8
# A random order's is below .01.
RECALL = 0.3
# Distance, as a share of the median, that makes a natural near-duplicate.
NEAR = 0.4
TOP = 10


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Attribute where copies are planted; add copies one by one."""
    if entry.problem == INTERPOLATED:
        return _effects(laboratory, INTERPOLATED)
    name = entry.problem
    problem = laboratory.problem(name)
    product = laboratory.made(
        ("gradient product", name),
        lambda: gradient_product(
            problem,  # type: ignore[arg-type]
            n_seeds=laboratory.settings[name].influence_models,
            seed=laboratory.experiment_seed("influence"),
        ),
    )
    effects = _effects(laboratory, COPIED)
    return Evidence(
        estimates={"datamodel": laboratory.datamodel(name), **effects.estimates},
        references={
            "influence": laboratory.influence(name, at=1.0),
            "gradient product": product,
            **effects.references,
        },
        blocked=laboratory.blocked(name) or effects.blocked,
    )


def _effects(laboratory: Laboratory, name: str) -> Evidence:
    planted = copied_digits() if name == COPIED else interpolated_digits()
    found = copy_effects(
        laboratory.problem(name),
        planted.by_target,
        n_subsets=SUBSETS[name],
        n_seeds=SEEDS,
        seed=100 * laboratory.experiment_seed("removals") + 20,
        engine=laboratory.engine,
    )
    key = "effects of copies", name
    return Evidence(
        estimates={
            "a copy": laboratory.made((*key, "datamodel"), lambda: found.datamodel)
        },
        references={
            "a copy left out": laboratory.made(
                (*key, "leave-one-out"), lambda: found.leave_one_out
            )
        },
        blocked=laboratory.blocked(name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Recall against influence's; what leaving one of k copies out shows."""
    shares = loo_over_datamodel(
        evidence.references["a copy left out"], evidence.estimates["a copy"]
    )
    if entry.problem == INTERPOLATED:
        return [*_nothing_left(evidence, shares), _fall(shares)]
    return [*_recall(evidence), _fall(shares)]


def _recall(evidence: Evidence) -> list[Part]:
    planted = leaked_digits()
    found = {
        name: copies_found(attribution, planted.by_target)
        for name, attribution in (
            ("datamodel", evidence.estimates["datamodel"]),
            ("influence", evidence.references["influence"]),
            ("gradient product", evidence.references["gradient product"]),
        )
    }
    exact = [place for place, entry in enumerate(planted.plan) if entry.noise == 0]
    natural = near_copies(planted.data, within=NEAR)
    for target, rows in planted.by_target.items():
        own = tuple(row for row in natural.pop(target, ()) if row not in rows)
        natural |= {target: own} if own else {}
    nearby = copies_found(evidence.estimates["datamodel"], natural, top=TOP)
    seen, others = found["datamodel"], found["influence"]
    return [
        Part(
            name="recall, minus influence's",
            statement="share of a target's k copies among its k first examples, k = 1 "
            "to 4, exact and noisy: not below influence's",
            interval=recall_difference(seen, others),
            tolerance=(0.0, None),
            over="targets",
        ),
        Part(
            name="recall of exact copies",
            statement=f"by the datamodel: at least {RECALL}",
            interval=seen.mean_recall(exact),
            tolerance=(RECALL, None),
            over="targets",
        ),
        Part(
            name="recall, minus the gradient product's",
            statement="above 0",
            interval=recall_difference(seen, found["gradient product"]),
            tolerance=(0.0, None),
            over="targets",
            headline=False,
        ),
        Part(
            name="natural near-duplicates",
            statement=f"recall among the {TOP} first, of training examples nearer than "
            f"{NEAR} of the median: above that of a random order",
            interval=nearby.mean_recall(),
            tolerance=(TOP / planted.data.n_train, None),
            over="targets",
            headline=False,
        ),
    ]


def _fall(shares: Shares) -> Part:
    numbers = ", ".join(f"{share.value:.2f}" for share in shares.by_k)
    return Part(
        name="leave-one-out over beta falls",
        statement=f"from one copy to four (slopes over targets: {numbers})",
        interval=shares.fall,
        tolerance=(0.0, None),
        over="targets",
    )


def _nothing_left(evidence: Evidence, shares: Shares) -> list[Part]:
    beta = evidence.estimates["a copy"].scores
    return [
        exact_part(
            "leave-one-out over beta, two copies and more",
            "nothing, where training fits every copy",
            max(_size(share) for share in shares.by_k[1:]),
            1e-8,
        ),
        exact_part(
            "beta halves with each copy",
            "(1 - p)^(k-1) of what the only copy has",
            (torch.log2(beta[:-1] / beta[1:]) - 1)
            .abs()
            .nan_to_num(torch.inf)
            .max()
            .item(),
            1e-8,
        ),
    ]


def _size(share: Interval) -> float:
    return max(abs(share.low), abs(share.high))


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: a copy left out against its coefficient."""
    return evidence.references["a copy left out"], evidence.estimates["a copy"]


CLAIM = Claim(
    id="leakage",
    title="Datamodels see copies that leave-one-out hides",
    statement=(
        "Copies of a target among the training examples are first in its datamodel no "
        "less often than in influence; what leaving one of k out shows, as a share of "
        "its coefficient, falls with k, to 0 where training interpolates."
    ),
    source="Theory 2.11; Ilyas et al. 2022, section 4.2",
    expected=SUPPORTED,
    entries=(
        Entry(scale="M", problem=LEAKED, suite="thorough"),
        Entry(scale="V", problem=INTERPOLATED, suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (0.5, "p: copies do not stand in for one another"),
    notices=(SIGN, RANK),
)
