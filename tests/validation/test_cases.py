"""Case pages: every example that some estimate ranks, with all that is known of it."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dmtheory.engines.local import Serial
from reports.cases import case_of
from validation.cases import SHOWN, case
from validation.laboratory import Laboratory
from validation.problems import SMALL, resized

NAME = "breast-cancer-sum"
# Retrained for few enough that the others rank examples without a derivative.
N_TRAIN, N_DRAWN = 80, 20


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    # So few models for the datamodel that noise makes it rank other examples.
    setting = replace(
        SMALL[NAME],
        make=partial(resized, NAME, N_TRAIN),
        n_models=160,
        n_coordinates=N_DRAWN,
    )
    return Laboratory(
        {NAME: setting}, seed=5, engine=Serial(), progress=lambda *_: None
    )


@pytest.fixture(scope="module")
def found(laboratory: Laboratory) -> dict[str, Any]:
    return case(laboratory, NAME)


def known(estimate: dict[str, Any]) -> dict[str, dict[str, Any]]:
    listed = [*estimate["helpful"], *estimate["harmful"], *estimate["others"]]
    assert len({one["label"] for one in listed}) == len(listed)
    return {one["label"]: one for one in listed}


def test_every_estimate_says_something_of_every_example_that_is_listed(
    found: dict[str, Any],
) -> None:
    scores = [known(estimate) for estimate in found["estimates"]]
    assert len(scores[0]) > 2 * SHOWN, "all rank the same: nothing is tried here"
    assert scores[0].keys() == scores[1].keys() == scores[2].keys()
    drawn = case_of(found, lambda *names: "-".join(names))
    for _, examples in drawn.groups:
        for example in examples:
            assert all(score is not None for score in example.scores)
            assert all(score["low"] <= score["high"] for score in example.scores)


def test_the_numbers_of_a_row_belong_to_its_example(
    laboratory: Laboratory, found: dict[str, Any]
) -> None:
    datamodel, derivative, influence = map(known, found["estimates"])
    # Of a converged convex problem both are dF/dw: two codes, one number an example.
    for label, one in derivative.items():
        assert one["score"] == pytest.approx(influence[label]["score"], rel=1e-4)
    fitted = laboratory.datamodel(NAME)
    target = fitted.target_number(found["target"]["label"])
    for label, one in datamodel.items():
        row = fitted.train_labels.index(label)
        error = fitted.stderr[row, target].item()
        assert one["score"] == fitted.scores[row, target].item()
        assert one["high"] - one["low"] == pytest.approx(2 * 1.959964 * error)


def test_the_first_of_a_ranking_are_the_largest_that_the_estimate_has(
    laboratory: Laboratory, found: dict[str, Any]
) -> None:
    for estimate, attribution in zip(
        found["estimates"][::2],
        (laboratory.datamodel(NAME), laboratory.influence(NAME, at=0.5)),
        strict=True,
    ):
        ranking = attribution.top(found["target"]["label"], SHOWN)
        for kind, wanted in (
            ("helpful", ranking.helpful),
            ("harmful", ranking.harmful),
        ):
            assert [one["label"] for one in estimate[kind]] == [e.label for e in wanted]
    derivative = found["estimates"][1]
    n_further = int(derivative["note"].split(" that another")[0].split()[-1])
    assert 0 < n_further <= 4 * SHOWN
    assert f"{N_DRAWN} of the {N_TRAIN} examples" in derivative["note"]
    # Both sides of a difference, an example; training here takes no seeds.
    assert derivative["models_trained"] == 2 * (N_DRAWN + n_further)
    scores = [one["score"] for one in derivative["helpful"]]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= max(
        (one["score"] for one in derivative["others"] if one["score"] > 0), default=0
    )
