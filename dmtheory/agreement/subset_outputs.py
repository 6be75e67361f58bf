"""Outputs of models on random subsets, as an evaluation reads them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import as_matrix, check_at_least, check_finite
from dmtheory.designs import SubsetDesign
from dmtheory.designs.law import check_law
from dmtheory.designs.players import players_of, unit_size
from dmtheory.identity import digest, numbered
from dmtheory.responses.responses import Responses

# Fewer independent draws than these give no interval.
_LEAST_UNITS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubsetOutputs:
    """One row a distinct subset of the players, with its replicates.

    Attributes:
        weights: The players' weights.
        outputs: Outputs of every subset and training seed.
        design: The law of the rows, without replicates and groups; None if unknown.
        unit_size: Consecutive rows that depend on one another, such as 2 in a pair.
        train_labels: One label a player.
        target_labels: One label a target.
        example_labels: One label an example, where groups are the players.
        groups: The player of every example, where groups are the players.
        stated: What decides the outputs: problem, output, normalisation, step policy;
            empty for arrays from elsewhere.
        deterministic: Whether seeds change nothing.
        n_models: Trainings behind it all.
        n_diverged: Of which diverged; their whole units are left out.
        seeds: Experiment seeds of the trainings.
    """

    weights: Float[Tensor, "subsets train"]
    outputs: Float[Tensor, "subsets seeds targets"]
    design: SubsetDesign | None
    unit_size: int
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    example_labels: tuple[str, ...] = ()
    groups: Int64[Tensor, " examples"] | None = None
    stated: dict[str, str]
    deterministic: bool = False
    n_models: int
    n_diverged: int = 0
    seeds: frozenset[int]

    def __post_init__(self) -> None:
        check_finite(self.outputs, "outputs")
        n_units = len(self.outputs) // self.unit_size
        if n_units < _LEAST_UNITS:
            raise ValueError(
                f"responses must hold at least {_LEAST_UNITS} independent subsets, got "
                f"{n_units} after leaving out {self.n_diverged} diverged models: train "
                "more"
            )
        if bool((self.weights == self.weights[0]).all()):
            raise ValueError(
                "masks must vary, got the same subset in every row: evaluate on a "
                "design of random subsets"
            )

    @property
    def n_units(self) -> int:
        """How many independent draws there are."""
        return len(self.outputs) // self.unit_size

    @property
    def n_seeds(self) -> int:
        """Training seeds R of every subset."""
        return self.outputs.shape[1]

    def mean_outputs(self) -> Float[Tensor, "subsets targets"]:
        """Return outputs averaged over training seeds."""
        return self.outputs.mean(1)

    def check_outputs_vary(self) -> None:
        """Raise ValueError if the outputs of a target are the same for all subsets."""
        outputs = self.mean_outputs()
        constant = (outputs == outputs[0]).all(0).nonzero().flatten()
        if len(constant):
            raise ValueError(
                "outputs must vary over subsets at every target, got a constant at "
                f"{self.target_labels[int(constant[0])]!r} ({len(constant)} such): "
                "leave such targets out"
            )

    def predicted(self, attribution: Attribution) -> Float[Tensor, "subsets targets"]:
        """Return sum_{i in S} score_i for every subset, per weight, no intercept.

        Scores of examples predict subsets of groups too: a group's score is the sum of
        its members'.

        Args:
            attribution: Scores of these players, or of the examples they consist of.

        Returns:
            What the linear model says of every subset, up to a constant a target.

        Raises:
            ValueError: If the attribution is of something else, or was made from
                models of the same experiment.
        """
        self._check_same_outputs(attribution)
        scores = attribution.in_unit("per_weight").scores
        if self.groups is not None and attribution.train_labels == self.example_labels:
            summed = scores.new_zeros(len(self.train_labels), scores.shape[1])
            return self.weights @ summed.index_add_(0, self.groups, scores)
        _check_labels("train", attribution.train_labels, self.train_labels)
        return self.weights @ scores

    def _check_same_outputs(self, attribution: Attribution) -> None:
        for field, ours in self.stated.items():
            theirs = getattr(attribution.estimand, field)
            if theirs == ours or (
                theirs == "unknown" and field in {"normalisation", "step_policy"}
            ):
                continue
            raise ValueError(
                f"attribution and responses must have the same {field}, got {theirs} "
                f"and {ours}: evaluate on outputs of the attribution's own problem, or "
                f"state {field} where it was made"
            )
        _check_labels("target", attribution.target_labels, self.target_labels)
        shared = attribution.seeds & self.seeds
        if shared:
            raise ValueError(
                "attribution and responses must share no seeds, got experiment seed "
                f"{min(shared)} in both: models that made the scores cannot judge "
                "them; train evaluation models with another seed"
            )


def evaluation_of(responses: Responses | SubsetOutputs) -> SubsetOutputs:
    """Return responses by subset and seed; units with diverged models are left out.

    Raises:
        TypeError: If the design is none of random subsets.
    """
    if isinstance(responses, SubsetOutputs):
        return responses
    problem = responses.description
    players = players_of(responses.design, problem.train_labels)
    design, labels, replicates = players.design, players.labels, players.n_replicates
    if not isinstance(design, SubsetDesign):
        raise TypeError(
            "responses must come from a design of random subsets, got "
            f"{type(design).__name__}"
        )
    size = unit_size(design)
    n_subsets = responses.n_models // replicates
    weights = design.weights(torch.arange(n_subsets), len(labels))
    kept = ~responses.diverged.unflatten(0, (-1, size * replicates)).any(1)
    kept = kept.repeat_interleave(size)
    fields = ("output", "normalisation", "step_policy")
    return SubsetOutputs(
        weights=weights[kept],
        outputs=responses.outputs.unflatten(0, (-1, replicates))[kept],
        design=design,
        unit_size=size,
        train_labels=labels,
        target_labels=problem.target_labels,
        example_labels=() if players.groups is None else problem.train_labels,
        groups=players.groups,
        stated={"problem": problem.digest}
        | {field: getattr(problem, field) for field in fields},
        deterministic=problem.deterministic,
        n_models=responses.n_models,
        n_diverged=int(responses.diverged.sum()),
        seeds=frozenset({design.seed}),
    )


def evaluation_of_arrays(
    masks: Any,
    outputs: Any,
    *,
    like: Attribution | None = None,
    design: SubsetDesign | None = None,
    n_replicates: int = 1,
) -> SubsetOutputs:
    """Return masks and outputs from elsewhere, one model a row.

    Arrays carry no labels, so they are read in an attribution's order; nothing but
    their shape can be checked against it.

    Args:
        masks: 0/1 masks.
        outputs: Outputs of the models.
        like: An attribution whose labels name the columns of both; numbered labels by
            default.
        design: Their law, where known; it says which rows depend on one another.
        n_replicates: Consecutive rows that are training seeds of one mask.

    Returns:
        The outputs by subset and seed.

    Raises:
        TypeError: If the design is not one that arrays can be checked against.
        ValueError: If shapes differ, or the arrays contradict what was stated.
    """
    x = as_matrix(masks, "masks", "models x train")
    y = as_matrix(outputs, "outputs", "models x targets")
    train, target = (
        (numbered("example", x.shape[1]), numbered("target", y.shape[1]))
        if like is None
        else (like.train_labels, like.target_labels)
    )
    shape = (len(x), len(train)), (len(x), len(target))
    if (tuple(x.shape), tuple(y.shape)) != shape:
        raise ValueError(
            f"masks and outputs must have shapes {shape[0]} and {shape[1]}, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if bool(((x != 0) & (x != 1)).any()):
        raise ValueError("masks must hold 0 and 1 only")
    check_at_least(n_replicates, 1, "n_replicates")
    size = 1 if design is None else unit_size(design)
    if len(x) % (size * n_replicates):
        raise ValueError(
            f"masks must have a multiple of {size * n_replicates} rows for what was "
            f"stated of them, got {len(x)}"
        )
    rows = x.unflatten(0, (-1, n_replicates))
    if bool((rows != rows[:, :1]).any()):
        raise ValueError(
            f"masks must repeat {n_replicates} times in consecutive rows, as "
            "n_replicates says"
        )
    if design is not None:
        check_law(rows[:, 0], design)
    return SubsetOutputs(
        weights=rows[:, 0],
        outputs=y.unflatten(0, (-1, n_replicates)),
        design=design,
        unit_size=size,
        train_labels=train,
        target_labels=target,
        stated={},
        n_models=len(x),
        # As a fit of the same arrays calls them, so that it is recognised.
        seeds=frozenset({int(digest(x, y), 16)}),
    )


def _check_labels(axis: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        got = f"{len(ours)} and {len(theirs)}"
    else:
        pairs = zip(ours, theirs, strict=True)
        place, (x, y) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
        got = f"{x!r} and {y!r} at position {place}"
    raise ValueError(
        f"attribution and responses must have the same {axis} labels, got {got}: align "
        "them with .restricted(train=..., targets=...)"
    )
