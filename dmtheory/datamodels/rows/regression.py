"""What a datamodel regresses on what, from arrays, from responses or from a store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.checks import as_matrix
from dmtheory.datamodels.rows.sample import CHUNK, Chunk, Sample, make_chunk
from dmtheory.designs import RandomDirections, SubsetDesign
from dmtheory.designs.base import Design
from dmtheory.designs.law import block_structure, check_law, variances
from dmtheory.designs.players import Players, players_of
from dmtheory.estimand import Point
from dmtheory.identity import digest, numbered
from dmtheory.problems.base import Description
from dmtheory.responses.responses import Responses, design_of
from dmtheory.responses.run import described
from dmtheory.responses.store import DIVERGED, ResponseStore

# Weights of this many entries (1 GiB) are held; more are recomputed at every pass.
HELD = 2**27
# Outputs whose squares float64 can sum.
_LARGEST = 1e140

# How an estimand names the law of a design's rows; a row of a complementary pair is
# a Bernoulli(1/2) subset, one of a partition Bernoulli(1/parts).
_LAWS = {
    "ComplementaryPairs": "Bernoulli",
    "AntitheticPairs": "Bernoulli",
    "DisjointBlocks": "Bernoulli",
    "FixedSize": "fixed size",
}

# Outputs of a range of rows of the design without replicates, and which to keep.
Read = Callable[[range], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regression:
    """Rows to regress, and what the coefficients will mean.

    Attributes:
        sample: The rows, outputs averaged over replicates, groups as players.
        design: The law of the weight vectors, of the players.
        train_labels: One label a player.
        target_labels: One label a target.
        estimand: Fields of the estimand that the source decides.
        n_models: Trainings behind it all.
        n_diverged: Of which diverged; what they belong to is left out.
        seeds: Experiment seeds of the trainings; empty where unknown.
        named: Whether labels and problem are known, not made up for arrays.
    """

    sample: Sample
    design: Design
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    estimand: dict[str, Any]
    n_models: int
    n_diverged: int
    seeds: frozenset[int]
    named: bool


def from_responses(responses: Responses) -> Regression:
    """Average replicates, take groups as players, leave diverged models out.

    Returns:
        The regression.
    """
    players = players_of(responses.design, responses.description.train_labels)
    replicates = players.n_replicates
    outputs, kept = _averaged(responses.outputs, ~responses.diverged, replicates)

    def read(rows: range) -> tuple[Tensor, Tensor]:
        return outputs[rows.start : rows.stop], kept[rows.start : rows.stop]

    return _regression(
        responses.description,
        players,
        read,
        n_models=responses.n_models,
        n_diverged=int(responses.diverged.sum()),
    )


def from_store(
    store: ResponseStore,
    *,
    held: int = HELD,
    device: torch.device | str = "cpu",
) -> Regression:
    """Read a store block by block, each checked against its mark.

    Args:
        store: An open store, complete.
        held: Entries of the weights up to which rows are kept in memory; beyond it
            every pass reads the store and recomputes the weights.
        device: Where rows go, and with them all that is made of them. Masks are made
            there from their seeds, 4,096 at a time, which takes about 60 bytes an
            entry: 12 GB at 50,000 examples.

    Returns:
        The regression.

    Raises:
        StoreError: If the store is damaged, or blocks are not yet written.
    """
    problem = described(dict(store.config))
    players = players_of(design_of(store), problem.train_labels)
    replicates = players.n_replicates

    def read(rows: range) -> tuple[Tensor, Tensor]:
        outputs, kept = _stored(store, rows.start * replicates, rows.stop * replicates)
        return _averaged(outputs.to(device), kept.to(device), replicates)

    diverged = sum(
        int((store.read(block).status == DIVERGED).sum())
        for block in range(store.n_blocks)
    )
    return _regression(
        problem,
        players,
        read,
        n_models=store.n_models,
        n_diverged=diverged,
        held=held,
    )


def from_arrays(
    masks: Any, outputs: Any, design: SubsetDesign, output: str, problem: str | None
) -> Regression:
    """Check masks and outputs from elsewhere against each other and the stated law.

    Returns:
        The regression.

    Raises:
        TypeError: If the design is not one that arrays can be checked against.
        ValueError: If shapes or devices differ, entries are not finite, masks are not
            0 and 1 or contradict the design, or squares of outputs leave float64's
            range.
    """
    x = as_matrix(masks, "masks", "models x train")
    y = as_matrix(outputs, "outputs", "models x targets")
    if len(x) != len(y):
        raise ValueError(
            f"masks and outputs must have one row a model, got {len(x)} and {len(y)} "
            "rows"
        )
    if x.device != y.device:
        raise ValueError(
            f"masks and outputs must be on one device, got {x.device} and {y.device}: "
            "move one with .to()"
        )
    if bool(((x != 0) & (x != 1)).any()):
        raise ValueError("masks must hold 0 and 1 only")
    check_law(x, design)
    _check_range(y)
    size, has_mean = block_structure(design)
    shift = y.mean(0)
    ids = torch.arange(len(x) // size, device=x.device)
    chunk = make_chunk(x, y - shift, ids, size=size, has_mean=has_mean)
    return Regression(
        sample=Sample(
            chunks=lambda: iter((chunk,)),
            n_blocks=len(ids),
            shift=shift,
            **_law_of(design, x.shape[1], x.device),
        ),
        design=design,
        train_labels=numbered("example", x.shape[1]),
        target_labels=numbered("target", y.shape[1]),
        estimand={
            "quantity": "datamodel",
            "point": _point(design, x.shape[1]),
            "output": output,
            "normalisation": "unknown",
            "step_policy": "unknown",
            "problem": problem or f"arrays-{digest(x, y)}",
        },
        n_models=len(x),
        n_diverged=0,
        # Nobody knows the seeds, but two fits of the same arrays share their errors.
        seeds=frozenset({int(digest(x, y), 16)}),
        named=False,
    )


def _check_range(outputs: Tensor) -> None:
    """Raise ValueError where sums of squares would overflow or vanish."""
    spread = (outputs - outputs.mean(0)).abs().amax(0)
    bad = (outputs.abs().amax(0) > _LARGEST) | ((spread > 0) & (spread < 1 / _LARGEST))
    if bool(bad.any()):
        raise ValueError(
            f"outputs must be 0 or between {1 / _LARGEST:g} and {_LARGEST:g} in size, "
            f"got another at target {int(bad.nonzero()[0])}: measure them in another "
            "unit"
        )


def _regression(
    problem: Description,
    players: Players,
    read: Read,
    *,
    n_models: int,
    n_diverged: int,
    held: int = HELD,
) -> Regression:
    """Return the regression of a run's rows.

    Raises:
        TypeError: If no linear model can be fitted to the design.
        ValueError: If every model diverged.
    """
    design, labels = players.design, players.labels
    if not _is_regressable(design):
        raise TypeError(
            "responses must come from a design of random subsets for a datamodel, got "
            f"{type(design).__name__}"
        )
    if n_diverged == n_models:
        raise ValueError(
            f"outputs must be finite for some models, but all {n_models} diverged: "
            "train with a smaller learning rate or a larger penalty"
        )
    n_rows = n_models // players.n_replicates
    sample = _sample(design, len(labels), n_rows, read)
    if n_rows * len(labels) <= held:
        sample = sample.held()
    return Regression(
        sample=sample,
        design=design,
        train_labels=labels,
        target_labels=problem.target_labels,
        estimand={
            "quantity": _quantity(design),
            "point": _point(design, len(labels)),
            "output": problem.output,
            "normalisation": problem.normalisation,
            "step_policy": problem.step_policy,
            "problem": problem.digest,
            "seeds_per_weight": players.n_replicates,
        },
        n_models=n_models,
        n_diverged=n_diverged,
        seeds=frozenset({design.seed}),  # type: ignore[attr-defined]
        named=True,
    )


def _sample(design: Design, n_players: int, n_rows: int, read: Read) -> Sample:
    size, has_mean = block_structure(design)
    step = max(CHUNK // size, 1) * size
    outputs, kept = read(range(min(step, n_rows)))
    shift = torch.nan_to_num(outputs[kept].mean(0))

    def chunks() -> Iterator[Chunk]:
        for start in range(0, n_rows, step):
            rows = range(start, min(start + step, n_rows))
            y, kept = read(rows)
            whole = kept.unflatten(0, (-1, size)).all(1)
            kept = whole.repeat_interleave(size)
            numbers = torch.arange(rows.start, rows.stop, device=y.device)
            yield make_chunk(
                _weights(design, numbers, n_players)[kept],
                y[kept] - shift,
                (numbers[::size] // size)[whole],
                size=size,
                has_mean=has_mean,
            )

    return Sample(
        chunks=chunks,
        n_blocks=n_rows // size,
        shift=shift,
        **_law_of(design, n_players, outputs.device),
    )


def _weights(
    design: Design, numbers: Int64[Tensor, " rows"], n_players: int
) -> Float[Tensor, "rows train"]:
    """Return weight vectors where their numbers are.

    Masks are integers made of integers, the same on every device; real-valued weights
    are made on the CPU and moved.
    """
    if not isinstance(design, SubsetDesign):
        return design.weights(numbers.cpu(), n_players).to(numbers.device)
    # What a design makes by itself, such as its examples' numbers, must go there too.
    with numbers.device:
        return design.weights(numbers, n_players)


def _law_of(design: Design, n_players: int, device: torch.device) -> dict[str, Any]:
    null = torch.zeros(0, n_players, dtype=torch.float64)
    if isinstance(design, SubsetDesign):
        null = design.null_directions(n_players)
    return {
        "has_mean": block_structure(design)[1],
        "level": _point(design, n_players).level,
        "null_directions": null.to(device),
        "variances": variances(design, n_players).to(device),
    }


def _is_regressable(design: Design) -> bool:
    if isinstance(design, RandomDirections):
        return isinstance(design.at, float | int)
    return isinstance(design, SubsetDesign)


def _quantity(design: Design) -> str:
    return "datamodel" if isinstance(design, SubsetDesign) else "response derivative"


def _point(design: Design, n_players: int) -> Point:
    if isinstance(design, RandomDirections):
        assert isinstance(design.at, float | int)
        return Point("weights", float(design.at))
    assert isinstance(design, SubsetDesign)
    # Masks that were read from a file follow the law of a design beside them.
    name = type(getattr(design, "law", design)).__name__
    return Point("subsets", design.inclusion(n_players), _LAWS.get(name, name))


def _averaged(
    outputs: Tensor, kept: Tensor, replicates: int
) -> tuple[Float[Tensor, "rows targets"], Bool[Tensor, " rows"]]:
    """Average replicates; a weight vector counts when all of its replicates do."""
    if replicates == 1:
        return outputs, kept
    together = kept.unflatten(0, (-1, replicates)).all(1)
    return outputs.unflatten(0, (-1, replicates)).mean(1), together


def _stored(store: ResponseStore, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Return outputs of a range of models in float64, and which did not diverge."""
    size = store.block_size
    blocks = range(start // size, -(-stop // size))
    found = [store.read(block) for block in blocks]
    first = blocks.start * size
    outputs = torch.cat([torch.from_numpy(b.outputs).double() for b in found])
    status = torch.cat([torch.from_numpy(b.status) for b in found])
    part = slice(start - first, stop - first)
    return outputs[part], status[part] != DIVERGED
