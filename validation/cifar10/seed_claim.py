"""Some groups moved at many seeds: is the response an average, or any one model's?"""

from dataclasses import replace

import torch
from torch import Tensor

from dmtheory.agreement.lds import rank_correlations
from dmtheory.agreement.resampling import as_is_and_resampled, interval_of
from dmtheory.agreement.subset_outputs import SubsetOutputs
from validation.cifar10.archive import Archive
from validation.cifar10.image_claim import ImageClaim, above_zero
from validation.cifar10.works import BY_SEED, GROUPS
from validation.claim import Entry, Evidence
from validation.claims import average_not_instance
from validation.verdicts.verdict import Part

_HELD_OUT = "held out"


def claim(archive: Archive) -> ImageClaim:
    """Return the claim that averaging over seeds foretells the response better."""
    return ImageClaim(
        claim=replace(
            average_not_instance.CLAIM,
            statement="Central differences of some groups of images, averaged over "
            "seeds, predict the average output of other seeds after other moves of "
            "these groups better than those of one seed do, and a seed's differences "
            "predict its own models better than another's.",
            entries=(),
            judge=_judge_seeds,
        ),
        problem=GROUPS,
        needs=(BY_SEED,),
        measure=_by_seed,
    )


def _by_seed(archive: Archive) -> Evidence:
    derivative, outputs = archive.by_seed()
    return Evidence(
        estimates={"derivative": derivative},
        held_out={_HELD_OUT: outputs},
        blocked=archive.blocked(GROUPS),
    )


def _judge_seeds(evidence: Evidence, _: Entry) -> list[Part]:
    """Compare averages with instances, and each seed with itself and with others.

    An average is judged on outputs of other seeds: on those of its own seeds it would
    also predict their noise.
    """
    units = evidence.estimates["derivative"].units
    outputs = evidence.held_out[_HELD_OUT]
    assert units is not None
    half = len(units) // 2
    counts = as_is_and_resampled(outputs.n_units, 1)
    sides = [units[:half].mean(0), *units[:half]]
    found = _scores(sides, outputs, outputs.outputs[:, half:].mean(1), counts)
    average, single = found[0], _over_seeds(found[1:])
    pairs = torch.stack([
        _scores(list(units), outputs, own, counts) for own in outputs.outputs.unbind(1)
    ])
    same, other = _same_and_other(pairs)
    return [
        above_zero(
            "average over instance",
            f"LDS of the mean of {half} seeds' differences less the mean LDS of each, "
            f"on outputs averaged over {len(units) - half} other seeds: above 0",
            interval_of(average - single),
        ),
        above_zero(
            "same seed over another",
            "LDS of a seed's differences on that seed's own models less on another's: "
            "above 0",
            interval_of(same - other),
        ),
        Part(
            name="the average",
            statement="its LDS on outputs averaged over other seeds (reported)",
            interval=interval_of(average),
            tolerance=(-1.0, 1.0),
            headline=False,
        ),
    ]


def _scores(
    sides: list[Tensor], outputs: SubsetOutputs, trained: Tensor, counts: Tensor
) -> Tensor:
    """Return mean LDS [sides, draws], the sample as it is first."""
    foretold = [outputs.weights @ side for side in sides]
    return rank_correlations(foretold, trained, counts).mean(2)


def _over_seeds(scores: Tensor) -> Tensor:
    """Return the mean over seeds [seeds, draws], drawn anew in all but the first."""
    counts = _seed_counts(*scores.shape)
    return (counts * scores.T).sum(1) / counts.sum(1)


def _same_and_other(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of pairs of a seed and itself, and of two seeds.

    Of scores [seeds, seeds, draws]; seeds are drawn anew in all draws but the first.
    """
    n_seeds, _, n_draws = scores.shape
    counts = _seed_counts(n_seeds, n_draws)
    own = scores.diagonal(dim1=0, dim2=1)
    same = (counts * own).sum(1) / counts.sum(1)
    both = counts[:, :, None] * counts[:, None, :]
    both = both * (1 - torch.eye(n_seeds).to(both))
    other = (both * scores.permute(2, 0, 1)).sum((1, 2)) / both.sum((1, 2)).clamp_min(1)
    # A draw of one seed alone says nothing of two.
    alone = both.sum((1, 2)) == 0
    return same, torch.where(alone, other[0], other)


def _seed_counts(n_seeds: int, n_draws: int) -> Tensor:
    """Return how often each seed is drawn [draws, seeds]; once in the first."""
    return as_is_and_resampled(n_seeds, 1, draws=n_draws - 1, seed=1)
