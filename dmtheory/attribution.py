"""The one result type: scores, their uncertainty, and what they estimate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_choice, check_finite
from dmtheory.estimand import UNITS, Estimand, Unit

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Entry:
    """One example's score for one target.

    Attributes:
        label: The training example.
        score: Its score, in the attribution's unit.
        stderr: The score's standard error; None where it is unknown.
    """

    label: str
    score: float
    stderr: float | None

    @property
    def limits(self) -> tuple[float, float] | None:
        """The score's normal 95 % interval; None where its error is unknown."""
        if self.stderr is None:
            return None
        margin = _NORMAL_95 * self.stderr
        return self.score - margin, self.score + margin


@dataclass(frozen=True, slots=True)
class Ranking:
    """The examples that matter most for one target.

    Attributes:
        target: The target's label.
        helpful: Examples with the largest positive scores, largest first.
        harmful: Examples with the largest negative scores, most negative first.
    """

    target: str
    helpful: tuple[Entry, ...]
    harmful: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attribution:
    """Scores of training examples for targets; positive raises the output.

    Attributes:
        scores: One score an example and target, in the estimand's unit.
        estimand: What the scores estimate.
        train_labels: One label a row of scores.
        target_labels: One label a column of scores.
        n_train: N of the problem; more than the rows when only some coordinates
            were estimated.
        stderr: Standard errors of the scores; zero where they are exact.
        units: Contributions of independent units (blocks of models, seeds), whose
            mean is the scores. They carry the sampling law: half-samples and
            bootstrap draws are means of some of them. None where unknown.
        intercept: Constant of a linear datamodel, a target.
        n_models: Trainings that were spent.
        seeds: Experiment seeds of those trainings; empty where nothing was drawn.
        method: How the scores were computed, in words.
    """

    scores: Float[Tensor, "train targets"]
    estimand: Estimand
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    n_train: int
    stderr: Float[Tensor, "train targets"] | None = None
    units: Float[Tensor, "units train targets"] | None = None
    intercept: Float[Tensor, " targets"] | None = None
    n_models: int = 0
    seeds: frozenset[int] = frozenset()
    method: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.train_labels), len(self.target_labels))
        if tuple(self.scores.shape) != shape:
            raise ValueError(
                f"scores must have shape {shape} (train labels, target labels), got "
                f"{tuple(self.scores.shape)}"
            )
        check_finite(self.scores, "scores")
        check_at_least(self.n_train, len(self.train_labels), "n_train")
        for name, tensor in (("stderr", self.stderr), ("units", self.units)):
            if tensor is not None and tuple(tensor.shape[-2:]) != shape:
                raise ValueError(
                    f"{name} must end in shape {shape}, got {tuple(tensor.shape)}"
                )
            if tensor is not None:
                check_finite(tensor, name)

    @property
    def exact(self) -> bool:
        """Whether the scores carry no sampling error."""
        return self.stderr is not None and not bool(self.stderr.any())

    def in_unit(self, unit: Unit) -> "Attribution":
        """Convert exactly between per weight and per epsilon: d/deps = N d/dw.

        Args:
            unit: "per_weight" or "per_epsilon".

        Returns:
            The same attribution in that unit.

        Raises:
            ValueError: If the unit is unknown.

        References:
            Koh and Liang 2017: theta_eps = argmin (1/N) sum_j l_j + eps l_i.
        """
        check_choice(unit, UNITS, "unit")
        if unit == self.estimand.unit:
            return self
        factor = float(self.n_train) if unit == "per_epsilon" else 1.0 / self.n_train
        return replace(self.scaled(factor), estimand=self.estimand.in_unit(unit))

    def scaled(self, factor: float) -> "Attribution":
        """Return scores, units and errors times a factor; the estimand stays."""
        return replace(
            self,
            scores=self.scores * factor,
            stderr=None if self.stderr is None else self.stderr * abs(factor),
            units=None if self.units is None else self.units * factor,
        )

    def restricted(
        self,
        train: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
    ) -> "Attribution":
        """Return the named rows and columns, in the order given.

        Raises:
            ValueError: If a label is unknown.
        """
        for name, labels in (("train", train), ("targets", targets)):
            if labels is not None and (
                not labels or len(set(labels)) != len(tuple(labels))
            ):
                raise ValueError(f"{name} must be labels, at least one and distinct")
        train = self.train_labels if train is None else tuple(train)
        targets = self.target_labels if targets is None else tuple(targets)
        rows = torch.tensor(_positions(self.train_labels, train, "train"))
        columns = torch.tensor(_positions(self.target_labels, targets, "targets"))

        def pick(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            return tensor.index_select(-2, rows).index_select(-1, columns)

        return replace(
            self,
            scores=self.scores[rows][:, columns],
            stderr=pick(self.stderr),
            units=pick(self.units),
            intercept=None if self.intercept is None else self.intercept[columns],
            train_labels=train,
            target_labels=targets,
        )

    def predict_removal(self) -> Float[Tensor, "train targets"]:
        """Return the first-order change of the output when an example is removed.

        F(w - w_i e_i) - F(w) ~ -dF/dw_i for w_i = 1: minus the per-weight score.
        It is a prediction of leave-one-out retraining, not that quantity itself.
        """
        return -self.in_unit("per_weight").scores

    def top(self, target: int | str, k: int = 10) -> Ranking:
        """Return the k most helpful and k most harmful examples for a target.

        Args:
            target: A target's label or number.
            k: How many of each, at least 1; fewer where fewer have that sign.

        Returns:
            Examples with scores and standard errors.

        Raises:
            ValueError: If the target is out of range or unknown, or k < 1.
        """
        check_at_least(k, 1, "k")
        column = self.target_number(target)
        scores = self.scores[:, column]
        order = torch.argsort(scores, descending=True, stable=True).tolist()

        def entry(row: int) -> Entry:
            error = None if self.stderr is None else self.stderr[row, column].item()
            return Entry(self.train_labels[row], scores[row].item(), error)

        return Ranking(
            target=self.target_labels[column],
            helpful=tuple(entry(row) for row in order[:k] if scores[row] > 0),
            harmful=tuple(entry(row) for row in order[::-1][:k] if scores[row] < 0),
        )

    def target_number(self, target: int | str) -> int:
        """Return the column of a target given by label or number.

        Raises:
            ValueError: If the target is out of range or unknown.
        """
        if isinstance(target, str):
            return _positions(self.target_labels, (target,), "target")[0]
        if not 0 <= target < len(self.target_labels):
            raise ValueError(
                f"target must lie in [0, {len(self.target_labels)}), got {target}"
            )
        return target


def _positions(labels: tuple[str, ...], wanted: Sequence[str], name: str) -> list[int]:
    place = {label: i for i, label in enumerate(labels)}
    unknown = [label for label in wanted if label not in place]
    if unknown:
        raise ValueError(
            f"{name} must be among the {len(labels)} labels such as {labels[0]!r}, got "
            f"{unknown[0]!r}"
        )
    return [place[label] for label in wanted]
