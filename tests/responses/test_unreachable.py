"""Object stores out of reach: one line that says where, why and what to do."""

import errno
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from counting import Counting, contents, trainings
from test_object_storage import BUCKET, SECRETS, close_sessions, objects

from dmtheory import collect
from dmtheory.designs import Bernoulli
from dmtheory.responses.maintain import merge, verify
from dmtheory.responses.remote import reaching
from dmtheory.responses.responses import load_responses, open_dataset
from dmtheory.responses.store import BlockError, StoreError, read_store

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
moto = pytest.importorskip("moto.server", reason="moto's server is not installed")

URL = f"s3://{BUCKET}/run.zarr"
BLOCK = 5
DESIGN = Bernoulli(p=0.5, n_models=23, seed=3)

ATTEMPTS: dict[str, Callable[[], Any]] = {
    "collect": lambda: collect(Counting(), DESIGN, store=URL, block=BLOCK),
    "load": lambda: load_responses(URL),
    "open": lambda: open_dataset(URL),
    "verify": lambda: verify(URL),
    "merge": lambda: merge("s3://runs/merged.zarr", [URL]),
}


@pytest.fixture
def surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Yield an environment without settings of S3, and file systems of its own."""
    close_sessions()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Else each request is tried five times, with pauses.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    yield monkeypatch
    close_sessions()


@pytest.fixture
def with_secrets(surroundings: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in SECRETS.items():
        surroundings.setenv(name, value)
    return surroundings


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(port: int = 0) -> tuple[Any, int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    return server, server.get_host_and_port()[1]


def check_one_line(error: StoreError, *parts: str) -> None:
    said = str(error)
    assert "\n" not in said
    assert said.startswith(f"store {URL} cannot be reached (")
    assert all(part in said for part in parts)
    assert error.__cause__ is not None
    # A block that cannot be read is not one to train again.
    assert not isinstance(error, BlockError)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_endpoint_that_refuses_is_named(
    attempt: str, with_secrets: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{closed_port()}"
    with_secrets.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StoreError) as caught:
        ATTEMPTS[attempt]()
    check_one_line(caught.value, endpoint, "check the network", "AWS_ENDPOINT_URL")


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_missing_credentials_are_asked_for(
    attempt: str, surroundings: pytest.MonkeyPatch
) -> None:
    surroundings.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(StoreError) as caught:
        ATTEMPTS[attempt]()
    check_one_line(caught.value, "Unable to locate credentials", "AWS_ACCESS_KEY_ID")


def test_a_bucket_that_does_not_exist_is_to_be_made(
    with_secrets: pytest.MonkeyPatch,
) -> None:
    server, port = start_server()
    with_secrets.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    absent = "s3://no-such-bucket/run.zarr"
    try:
        expected = (
            rf"store {absent} cannot be reached \(.*bucket does not exist\): make"
        )
        with pytest.raises(StoreError, match=expected):
            collect(Counting(), DESIGN, store=absent)
        with pytest.raises(StoreError, match=f"store must exist, got {absent}"):
            read_store(absent)
    finally:
        close_sessions()
        server.stop()


def test_a_run_whose_storage_goes_away_ends_in_one_line_and_goes_on_later(
    with_secrets: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, port = start_server()
    with_secrets.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    system = s3fs.S3FileSystem(use_listings_cache=False)
    if system.exists(BUCKET):
        system.rm(BUCKET, recursive=True)
    system.mkdir(BUCKET)
    log, counts = tmp_path / "log", []

    def stop(n_models: int) -> None:
        counts.append(n_models)
        if len(counts) == 3:
            server.stop()

    problem = Counting(log=log)
    with pytest.raises(StoreError) as caught:
        collect(problem, DESIGN, store=URL, block=BLOCK, progress=stop)
    check_one_line(caught.value, "what was written stays")
    # Resuming while it is away trains nothing: unread blocks are not taken as missing.
    before = trainings(log, DESIGN, BLOCK).total()
    with pytest.raises(StoreError, match="cannot be reached"):
        collect(problem, DESIGN, store=URL, block=BLOCK)
    assert trainings(log, DESIGN, BLOCK).total() == before
    close_sessions()
    server, _ = start_server(port)
    try:
        collect(problem, DESIGN, store=URL, block=BLOCK)
        # The block that could not be written, and no other, is trained twice.
        assert trainings(log, DESIGN, BLOCK).total() <= 5 + 1
        collect(Counting(), DESIGN, store=tmp_path / "truth", block=BLOCK)
        assert objects(system, "run") == contents(tmp_path / "truth")
        opened = read_store(URL)
        server.stop()
        for read in (opened.read, opened.is_done, opened.is_marked):
            with pytest.raises(StoreError) as caught:
                read(1)
            check_one_line(caught.value)
        with pytest.raises(StoreError) as caught:
            opened.statuses()
        check_one_line(caught.value)
    finally:
        close_sessions()
        server.stop()


COMMAND = """
import sys
from dmtheory.cli import main
sys.argv = ["dmtheory", "verify", sys.argv[1]]
main()
"""


def test_the_command_line_says_one_line(with_secrets: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{closed_port()}"
    with_secrets.setenv("AWS_ENDPOINT_URL", endpoint)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, URL],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: store {URL} cannot be reached (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError("Access Denied"), r"\(Access Denied\): give credentials"),
        (TimeoutError(), r"\(TimeoutError\): check the network"),
        (ImportError("Install s3fs"), r"\(Install s3fs\): install .*dmtheory\[cloud\]"),
        (OSError("two\nlines"), r"\(two lines\): check the network"),
    ],
)
def test_each_cause_has_its_remedy(error: Exception, expected: str) -> None:
    with pytest.raises(StoreError, match=expected), reaching(URL):
        raise error


@pytest.mark.parametrize(
    ("location", "error"),
    [
        (Path("runs/here"), OSError(errno.ENOSPC, "No space left on device")),
        ("runs/here", PermissionError("Permission denied")),
        ("file:///runs/here", OSError(errno.EIO, "Input/output error")),
        (URL, ValueError("block must be at least 1")),
        (URL, BlockError("block 3 is damaged")),
        (URL, KeyboardInterrupt()),
    ],
)
def test_what_is_not_about_the_way_to_a_store_is_left_as_it_is(
    location: Any, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught, reaching(location):
        raise error
    assert caught.value is error
