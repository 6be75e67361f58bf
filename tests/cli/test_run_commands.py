"""`dmtheory collect`, `merge`, `verify` and `fit --store`, as a user runs them."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from dmtheory.cli import cli, runs
from dmtheory.engines.local import Serial, process_pool
from dmtheory.responses.plan import Plan, plan
from dmtheory.responses.responses import load_responses
from dmtheory.responses.store import StoreError, open_store, read_store

QUICK = ("--problem", "diabetes-ridge", "--models", "400", "--block", "64")
RAY = ("--engine", "ray")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def shown(*arguments: str) -> dict:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_grows_and_goes_on(here: Path) -> None:
    first = shown("collect", *QUICK, "--store", "run.zarr")
    assert first["trained"] == 400
    longer = shown("collect", *QUICK[:3], "500", *QUICK[4:], "--store", "run.zarr")
    assert (longer["models"], longer["trained"]) == (500, 500)
    assert longer["missing blocks"] == 0


def test_shards_merge_into_the_run(here: Path) -> None:
    shown("collect", *QUICK, "--store", "whole.zarr")
    for i in range(3):
        part = shown("collect", *QUICK, "--store", f"{i}.zarr", "--shard", f"{i}/3")
        assert 0 < part["trained"] < 400
    merged = shown("merge", "merged.zarr", "0.zarr", "1.zarr", "2.zarr")
    assert merged["trained"] == 400
    whole, parts = read_store("whole.zarr"), read_store("merged.zarr")
    for block in range(whole.n_blocks):
        expected, found = whole.read(block), parts.read(block)
        assert expected.outputs.tobytes() == found.outputs.tobytes()


def test_merging_two_runs_is_refused(here: Path) -> None:
    run("collect", *QUICK, "--store", "a.zarr")
    run("collect", *QUICK, "--seed", "1", "--store", "b.zarr")
    done = run("merge", "c.zarr", "a.zarr", "b.zarr")
    assert isinstance(done.exception, StoreError)
    assert "of one run" in str(done.exception)


def test_verify_finds_damage_and_a_row_altered_with_its_digest(here: Path) -> None:
    shown("collect", *QUICK, "--store", "run.zarr")
    assert shown("verify", "run.zarr", "--rows", "3")["sound"] is True
    config = read_store("run.zarr").config
    store = open_store("run.zarr", config, 400)
    honest = store.read(2)
    forged = honest.columns.copy()
    forged[:, 0] += 0.25
    store.write(2, replace(honest, columns=forged))
    values = json.loads(run("verify", "run.zarr", "--rows", "400", "--json").output)
    assert values["damaged"] == []
    assert sorted(values["different"]) == list(range(128, 192))
    chunk = here / "run.zarr" / "outputs" / "c" / "3" / "0"
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(bytes(content))
    done = run("verify", "run.zarr", "--rows", "0", "--json")
    assert json.loads(done.output)["damaged"] == [3]


def test_a_datamodel_from_a_store(here: Path) -> None:
    shown("collect", *QUICK[:3], "600", *QUICK[4:], "--store", "run.zarr")
    from_store = shown("fit", "--store", "run.zarr", "--out", "a.npz")
    assert from_store["models"] == 600
    assert "Bernoulli(0.5)" in from_store["estimand"]
    assert (here / "a.npz").exists()


def test_a_dry_run_trains_a_pilot_and_writes_nothing(here: Path) -> None:
    values = shown(
        "collect", *QUICK, "--dtype", "float16", "--store", "run.zarr", "--dry-run"
    )
    assert values["models"] == 400
    # 20 targets and the held-out loss of 2 bytes each, and one byte of status.
    assert values["gigabytes"] == pytest.approx(400 * 43 / 1e9)
    assert set(values["qualities"]) == {"held-out loss"}
    assert values["hours"] > 0
    assert values["seed_variance"] == 0
    assert values["ceiling"] == pytest.approx(1.0)
    assert values["coefficient_error"] > 0
    assert list(here.iterdir()) == []


def test_ones_own_problem_from_a_file(here: Path) -> None:
    (here / "mine_for_the_command.py").write_text(
        "import torch\n"
        "from dmtheory.problems import SampleMean\n"
        "problem = SampleMean(values=torch.arange(8.0, dtype=torch.float64))\n"
    )
    arguments = ("--problem", "mine_for_the_command.py:problem", "--models", "64")
    assert shown("collect", *arguments, "--store", "own.zarr")["trained"] == 64
    found = shown("verify", "own.zarr", "--problem", "mine_for_the_command.py:problem")
    assert found["sound"] is True
    assert len(found["retrained"]) == 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("collect", *QUICK), "store must say where"),
        (("collect", *QUICK, "--store", "s", "--shard", "3"), "shard must look like"),
        (("collect", *QUICK, "--store", "s", "--shard", "3/3"), "0 <= i < n"),
        (("collect", *QUICK, "--store", "s", "--design", "foo"), "bernoulli:0.5"),
        (("collect", *QUICK[:1], "nope", "--store", "s"), "problem must be one of"),
        (("collect", *QUICK[:1], "no.py:x", "--store", "s"), "FILE.py:NAME"),
        (("collect", *QUICK, "--store", "s", "--processes", "0"), "at least 1, got 0"),
        (
            ("collect", *QUICK, "--store", "s", "--processes", "two"),
            "must be a whole number",
        ),
        (("collect", *QUICK, "--dry-run", "--processes", "0"), "at least 1, got 0"),
        (("collect", *QUICK, "--store", "s", "--devices", "gpu"), "got 'gpu': use"),
        (("collect", *QUICK, "--store", "s", "--devices", "cuda:9"), "got 'cuda:9'"),
        (("collect", *QUICK, "--store", "s", "--devices", ""), "got '': use"),
        (("collect", *QUICK, "--dry-run", "--devices", "cuda:9"), "got 'cuda:9'"),
        (("collect", *QUICK, "--store", "s", "--engine", "slurm"), "'slurm' is not"),
        (("collect", *QUICK, "--store", "s", "--address", "x"), "say --engine ray"),
        (
            ("collect", *QUICK, "--store", "s", *RAY, "--devices", "cuda:0"),
            "devices must be cpu or cuda with --engine ray, got 'cuda:0'",
        ),
        (
            ("collect", *QUICK, "--store", "s", *RAY, "--processes", "0"),
            "must be at least 1, got 0",
        ),
        (("verify", "absent.zarr"), "store must exist"),
        (("fit", "--store", "absent.zarr", "--out", "o.npz"), "store must exist"),
        (("fit", "--out", "o.npz"), "give one of --store"),
        (("merge", "out.zarr", "absent.zarr"), "store must exist"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    here: Path, arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert named in f"{done.output} {done.exception}"
    assert list(here.iterdir()) == []


def test_devices_and_processes_of_the_command_reach_the_pool(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int | None, tuple[str, ...]]] = []

    def pool(
        n_processes: int | None, *, devices: tuple[str, ...]
    ) -> AbstractContextManager[Serial]:
        seen.append((n_processes, devices))
        return nullcontext(Serial())

    monkeypatch.setattr(runs, "process_pool", pool)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for i, given in enumerate([
        (),
        ("--processes", "3"),
        ("--devices", "cuda"),
        ("--devices", "cuda:1", "--processes", "2"),
        ("--devices", "cuda:1,cuda:0"),
    ]):
        shown("collect", *QUICK, "--store", f"{i}.zarr", *given)
    assert seen == [
        (None, ("cpu",)),
        (3, ("cpu",)),
        (None, ("cuda:0", "cuda:1")),
        (2, ("cuda:1",)),
        (None, ("cuda:1", "cuda:0")),
    ]


def test_a_plan_counts_one_process_a_device(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def planned(*_: Any, dtype: str, n_processes: int) -> Plan:
        asked.append(n_processes)
        return plan(*_, dtype=dtype, n_processes=n_processes)

    monkeypatch.setattr(runs, "plan", planned)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for given in ((), ("--devices", "cuda"), ("--processes", "5"), ("--engine", "ray")):
        shown("collect", *QUICK, "--dry-run", *given)
    assert asked == [1, 2, 5, 1]


def test_a_pool_of_the_default_is_one_process_of_this_machine(here: Path) -> None:
    assert shown("collect", *QUICK, "--store", "run.zarr")["trained"] == 400
    with process_pool() as pool:
        assert pool._n_processes == 1


def test_replicates_share_a_weight_vector_and_tell_the_ceiling(here: Path) -> None:
    words = ("--problem", "digits-network", "--block", "64", "--store", "run.zarr")
    values = shown("collect", *words, "--models", "80", "--replicates", "2")
    assert values["trained"] == 80
    responses = load_responses("run.zarr")
    weights = responses.weights()
    assert torch.equal(weights[::2], weights[1::2])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(responses.outputs[0], responses.outputs[1])
    exact = ("--curvature", "ggn", "--damping", "0.03")
    run("influence", "--problem", "digits-network", *exact, "--out", "i.npz")
    values = json.loads(
        run("lds", "--scores", "i.npz", "--store", "run.zarr", "--json").output
    )
    assert 0 < json.dumps(values).count("ceiling")
    done = run("collect", *words, "--models", "81", "--replicates", "2")
    assert "models must be a multiple of the 2 replicates, got 81" in done.output
