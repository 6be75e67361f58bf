"""What bergson's validation writes: examples left out, and the loss without them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.texts import (
    read_json,
    read_table,
    read_text,
    subset_lists,
)
from dmtheory.interchange.imported.rows import ArrayRows, SubsetRows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.peers.bergson_config import commands_of, option_of

# A table that is this many times too short is one of other subsets, or a bomb.
_MOST_GAPS = 1000
OUTPUT = "loss less that of the full model"


def open_bergson(
    subsets: Location | Place,
    tables: Location | Place | Sequence[Location | Place],
    *,
    n_train: int | None = None,
    problem: str,
) -> ImportedRuns:
    """Open `subsets.json` and `validation.csv` of a bergson validation.

    A line of the table holds diff = baseline - retrained loss. The output here is the
    retrained loss less the baseline, so that a positive score raises the loss, as
    bergson's own scores do once they are loss-signed. Subsets whose lines are missing
    are left out. A table without the column `query` holds the mean over queries.

    Args:
        subsets: Lists of the examples that were left out, their weight set to 0. Beside
            it `config.yaml` is looked at, where it is.
        tables: The table, or the tables of a run in slices.
        n_train: N; by default that of `scores/info.json` beside the subsets.
        problem: Name of the problem.

    Returns:
        The models that were validated.

    Raises:
        ValueError: If a file is missing, damaged or cut short, a line is there twice or
            names no subset, examples were given another weight than 0, or N is not
            known.
    """
    place = Place.of(subsets)
    _check_left_out(place.parent)
    left_out = subset_lists(read_json(place), str(place))
    if n_train is None:
        n_train = _n_train_of(place.parent / "scores" / "info.json")
    paths = [tables] if isinstance(tables, str | Path | Place) else tables
    outputs = _outputs([Place.of(path) for path in paths], len(left_out))
    complete = np.isfinite(outputs).all(1)
    if not complete.any():
        raise ValueError("tables must hold all queries of some subset, got none")
    return ImportedRuns.of(
        SubsetRows(subsets=left_out, n_train=n_train, left_out=True),
        ArrayRows(outputs),
        Tags(
            source="bergson validation",
            problem=problem,
            output=OUTPUT,
            sign="negated",
            notes=(f"{int((~complete).sum())} of {len(left_out)} subsets left out",),
        ),
        numbers=np.flatnonzero(complete),
    )


def _check_left_out(folder: Place) -> None:
    """Raise ValueError if examples kept a weight, which is no subset."""
    config = folder / "config.yaml"
    if not config.is_file():
        return
    weight = option_of(commands_of(config), "subset_weight")
    if weight not in (None, 0, 0.0):
        raise ValueError(
            f"{config} must leave examples out (subset_weight 0), got weight {weight}: "
            "models of other weights are no subsets"
        )


def _n_train_of(info: Place) -> int:
    if not info.is_file():
        raise ValueError(
            "n_train must be stated where no scores/info.json lies beside subsets.json"
        )
    stated = read_json(info)
    n_train = stated.get("num_items") if isinstance(stated, dict) else None
    if type(n_train) is not int or stated.get("attribute_tokens"):
        raise ValueError(f"n_train must be stated: {info} does not count examples")
    return n_train


def _outputs(places: Sequence[Place], n_subsets: int) -> np.ndarray:
    """Return minus diff by subset and query, NaN where no line says it."""
    parts, several = [], set()
    for place in places:
        header = read_text(place).partition("\n")[0].strip().split(",")
        several.add("query" in header)
        names = ("subset", "query", "diff") if "query" in header else ("subset", "diff")
        table = read_table(place, names)
        query = table.get("query", np.zeros(len(table["diff"])))
        parts.append(np.stack([table["subset"], query, table["diff"]]))
    if len(several) > 1:
        raise ValueError("tables must all have the column query, or none of them")
    subset, query, diff = np.concatenate(parts, axis=1)
    for name, values, end in (("subset", subset, n_subsets), ("query", query, 2**24)):
        whole = (values == np.floor(values)).all()
        if not whole or values.min() < 0 or values.max() >= end:
            raise ValueError(f"tables must name a {name} in [0, {end}) in every line")
    entries = subset.astype(np.int64), query.astype(np.int64)
    shape = n_subsets, int(query.max()) + 1
    if shape[0] * shape[1] > _MOST_GAPS * len(diff):
        raise ValueError(
            f"tables must hold most queries of most subsets, got {len(diff)} lines for "
            f"{shape[0]} subsets and {shape[1]} queries"
        )
    outputs = np.full(shape, np.nan)
    outputs[entries] = -diff
    if np.isfinite(outputs).sum() != len(diff):
        raise ValueError("tables must hold a line once, got a subset and query twice")
    return outputs
