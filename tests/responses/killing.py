"""Kill collectors at chosen places, again and again, and report what they left.

A script: `python killing.py SCENARIOS`, where SCENARIOS is JSON, prints a report a
scenario. It forks every collector from one warm process that never touches a store:
a fork takes a millisecond, a fresh interpreter with torch takes seconds.

Places of death are those inside a block's write that the store names, those around
the renaming of a file that zarr has written, and any moment, from outside.
"""

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
import xarray  # noqa: F401 -- once, before forks that would each import it
import zarr
from counting import Counting, contents, leftovers, marked, trainings
from torch import Tensor

from dmtheory.designs import Bernoulli
from dmtheory.responses import store as stores
from dmtheory.responses.collect import collect_into
from dmtheory.responses.responses import open_dataset

BLOCK = 5
POINTS = ("outputs", "status", "mark", "done")
# A collector that makes no progress must not run for ever.
MAX_ATTEMPTS = 2000


def main() -> None:
    torch.set_num_threads(1)
    kinds: dict[str, Callable[..., dict[str, Any]]] = {
        "killed": killed,
        "together": together,
        "limited": limited,
        "opened": opened,
    }
    reports = []
    for scenario in json.loads(sys.argv[1]):
        clock = time.perf_counter()
        report = kinds[scenario.pop("kind")](**scenario)
        reports.append({**report, "seconds": time.perf_counter() - clock})
    print(json.dumps(reports))


def killed(
    folder: str, sizes: list[int], deaths: list[list[Any]], seconds: float = 0.0
) -> dict[str, Any]:
    """Collect runs of growing size; the last one dies and is resumed until complete.

    Args:
        folder: Where the store, the truth and the log are put.
        sizes: Models of each run.
        deaths: (place, n): die at the n-th time that the place is reached, or
            ("moment", s) within s seconds; one an attempt, then over again.
        seconds: What a block's training takes.
    """
    store, log, truth = (Path(folder) / name for name in ("store", "log", "truth"))
    died, n_models, done = log.with_name("died"), sizes[-1], []
    for size in sizes[:-1]:
        succeed(partial(collect, store, size))
    succeed(partial(collect, truth, n_models))
    for attempt, (place, n) in enumerate(cycle(deaths)):
        assert attempt < MAX_ATTEMPTS, "no progress"
        before = marked(store, n_models, BLOCK)
        log.unlink(missing_ok=True)
        died.unlink(missing_ok=True)
        death = {"place": place, "n": n}
        process = fork(
            partial(collect, store, n_models, log=log, seconds=seconds, **death)
        )
        if place == "moment":
            # Ever later, so that a slow machine gets on too.
            longest = n * (1 + attempt / 10)
            time.sleep(random.Random(attempt).uniform(0, longest))
            os.kill(process, signal.SIGKILL)
        survived = ended(process) == 0
        trained = trainings(log, design(n_models), BLOCK)
        after = marked(store, n_models, BLOCK)
        done.append({
            "place": None if survived else place,
            # Whether between two files of a block's write or in one of them.
            "inside": died.exists() and died.read_text() == "block",
            "trained": trained.total(),
            "kept": len(after - before),
            "again": len(before & trained.keys()),
            "undone": len(before - after),
        })
        if survived:
            break
    return {
        "attempts": done,
        "kills": dict(Counter(a["place"] for a in done if a["place"])),
        "inside": sum(a["inside"] for a in done),
        "equal": contents(store) == contents(truth),
        "leftovers": len(leftovers(store)),
    }


def together(
    folder: str, n_models: int, n_collectors: int, seconds: float, kill: bool = False
) -> dict[str, Any]:
    """Start several collectors on one store at once; kill the first if asked."""
    store, log, truth = (Path(folder) / name for name in ("store", "log", "truth"))
    succeed(partial(collect, truth, n_models))
    processes = [
        fork(partial(collect, store, n_models, log=log, seconds=seconds))
        for _ in range(n_collectors)
    ]
    if kill:
        time.sleep(seconds * n_models / BLOCK / n_collectors / 2)
        os.kill(processes[0], signal.SIGKILL)
    codes = [ended(process) for process in processes]
    trained = trainings(log, design(n_models), BLOCK)
    return {
        "codes": codes,
        "trained": trained.total(),
        "blocks": len(trained),
        "equal": contents(store) == contents(truth),
    }


def opened(folder: str, sizes: list[int], deaths: list[list[Any]]) -> dict[str, Any]:
    """Make and extend runs that die; open each as a dataset afterwards.

    Args:
        folder: Where the stores and the truth are put.
        sizes: Models before, none if 0, and models that are then asked for.
        deaths: (place, n): die at the n-th time that the place is reached.
    """
    truth = Path(folder) / "truth"
    succeed(partial(collect, truth, sizes[1]))
    views = []
    for i, (place, n) in enumerate(deaths):
        store, said = Path(folder) / str(i), Path(folder) / f"{i}.json"
        if sizes[0]:
            succeed(partial(collect, store, sizes[0]))
        code = ended(fork(partial(collect, store, sizes[1], place=place, n=n)))
        assert code == -signal.SIGKILL, f"no death at {place} {n}"
        succeed(partial(look, store, truth, said))
        views.append({"place": place, "n": n, **json.loads(said.read_text())})
    return {"views": views}


def look(store: Path, truth: Path, said: Path) -> None:
    """Write down what a dataset shows of a store, beside what the truth has there."""
    try:
        view = open_dataset(store)
    except stores.StoreError as error:
        said.write_text(json.dumps({"error": str(error)}))
        return
    n_models = view.sizes["models"]
    whole = open_dataset(truth).isel(models=slice(n_models))
    there = view.status.values > 0
    arrays = ("outputs", "status")
    same = [(view[n].values == whole[n].values)[there].all() for n in arrays]
    labels = [(view[n] == whole[n]).all() for n in ("seed", "targets")]
    # By name: listing a group warns of every file that a death left half-written.
    group = zarr.open_group(store, mode="r")
    stored = (*arrays, "marks")
    lengths = {n: group[n].shape[0] for n in stored if n in group}
    report = {
        "n_models": n_models,
        "lengths": lengths,
        "written": there.sum(),
        "same": all(same),
        "aligned": all(labels),
    }
    said.write_text(json.dumps(report, default=int))


def limited(folder: str, n_models: int, n_bytes: int) -> dict[str, Any]:
    """Collect where no file may grow beyond a size, then without that limit."""
    store, log, truth = (Path(folder) / name for name in ("store", "log", "truth"))
    many = Counting(n_targets=64)
    succeed(partial(collect, truth, n_models, problem=many))
    ended(fork(partial(collect, store, n_models, problem=many, place="done", n=3)))
    before = contents(store)
    said = Path(folder) / "said"

    def confined() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
        try:
            collect(store, n_models, problem=many)
        except OSError as error:
            said.write_text(str(error))

    succeed(confined)
    report = {
        "said": said.read_text(),
        "unchanged": contents(store) == before,
        "leftovers": len(leftovers(store)),
    }
    succeed(partial(collect, store, n_models, log=log, problem=many))
    return {
        **report,
        "trained": trainings(log, design(n_models), BLOCK).total(),
        "equal": contents(store) == contents(truth),
    }


def design(n_models: int) -> Bernoulli:
    return Bernoulli(p=0.5, n_models=n_models, seed=3)


def collect(
    store: Path,
    n_models: int,
    *,
    log: Path | None = None,
    problem: Counting | None = None,
    place: str = "",
    n: int = 0,
    seconds: float = 0.0,
) -> None:
    """Collect in this process, which dies at the n-th time that a place is reached."""

    def wait(_: Tensor) -> None:
        time.sleep(seconds)

    made = Counting(log=log, n_targets=problem.n_targets if problem else 2, before=wait)
    reached = iter(range(1, n)) if place in {*POINTS, "partial", "renamed"} else None

    def die(where: str, path: Path | None = None) -> None:
        if reached is None or where != place or next(reached, None) is not None:
            return
        in_block = where != "done" if path is None else "c" in path.parts
        if log is not None:
            log.with_name("died").write_text("block" if in_block else "other")
        os.kill(os.getpid(), signal.SIGKILL)

    rename = Path.replace

    def renamed(path: Path, target: Any) -> Path:
        if place == "partial":
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            die("partial", path.relative_to(store))
            path.write_bytes(whole)
        moved = rename(path, target)
        die("renamed", path.relative_to(store))
        return moved

    stores.reached = die
    Path.replace = renamed  # type: ignore[method-assign]
    collect_into(store, made, design(n_models), block=BLOCK)


def fork(body: Callable[[], None]) -> int:
    """Run a function in a process of its own; its exit status is 0 if it returns."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: int) -> int:
    """Wait for a process; anything but success and SIGKILL is a failure of the test."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in {0, -signal.SIGKILL}, f"a collector ended with {code}"
    return code


def succeed(body: Callable[[], None]) -> None:
    assert ended(fork(body)) == 0


if __name__ == "__main__":
    main()
