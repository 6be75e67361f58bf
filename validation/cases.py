"""Case pages: one target, its most helpful and most harmful training examples."""

from typing import Any

import torch
from torch import Tensor

from dmtheory.attribution import Attribution, Entry
from dmtheory.data.dataset import Dataset
from validation.laboratory import Laboratory

CASES = ("breast-cancer-sum", "digits-sum")
SHOWN = 4
_FEATURES_SHOWN = 6


def case(laboratory: Laboratory, name: str) -> dict[str, Any]:
    """Return one target of a problem by the three estimates, ready to be drawn.

    The target is the one that the datamodel's models were least sure of: the output
    nearest zero on average.
    """
    problem = laboratory.problem(name)
    data: Dataset = problem.data  # type: ignore[attr-defined]
    responses = laboratory.responses(name)
    target = int(responses.outputs.mean(0).abs().argmin())
    p = laboratory.settings[name].p
    estimates = {
        "datamodel": laboratory.datamodel(name),
        "response derivative": laboratory.derivative(name, at=p),
        "influence": laboratory.influence(name, at=p),
    }
    return {
        "problem": name,
        "title": f"{data.name.replace('-', ' ')}: {data.target_labels[target]}",
        "intro": laboratory.settings[name].summary,
        "target": {
            "label": data.target_labels[target],
            **_look(data, data.raw_target, target),
        },
        "estimates": [
            _estimate(title, attribution, target, data)
            for title, attribution in estimates.items()
        ],
    }


def _estimate(
    title: str, attribution: Attribution, target: int, data: Dataset
) -> dict[str, Any]:
    ranking = attribution.top(target, SHOWN)
    rows = {label: row for row, label in enumerate(data.train_labels)}
    compared = len(attribution.train_labels)
    note = (
        ""
        if compared == data.n_train
        else f"among {compared} of the {data.n_train} examples, drawn uniformly"
    )

    def entry(found: Entry) -> dict[str, Any]:
        low, high = found.limits or (None, None)
        return {
            "label": found.label,
            "score": found.score,
            "low": low,
            "high": high,
            **_look(data, data.raw_train, rows[found.label]),
        }

    return {
        "name": title,
        "estimand": str(attribution.estimand),
        "unit": attribution.estimand.unit,
        "models_trained": attribution.n_models,
        "method": attribution.method,
        "note": note,
        "helpful": [entry(found) for found in ranking.helpful],
        "harmful": [entry(found) for found in ranking.harmful],
    }


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
