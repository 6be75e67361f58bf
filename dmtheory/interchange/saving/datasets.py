"""Attributions and imported models as datasets of xarray, and as zarr stores."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmtheory.attribution import Attribution
from dmtheory.files import ARRAYS
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import reason
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.saving.headers import (
    HEADER,
    arrays_of,
    attribution_from,
    header_of,
)
from dmtheory.interchange.saving.lost import Lost, lost_of_runs

if TYPE_CHECKING:
    import xarray

_AXES = {
    "scores": ("train", "target"),
    "stderr": ("train", "target"),
    "units": ("unit", "train", "target"),
    "intercept": ("target",),
}
# Models a chunk of a store of masks and outputs.
_CHUNK = 256


def to_dataset(attribution: Attribution) -> "xarray.Dataset":
    """Return an attribution as a labelled dataset of xarray.

    Returns:
        `scores` [train, target] and what else there is, labels as coordinates, and the
        rest as JSON text under the attribute `dmtheory`.
    """
    import xarray

    arrays = arrays_of(attribution)
    return xarray.Dataset(
        {name: (_AXES[name], value) for name, value in arrays.items()},
        coords={
            "train": list(attribution.train_labels),
            "target": list(attribution.target_labels),
        },
        attrs={HEADER: header_of(attribution)},
    )


def from_dataset(dataset: "xarray.Dataset", *, name: str = "dataset") -> Attribution:
    """Return the attribution that `to_dataset` made.

    Raises:
        ValueError: If the dataset is of something else.
    """
    arrays = {key: dataset[key].to_numpy() for key in ARRAYS if key in dataset}
    return attribution_from(arrays, dataset.attrs.get(HEADER), name=name)


def save_zarr(attribution: Attribution, path: Path) -> Lost:
    """Write a zarr store that xarray opens; it appears whole.

    Returns:
        That nothing is lost.
    """
    # Zarr has no settled type of texts; labels are in the JSON of the attribute.
    plain = to_dataset(attribution).drop_vars(["train", "target"])
    with _new_store(path) as partial:
        plain.to_zarr(
            partial,
            mode="w",
            zarr_format=3,
            consolidated=False,
            encoding={name: {"compressors": [_checked_zstd()]} for name in plain},
        )
    return Lost()


def load_zarr(
    location: Location | Place, *, options: dict[str, Any] | None = None
) -> Attribution:
    """Load what `save_zarr` wrote.

    Args:
        location: A local store or a URL.
        options: For fsspec.

    Returns:
        The attribution.

    Raises:
        ValueError: If there is no such store, or it is damaged or of something else.
    """
    import xarray

    place = Place.of(location, options)
    try:
        with xarray.open_zarr(
            place.path,
            chunks=None,
            consolidated=False,
            zarr_format=3,
            storage_options=place.options if place.is_remote else None,
        ) as dataset:
            return from_dataset(dataset.load(), name=str(place))
    except (FileNotFoundError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{place} must be a zarr store of an attribution: {reason(error)}"
        ) from None


@dataclass(frozen=True, slots=True)
class ZarrRows:
    """An array of a zarr store, of which blocks are read when they are asked for.

    Attributes:
        array: The open array.
    """

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes, rows first."""
        return tuple(self.array.shape)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from start up to stop.

        Raises:
            ValueError: If a chunk is damaged.
        """
        try:
            return np.asarray(self.array[start:stop])
        # What decoding arbitrary bytes raises.
        except (RuntimeError, ValueError, OSError) as error:
            raise ValueError(
                f"{self.array.store_path} must hold sound chunks, but in rows {start} "
                f"to {stop}: {reason(error)}"
            ) from None


def save_runs_zarr(runs: ImportedRuns, path: Path) -> Lost:
    """Write `masks` and `outputs` of imported models as a zarr store, block by block.

    Returns:
        What was lost.
    """
    import zarr

    tags = {**runs.tags.to_json(), "held_out": runs.held_out_among_kept()}
    with _new_store(path) as partial:
        group = zarr.create_group(
            partial, zarr_format=3, attributes={HEADER: json.dumps(tags)}
        )
        made = {
            name: group.create_array(
                name,
                shape=(runs.n_models, width),
                chunks=(min(_CHUNK, runs.n_models), width),
                dtype=dtype,
                fill_value=missing,
                compressors=[_checked_zstd()],
                dimension_names=("models", axis),
            )
            # A chunk that is not there is read as what no mask and no output is.
            for name, width, dtype, missing, axis in (
                ("masks", runs.n_train, "uint8", 255, "train"),
                ("outputs", len(runs.columns), "float64", np.nan, "targets"),
            )
        }
        done = 0
        for numbers, masks, outputs in runs.blocks():
            rows = slice(done, done + len(numbers))
            made["masks"][rows] = masks.astype(np.uint8)
            made["outputs"][rows] = outputs
            done = rows.stop
    return Lost(lost_of_runs(runs, "tags"))


def open_runs_zarr(
    location: Location | Place, *, options: dict[str, Any] | None = None
) -> ImportedRuns:
    """Open what `save_runs_zarr` wrote; nothing is read until it is asked for.

    Args:
        location: A local store or a URL, of which chunks are fetched.
        options: For fsspec.

    Returns:
        The models with their tags.

    Raises:
        ValueError: If there is no such store, or it is damaged or of something else.
    """
    import zarr

    place = Place.of(location, options)
    try:
        group = zarr.open_group(
            place.path,
            mode="r",
            zarr_format=3,
            storage_options=place.options if place.is_remote else None,
        )
        tags = Tags.from_json(json.loads(str(group.attrs[HEADER])))
        masks, outputs = (ZarrRows(group[name]) for name in ("masks", "outputs"))
        found = ImportedRuns.of(masks, outputs, tags)
    except (FileNotFoundError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{place} must be a zarr store of masks and outputs: {reason(error)}"
        ) from None
    return replace(found, tags=tags)


def _checked_zstd() -> Any:
    """Return zarr's compressor with a checksum of what it compressed."""
    from zarr.codecs import ZstdCodec

    return ZstdCodec(level=0, checksum=True)


@contextmanager
def _new_store(path: Path) -> Iterator[Path]:
    """Make a folder under another name, which it gets when it is complete."""
    if path.exists():
        raise ValueError(f"path must be new, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
