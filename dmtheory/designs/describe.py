"""Designs as plain values and short texts, and back."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from dmtheory import designs
from dmtheory.designs.base import Design

# The field that says how many rows a design has; a run may grow by it alone.
_COUNTS = {
    "Bernoulli": "n_models",
    "FixedSize": "n_models",
    "Stratified": "n_models",
    "LeaveKOut": "n_models",
    "ComplementaryPairs": "n_pairs",
    "AntitheticPairs": "n_pairs",
    "RandomDirections": "n_pairs",
    "DisjointBlocks": "n_blocks",
    "LeaveOneOut": "n_seeds",
    "CoordinatePairs": "n_seeds",
    "SubsetPairs": "n_units",
    "Nudges": "n_seeds",
}

_KINDS: dict[str, Callable[..., Any]] = {
    name: getattr(designs, name) for name in (*_COUNTS, "Grouped", "Replicates")
}


def design_to_json(design: Design) -> dict[str, Any]:
    """Return a design as plain values, its kind under "kind"."""
    values = {field.name: getattr(design, field.name) for field in fields(design)}  # type: ignore[arg-type]
    if "design" in values:
        values["design"] = design_to_json(values["design"])
    plain = {k: _listed(v) for k, v in values.items()}
    return {"kind": type(design).__name__, **plain}


def design_from_json(values: dict[str, Any]) -> Design:
    """Return the design that `design_to_json` wrote.

    Raises:
        ValueError: If the kind is unknown.
    """
    arguments = dict(values)
    kind = _KINDS.get(str(arguments.pop("kind", None)))
    if kind is None:
        raise ValueError(f"design must be a known kind, got {values.get('kind')!r}")
    if "design" in arguments:
        arguments["design"] = design_from_json(arguments["design"])
    return kind(**{k: _frozen(v) for k, v in arguments.items()})


def without_count(values: dict[str, Any]) -> dict[str, Any]:
    """Return a design's plain values without the number of its rows."""
    inner = values.get("design")
    kept = {k: v for k, v in values.items() if k != _COUNTS.get(values["kind"])}
    return kept if inner is None else {**kept, "design": without_count(inner)}


def resized(design: Design, n_models: int) -> Design:
    """Return the design with n_models rows.

    Raises:
        ValueError: If that is not a whole number of its pairs, seeds or units.
    """
    inner = getattr(design, "design", None)
    if inner is not None:
        share = getattr(design, "n_replicates", 1)
        _check_whole(n_models, share, design)
        return replace(design, design=resized(inner, n_models // share))  # type: ignore[type-var]
    count = _COUNTS[type(design).__name__]
    unit = design.n_models // getattr(design, count)
    _check_whole(n_models, unit, design)
    return replace(design, **{count: n_models // unit})  # type: ignore[type-var]


def parse_design(text: str, *, n_models: int, seed: int) -> Design:
    """Return the design that a short text names.

    Args:
        text: "bernoulli:0.5", "fixed-size:100", "leave-k-out:5", "pairs",
            "antithetic:0.3" or "blocks:4".
        n_models: Rows of the design.
        seed: The experiment's seed.

    Returns:
        The design.

    Raises:
        ValueError: If the text names none, or n_models is no multiple of its unit.
    """
    name, _, value = text.partition(":")
    try:
        made = _parse(name, value, seed)
    except ValueError as error:
        raise ValueError(f"design {text!r} cannot be read: {error}") from None
    if made is None:
        raise ValueError(
            "design must look like bernoulli:0.5, fixed-size:100, leave-k-out:5, "
            f"pairs, antithetic:0.3 or blocks:4; got {text!r}"
        )
    return resized(made, n_models)


def _parse(name: str, value: str, seed: int) -> Design | None:
    match name:
        case "bernoulli":
            return designs.Bernoulli(p=float(value), seed=seed)
        case "fixed-size":
            return designs.FixedSize(size=int(value), seed=seed)
        case "leave-k-out":
            return designs.LeaveKOut(k=int(value), seed=seed)
        case "pairs" if not value:
            return designs.ComplementaryPairs(seed=seed)
        case "antithetic":
            return designs.AntitheticPairs(p=float(value), seed=seed)
        case "blocks":
            return designs.DisjointBlocks(parts=int(value), seed=seed)
    return None


def _listed(value: Any) -> Any:
    """Return tuples as lists, at any depth."""
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    """Return lists as tuples, at any depth."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _check_whole(n_models: int, unit: int, design: Design) -> None:
    if n_models < unit or n_models % unit:
        raise ValueError(
            f"n_models must be a positive multiple of {unit} for "
            f"{type(design).__name__}, got {n_models}"
        )
