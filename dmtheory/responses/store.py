"""Responses on disk or in an object store: one chunk a block of models.

Layout of a store, a zarr 3 group:

    outputs [models, columns]   one chunk a block, check-summed: one column a target,
                                then one a quality of the model, such as its accuracy
    status  [models]            1 trained, 2 diverged
    marks   [blocks, 2]         rows written and their digest; one chunk a block

A block counts as done when its mark says so, and the mark is written last. Chunks are
replaced whole and atomically, so a killed writer leaves a block done or not done. Only
the mark says which rows of a partial last block exist, so a run can be extended while
others read it. The group with its attributes is the first thing written: arrays follow
from it, so whoever opens a store next completes what a killed process began.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ContainsArrayError, ContainsGroupError
from zarr.storage import LocalStore

from dmtheory.responses.remote import StoreError, place_of, reaching

FORMAT = 2
TRAINED, DIVERGED = 1, 2
STATUSES = {"1": "trained", "2": "diverged: outputs are not finite"}
# A chunk takes far less than this to write; older leftovers have a dead writer.
_STALE_SECONDS = 600.0
RESPONSES = "responses of trained models"
# In the order in which they are made and lengthened.
_ARRAYS = ("outputs", "marks", "status")
# Blocks that are read at a time: what counts over a network is waiting, not work.
_READERS = 16
# Blocks that are held before the first of them is used, at most.
_AHEAD = 32
T = TypeVar("T")
_LEFTOVERS = ("zarr.*.partial", *(f"{name}/**/*.partial" for name in _ARRAYS))


class BlockError(StoreError):
    """A block is not written, or its content does not match its mark."""


class NotWritten(BlockError):
    """A block is not marked as completely written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's rows as they are stored.

    Attributes:
        columns: Outputs of its models, then their qualities, in the store's precision.
        status: 1 trained, 2 diverged.
        n_targets: How many of the columns are outputs.
    """

    columns: np.ndarray
    status: np.ndarray
    n_targets: int

    @property
    def outputs(self) -> np.ndarray:
        """Outputs of its models."""
        return self.columns[:, : self.n_targets]

    @property
    def qualities(self) -> np.ndarray:
        """What else was measured of its models, as the run's description names it."""
        return self.columns[:, self.n_targets :]


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
        return self._mark(block)[0] >= len(self.rows(block))

    def is_done(self, block: int) -> bool:
        """Return whether a block is complete and its content matches its mark."""
        return bool(self.done([block]))

    def marked(self, blocks: Sequence[int]) -> set[int]:
        """Return those blocks that are marked as completely written; reads marks."""
        marks = self._marks(blocks)
        return {b for b in blocks if marks[b][0] >= len(self.rows(b))}

    def done(self, blocks: Sequence[int]) -> set[int]:
        """Return those blocks that are complete and match their marks; reads all."""
        found = self.contents(blocks)
        return {block for block, content in found if isinstance(content, Block)}

    def contents(
        self, blocks: Sequence[int]
    ) -> Iterator[tuple[int, Block | BlockError]]:
        """Yield blocks with their rows, or with the error that `read` would raise.

        Several are read at a time; each is checked by itself.
        """
        marks = self._marks(blocks)
        for start in range(0, len(blocks), _AHEAD):
            some = blocks[start : start + _AHEAD]
            # No thread outlives this line. A generator that is given up may be cleared
            # on zarr's own thread, which must not wait there for those that it serves.
            found = _at_once(lambda b: self._sound(b, marks[b]), some)
            yield from zip(some, found, strict=True)

    def statuses(self) -> np.ndarray:
        """Return each model's status, 0 where its block is not marked as written.

        Outputs are not read, and digests not compared.

        Raises:
            BlockError: If the statuses of a block are damaged.
        """
        marked = sorted(self.marked(range(self.n_blocks)))
        found = np.zeros(self.n_models, np.uint8)
        parts = _at_once(lambda b: self._part("status", b), marked)
        for block, part in zip(marked, parts, strict=True):
            found[self.rows(block).start : self.rows(block).stop] = part
        return found

    def read(self, block: int) -> Block:
        """Return a block's rows.

        Raises:
            BlockError: If the block is not written, or damaged.
        """
        n_rows, stated = self._mark(block)
        rows = self.rows(block)
        if n_rows < len(rows):
            raise self._not_written(block)
        # More rows than ours: another process has extended the run in the meantime.
        current = self if n_rows == len(rows) else _store(self.group, self.config)
        found = current._load(block, n_rows)
        if block_digest(block, found) != stated:
            raise self._damaged(block, "its content does not match its mark")
        return replace(
            found,
            columns=found.columns[: len(rows)],
            status=found.status[: len(rows)],
        )

    def write(self, block: int, content: Block) -> None:
        """Write a block: outputs, then status, then the mark that makes it count.

        A block of which another process has written more rows stays as it is.

        Raises:
            ValueError: If the content has another shape than the block.
        """
        rows = self.rows(block)
        if content.columns.shape != (len(rows), n_columns(self.config)):
            raise ValueError(
                f"columns of block {block} must have shape ({len(rows)}, "
                f"{n_columns(self.config)}), got {content.columns.shape}"
            )
        if len(rows) < self.block_size and self._mark(block)[0] > len(rows):
            return
        stated = np.array([[len(rows), block_digest(block, content)]], dtype=np.uint64)
        with reaching(self.group.store):
            reached("outputs")
            self.outputs[rows.start : rows.stop] = content.columns
            reached("status")
            self.status[rows.start : rows.stop] = content.status
            reached("mark")
            self.marks[block : block + 1] = stated
            reached("done")

    def cast(self, columns: np.ndarray, diverged: np.ndarray) -> Block:
        """Return float64 columns as a block in the store's precision.

        Raises:
            ValueError: If a finite output overflows half or single precision.
        """
        with np.errstate(over="ignore"):
            stored = columns.astype(self.config["dtype"])
        lost = np.isinf(stored) & np.isfinite(columns)
        if lost.any():
            raise ValueError(
                f"dtype must hold every output, but {self.config['dtype']} overflows "
                f"at {columns[lost][0]:g}: use float32 or float64"
            )
        status = np.where(diverged, DIVERGED, TRAINED).astype(np.uint8)
        return Block(columns=stored, status=status, n_targets=self.config["n_targets"])

    def _sound(self, block: int, mark: tuple[int, int]) -> Block | BlockError:
        """Return a block's rows, or the error that says why there are none."""
        n_rows, stated = mark
        if n_rows < len(self.rows(block)):
            return self._not_written(block)
        if n_rows == len(self.rows(block)):
            with suppress(BlockError):
                found = self._load(block, n_rows)
                if block_digest(block, found) == stated:
                    return found
        # Extended or written anew since the mark was read, or damaged.
        try:
            return self.read(block)
        except BlockError as error:
            return error

    def _load(self, block: int, n_rows: int) -> Block:
        return Block(
            columns=self._part("outputs", block, n_rows),
            status=self._part("status", block, n_rows),
            n_targets=self.config["n_targets"],
        )

    def _part(self, name: str, block: int, n_rows: int | None = None) -> np.ndarray:
        """Return the first rows of a block of an array, by default those of the run."""
        n_rows = len(self.rows(block)) if n_rows is None else n_rows
        start = block * self.block_size
        array: zarr.Array[Any] = getattr(self, name)
        with reaching(self.group.store):
            try:
                return np.asarray(array[start : start + n_rows])
            except (ValueError, RuntimeError) as error:
                # A failed check sum of a chunk, or one that was cut short.
                raise self._damaged(block, str(error)) from error

    def _marks(self, blocks: Sequence[int]) -> dict[int, tuple[int, int]]:
        chosen = np.asarray(blocks, dtype=np.intp)
        if not len(chosen):
            return {}
        with reaching(self.group.store):
            try:
                # One call: the chunks are asked for at once, not one after another.
                found = np.asarray(self.marks.oindex[chosen])
            except (ValueError, RuntimeError):
                return {block: self._mark(block) for block in blocks}
        pairs = zip(blocks, found.tolist(), strict=True)
        return {block: (n_rows, stated) for block, (n_rows, stated) in pairs}

    def _mark(self, block: int) -> tuple[int, int]:
        with reaching(self.group.store):
            try:
                n_rows, stated = np.asarray(self.marks[block])
            except (ValueError, RuntimeError):
                # A damaged mark marks nothing: the block is trained again.
                return 0, 0
        return int(n_rows), int(stated)

    def _not_written(self, block: int) -> NotWritten:
        return NotWritten(f"{self._name(block)} is not written: collect the run again")

    def _damaged(self, block: int, reason: str) -> BlockError:
        return BlockError(
            f"{self._name(block)} is damaged ({reason}): collect the run again to "
            "train it anew"
        )

    def _name(self, block: int) -> str:
        rows = self.rows(block)
        return f"block {block} (models {rows.start} to {rows.stop - 1})"


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
            something else, or a store of a newer version, or cannot be reached;
            nothing is changed then.
    """
    with reaching(location):
        group = _find(location, "r+")
        if group is None:
            group = _claim(location, config)
        stored = _stored_config(group, location)
        _check_kind(stored, kind_of(config), location)
        _check_same_run(stored, config)
        _complete(group, stored, n_models)
        _sweep(location)
        return _store(group, stored)


def read_store(location: Any, *, kind: str = RESPONSES) -> ResponseStore:
    """Open a store for reading.

    Args:
        location: A path, a URL that zarr reaches, or a zarr store.
        kind: What it must hold.

    Returns:
        The open store.

    Raises:
        StoreError: If there is none, or it holds something else, is damaged, out of
            reach or of a newer version.
    """
    with reaching(location):
        group = _find(location, "r")
        if group is None:
            raise StoreError(f"store must exist, got {place_of(location)}")
        stored = _stored_config(group, location)
        _check_kind(stored, kind, location)
        return _store(group, stored)


def _at_once(function: Callable[[int], T], blocks: Sequence[int]) -> list[T]:
    """Return a function of each block, several computed at a time."""
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(function, blocks))


def kind_of(config: Mapping[str, Any]) -> str:
    """Return what the rows of a run are: responses, unless it says otherwise."""
    return str(config.get("kind", RESPONSES))


def n_columns(config: Mapping[str, Any]) -> int:
    """Return how many columns a run's outputs have, qualities included."""
    return int(config["n_targets"]) + len(config["qualities"])


def block_digest(block: int, content: Block) -> int:
    """Return a 64-bit digest of a block's number, columns and status."""
    state = hashlib.blake2b(digest_size=8)
    state.update(f"{block}|{content.columns.dtype.str}".encode())
    state.update(np.ascontiguousarray(content.columns).tobytes())
    state.update(np.ascontiguousarray(content.status).tobytes())
    return int.from_bytes(state.digest(), "little")


def reached(point: str) -> None:
    """Mark a point inside a block's write; tests stop the process here."""


def _find(location: Any, mode: Any) -> zarr.Group | None:
    """Open the group at a location, None if there is none; nothing is written."""
    try:
        return zarr.open_group(location, mode=mode, zarr_format=3)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, FileExistsError) as error:
        # Metadata that zarr cannot make sense of, an array, or a file.
        raise StoreError(f"store {location} cannot be opened: {error}") from error


def _claim(location: Any, config: Mapping[str, Any]) -> zarr.Group:
    """Make the group of a new run, its attributes in the same write."""
    folder = _folder(location)
    if folder is not None and folder.exists():
        # A zarr.json is another collector's, first by a moment; a half-written one is
        # what a process that was killed here left behind.
        names = sorted(path.name for path in folder.iterdir())
        foreign = [name for name in names if not fnmatch(name, "zarr.*.partial")]
        if foreign and "zarr.json" not in foreign:
            raise StoreError(
                "store must be new, an empty folder or a run of dmtheory, but "
                f"{location} holds {foreign[0]}"
            )
    attributes = {"format": FORMAT, "run": dict(config), "statuses": STATUSES}
    with suppress(ContainsGroupError):
        zarr.create_group(location, attributes=attributes, zarr_format=3)
    group = _find(location, "r+")
    assert group is not None
    return group


def _complete(group: zarr.Group, config: Mapping[str, Any], n_models: int) -> None:
    """Make the arrays that a run lacks and lengthen those that are too short.

    What a process that was killed at this began is completed too.
    """
    found = [_array(group, name) for name in ("outputs", "status")]
    n_models = max([n_models, *(a.shape[0] for a in found if a is not None)])
    layouts = _layout(config, n_models)
    for name in _ARRAYS:
        layout = layouts[name]
        array = _array(group, name)
        if array is None:
            with suppress(ContainsArrayError):
                group.create_array(name, **layout)
        elif array.shape[0] < layout["shape"][0]:
            array.resize(layout["shape"])


def _layout(config: Mapping[str, Any], n_models: int) -> dict[str, dict[str, Any]]:
    """Return how each array of a run is made."""
    block, width = config["block"], n_columns(config)
    arrays: dict[str, tuple[tuple[int, ...], tuple[int, ...], str, float, Any]] = {
        "outputs": (
            (n_models, width),
            (block, width),
            config["dtype"],
            float("nan"),
            ("models", "columns"),
        ),
        "marks": ((-(-n_models // block), 2), (1, 2), "uint64", 0, ("blocks", "mark")),
        "status": ((n_models,), (block,), "uint8", 0, ("models",)),
    }
    keys = ("shape", "chunks", "dtype", "fill_value", "dimension_names")
    return {
        name: {**dict(zip(keys, values, strict=True)), "compressors": [Crc32cCodec()]}
        for name, values in arrays.items()
    }


def _store(group: zarr.Group, config: Mapping[str, Any]) -> ResponseStore:
    # The status array, which says how long the run is, is lengthened last and read
    # first: while another process extends the run, the others are long enough.
    arrays = {name: _array(group, name) for name in reversed(_ARRAYS)}
    missing = [name for name, array in arrays.items() if array is None]
    if missing:
        raise StoreError(
            f"store has no array {missing[0]}: collect the run again to complete it"
        )
    return ResponseStore(config=config, group=group, **arrays)


def _array(group: zarr.Group, name: str) -> Any:
    try:
        array: Any = group.get(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"store is damaged: {name}/zarr.json cannot be read ({error}); delete that "
            "file and collect the run again"
        ) from error
    # Zarr does not write a chunk equal to the fill value unless the open array says
    # so: a block of diverged models, all NaN, would be missing, and lose the bits of
    # its NaN.
    whole = {"write_empty_chunks": True}
    return None if array is None else array.with_config(whole)


def _stored_config(group: zarr.Group, location: Any) -> dict[str, Any]:
    attributes = group.attrs.asdict()
    version = attributes.get("format")
    run = attributes.get("run")
    if isinstance(version, int) and version > FORMAT:
        raise StoreError(
            f"store has format {version}, newer than {FORMAT}: update dmtheory"
        )
    if isinstance(version, int) and version < FORMAT:
        raise StoreError(
            f"store has format {version}, older than {FORMAT}: collect the run anew"
        )
    if not isinstance(version, int) or not isinstance(run, dict):
        raise StoreError(f"store must be a run of dmtheory, got {location}")
    return dict(run)


def _check_kind(stored: Mapping[str, Any], kind: str, location: Any) -> None:
    if kind_of(stored) != kind:
        raise StoreError(
            f"store must hold {kind}, but {place_of(location)} holds "
            f"{kind_of(stored)}: choose another store"
        )


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
    folder = _folder(location)
    if folder is None:
        return
    oldest = time.time() - _STALE_SECONDS
    for leftover in (p for pattern in _LEFTOVERS for p in folder.glob(pattern)):
        with suppress(FileNotFoundError):
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()


def _folder(location: Any) -> Path | None:
    """Return the local folder of a location, None if it is elsewhere."""
    if isinstance(location, LocalStore):
        return location.root
    if isinstance(location, str | Path) and "://" not in str(location):
        return Path(location)
    return None
