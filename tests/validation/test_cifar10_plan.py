"""The plan of the CIFAR-10 suite: what a budget buys, and in what order."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.cifar10.plan import Speed, Task, promise, stages
from validation.cifar10.sizes import FULL, REHEARSAL, SHORT_REHEARSAL
from validation.cifar10.works import (
    AT_HALF,
    CLASS_GROUPS,
    DIFFERENCES,
    FULL_DATA,
    GROUP_SUBSETS,
    GROUPS,
    IMAGE_SUBSETS,
    IMAGES,
    PAIRS,
    SINGLE,
    works,
)

WORKS = {work.name: work for work in works(FULL, 0)}
TASK = Task(name="a task", seconds=100.0, serves="")
ITEMS = [*WORKS.values(), TASK]
# A model of the weighted recipe takes 2 s, one of half the images 0.7 s.
SPEED = Speed(seconds_a_model={GROUPS: 2.0, CLASS_GROUPS: 2.0, SINGLE: 0.7})


def planned(seconds, done=None):
    return stages(ITEMS, done=done or {}, speed=SPEED, seconds=seconds, sizes=FULL)


def reached(found, done=None):
    """Return how many models of each work there are after the stages; 1 for a task."""
    return (done or {}) | {stage.name: stage.models or 1 for stage in found}


@given(seconds=st.floats(0, 40_000))
def test_a_plan_fits_and_no_stage_is_too_long(seconds: float) -> None:
    found = planned(seconds)
    assert sum(stage.seconds for stage in found) <= seconds + 1e-6
    assert all(stage.seconds <= FULL.stage_seconds for stage in found)
    at: dict[str, int] = {}
    for stage in found:
        if stage.name != TASK.name:
            work = WORKS[stage.name]
            new = stage.models - at.get(stage.name, 0)
            assert new > 0
            assert stage.seconds == pytest.approx(SPEED.seconds(work, new))
            assert stage.models % work.block(FULL) == 0
            assert work.block(FULL) % work.unit == 0
            at[stage.name] = stage.models
    for name, n_models in at.items():
        work = WORKS[name]
        block = work.block(FULL)
        assert work.least <= n_models < work.wanted + block


@given(seconds=st.floats(0, 40_000), more=st.floats(0, 10_000))
def test_more_time_begins_no_less(seconds: float, more: float) -> None:
    few, many = reached(planned(seconds)), reached(planned(seconds + more))
    assert set(few) <= set(many)
    order = [item.name for item in ITEMS]
    assert [name for name in order if name in many] == order[: len(many)]


def test_worth_decides_who_gets_anything() -> None:
    of_pairs = SPEED.seconds(WORKS[PAIRS], WORKS[PAIRS].least)
    first = SPEED.seconds(WORKS[FULL_DATA], WORKS[FULL_DATA].least)
    found = planned(first + of_pairs)
    assert [stage.name for stage in found][:2] == [FULL_DATA, PAIRS]
    assert AT_HALF not in reached(found)
    # All have the fewest before anybody has more.
    names = [stage.name for stage in planned(5000.0)]
    begun = [names.index(work) for work in dict.fromkeys(names)]
    most_worth = [item.name for item in ITEMS if item.name in names]
    assert list(dict.fromkeys(names)) == most_worth
    assert max(begun) < names.index(PAIRS, names.index(IMAGE_SUBSETS))


def test_a_plan_that_was_begun_stays_the_same_plan() -> None:
    """Else the first would be given its share again after every stage."""
    whole = planned(6000.0)
    done: dict[str, int] = {}
    left = 6000.0
    for stage in whole:
        again = planned(left, done)
        assert reached(again, done) == reached(whole)
        done[stage.name] = stage.models or 1
        left -= stage.seconds
    assert planned(left, done) == []


def test_a_task_is_done_once_and_in_its_turn() -> None:
    assert TASK.name in reached(planned(4000.0))
    assert TASK.name not in reached(planned(2000.0))
    least = {name: work.least for name, work in WORKS.items()}
    assert TASK.name in reached(planned(200.0, least))
    # A block of the speed's measurement is not the fewest that are of use.
    few = {**least, PAIRS: 2 * FULL.block}
    assert TASK.name not in reached(planned(200.0, few))
    assert TASK.name not in [s.name for s in planned(4000.0, {TASK.name: 1})]


def test_shares_divide_what_is_left() -> None:
    """A work with twice the share gets twice the time beyond the fewest."""
    whole = reached(planned(9000.0))

    def extra(name):
        block = WORKS[name].block(FULL)
        least = -(-WORKS[name].least // block) * block
        return SPEED.seconds(WORKS[name], whole[name] - least)

    assert extra(IMAGES) / extra(GROUP_SUBSETS) == pytest.approx(6.0, rel=0.25)
    assert extra(PAIRS) / extra(DIFFERENCES) == pytest.approx(3.0, rel=0.25)


def test_promises_are_the_noise_laws() -> None:
    # 200 pairs of 64 groups at noise/signal 0.5: 1/(1 + 64·0.5/(200 - 65)).
    said = promise(WORKS[PAIRS], 400, 64, 0.5)
    assert f"r = {1 / sqrt(1 + 32 / 135):.2f}" in said
    assert "r = 0.00" in promise(WORKS[PAIRS], 2 * 65, 64, 0.5)
    assert "standard error 0.50" in promise(WORKS[DIFFERENCES], 4 * 16, 64, 0.5)
    # 103 subsets of single images, 2 seeds each: 1.96/sqrt(100).
    assert "within 0.20" in promise(WORKS[IMAGE_SUBSETS], 206, 50_000, 0.5)
    few, many = (promise(WORKS[IMAGES], m, 50_000, 8.0) for m in (500, 20_000))
    assert float(few.split()[2]) < float(many.split()[2])


@pytest.mark.parametrize("sizes", [FULL, REHEARSAL, SHORT_REHEARSAL])
def test_every_size_has_room_for_its_statistics(sizes) -> None:
    """OLS of pairs needs more pairs than groups; intervals need units."""
    for work in works(sizes, 0):
        assert 0 < work.least <= work.wanted
        assert work.least % work.unit == 0
    pairs = next(work for work in works(sizes, 0) if work.name == PAIRS)
    assert pairs.least // 2 > sizes.n_groups + 1
    assert sizes.removal_targets >= 4
    assert sizes.removal_targets <= sizes.n_targets


def test_no_two_works_share_a_seed() -> None:
    def seed_of(design):
        return design.seed

    seeds = [seed_of(work.design) for work in works(FULL, 7)]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {seed_of(work.design) for work in works(FULL, 8)}
