"""Parts of the CIFAR-10 suite on made-up numbers: claims on seeds, fits at scale."""

from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from cifar10_stand_in import suite_in
from rich.console import Console
from samples import a_description, an_attribution, normal, responses_of

from dmtheory.agreement.subset_outputs import evaluation_of_arrays
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.lasso import lasso as lassos
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.datamodels.rows.sample import independent_rows
from dmtheory.designs import Bernoulli
from validation.cifar10 import images
from validation.cifar10.archive import Archive
from validation.cifar10.at_scale import regress
from validation.cifar10.attributions import PRODUCT, TRAK
from validation.cifar10.command import _print_plan
from validation.cifar10.needs import (
    lasso_need,
    product_need,
    products_a_second,
    ridge_need,
    trak_need,
)
from validation.cifar10.seed_claim import claim
from validation.cifar10.training import on_device
from validation.cifar10.works import GROUPS, PAIRS, REGRESSION, SINGLE
from validation.claim import Entry, Evidence
from validation.verdicts.verdict import Part


def judged(*, own: float, shuffled: bool = False, sign: float = 1.0) -> list[Part]:
    """Return the parts for seeds whose slopes differ so much from their mean.

    With six groups, thirty moves, eight seeds and five targets; outputs have as much
    noise of their own as no slope foretells.
    """
    common, apart = normal(1, 6, 5, seed=1), normal(8, 6, 5, seed=2)
    slopes = common + own * apart
    there = Bernoulli(p=0.5, seed=3).weights(torch.arange(30), 6)
    outputs = torch.einsum("kg,sgt->kst", there, slopes) + normal(30, 8, 5, seed=4)
    units = slopes[torch.randperm(8, generator=torch.Generator().manual_seed(5))]
    units = sign * (units if shuffled else slopes)
    derivative = an_attribution(units.mean(0), units=units)
    evidence = Evidence(
        estimates={"derivative": derivative},
        held_out={
            "held out": evaluation_of_arrays(
                there.repeat_interleave(8, 0),
                outputs.flatten(0, 1),
                like=derivative,
                n_replicates=8,
            )
        },
    )
    archive = cast(Archive, SimpleNamespace())
    return claim(archive).claim.judge(evidence, Entry(scale="G", problem="groups"))


def held(parts: list[Part]) -> list[bool]:
    return [part.interval.low > 0 for part in parts[:2]]


def test_seeds_that_differ_are_averaged_and_know_their_own_models() -> None:
    assert held(judged(own=1.0)) == [True, True]


def test_what_is_said_of_seeds_can_fail() -> None:
    """Seeds that do not differ, that are taken for one another, or have wrong signs."""
    assert held(judged(own=0.0)) == [False, False]
    assert held(judged(own=1.0, shuffled=True))[1] is False
    assert held(judged(own=1.0, sign=-1.0)) == [False, False]


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    """Return 24 models of half of 64 images, 12 margins of which 4 are judged."""
    law = Bernoulli(p=0.5, n_models=24, seed=1)
    masks = law.weights(torch.arange(24), 64)
    outputs = 3 + masks @ normal(64, 12, seed=2) + 0.3 * normal(24, 12, seed=3)
    description = a_description(64, 12)
    whole = responses_of(law, outputs, description)
    few = responses_of(law, outputs[:, :4], a_description(64, 4))
    return SimpleNamespace(
        read=lambda work: whole,
        responses=lambda name: few,
        attribution=lambda name: None,
        subjects=SimpleNamespace(device="cpu"),
        folder=tmp_path,
        outputs=outputs,
        masks=masks,
    )


def test_fits_at_scale_are_those_of_the_penalty_that_is_stated(
    archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer models than half the images: by kernel, and by rows, as in full."""
    monkeypatch.setattr(lassos, "WIDE", 64)
    monkeypatch.setattr(lassos, "moments_of", None)
    brief = partial(Lasso, n_penalties=4, least_penalty=0.3)
    monkeypatch.setattr(images, "Lasso", brief)
    found = regress(archive)
    assert (found["images"], found["test images"], found["models"]) == (64, 12, 24)
    assert found["targets with a finite fit"] == 12
    assert cast(float, found["ridge, largest relative residual"]) < 1e-8
    assert found["LASSO test images"] == 4
    assert "duality gap at most" in cast(str, found["LASSO"])
    judged = independent_rows(archive.masks, archive.outputs[:, :4])
    chosen = Ridge(errors="none").fit(judged).penalty
    assert chosen is not None and len(chosen.unique()) > 1
    assert found["ridge penalty"] == pytest.approx(float(chosen.median()))


def test_responses_go_to_a_device_whole() -> None:
    law = Bernoulli(p=0.5, n_models=3, seed=1)
    made = responses_of(law, normal(3, 2, seed=1), a_description(5, 2))
    there = on_device(made, "meta")
    assert there.outputs.device.type == there.diverged.device.type == "meta"
    assert there.design is made.design


def test_needs_are_those_of_the_sizes() -> None:
    """At 50,000 images, by hand: the signs of TRAK are 3.9 GB, its products 5e14."""
    full = {"n_train": 50_000, "n_targets": 64}
    trak = trak_need(**full, n_params=240_000, dimension=2048, n_models=10)
    assert 4.9e14 < trak.operations < 5.1e14
    assert 3.9e9 + 1.6e9 < trak.bytes < 12e9
    assert product_need(**full, n_params=240_000, n_models=10).bytes < 6e9
    # Half of what a normal H200 holds, where the matrix alone would be 20 GB.
    by_rows = lasso_need(**full, n_models=10_000)
    by_matrix = lasso_need(**full, n_models=25_000)
    assert by_rows.bytes < 25e9 < 60e9 < by_matrix.bytes
    wide, tall = (
        ridge_need(n_models=m, n_train=50_000, n_targets=10_000)
        for m in (10_000, 100_000)
    )
    # Factor, two solves, the Gram matrix: the figures of a Cholesky of 50,000.
    assert 4.2e13 * 2 < tall.operations
    assert wide.operations < 0.1 * tall.operations
    assert 20e9 + 12e9 < tall.bytes < 70e9


def test_products_are_timed_in_operations_a_second() -> None:
    assert 1e7 < products_a_second("cpu") < 1e14


def test_the_plan_states_the_memory_of_what_takes_all_images(tmp_path: Path) -> None:
    """Chunks of 4 GiB and hardly more, of sixty images; nobody counts trainings'."""
    suite = suite_in(tmp_path / "run")
    suite.ledger.speeds |= {GROUPS: 1.0, SINGLE: 1.0}
    told = StringIO()
    _print_plan(suite, 1e6, Console(file=told, width=200))
    rows = told.getvalue().splitlines()
    for name in (TRAK, PRODUCT):
        assert any(name in row and "4.3 GB" in row for row in rows)
    (regression,) = (row for row in rows if REGRESSION in row)
    assert "GB" in regression
    assert not any("GB" in row for row in rows if PAIRS in row)
