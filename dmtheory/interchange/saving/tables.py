"""Attributions in files of general use: safetensors and parquet."""

from pathlib import Path
from typing import Any

import numpy as np

from dmtheory.attribution import Attribution
from dmtheory.files import ARRAYS
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import reason
from dmtheory.interchange.files.tensors import (
    read_safetensors,
    tensor_names,
    write_safetensors,
)
from dmtheory.interchange.saving.headers import (
    HEADER,
    arrays_of,
    attribution_from,
    header_of,
)
from dmtheory.interchange.saving.lost import Lost
from dmtheory.whole_files import write_whole


def save_safetensors(attribution: Attribution, path: Path) -> Lost:
    """Write all arrays of an attribution, and the rest as JSON in the header.

    Returns:
        That nothing is lost.
    """
    write_safetensors(path, arrays_of(attribution), {HEADER: header_of(attribution)})
    return Lost()


def load_safetensors(location: Location | Place) -> Attribution:
    """Load what `save_safetensors` wrote.

    Returns:
        The attribution.

    Raises:
        ValueError: If the file is missing, damaged or of something else.
    """
    names = tuple(name for name in ARRAYS if name in tensor_names(location))
    arrays, texts = read_safetensors(location, names or ("scores",))
    return attribution_from(arrays, texts.get(HEADER), name=str(location))


def save_parquet(attribution: Attribution, path: Path) -> Lost:
    """Write one row an example and target: example, target, score, stderr.

    Returns:
        What was lost: units have no place; the intercept is in the file's metadata.
    """
    arrow, parquet = _arrow()
    n_train, n_targets = attribution.scores.shape
    examples = np.repeat(np.arange(n_train, dtype=np.int32), n_targets)
    targets = np.tile(np.arange(n_targets, dtype=np.int32), n_train)
    columns = {
        "example": arrow.DictionaryArray.from_arrays(
            examples, list(attribution.train_labels)
        ),
        "target": arrow.DictionaryArray.from_arrays(
            targets, list(attribution.target_labels)
        ),
        "score": attribution.scores.numpy().ravel(),
    }
    if attribution.stderr is not None:
        columns["stderr"] = attribution.stderr.numpy().ravel()
    texts = {HEADER: header_of(attribution)}
    if attribution.intercept is not None:
        texts["intercept"] = attribution.intercept.numpy().astype("<f8").tobytes().hex()
    table = arrow.table(columns).replace_schema_metadata(texts)
    write_whole(
        path, lambda file: parquet.write_table(table, file, write_page_checksum=True)
    )
    return Lost(("units",) if attribution.units is not None else ())


def load_parquet(location: Location | Place) -> Attribution:
    """Load what `save_parquet` wrote.

    Returns:
        The attribution, without units.

    Raises:
        ValueError: If the file is missing, damaged or of something else, or rows are
            missing or in another order.
    """
    arrow, parquet = _arrow()
    try:
        with Place.of(location).open() as file:
            table = parquet.read_table(file, page_checksum_verification=True)
        texts = {
            k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()
        }
        arrays = {
            name: table.column(column).to_numpy()
            for name, column in (("scores", "score"), ("stderr", "stderr"))
            if column in table.column_names
        }
        labels = [table.column(name).to_pylist() for name in ("example", "target")]
        if "intercept" in texts:
            arrays["intercept"] = np.frombuffer(
                bytes.fromhex(texts["intercept"]), "<f8"
            )
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{location} must be a parquet table of example, target and score: "
            f"{reason(error)}"
        ) from None
    return _of_rows(arrays, labels, texts.get(HEADER), str(location))


def _of_rows(
    arrays: dict[str, np.ndarray], labels: list[Any], header: str | None, name: str
) -> Attribution:
    """Return the attribution of a table whose rows are those of its header."""
    examples, targets = (list(dict.fromkeys(column)) for column in labels)
    n_train, n_targets = len(examples), len(targets)
    whole = [e for e in examples for _ in range(n_targets)] == labels[0]
    if not whole or targets * n_train != labels[1]:
        raise ValueError(f"{name} must have a row an example and target, in order")
    shaped = {
        key: value if key == "intercept" else value.reshape(n_train, n_targets)
        for key, value in arrays.items()
    }
    found = attribution_from(shaped, header, name=name)
    if (found.train_labels, found.target_labels) != (tuple(examples), tuple(targets)):
        raise ValueError(f"{name} must have the labels of its header")
    return found


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "parquet files need pyarrow: pip install 'dmtheory[formats]'"
        ) from None
    return pyarrow, pyarrow.parquet
