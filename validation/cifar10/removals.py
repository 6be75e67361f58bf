"""Which images are removed for which test image: chosen once, then kept."""

from pathlib import Path

from dmtheory.applications.choosing import at_random
from dmtheory.applications.counterfactual import as_choices, chosen_sets
from dmtheory.applications.retraining import Retrained, Sets
from dmtheory.attribution import Attribution
from dmtheory.derivatives.units import check_none_diverged
from dmtheory.designs.nudges import Move, Nudges
from dmtheory.files import load_attribution, save_attribution
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT
from validation.cifar10.images import INFLUENCE, RIDGE, estimates
from validation.cifar10.sizes import Sizes
from validation.cifar10.training import responses_of_work
from validation.cifar10.works import IMAGES, REMOVALS, SINGLE, Work, experiment_seed

RANDOM = "random"
CHOOSERS = (RIDGE, INFLUENCE, PRODUCT, RANDOM)


def removal_work(archive: Archive) -> Work | None:
    """Return the models without chosen images; None while nothing can choose.

    Who chooses is kept when the first models are asked for: more models behind the
    datamodel change nothing about what is removed.
    """
    if not _folder(archive).exists():
        if archive.there(IMAGES) < archive.sizes.images[0]:
            return None
        _keep_choosers(archive)
    return _work(archive.sizes, _sets(choosers(archive), archive.sizes), archive.seed)


def removals_foreseen(archive: Archive) -> Work:
    """Return the same while nobody has chosen: as many sets as there can be."""
    sizes = archive.sizes
    n_sets = (len(CHOOSERS) + 1) * sizes.removal_targets * len(sizes.removed)
    sets: Sets = tuple((i,) for i in range(n_sets))
    return _work(sizes, sets, archive.seed)


def choosers(archive: Archive) -> dict[str, Attribution]:
    """Return who chose what to remove, by name."""
    found = {path.stem: path for path in _folder(archive).glob("*.npz")}
    return {
        name: load_attribution(found[name.replace(" ", "-")])
        for name in CHOOSERS
        if name.replace(" ", "-") in found
    }


def retrained(archive: Archive) -> Retrained | None:
    """Return what removing the sets changed, None where no models are there."""
    work = removal_work(archive)
    if work is None:
        return None
    responses = responses_of_work(work, archive.folder, archive.sizes.removal_targets)
    if responses is None:
        return None
    check_none_diverged(responses.diverged)
    outputs = responses.outputs.unflatten(0, (-1, work.unit))
    design = work.design
    assert isinstance(design, Nudges)
    return Retrained(
        sets=tuple(tuple(player for player, _ in move) for move in design.moves[1:]),
        changes=outputs[:, 1:] - outputs[:, :1],
        outputs=outputs[:, 0],
        at=1.0,
        description=responses.description,
        n_models=responses.n_models,
        seed=design.seed,
    )


def _folder(archive: Archive) -> Path:
    return archive.folder / "choosers"


def _keep_choosers(archive: Archive) -> None:
    named = dict(estimates(archive))
    named[RANDOM] = at_random(named[RIDGE], seed=0)
    labels = named[RIDGE].target_labels[: archive.sizes.removal_targets]
    folder, partial = _folder(archive), archive.folder / "choosers.partial"
    partial.mkdir(exist_ok=True)
    for name in CHOOSERS:
        if name in named:
            few = named[name].restricted(targets=labels)
            save_attribution(few, partial / f"{name.replace(' ', '-')}.npz")
    partial.replace(folder)


def _sets(named: dict[str, Attribution], sizes: Sizes) -> Sets:
    targets = range(sizes.removal_targets)
    # Trained too, so that a sign that is wrong can be judged.
    wrong = {"sign flipped": named[RIDGE].scaled(-1.0)}
    found = chosen_sets(as_choices(named | wrong), targets, sizes.removed)
    members = (m for by_k in found for by_target in by_k for m in by_target)
    return tuple(dict.fromkeys(members))


def _work(sizes: Sizes, sets: Sets, seed: int) -> Work:
    few, many = sizes.removal_seeds
    without: tuple[Move, ...] = tuple(
        tuple((player, -1.0) for player in members) for members in sets
    )
    # The first row of every seed has all images.
    moves = ((), *without)
    return Work(
        name=REMOVALS,
        problem=SINGLE,
        design=Nudges(at=1.0, moves=moves, seed=experiment_seed(seed, REMOVALS)),
        unit=len(moves),
        least=few * len(moves),
        wanted=many * len(moves),
        share=2.0,
        serves="counterfactual",
    )
