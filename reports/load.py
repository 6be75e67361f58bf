"""Read a run's folder and check that its data has the shape that a page needs."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERDICTS = ("supported", "refuted", "inconclusive", "skipped")
SCALES = ("C", "V", "M", "G")


class ReportError(ValueError):
    """A run's folder cannot be turned into a page; the message says why."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run's data.

    Attributes:
        results: What `results.json` holds.
        environment: What `environment.json` holds.
    """

    results: dict[str, Any]
    environment: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Maybe:
    shape: Any


@dataclass(frozen=True, slots=True)
class _MayLack:
    shape: Any


@dataclass(frozen=True, slots=True)
class _Values:
    shape: Any


@dataclass(frozen=True, slots=True)
class _Pair:
    shape: Any


@dataclass(frozen=True, slots=True)
class _OneOf:
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _ByKind:
    shapes: dict[str, Any]


_NUMBER = (int, float)
_OPTIONAL = (int, float, type(None))
_ESTIMATE = {"value": _OPTIONAL, "low": _OPTIONAL, "high": _OPTIONAL}
_PART = {
    **_ESTIMATE,
    **dict.fromkeys(("name", "statement", "note"), str),
    "tolerance": _Pair(_OPTIONAL),
    "expected": _OneOf(VERDICTS),
    "verdict": _OneOf(VERDICTS),
    "passed": _Maybe(bool),
    # A part that is none tells more of the claim and is not its own statement.
    "headline": _MayLack(bool),
    # One that is not judged is reported, and cannot fail.
    "judged": _MayLack(bool),
    # What its interval is over; runs that do not say resampled models and seeds.
    "over": _MayLack(str),
}
_FIGURE = {
    "x": [_NUMBER],
    "y": [_NUMBER],
    **dict.fromkeys(
        ("x_label", "y_label", "title", "fitted_label", "predicted_label"), str
    ),
    "fitted_slope": _OPTIONAL,
    "predicted_slope": _OPTIONAL,
    "log": _MayLack(_Maybe((bool, str))),
    "lines": _MayLack(_Maybe([{"x": [_NUMBER], "y": [_NUMBER], "label": str}])),
}
_CLAIM = {
    **dict.fromkeys(("id", "title", "statement", "source", "problem", "reason"), str),
    "scale": _OneOf(SCALES),
    "verdict": _OneOf(VERDICTS),
    "expected": _OneOf(VERDICTS),
    "passed": _Maybe(bool),
    "parts": [_PART],
    "statistics": _Values(_ESTIMATE),
    "models_trained": int,
    "seconds": _NUMBER,
    "estimands": [dict.fromkeys(("role", "text", "method"), str)],
    "controls": [
        {
            **dict.fromkeys(("name", "verdict", "detail"), str),
            "passed": _Maybe(bool),
            # Whether the claim has to notice it; runs that do not say tried no other.
            "required": _MayLack(bool),
        }
    ],
    # Whether it stands when all entries of the run are taken together; runs made
    # before that was asked do not say.
    "family_wise": _MayLack({"p": _NUMBER, "adjusted": _NUMBER, "stands": bool}),
    "noticed_slopes": _MayLack(_Maybe({"above": _OPTIONAL, "below": _OPTIONAL})),
    "figure": _Maybe(_FIGURE),
}
_ITEM = {
    "label": str,
    "image": _Maybe(list),
    "record": _Maybe(dict),
}
_NUMBERED = {"label": str, "score": _NUMBER, "low": _OPTIONAL, "high": _OPTIONAL}
_SCORED = {**_ITEM, **_NUMBERED}
_CASE = {
    **dict.fromkeys(("problem", "title", "intro"), str),
    "target": _ITEM,
    "estimates": [
        {
            **dict.fromkeys(("name", "estimand", "method", "note"), str),
            "unit": _MayLack(str),
            "models_trained": _MayLack(int),
            "helpful": [_SCORED],
            "harmful": [_SCORED],
            # What it says of examples that only other estimates rank high.
            "others": _MayLack([_NUMBERED]),
        }
    ],
}
# A study belongs to a run and decides nothing: its figures explain the claims that it
# names. A "chart" has series along a horizontal axis, "dots" have rows along one;
# numbers come with the ends of their 95 % intervals, null where there is none.
_ENDS = {"low": [_OPTIONAL], "high": [_OPTIONAL]}
_ABOUT = {**dict.fromkeys(("kind", "title", "caption", "x_label"), str)}
_DRAWN = _ByKind({
    "chart": {
        **_ABOUT,
        "y_label": str,
        "log": _OneOf(("", "x", "y", "xy")),
        "x_ticks": [_NUMBER],
        "view": _OneOf(("all", "marks")),
        "series": [
            {
                "label": str,
                "mark": _OneOf(("both", "points", "line")),
                "x": [_NUMBER],
                "y": [_NUMBER],
                **_ENDS,
                # A law that extends the marks.
                "trend": _MayLack(_Maybe({"x": [_NUMBER], "y": [_NUMBER]})),
            }
        ],
    },
    "dots": {
        **_ABOUT,
        "rows": [str],
        "limits": _Maybe(_Pair(_NUMBER)),
        "dots": [{"label": str, "rows": [str], "x": [_NUMBER], **_ENDS}],
        "levels": [{"label": str, "x": _NUMBER, "low": _OPTIONAL, "high": _OPTIONAL}],
    },
})
_STUDY = {
    # `text` is the study's, `note` what there is to say of this problem.
    **dict.fromkeys(("id", "title", "text", "note", "scale", "problem"), str),
    # Ids of the claims that the study explains.
    "explains": [str],
    # What the names in the figures stand for: estimands, methods.
    "legend": [dict.fromkeys(("name", "text"), str)],
    "models_trained": int,
    "seconds": _NUMBER,
    "figures": [_DRAWN],
}
# How far F(c w) is from F(w), as a share: at w = 1 and at a random w.
_SCALE_FREE = {
    "level": _NUMBER,
    "at_one": _ESTIMATE,
    "elsewhere": _ESTIMATE,
    "tolerance": _NUMBER,
    "scale_free": _Maybe(bool),
    "remedy": str,
    "models_trained": int,
}
_PROBLEM = {
    **dict.fromkeys(("name", "description", "source", "normalisation", "output"), str),
    "n_train": int,
    "n_targets": int,
    "accuracy": _Maybe(_Values(_NUMBER)),
    "scale_free": _MayLack(_Maybe(_SCALE_FREE)),
}
_RESULTS = {
    **dict.fromkeys(("suite", "commit", "config_digest", "started", "command"), str),
    "seconds": _NUMBER,
    "seed": int,
    "models_trained": int,
    "problems": [_PROBLEM],
    "claims": [_CLAIM],
    "cases": [_CASE],
    # Runs made before there were studies have none.
    "studies": _MayLack([_STUDY]),
}
_ENVIRONMENT = {
    **dict.fromkeys(("python", "platform", "processor"), str),
    "cores": int,
    "packages": _Values(str),
}


def load_run(folder: Path) -> Run:
    """Read and check a run's `results.json` and `environment.json`.

    Args:
        folder: The run's folder.

    Returns:
        The run's data, of the shape that a page needs.

    Raises:
        ReportError: If the folder or a file is missing, is no JSON, or lacks a key.
    """
    if not folder.is_dir():
        raise ReportError(f"no such run folder: {folder}")
    return Run(
        results=_read(folder / "results.json", _RESULTS),
        environment=_read(folder / "environment.json", _ENVIRONMENT),
    )


def _read(path: Path, shape: dict[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=_finite,
            parse_float=_finite,
        )
    except FileNotFoundError:
        raise ReportError(f"the run has no {path.name}: {path}") from None
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path} is not valid JSON: {error}") from None
    _check(value, shape, path.name)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _check(value: Any, shape: Any, place: str) -> None:
    if isinstance(shape, _Maybe):
        if value is not None:
            _check(value, shape.shape, place)
    elif isinstance(shape, _OneOf):
        if value not in shape.choices:
            raise ReportError(
                f"{place} must be one of {', '.join(shape.choices)}; got {value!r}"
            )
    elif isinstance(shape, _Pair):
        _check(value, [shape.shape], place)
        if len(value) != 2:
            raise ReportError(f"{place} must hold two ends, got {len(value)}")
    elif isinstance(shape, _Values):
        _check(value, dict, place)
        for key, item in value.items():
            _check(item, shape.shape, f"{place}.{key}")
    elif isinstance(shape, _ByKind):
        _check(value, dict, place)
        if "kind" not in value:
            raise ReportError(f'{place} lacks the key "kind"')
        _check(value["kind"], _OneOf(tuple(shape.shapes)), f"{place}.kind")
        _check(value, shape.shapes[value["kind"]], place)
    elif isinstance(shape, dict):
        _check(value, dict, place)
        for key, inner in shape.items():
            optional = isinstance(inner, _MayLack)
            if key in value:
                wanted = inner.shape if optional else inner
                _check(value[key], wanted, f"{place}.{key}")
            elif not optional:
                raise ReportError(f'{place} lacks the key "{key}"')
    elif isinstance(shape, list):
        _check(value, list, place)
        for index, item in enumerate(value):
            _check(item, shape[0], f"{place}[{index}]")
    elif not isinstance(value, shape) or (
        isinstance(value, bool) and bool not in _kinds(shape)
    ):
        raise ReportError(f"{place} must be {_named(shape)}, got {_kind(value)}")


_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _kinds(shape: Any) -> tuple[type, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


def _named(shape: Any) -> str:
    kinds = _kinds(shape)
    if float in kinds:
        kinds = tuple(kind for kind in kinds if kind is not int)
    return " or ".join(_NAMES[kind] for kind in kinds)


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)
