"""Intervals from members left out one at a time: closed forms, and other samples."""

import pytest
import torch
from samples import an_attribution, normal
from torch import Tensor

from dmtheory.agreement.lds import lds, rank_correlations
from dmtheory.agreement.subset_outputs import evaluation_of_arrays
from validation.statistics.pseudo_values import (
    Jackknifed,
    as_is_and_without_each,
    combined,
    drawn_shares,
    jackknifed,
    pseudo_values,
    without_each,
)


def test_pseudo_values_of_a_mean_are_its_terms() -> None:
    values = normal(9, seed=1)
    left = torch.stack([one.mean() for one in without_each(values[:, None, None])])
    torch.testing.assert_close(pseudo_values(values.mean(), left), values)
    counts = as_is_and_without_each(9)
    means = counts @ values / counts.sum(1)
    torch.testing.assert_close(means, torch.cat([values.mean()[None], left]))


def test_the_mean_of_few_varies_as_much_as_it_should() -> None:
    """Four values: plain draws would have sqrt(3/4) of the standard error, 13 % less.

    A standard deviation is known from 1,000 draws to 2.2 %.
    """
    values = torch.arange(4.0).double()
    shares = drawn_shares(4, 0)
    torch.testing.assert_close(shares[0], torch.full((4,), 0.25).double())
    torch.testing.assert_close(shares.sum(1), torch.ones(1001).double())
    spread = (shares[1:] @ values).std().item()
    assert spread == pytest.approx(values.std().item() / 2, rel=0.09)
    assert drawn_shares(1, 0).eq(1).all()


def test_what_two_share_cancels_and_the_rest_adds_in_squares() -> None:
    own, other, same = normal(50, seed=1), 2 * normal(50, seed=2), normal(20, seed=3)
    one = Jackknifed(value=1.0, sources={"a": own, "same": same})
    two = Jackknifed(value=0.25, sources={"b": other, "same": same})
    found = combined((1.0, one), (-1.0, two))
    assert found.value == 0.75
    assert found.sources["same"].abs().max() == 0
    interval = found.interval()
    stated = ((own.var() + other.var()) / 50).sqrt().item()
    # Half the width of 95 % of 1,000 draws is known to some 4 %.
    assert (interval.high - interval.low) / 3.92 == pytest.approx(stated, rel=0.16)
    nothing = combined((1.0, one), (-1.0, one)).interval()
    assert nothing.low == nothing.value == nothing.high == 0
    halves = combined((0.5, one), (0.5, one))
    assert halves.value == one.value
    torch.testing.assert_close(halves.sources["a"], own)


def _lds_of(units: Tensor, masks: Tensor, outputs: Tensor) -> Jackknifed:
    def statistic(some: Tensor, others: Tensor, sets: Tensor) -> Tensor:
        predicted = [masks @ some.mean(0)]
        return rank_correlations(predicted, others.mean(1), sets).mean(2)[0]

    return jackknifed(statistic, units, outputs)


def test_a_score_of_ranks_varies_over_seeds_as_its_interval_says() -> None:
    """Over forty samples of seeds and subsets: theirs is the spread, not less.

    A standard deviation of forty is known to 11 %; stated ones lie within three times
    that. The interval over subsets alone is two fifths of the truth: effects of the
    outputs' few seeds are as large as those of the truth.
    """
    truth = normal(10, 2, seed=1)
    values, stated, alone = [], [], []
    for seed in range(40):
        masks = (normal(200, 10, seed=100 + seed) > 0).double()
        units = truth + 0.7 * normal(8, 10, 2, seed=200 + seed)
        effects = truth + 1.2 * normal(6, 10, 2, seed=300 + seed)
        outputs = torch.einsum("si,rit->srt", masks, effects)
        found = _lds_of(units, masks, outputs)
        assert set(found.sources) == {"derivative", "subsets", "seeds"}
        interval = found.interval()
        values.append(found.value)
        stated.append((interval.high - interval.low) / 3.92)
        if seed < 4:
            scores = an_attribution(units.mean(0))
            repeated = masks.repeat_interleave(6, 0)
            held_out = evaluation_of_arrays(
                repeated, outputs.flatten(0, 1), n_replicates=6, like=scores
            )
            plain = lds(scores, held_out).mean
            assert plain.value == pytest.approx(found.value, abs=1e-12)
            alone.append((plain.high - plain.low) / 3.92)
    spread = torch.tensor(values).std().item()
    assert sum(stated) / len(stated) == pytest.approx(spread, rel=0.33)
    assert sum(alone) / len(alone) < 0.5 * spread


def test_one_seed_alone_has_no_error() -> None:
    masks = (normal(60, 5, seed=1) > 0).double()
    outputs = masks @ normal(5, 2, seed=2) + normal(60, 2, seed=3)
    found = _lds_of(normal(1, 5, 2, seed=2), masks, outputs[:, None])
    assert set(found.sources) == {"subsets"}
