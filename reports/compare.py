"""What differs between runs: verdicts, numbers beyond noise, surroundings, cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.load import ReportError, Run, load_run
from reports.moves import BEYOND, CHANGED, UNJUDGED, Move, judged, moves_of

Json = dict[str, Any]
_Place = tuple[str, str, str]
_SETTINGS = ("suite", "commit", "seed", "config_digest", "command")
_MACHINE = ("python", "platform", "processor", "cores")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChange:
    """A verdict that is another one in another run.

    Attributes:
        claim: Id of the claim.
        scale: The entry's scale.
        problem: The entry's problem.
        part: Name of the part; empty for the verdict on the whole claim.
        before: Verdict in the first run.
        after: Verdict in the other; "absent" where it does not decide this.
    """

    claim: str
    scale: str
    problem: str
    part: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A setting, a package or a machine that is another one.

    Attributes:
        name: What it is.
        before: Its value in the first run; empty where it is absent.
        after: Its value in the other.
    """

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A run against the first.

    Attributes:
        run: The run's folder.
        same_models: Whether seed and settings are those of the first, so that the
            numbers should be too.
        same_seed: Whether the seed is.
        verdicts: Verdicts that changed.
        moved: Numbers beyond noise, or changed where they should be the same.
        unjudged: Numbers that differ without an interval to judge by.
        n_numbers: Numbers that both runs have.
        limit: Joint standard errors beyond which a number counts as moved.
        added: Entries that the first run lacks.
        settings: Differences of settings and surroundings.
        models: Models trained, in the first run and in this.
        seconds: Seconds taken, in the first run and in this.
    """

    run: str
    same_models: bool
    same_seed: bool
    verdicts: tuple[VerdictChange, ...]
    moved: tuple[Move, ...]
    unjudged: tuple[Move, ...]
    n_numbers: int
    limit: float
    added: tuple[str, ...]
    settings: tuple[Difference, ...]
    models: tuple[int, int]
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs against a first one.

    Attributes:
        run: The first run's folder.
        against: The others, in the order given.
    """

    run: str
    against: tuple[Against, ...]

    @property
    def verdict_changed(self) -> bool:
        """Whether any verdict of the first run is another one elsewhere, or absent."""
        return any(one.verdicts for one in self.against)


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Compare runs with the first of them.

    Args:
        folders: Two run folders or more.

    Returns:
        What differs.

    Raises:
        ReportError: If a folder holds no run, there is one folder only, or two runs
            have no claim in common.
    """
    if len(folders) < 2:
        raise ReportError(f"a comparison takes two runs or more, got {len(folders)}")
    first, *others = (load_run(folder) for folder in folders)
    return Comparison(
        run=str(folders[0]),
        against=tuple(
            _against(first, other, folders[0], folder)
            for other, folder in zip(others, folders[1:], strict=True)
        ),
    )


def _against(first: Run, other: Run, before: Path, after: Path) -> Against:
    old, new = (_entries(run, path) for run, path in ((first, before), (other, after)))
    shared = [place for place in old if place in new]
    if not shared:
        raise ReportError(f"the runs {before} and {after} have no claim in common")
    same_seed = first.results["seed"] == other.results["seed"]
    digests = {run.results["config_digest"] for run in (first, other)}
    same_models = same_seed and len(digests) == 1
    found, limit = judged(
        move
        for place in shared
        for move in moves_of(old[place], new[place], same_models=same_models)
    )
    return Against(
        run=str(after),
        same_models=same_models,
        same_seed=same_seed,
        verdicts=tuple(_verdicts(old, new)),
        moved=tuple(move for move in found if move.kind in (BEYOND, CHANGED)),
        unjudged=tuple(move for move in found if move.kind == UNJUDGED),
        n_numbers=len(found),
        limit=limit,
        added=tuple(" ".join(place) for place in new if place not in old),
        settings=tuple(_settings(first, other)),
        models=_both(first, other, "models_trained"),
        seconds=_both(first, other, "seconds"),
    )


def _entries(run: Run, folder: Path) -> dict[_Place, Json]:
    found: dict[_Place, Json] = {}
    for entry in run.results["claims"]:
        place = entry["id"], entry["scale"], entry["problem"]
        if place in found:
            raise ReportError(f"the run {folder} decides {' '.join(place)} twice")
        found[place] = entry
    return found


def _verdicts(
    old: dict[_Place, Json], new: dict[_Place, Json]
) -> Iterable[VerdictChange]:
    """Go over the verdicts of the first run that the other does not share."""
    for place, entry in old.items():
        other = new.get(place)
        pairs = [("", entry["verdict"], other["verdict"] if other else "absent")]
        if other is not None:
            parts = {part["name"]: part["verdict"] for part in other["parts"]}
            pairs += [
                (part["name"], part["verdict"], parts.get(part["name"], "absent"))
                for part in entry["parts"]
            ]
        for part, before, after in pairs:
            if before != after:
                claim, scale, problem = place
                yield VerdictChange(
                    claim=claim,
                    scale=scale,
                    problem=problem,
                    part=part,
                    before=before,
                    after=after,
                )


def _settings(first: Run, other: Run) -> Iterable[Difference]:
    sides = [_told(first), _told(other)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(name, "") for side in sides)
        if before != after:
            yield Difference(name=name, before=before, after=after)


def _told(run: Run) -> dict[str, str]:
    results, surroundings = run.results, run.environment
    told = {key: str(results[key]) for key in _SETTINGS}
    told |= {key: str(surroundings[key]) for key in _MACHINE}
    # What else a run says of where it ran, such as its GPU.
    told |= {
        key: str(value)
        for key, value in surroundings.items()
        if key not in told and key != "packages"
    }
    return told | surroundings["packages"]


def _both(first: Run, other: Run, key: str) -> tuple[Any, Any]:
    return first.results[key], other.results[key]
