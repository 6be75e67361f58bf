"""What bergson's validation writes: examples left out, and the loss without them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmtheory.interchange.rows import ArrayRows, SubsetRows
from dmtheory.interchange.runs import ImportedRuns
from dmtheory.interchange.tags import Tags
from dmtheory.interchange.texts import read_json, read_table, read_text, subset_lists

# A table that is this many times too short is one of other subsets, or a bomb.
_MOST_GAPS = 1000
OUTPUT = "loss less that of the full model"


def open_bergson(
    subsets: Path,
    tables: Path | Sequence[Path],
    *,
    n_train: int,
    problem: str,
) -> ImportedRuns:
    """Open `subsets.json` and `validation.csv` of a bergson validation.

    A line of the table holds diff = baseline - retrained loss. The output here is the
    retrained loss less the baseline, so that a positive score raises the loss, as
    bergson's own scores do. Subsets whose lines are missing are left out.

    Args:
        subsets: Lists of the examples that were left out, their weight set to 0.
        tables: The table, or the tables of a run in slices.
        n_train: N.
        problem: Name of the problem.

    Returns:
        The models that were validated.

    Raises:
        ValueError: If a file is missing, damaged or cut short, or a line is there
            twice or names no subset.
    """
    left_out = subset_lists(read_json(subsets), str(subsets))
    paths = (tables,) if isinstance(tables, Path) else tuple(tables)
    outputs = _outputs(paths, len(left_out))
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


def _outputs(paths: tuple[Path, ...], n_subsets: int) -> np.ndarray:
    """Return minus diff by subset and query, NaN where no line says it."""
    parts = []
    for path in paths:
        several = "query" in read_text(path).partition("\n")[0].split(",")
        names = ("subset", "query", "diff") if several else ("subset", "diff")
        table = read_table(path, names)
        query = table.get("query", np.zeros(len(table["diff"])))
        parts.append(np.stack([table["subset"], query, table["diff"]]))
    subset, query, diff = np.concatenate(parts, axis=1)
    for name, values, end in (("subset", subset, n_subsets), ("query", query, 2**24)):
        whole = (values == np.floor(values)).all()
        if not whole or values.min() < 0 or values.max() >= end:
            raise ValueError(f"tables must name a {name} in [0, {end}) in every line")
    place = subset.astype(np.int64), query.astype(np.int64)
    shape = n_subsets, int(query.max()) + 1
    if shape[0] * shape[1] > _MOST_GAPS * len(diff):
        raise ValueError(
            f"tables must hold most queries of most subsets, got {len(diff)} lines for "
            f"{shape[0]} subsets and {shape[1]} queries"
        )
    outputs = np.full(shape, np.nan)
    outputs[place] = -diff
    if np.isfinite(outputs).sum() != len(diff):
        raise ValueError("tables must hold a line once, got a subset and query twice")
    return outputs
