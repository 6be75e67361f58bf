"""What fast_l1 logs of a path of penalties: one row an epoch, one column a target."""

import csv
from dataclasses import dataclass

import numpy as np

from dmtheory.interchange.files.npy import NpyRows, open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import quoted
from dmtheory.interchange.files.texts import read_text

# The field that says which target each column of a row is.
_ORDER = "index_mapping"
FIELDS = (
    "train_mse",
    "val_mse",
    "deltas",
    "lambda",
    "best_lambda",
    "best_mse",
    "weight_norm",
    "weight_nz",
    "done_optimizing_inner",
    "still_optimizing_outer",
)
_MOST_CHUNKS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionLog:
    """The log of a regression's path, its columns put back in the targets' order.

    Attributes:
        chunks: Files of each field, in order.
        n_epochs: Rows that were logged of all fields.
    """

    chunks: dict[str, tuple[NpyRows, ...]]
    n_epochs: int

    @property
    def n_targets(self) -> int:
        """How many targets there are."""
        return self.chunks[_ORDER][0].shape[1]

    def read(self, field: str, start: int, stop: int) -> np.ndarray:
        """Return a field over a range of epochs, NaN where the log says nothing.

        fast_l1 moves targets that are finished to the end of its arrays and stops
        computing their training error, which it logs as 0; where no validation error
        was computed yet it logs an infinite one, and 0 where there are no rows to
        compute it on.

        Args:
            field: One of `FIELDS`.
            start: First epoch.
            stop: End.

        Returns:
            The field, [epochs, targets], as float64.

        Raises:
            ValueError: If there is no such field, or an epoch's order is none.
        """
        if field not in self.chunks or field == _ORDER:
            raise ValueError(f"field must be one of {', '.join(FIELDS)}, got {field!r}")
        if not 0 <= start < stop <= self.n_epochs:
            raise ValueError(
                f"epochs must lie in [0, {self.n_epochs}), got [{start}, {stop})"
            )
        order = self._stored(_ORDER, start, stop)
        targets = np.arange(self.n_targets)
        if not (np.sort(order, axis=1) == targets).all():
            raise ValueError(f"{_ORDER} must name every target once in each epoch")
        stored = self._stored(field, start, stop).astype(np.float64)
        if field == "train_mse":
            stored[~self._stored("still_optimizing_outer", start, stop)] = np.nan
        if field in {"val_mse", "best_mse"}:
            stored[np.isinf(stored) | (stored == 0)] = np.nan
        found = np.empty_like(stored)
        np.put_along_axis(found, order, stored, axis=1)
        return found

    def last(self, field: str) -> np.ndarray:
        """Return a field at the last epoch, one number a target."""
        return self.read(field, self.n_epochs - 1, self.n_epochs)[0]

    def _stored(self, field: str, start: int, stop: int) -> np.ndarray:
        parts, first = [], 0
        for chunk in self.chunks[field]:
            n = chunk.shape[0]
            low, high = max(start - first, 0), min(stop - first, n)
            if low < high:
                parts.append(chunk.read(low, high))
            first += n
        return np.concatenate(parts)


def open_regression_log(folder: Location | Place) -> RegressionLog:
    """Open a log of fast_l1: `metadata.csv` and `FIELD_CHUNK.npy`.

    The datamodels code writes two, `regularization_path` and `final_lambda`.

    Args:
        folder: The folder of the log, or a URL.

    Returns:
        The log, unread.

    Raises:
        ValueError: If a file is missing or damaged, fields differ in shape, or nothing
            was logged.
    """
    root = Place.of(folder)
    logged = _logged(root / "metadata.csv")
    chunks, epochs = {}, []
    for field in (*FIELDS, _ORDER):
        if field not in logged:
            raise ValueError(f"{root / 'metadata.csv'} must name the field {field}")
        last, counter = logged[field]
        kind = {"index_mapping": "int64"}.get(field, "float32")
        kind = "bool" if field.endswith(("_inner", "_outer")) else kind
        files = tuple(
            open_npy(root / f"{field}_{chunk}.npy", axes=2) for chunk in range(last + 1)
        )
        for file in files:
            if file.header.dtype != np.dtype(kind) or file.shape != files[0].shape:
                raise ValueError(
                    f"{file.place} must hold {kind} of shape {files[0].shape}, got "
                    f"{file.header.dtype} of shape {file.shape}"
                )
        if counter > files[0].shape[0]:
            raise ValueError(
                f"{field} must have at most {files[0].shape[0]} rows a chunk, got "
                f"{counter}"
            )
        chunks[field] = files
        epochs.append(last * files[0].shape[0] + counter)
    widths = {files[0].shape[1] for files in chunks.values()}
    if len(widths) > 1 or min(epochs) == 0:
        raise ValueError(
            f"{root} must hold epochs of as many targets in each field, got "
            f"{min(epochs)} epochs of {sorted(widths)} targets"
        )
    # Fields are written one after another: the last epoch may lack some.
    return RegressionLog(chunks=chunks, n_epochs=min(epochs))


def _logged(place: Place) -> dict[str, tuple[int, int]]:
    """Return the last chunk of each field, and how many of its rows are filled."""
    rows = list(csv.reader(read_text(place, lines=True).splitlines()))
    if not rows or rows[0] != ["field", "max_chunk", "counter"]:
        raise ValueError(f"{place} must have columns field, max_chunk, counter")
    found: dict[str, tuple[int, int]] = {}
    for row in rows[1:]:
        numbers = [text for text in row[1:] if text.isascii() and text.isdigit()]
        if len(row) != 3 or len(numbers) != 2 or row[0] in found:
            raise ValueError(
                f"{place} must count each field's chunks once, got {quoted(row)}"
            )
        found[row[0]] = int(numbers[0]), int(numbers[1])
        if found[row[0]][0] >= _MOST_CHUNKS:
            raise ValueError(f"{place} must name fewer than {_MOST_CHUNKS} chunks")
    return found
