"""Case pages: one target, its most helpful and most harmful training examples."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dmtheory.attribution import Attribution, Entry
from dmtheory.data.dataset import Dataset
from validation.laboratory import Laboratory

CASES = ("breast-cancer-sum", "digits-sum")
SHOWN = 4
_FEATURES_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """What one estimate says of the examples, for the case's target.

    Attributes:
        title: The estimate's name.
        source: The attribution that holds it, or the first of several alike.
        entries: A score with its error, an example.
        n_models: Trainings behind all entries.
        note: For which examples there is a score, where not for all.
    """

    title: str
    source: Attribution
    entries: dict[str, Entry]
    n_models: int
    note: str = ""

    @property
    def helpful(self) -> list[Entry]:
        """The largest scores above zero, largest first."""
        return [found for found in self._sorted(-1) if found.score > 0][:SHOWN]

    @property
    def harmful(self) -> list[Entry]:
        """The scores farthest below zero, the farthest first."""
        return [found for found in self._sorted(1) if found.score < 0][:SHOWN]

    @property
    def ranked(self) -> list[str]:
        """The examples that it ranks high, of both kinds."""
        return [found.label for found in (*self.helpful, *self.harmful)]

    def _sorted(self, sign: int) -> list[Entry]:
        return sorted(self.entries.values(), key=lambda found: sign * found.score)


def case(laboratory: Laboratory, name: str) -> dict[str, Any]:
    """Return one target of a problem by the three estimates, ready to be drawn.

    The target is the one that the datamodel's models were least sure of: the output
    nearest zero on average. Every estimate tells what it says of each example that
    any of them ranks high.
    """
    problem = laboratory.problem(name)
    data: Dataset = problem.data  # type: ignore[attr-defined]
    responses = laboratory.responses(name)
    target = int(responses.outputs.mean(0).abs().argmin())
    columns = _columns(laboratory, name, target)
    ranked = list(dict.fromkeys(label for one in columns for label in one.ranked))
    return {
        "problem": name,
        "title": f"{data.name.replace('-', ' ')}: {data.target_labels[target]}",
        "intro": laboratory.settings[name].summary,
        "target": {
            "label": data.target_labels[target],
            **_look(data, data.raw_target, target),
        },
        "estimates": [_estimate(column, ranked, data) for column in columns],
    }


def _columns(laboratory: Laboratory, name: str, target: int) -> list[_Column]:
    p = laboratory.settings[name].p
    datamodel = _column("datamodel", laboratory.datamodel(name), target)
    influence = _column("influence", laboratory.influence(name, at=p), target)
    ranked = [*datamodel.ranked, *influence.ranked]
    return [datamodel, _derivative(laboratory, name, target, ranked), influence]


def _column(title: str, attribution: Attribution, target: int) -> _Column:
    return _Column(
        title=title,
        source=attribution,
        entries=_entries(attribution, target),
        n_models=attribution.n_models,
    )


def _derivative(
    laboratory: Laboratory, name: str, target: int, ranked: list[str]
) -> _Column:
    """Return the derivative of the suite's own examples and of those that are ranked.

    Retraining takes models for every example, so a suite has it of some alone.
    """
    p = laboratory.settings[name].p
    drawn = laboratory.derivative(name, at=p)
    column = _column("response derivative", drawn, target)
    labels = laboratory.problem(name).description.train_labels
    lacking = tuple(
        row
        for row, label in enumerate(labels)
        if label in ranked and label not in column.entries
    )
    if not lacking:
        return column
    further = laboratory.derivative_of(name, lacking, at=p, key="case")
    return _Column(
        title=column.title,
        source=drawn,
        entries=column.entries | _entries(further, target),
        n_models=drawn.n_models + further.n_models,
        note=f"known of {len(column.entries)} of the {len(labels)} examples, drawn "
        f"uniformly, and of {len(lacking)} that another estimate ranks here",
    )


def _entries(attribution: Attribution, target: int) -> dict[str, Entry]:
    errors = attribution.stderr
    return {
        label: Entry(
            label,
            attribution.scores[row, target].item(),
            None if errors is None else errors[row, target].item(),
        )
        for row, label in enumerate(attribution.train_labels)
    }


def _estimate(column: _Column, ranked: list[str], data: Dataset) -> dict[str, Any]:
    rows = {label: row for row, label in enumerate(data.train_labels)}

    def shown(found: Entry) -> dict[str, Any]:
        return {**_numbers(found), **_look(data, data.raw_train, rows[found.label])}

    own = column.ranked
    return {
        "name": column.title,
        "estimand": str(column.source.estimand),
        "unit": column.source.estimand.unit,
        "models_trained": column.n_models,
        "method": column.source.method,
        "note": column.note,
        "helpful": [shown(found) for found in column.helpful],
        "harmful": [shown(found) for found in column.harmful],
        "others": [
            _numbers(column.entries[label]) for label in ranked if label not in own
        ],
    }


def _numbers(found: Entry) -> dict[str, Any]:
    low, high = found.limits or (None, None)
    return {"label": found.label, "score": found.score, "low": low, "high": high}


def _look(data: Dataset, raw: Tensor | None, row: int) -> dict[str, Any]:
    """Return an example as a picture or as the features that set it apart."""
    if raw is None or data.raw_train is None:
        return {"image": None, "record": None}
    if data.image_shape is not None:
        return {"image": raw[row].reshape(data.image_shape).tolist(), "record": None}
    spread = (raw[row] - data.raw_train.mean(0)) / data.raw_train.std(0)
    unusual = torch.argsort(spread.abs(), descending=True)[:_FEATURES_SHOWN]
    return {
        "image": None,
        "record": {data.feature_names[i]: raw[row, i].item() for i in unusual.tolist()},
    }
