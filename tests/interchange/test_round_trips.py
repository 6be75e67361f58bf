"""What is written comes back, but for what the writer says is lost."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_release import fixed_size_masks
from samples import a_description, an_attribution, responses_of

from dmtheory import Attribution, Point
from dmtheory.designs import Bernoulli, ComplementaryPairs, CoordinatePairs, FixedSize
from dmtheory.interchange import (
    ImportedRuns,
    Lost,
    Tags,
    load_bergson_scores,
    load_feldman_zhang,
    load_kronfluence_scores,
    load_parquet,
    load_safetensors,
    load_trak_scores,
    load_zarr,
    open_arrays,
    open_bergson,
    open_datamodels_store,
    open_dattri_lds,
    open_quanda,
    open_release,
    open_runs_zarr,
    open_trak,
    runs_of_responses,
    save_arrays,
    save_bergson,
    save_bergson_scores,
    save_datamodel_weights,
    save_datamodels_store,
    save_dattri_lds,
    save_feldman_zhang,
    save_kronfluence_scores,
    save_parquet,
    save_quanda,
    save_release,
    save_runs_zarr,
    save_safetensors,
    save_trak,
    save_trak_scores,
    save_zarr,
    standardisation_of,
)
from dmtheory.interchange.imported.rows import ArrayRows
from dmtheory.interchange.release.weights import load_weights

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
pytest.importorskip("yaml")


drawn_attributions = st.fixed_dictionaries({
    "seed": st.integers(0, 2**31),
    "shape": st.tuples(st.integers(2, 6), st.integers(1, 4)),
    "scale": st.integers(-8, 8),
    "optional": st.sets(st.sampled_from(["stderr", "units", "intercept"])),
    "level": st.floats(0.1, 0.9),
    "unit": st.sampled_from(["per_weight", "per_epsilon"]),
    "seeds": st.frozensets(st.integers(0, 2**64 - 1), max_size=3),
    "label": st.text(max_size=5).filter(str.isprintable),
    "more": st.integers(0, 2),
    "method": st.sampled_from(["", "ridge, 7 models", "ä → b"]),
})


def built(drawn: dict[str, Any]) -> Attribution:
    """Return an attribution with or without what is optional."""
    made = torch.Generator().manual_seed(drawn["seed"])
    n_train, n_targets = drawn["shape"]

    def values(*shape: int) -> torch.Tensor:
        numbers = torch.randn(*shape, generator=made, dtype=torch.float64)
        return 10.0 ** drawn["scale"] * numbers

    optional = {
        "stderr": values(n_train, n_targets).abs(),
        "units": values(4, n_train, n_targets),
        "intercept": values(n_targets),
    }
    base = an_attribution(
        values(n_train, n_targets),
        point=Point("subsets", drawn["level"], "fixed size"),
        unit=drawn["unit"],
        seeds=drawn["seeds"],
        n_train=n_train + drawn["more"],
    )
    return replace(
        base,
        train_labels=(f"{drawn['label']}!", *base.train_labels[1:]),
        method=drawn["method"],
        n_models=drawn["more"],
        **{name: optional[name] for name in drawn["optional"]},
    )


def same(a: Attribution, b: Attribution, lost: Lost) -> None:
    """Compare every field but those that are lost; numbers to the bit."""
    for field in fields(Attribution):
        ours, theirs = getattr(a, field.name), getattr(b, field.name)
        if field.name in lost.fields:
            assert ours is not None and theirs is None
        elif isinstance(ours, torch.Tensor):
            assert theirs is not None and torch.equal(ours, theirs), field.name
        else:
            assert ours == theirs, field.name


Save = Callable[[Attribution, Path], Lost]
Load = Callable[[Path], Attribution]


@pytest.mark.parametrize(
    ("save", "load", "lossless"),
    [
        (save_safetensors, load_safetensors, True),
        (save_parquet, load_parquet, False),
        (save_zarr, load_zarr, True),
    ],
)
@settings(max_examples=15)
@given(drawn=drawn_attributions)
def test_attributions_come_back(
    save: Save, load: Load, lossless: bool, drawn: dict[str, Any]
) -> None:
    attribution = built(drawn)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        lost = save(attribution, path)
        assert lost.rounding == 0
        assert not (lossless and lost.fields)
        same(attribution, load(path), lost)
        # Nothing half-written is left beside it.
        assert [p.name for p in Path(folder).iterdir()] == ["x"]


def a_datamodel(seed: int = 0, scale: float = 1.0) -> Attribution:
    made = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(6, 3, generator=made, dtype=torch.float64)
    base = an_attribution(scores, point=Point("subsets", 0.5, "fixed size"))
    return Attribution(
        scores=scores,
        estimand=base.estimand,
        train_labels=base.train_labels,
        target_labels=base.target_labels,
        n_train=6,
        intercept=torch.tensor([1.0, -2.0, 0.1], dtype=torch.float64),
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 999), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_scores_of_others_come_back_up_to_what_is_stated(
    tmp_path: Path, seed: int, scale: float
) -> None:
    made = a_datamodel(seed, scale)
    scores = made.scores
    lost = save_kronfluence_scores(made, tmp_path / "k.safetensors")
    found = load_kronfluence_scores(
        tmp_path / "k.safetensors", problem="p", measurement="m"
    )
    change = (found.in_unit("per_weight").scores - scores).abs().max().item()
    # Stated in the unit of the file, per epsilon: 6 times that.
    assert 0 < change <= lost.rounding / 6 + 1e-15 * scale
    lost = save_trak_scores(made, tmp_path, "run")
    change = (
        (load_trak_scores(tmp_path, "run", problem="p").scores - scores).abs().max()
    )
    assert change.item() == lost.rounding > 0
    pytest.importorskip("yaml")
    lost = save_bergson_scores(made, tmp_path / "b")
    back = load_bergson_scores(tmp_path / "b", problem="p")
    assert (back.scores - scores).abs().max().item() == lost.rounding > 0
    lost = save_feldman_zhang(made, tmp_path / "i.npz")
    assert "intercept" in lost.fields and "estimand" in lost.fields
    back = load_feldman_zhang(tmp_path / "i.npz", problem="p", subset_fraction=0.5)
    # Twice rounded: in the file, and in the factor that is taken out.
    assert torch.allclose(back.scores, scores, atol=lost.rounding, rtol=1e-14)
    assert back.estimand.point == made.estimand.point


def test_the_number_of_examples_is_lost_where_some_were_left_out(
    tmp_path: Path,
) -> None:
    part = replace(a_datamodel(), n_train=100)
    for lost in (
        save_kronfluence_scores(part, tmp_path / "k"),
        save_trak_scores(part, tmp_path, "run"),
        save_bergson_scores(part, tmp_path / "b"),
    ):
        assert "number of examples" in lost.fields
    assert (
        "number of examples"
        not in save_trak_scores(a_datamodel(), tmp_path, "run").fields
    )


@pytest.mark.parametrize("standardised", [False, True])
def test_weights_come_back_in_either_unit(tmp_path: Path, standardised: bool) -> None:
    runs = some_runs(n_train=6)
    made = a_datamodel()
    by = standardisation_of(runs.split()[0])
    path = tmp_path / "datamodels.pt"
    lost = save_datamodel_weights(
        made, path, penalty=0.1, standardised_by=by if standardised else None
    )
    stored = torch.load(path, weights_only=True)
    assert stored["weight"].dtype == stored["bias"].dtype == torch.float32
    units = "standardised" if standardised else "raw"
    assert f"that weights are {units}" in lost.fields
    found = load_weights(
        path, runs=runs, held_out=None, units=units, read_masks=True, source="x"
    )
    assert torch.allclose(found.scores, made.scores, atol=4 * lost.rounding, rtol=0)
    assert found.intercept is not None and made.intercept is not None
    gap = (found.intercept - made.intercept).abs().max().item()
    assert gap <= 20 * lost.rounding


def some_runs(
    *, n_train: int = 8, n_models: int = 30, seed: int = 0, binary: bool = False
) -> ImportedRuns:
    rng = np.random.default_rng(seed)
    masks = (
        rng.random((n_models, n_train)) < 0.5
        if binary
        else fixed_size_masks(rng, n_models, n_train, n_train // 2)
    )
    return ImportedRuns.of(
        ArrayRows(masks),
        ArrayRows(rng.normal(size=(n_models, 3))),
        Tags(source="test", problem="p", output="margin", held_out=(20, n_models)),
    )


def agrees(found: ImportedRuns, runs: ImportedRuns, rounding: float = 0.0) -> None:
    masks, outputs = runs.all_rows()
    x, y = found.all_rows()
    assert torch.equal(x, masks)
    assert (y - outputs).abs().max().item() == rounding


@settings(max_examples=10)
@given(
    seed=st.integers(0, 99),
    rows=st.sampled_from([(0, 30), (3, 26), (0, 12)]),
    columns=st.sampled_from([(0, 3), (1, 3)]),
    binary=st.booleans(),
)
def test_runs_come_back_with_their_tags(
    seed: int, rows: tuple[int, int], columns: tuple[int, int], binary: bool
) -> None:
    runs = some_runs(seed=seed, binary=binary).rows(*rows).targets(*columns)
    with TemporaryDirectory() as name:
        folder = Path(name)
        pairs = (
            (save_arrays(runs, folder / "a"), open_arrays(folder / "a")),
            (save_runs_zarr(runs, folder / "z"), open_runs_zarr(folder / "z")),
        )
        for lost, found in pairs:
            agrees(found, runs)
            assert lost.rounding == 0
            assert ("row numbers" in lost.fields) == (rows != (0, 30))
            assert ("target numbers" in lost.fields) == (columns != (0, 3))
            assert found.tags.law == runs.tags.law
            assert found.tags.notes == runs.tags.notes
            if rows[1] <= 20:
                assert found.tags.held_out is None
            else:
                kept, judged = found.split(), runs.split()
                for ours, theirs in zip(kept, judged, strict=True):
                    agrees(ours, theirs)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 99), n_train=st.sampled_from([4, 8, 14]), n=st.integers(21, 40)
)
def test_runs_come_back_from_every_layout(
    tmp_path: Path, seed: int, n_train: int, n: int
) -> None:
    runs = some_runs(seed=seed, n_train=n_train, n_models=n)
    stated = {"problem": "p"}
    lost = save_release(runs, tmp_path / "r", dataset="cifar", percent=50)
    assert 0 < lost.rounding < 2e-3
    found = open_release(tmp_path / "r", dataset="cifar", percent=50)
    agrees(found, runs, lost.rounding)
    lost = save_datamodels_store(runs, tmp_path / "d")
    spec = tmp_path / "d" / "spec.json"
    found = open_datamodels_store(tmp_path / "d", specification=spec, **stated)
    agrees(found, runs, lost.rounding)
    lost = save_trak(runs, tmp_path / "t")
    agrees(open_trak(tmp_path / "t", **stated), runs, lost.rounding)
    sized = {"n_train": n_train, **stated}
    lost = save_dattri_lds(runs, tmp_path)
    files = tmp_path / "indices_lds.pt", tmp_path / "target_values_lds.pt"
    agrees(open_dattri_lds(*files, output="m", **sized), runs)
    assert torch.load(files[1], weights_only=True)[0, 0] == -runs.all_rows()[1][0, 0]
    assert "number of examples" in lost.fields
    save_quanda(runs, tmp_path)
    files = tmp_path / "lds_subsets.yaml", tmp_path / "outputs.npy"
    agrees(open_quanda(*files, **sized), runs)
    save_bergson(runs, tmp_path)
    files = tmp_path / "subsets.json", tmp_path / "validation.csv"
    agrees(open_bergson(*files, **sized), runs)
    # Its first list is of what the first mask leaves out.
    first = json.loads(files[0].read_text())[0]
    assert first == np.flatnonzero(runs.all_rows()[0][0].numpy() == 0).tolist()


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    uneven = some_runs(binary=True)
    with pytest.raises(ValueError, match="subsets of one size"):
        save_dattri_lds(uneven, tmp_path)
    large = ImportedRuns.of(
        ArrayRows(np.eye(2, dtype=bool)),
        ArrayRows(np.full((2, 1), 1e6)),
        Tags(source="test", problem="p", output="margin"),
    )
    with pytest.raises(ValueError, match="must fit float16, got 1e\\+06"):
        save_release(large, tmp_path / "r", dataset="cifar", percent=50)
    # Nothing half-written.
    assert not list((tmp_path / "r" / "cifar" / "data").iterdir())
    made = a_datamodel()
    with pytest.raises(ValueError, match="must have an intercept"):
        save_datamodel_weights(
            an_attribution(made.scores), tmp_path / "w.pt", penalty=0.0
        )
    with pytest.raises(ValueError, match="law must be one of fixed size"):
        save_feldman_zhang(an_attribution(made.scores), tmp_path / "i.npz")


def test_tables_of_something_else_are_refused(tmp_path: Path) -> None:
    made = a_datamodel()
    for save, load in (
        (save_safetensors, load_safetensors),
        (save_parquet, load_parquet),
    ):
        path = tmp_path / save.__name__
        save(made, path)
        content = path.read_bytes()
        for cut in (1, 50, len(content) - 5):
            path.write_bytes(content[:-cut])
            with pytest.raises(ValueError, match=save.__name__) as found:
                load(path)
            assert "\n" not in str(found.value)
    for load in (load_safetensors, load_parquet, load_zarr, open_runs_zarr):
        with pytest.raises(ValueError, match="nothing"):
            load(tmp_path / "nothing")


def spoilt(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        changed = bytes([content[middle] ^ 1])
        path.write_bytes(
            {
                "cut": content[:-3],
                "flipped": content[:middle] + changed + content[middle + 1 :],
                "empty": b"",
                "zeros": bytes(len(content)),
            }[how]
        )


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "zeros", "missing"])
def test_no_chunk_is_taken_for_another(tmp_path: Path, how: str) -> None:
    """A chunk that is not there would else be read as zeros."""
    runs = some_runs(n_models=600)
    save_runs_zarr(runs, tmp_path / "runs")
    for chunk in ("masks/c/1/0", "outputs/c/2/0"):
        path = tmp_path / "runs" / chunk
        sound = path.read_bytes()
        spoilt(path, how)
        with pytest.raises(ValueError, match="must") as found:
            open_runs_zarr(tmp_path / "runs").all_rows()
        assert "\n" not in str(found.value)
        path.write_bytes(sound)
    agrees(open_runs_zarr(tmp_path / "runs"), runs)
    made = a_datamodel()
    save_zarr(made, tmp_path / "scores")
    for chunk in ("scores/c/0/0", "intercept/c/0"):
        path = tmp_path / "scores" / chunk
        sound = path.read_bytes()
        spoilt(path, how)
        with pytest.raises(ValueError, match="scores must"):
            load_zarr(tmp_path / "scores")
        path.write_bytes(sound)
    same(load_zarr(tmp_path / "scores"), made, Lost())


def test_no_number_of_a_table_changes_unnoticed(tmp_path: Path) -> None:
    made, path = a_datamodel(), tmp_path / "table.parquet"
    save_parquet(made, path)
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 29):
        changed = bytes([content[place] ^ 1])
        path.write_bytes(content[:place] + changed + content[place + 1 :])
        try:
            found = load_parquet(path)
        except ValueError:
            refused += 1
        else:
            assert torch.equal(found.scores, made.scores)
    assert refused > 20


def test_own_responses_are_exported(tmp_path: Path) -> None:
    outputs = torch.randn(40, 3, dtype=torch.float64)
    outputs[7] = torch.nan
    for design, law in (
        (FixedSize(size=5, n_models=40, seed=3), "fixed size"),
        (Bernoulli(p=0.3, n_models=40, seed=3), "Bernoulli"),
        (ComplementaryPairs(n_pairs=20, seed=3), None),
    ):
        responses = responses_of(design, outputs, a_description(12, 3))
        runs = runs_of_responses(responses)
        kept = [k for k in range(40) if k != 7]
        masks, values = runs.all_rows()
        assert torch.equal(masks, responses.weights()[kept])
        assert torch.equal(values, outputs[kept])
        assert (runs.tags.law and runs.tags.law.law) == law
        assert runs.tags.output == "margin" and runs.tags.normalisation == "sum"
    pair = CoordinatePairs(at=1.0, steps=(0.1,), coordinates=(0,))
    derivatives = responses_of(pair, outputs[:2], a_description(12, 3))
    with pytest.raises(TypeError, match="random subsets"):
        runs_of_responses(derivatives)
