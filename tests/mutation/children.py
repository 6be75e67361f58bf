"""Tests in a forked child of a process that has imported everything."""

import contextlib
import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutation.modules import ROOT

_WALL_SECONDS = 600.0


def in_child(work: Callable[[], Any], cpu_seconds: float) -> tuple[Any, float]:
    """Run work in a forked child.

    Args:
        work: Returns plain values.
        cpu_seconds: When the child is ended.

    Returns:
        What work returned, None where the child ended otherwise; and its CPU time.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "found.json"
        child = os.fork()
        if child == 0:
            _work(work, place, cpu_seconds)
        used = _wait(child)
        if not place.exists():
            return None, used
        found = json.loads(place.read_text(encoding="utf-8"))
    if "fault" in found:
        raise RuntimeError(found["fault"])
    return found["found"], used


def _work(work: Callable[[], Any], place: Path, cpu_seconds: float) -> None:
    try:
        limit = int(cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        _keep({"found": work()}, place)
    except BaseException:
        _keep({"fault": traceback.format_exc()}, place)
    finally:
        os._exit(0)


def _keep(values: dict[str, Any], place: Path) -> None:
    part = place.with_suffix(".part")
    part.write_text(json.dumps(values), encoding="utf-8")
    part.rename(place)


def _wait(child: int) -> float:
    end = time.monotonic() + _WALL_SECONDS
    while True:
        ended, _, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return usage.ru_utime + usage.ru_stime
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


class Recorder:
    """A pytest plugin: runs chosen tests in a given order, and keeps what happened.

    Attributes:
        seconds: CPU time by test.
        failed: The first test that failed, or file that could not be collected.
        why: What it raised.
    """

    def __init__(self, order: list[str] | None, before: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: str | None = None
        self.why: str | None = None
        self._order, self._before = order, before

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._order is not None:
            place = {name: k for k, name in enumerate(self._order)}
            items[:] = [item for item in items if item.nodeid in place]
            items.sort(key=lambda item: place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self._before(item.nodeid)
        start = time.process_time()
        found = yield
        self.seconds[item.nodeid] = time.process_time() - start
        return found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed, self.why = report.nodeid, _crash(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.failed is None:
            self.failed, self.why = report.nodeid, _crash(report)


def _crash(report: Any) -> str:
    """Return the first line of what was raised."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return text.strip().splitlines()[0][:120]


def run_tests(
    where: list[str],
    order: list[str] | None = None,
    before: Callable[[str], None] = lambda _: None,
    leaving_out: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Run tests in this process until one fails.

    Args:
        where: Files and folders.
        order: Names of tests; all that are not long by default.
        before: Called with each test's name before it runs.
        leaving_out: Words in the names of tests that are not run.

    Returns:
        The exit code, the first failure and the CPU time of each test.
    """
    recorder = Recorder(order, before)
    stated = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not long"]
    # Plugins are warm already: imported before pytest could rewrite them.
    stated += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    if leaving_out:
        stated += ["-k", " and ".join(f"not {word}" for word in leaving_out)]
    code = pytest.main(
        [*stated, "--rootdir", str(ROOT), *(str(ROOT / each) for each in where)],
        plugins=[recorder],
    )
    return {
        "code": int(code),
        "failed": recorder.failed,
        "why": recorder.why,
        "seconds": recorder.seconds,
    }
