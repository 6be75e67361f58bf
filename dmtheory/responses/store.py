"""Responses on disk or in an object store: one chunk a block of models.

Layout of a store, a zarr 3 group:

    outputs [models, targets]   one chunk a block, check-summed
    status  [models]            1 trained, 2 diverged
    marks   [blocks, 2]         rows written and their digest; one chunk a block

A block counts as done when its mark says so, and the mark is written last. Chunks are
replaced whole and atomically, so a killed writer leaves a block done or not done. Only
the mark says which rows of a partial last block exist, so a run can be extended while
others read it.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

FORMAT = 1
TRAINED, DIVERGED = 1, 2
STATUSES = {"1": "trained", "2": "diverged: outputs are not finite"}
# A chunk takes far less than this to write; older leftovers have a dead writer.
_STALE_SECONDS = 600.0


class StoreError(RuntimeError):
    """A store is missing, damaged, from a newer version, or of another run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's rows as they are stored.

    Attributes:
        outputs: Outputs of its models, in the store's precision.
        status: 1 trained, 2 diverged.
    """

    outputs: np.ndarray
    status: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class ResponseStore:
    """A store that is open for reading and writing blocks.

    Attributes:
        config: The run's resolved configuration.
        group: The zarr group.
        outputs: Its array of outputs [models, targets].
        status: Its array of statuses [models].
        marks: Its array of marks [blocks, 2].
    """

    config: Mapping[str, Any]
    group: zarr.Group
    outputs: zarr.Array[Any]
    status: zarr.Array[Any]
    marks: zarr.Array[Any]

    @property
    def block_size(self) -> int:
        """Models a block."""
        return int(self.config["block"])

    @property
    def n_models(self) -> int:
        """Rows that the run has so far been asked for."""
        return int(self.status.shape[0])

    @property
    def n_blocks(self) -> int:
        """Blocks of the run."""
        return -(-self.n_models // self.block_size)

    def rows(self, block: int) -> range:
        """Return the rows of a block."""
        start = block * self.block_size
        return range(start, min(start + self.block_size, self.n_models))

    def is_marked(self, block: int) -> bool:
        """Return whether a block is marked as completely written; reads the mark."""
        return self._mark(block)[0] == len(self.rows(block))

    def is_done(self, block: int) -> bool:
        """Return whether a block is complete and its content matches its mark."""
        if not self.is_marked(block):
            return False
        with suppress(StoreError):
            self.read(block)
            return True
        return False

    def read(self, block: int) -> Block:
        """Return a block's rows.

        Raises:
            StoreError: If the block is not written, or damaged.
        """
        n_rows, stated = self._mark(block)
        rows = self.rows(block)
        if n_rows != len(rows):
            raise StoreError(f"block {block} is not written: collect the run again")
        found = self._load(rows)
        if block_digest(block, found) != stated:
            raise StoreError(
                f"block {block} (models {rows.start} to {rows.stop - 1}) is damaged: "
                "its content does not match its mark; collect the run again to "
                "train it anew"
            )
        return found

    def write(self, block: int, content: Block) -> None:
        """Write a block: outputs, then status, then the mark that makes it count."""
        rows = self.rows(block)
        if content.outputs.shape != (len(rows), self.config["n_targets"]):
            raise ValueError(
                f"outputs of block {block} must have shape ({len(rows)}, "
                f"{self.config['n_targets']}), got {content.outputs.shape}"
            )
        stated = np.array([[len(rows), block_digest(block, content)]], dtype=np.uint64)
        reached("outputs")
        self.outputs[rows.start : rows.stop] = content.outputs
        reached("status")
        self.status[rows.start : rows.stop] = content.status
        reached("mark")
        self.marks[block : block + 1] = stated
        reached("done")

    def cast(self, outputs: np.ndarray, diverged: np.ndarray) -> Block:
        """Return float64 outputs as a block in the store's precision.

        Raises:
            ValueError: If a finite output overflows half or single precision.
        """
        with np.errstate(over="ignore"):
            stored = outputs.astype(self.config["dtype"])
        lost = np.isinf(stored) & np.isfinite(outputs)
        if lost.any():
            raise ValueError(
                f"dtype must hold every output, but {self.config['dtype']} overflows "
                f"at {outputs[lost][0]:g}: use float32 or float64"
            )
        status = np.where(diverged, DIVERGED, TRAINED).astype(np.uint8)
        return Block(outputs=stored, status=status)

    def _load(self, rows: range) -> Block:
        try:
            outputs = np.asarray(self.outputs[rows.start : rows.stop])
            status = np.asarray(self.status[rows.start : rows.stop])
        except (ValueError, RuntimeError) as error:
            # A failed check sum of a chunk, or one that was cut short.
            raise StoreError(
                f"models {rows.start} to {rows.stop - 1} are damaged ({error}): "
                "collect the run again to train them anew"
            ) from error
        return Block(outputs=outputs, status=status)

    def _mark(self, block: int) -> tuple[int, int]:
        try:
            n_rows, stated = np.asarray(self.marks[block])
        except (ValueError, RuntimeError):
            # A damaged mark marks nothing: the block is trained again.
            return 0, 0
        return int(n_rows), int(stated)


def open_store(
    location: Any, config: Mapping[str, Any], n_models: int
) -> ResponseStore:
    """Open the store of a run for writing, made or extended as needed.

    Args:
        location: A path, a URL that zarr reaches, or a zarr store.
        config: The run's resolved configuration, its identity.
        n_models: Rows wanted; a store with more keeps them.

    Returns:
        The open store.

    Raises:
        StoreError: If the location holds another run (naming the field that differs),
            something else, or a store of a newer version.
    """
    _sweep(location)
    group = _open(location, "a")
    if not group.attrs.asdict():
        if isinstance(location, str | Path) and list(group.keys()):
            raise StoreError(f"store must be new or a run of dmtheory, got {location}")
        _create(group, config, n_models)
    stored = _stored_config(group, location)
    _check_same_run(stored, config)
    store = _store(group, stored)
    if n_models > store.n_models:
        _extend(store, n_models)
    return store


def read_store(location: Any) -> ResponseStore:
    """Open a store for reading.

    Returns:
        The open store.

    Raises:
        StoreError: If there is none, or it is of a newer version.
    """
    if isinstance(location, Path) and not location.exists():
        raise StoreError(f"store must exist, got {location}")
    group = _open(location, "r")
    return _store(group, _stored_config(group, location))


def block_digest(block: int, content: Block) -> int:
    """Return a 64-bit digest of a block's number, outputs and status."""
    state = hashlib.blake2b(digest_size=8)
    state.update(f"{block}|{content.outputs.dtype.str}".encode())
    state.update(np.ascontiguousarray(content.outputs).tobytes())
    state.update(np.ascontiguousarray(content.status).tobytes())
    return int.from_bytes(state.digest(), "little")


def reached(point: str) -> None:
    """Mark a point inside a block's write; tests stop the process here."""


def _open(location: Any, mode: Any) -> zarr.Group:
    try:
        return zarr.open_group(location, mode=mode, zarr_format=3)
    except FileNotFoundError:
        raise StoreError(f"store must exist, got {location}") from None
    except (ValueError, json.JSONDecodeError, KeyError) as error:
        raise StoreError(f"store {location} cannot be opened: {error}") from error


def _store(group: zarr.Group, config: Mapping[str, Any]) -> ResponseStore:
    arrays: dict[str, Any] = {n: group[n] for n in ("outputs", "status", "marks")}
    return ResponseStore(config=config, group=group, **arrays)


def _create(group: zarr.Group, config: Mapping[str, Any], n_models: int) -> None:
    block, n_targets = config["block"], config["n_targets"]
    common: dict[str, Any] = {
        # Zarr does not write a chunk equal to the fill value unless told to: a block
        # of diverged models, all NaN, would look missing.
        "config": {"write_empty_chunks": True},
        "compressors": [Crc32cCodec()],
    }
    group.create_array(
        "outputs",
        shape=(n_models, n_targets),
        chunks=(block, n_targets),
        dtype=config["dtype"],
        fill_value=float("nan"),
        dimension_names=("models", "targets"),
        **common,
    )
    group.create_array(
        "status",
        shape=(n_models,),
        chunks=(block,),
        dtype="uint8",
        fill_value=0,
        dimension_names=("models",),
        **common,
    )
    group.create_array(
        "marks",
        shape=(-(-n_models // block), 2),
        chunks=(1, 2),
        dtype="uint64",
        fill_value=0,
        dimension_names=("blocks", "mark"),
        **common,
    )
    # Attributes last: a group without them is not yet a store.
    group.update_attributes({
        "format": FORMAT,
        "run": dict(config),
        "statuses": STATUSES,
    })


def _extend(store: ResponseStore, n_models: int) -> None:
    n_blocks = -(-n_models // store.block_size)
    # The status array says how many models there are, so it grows last.
    store.outputs.resize((n_models, store.config["n_targets"]))
    store.marks.resize((n_blocks, 2))
    store.status.resize((n_models,))


def _stored_config(group: zarr.Group, location: Any) -> dict[str, Any]:
    attributes = group.attrs.asdict()
    version = attributes.get("format")
    if not isinstance(version, int) or "run" not in attributes:
        raise StoreError(f"store must be a run of dmtheory, got {location}")
    if version > FORMAT:
        raise StoreError(
            f"store has format {version}, newer than {FORMAT}: update dmtheory"
        )
    run = attributes["run"]
    assert isinstance(run, dict)
    return dict(run)


def _check_same_run(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    # Compared as JSON, which has lists for tuples.
    plain = json.loads(json.dumps(dict(wanted)))
    for field in sorted({*stored, *plain}):
        if stored.get(field) != plain.get(field):
            raise StoreError(
                f"store holds another run: {field} is {_short(stored.get(field))} "
                f"there and {_short(plain.get(field))} here; choose another store"
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _sweep(location: Any) -> None:
    """Remove half-written files of writers that are dead, on a local disk."""
    if not isinstance(location, str | Path) or "://" in str(location):
        return
    folder, oldest = Path(location), time.time() - _STALE_SECONDS
    for leftover in folder.rglob("*.partial"):
        with suppress(FileNotFoundError):
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()
