"""What a run of the suite says, in the shape that the report reads."""

from datetime import UTC, datetime
from typing import Any

import torch

from dmtheory.agreement.bootstrap import Interval
from dmtheory.identity import digest
from validation.cifar10.deciding import decide
from validation.cifar10.pictures import cases
from validation.cifar10.suite import Suite
from validation.environment import commit, environment
from validation.studies.study import dot_plot, dots
from validation.verdicts.multiplicity import family_wise

Json = dict[str, Any]


def results_of(suite: Suite, *, budget: float, command: str) -> Json:
    """Judge what the folder holds and return the content of results.json.

    Args:
        suite: The run.
        budget: Its budget over all calls, in seconds.
        command: The command that reproduces it.
    """
    archive, ledger = suite.archive(), suite.ledger
    rehearsal = suite.sizes.narrow is not None
    entries = decide(archive, suite.there(), ledger.notes, budget)
    together = family_wise(entries)
    for entry, found in zip(entries, together, strict=True):
        entry["family_wise"] = found
        if rehearsal:
            said = "rehearsal: decides nothing"
            entry["reason"] = f"{said}; {entry['reason']}".rstrip("; ")
    return {
        "suite": f"cifar10{' rehearsal' if rehearsal else ''}",
        "rehearsal": rehearsal,
        "commit": commit(),
        "config_digest": digest(suite.sizes, sorted(ledger.identity.items())),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": suite.seed,
        "command": command,
        "environment": machine(),
        "problems": _problems(suite),
        "claims": entries,
        "cases": cases(archive, suite.there()),
        "studies": [_speeds(suite)],
        "models_trained": suite.models_trained(),
        "seconds": ledger.spent,
        "throughput": ledger.throughput,
        "stages": ledger.stages,
        "notes": ledger.notes,
        "budget": budget,
    }


def machine() -> Json:
    """Return the environment with the GPU's name, where there is one."""
    there = torch.cuda.is_available()
    name = torch.cuda.get_device_name(0) if there else "no GPU"
    return {**environment(), "device": name}


def _problems(suite: Suite) -> list[Json]:
    archive, data = suite.archive(), suite.subjects.data
    found = []
    for key, title in suite.subjects.titles().items():
        description = suite.subjects.problem(key).description
        found.append({
            "name": title,
            "description": suite.subjects.words,
            "source": data.source,
            "n_train": description.n_train,
            "n_targets": description.n_targets,
            "normalisation": description.normalisation,
            "output": description.output,
            "accuracy": archive.accuracy(key),
        })
    return found


def _speeds(suite: Suite) -> Json:
    titles = suite.subjects.titles()
    measured = [
        (titles[key], Interval.exact(found["models an hour"]))
        for key, found in suite.ledger.throughput.items()
        if key in titles
    ]
    figure = dot_plot(
        [dots("models an hour", measured)],
        rows=[title for title, _ in measured],
        title="Models an hour",
        x_label="models an hour, one at the block size of the suite",
    )
    notes = "; ".join(f"{name}: {why}" for name, why in suite.ledger.notes.items())
    return {
        "id": "throughput",
        "title": "Throughput",
        "text": f"{suite.subjects.words} How fast each recipe trained in this run: the "
        "second block of its models, the first one warming up.",
        "note": notes,
        "scale": "G",
        "problem": suite.subjects.title,
        "explains": [],
        "legend": [],
        "models_trained": 0,
        "seconds": 0.0,
        "figures": [figure],
    }
