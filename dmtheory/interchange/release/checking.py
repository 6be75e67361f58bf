"""Is this file what it claims to be? Headers, sizes, rows and shares, one finding each.

Every file of a folder that has a name of the release is held to what that name
promises, and files of one fraction to one another.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from dmtheory.interchange.files.npy import NpyRows, open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.torch_files import load_tensors
from dmtheory.interchange.imported.entries import checked_masks
from dmtheory.interchange.imported.laws import check_share, count_masks, told_law
from dmtheory.interchange.imported.rows import Rows
from dmtheory.interchange.release import published

GOOD, NOTED, BAD = "good", "noted", "bad"
_NAME = re.compile(
    r"(?P<split>train|test)_(?P<kind>masks|margins|logits)_(?P<percent>\d+)pct\.npy"
)
_WEIGHTS = re.compile(r"(?P<split>train|test)_(?P<percent>\d+)pct\.pt")
_BYTES = 2**26

# What was done, how much of it, and of how much.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        file: The file, relative to what was checked.
        level: "good", "noted" where it differs from the release but can be read, or
            "bad" where it is refused.
        text: What was found.
    """

    file: str
    level: str
    text: str


def check_release(
    location: Location | Place, *, progress: Progress | None = None
) -> list[Finding]:
    """Check every file of the release in a folder, or one file, from first to last row.

    Args:
        location: A `.npy` or `.pt` file, or a folder that is searched, or a URL.
        progress: Called with (file, rows done, rows in all).

    Returns:
        Findings in the order of the files' names; files that share a fraction are
        compared at the end.

    Raises:
        ValueError: If no file there has a name of the release.
    """
    place = Place.of(location)
    alone = place.is_file()
    root = (place.parent if alone else place).path.rstrip("/") + "/"
    files = [place] if alone else place.find("**/*")
    named = [file for file in files if _matched(file.path) is not None]
    if not named:
        raise ValueError(
            "path must hold files of the release, such as train_masks_50pct.npy, got "
            f"{place}"
        )
    findings: list[Finding] = []
    shapes: _Shapes = {}
    for file in named:
        name = file.path.removeprefix(root)
        try:
            for level, text in _found_in(file, name, shapes, progress or _silent):
                findings.append(Finding(name, level, text))
        except ValueError as error:
            findings.append(Finding(name, BAD, str(error)))
    return findings + list(_compared(shapes))


# Axes of a file's array, by its name.
_Shapes = dict[str, tuple[int, ...]]


def _matched(path: str) -> re.Match[str] | None:
    name = PurePosixPath(path).name
    return _NAME.fullmatch(name) or _WEIGHTS.fullmatch(name)


def _found_in(
    file: Place, name: str, shapes: _Shapes, progress: Progress
) -> Iterator[tuple[str, str]]:
    """Go over the findings in one file, and note its shape."""
    stated = _matched(name)
    assert stated is not None
    if name.endswith(".pt"):
        yield from _weights(file, name, shapes, progress)
        return
    kind = stated["kind"]
    rows = open_npy(file, axes=3 if kind == "logits" else 2)
    shapes[name] = rows.shape
    expected = published.MASK_TYPE if kind == "masks" else published.OUTPUT_TYPE
    if str(rows.header.dtype.newbyteorder("=")) != expected:
        yield BAD, f"entries are {rows.header.dtype}, the release has {expected}"
        return
    if str(rows.header.dtype) != expected:
        yield NOTED, f"entries have the high byte first: {rows.header.dtype}"
    yield GOOD, f"{expected} {rows.shape}, {rows.header.n_bytes} bytes as stated"
    if kind == "masks":
        yield from _masks(rows, int(stated["percent"]) / 100, name, progress)
    else:
        yield from _outputs(rows, name, progress)


def _weights(
    file: Place, name: str, shapes: _Shapes, progress: Progress
) -> Iterator[tuple[str, str]]:
    tensors = load_tensors(file, {"weight": 2, "bias": 1, "lam": 1})
    shape = shapes[name] = tensors["weight"].shape
    kinds = {str(rows.header.dtype) for rows in tensors.values()}
    if kinds != {published.WEIGHT_TYPE}:
        yield NOTED, f"types {', '.join(sorted(kinds))}, the release has float32"
    lengths = tensors["bias"].shape[0], tensors["lam"].shape[0]
    if lengths != (shape[1], shape[1]):
        yield BAD, f"bias and lam have {lengths} entries for {shape[1]} targets"
        return
    finite = [
        np.isfinite(block).all()
        for rows in tensors.values()
        for _, block in _blocks(rows, name, progress)
    ]
    if not all(finite):
        yield BAD, "entries are not finite"
    else:
        yield GOOD, f"datamodels of {shape[1]} targets by {shape[0]} examples"


def _masks(
    rows: NpyRows, p: float, name: str, progress: Progress
) -> Iterator[tuple[str, str]]:
    blocks = (
        checked_masks(block, np.arange(start, start + len(block)))
        for start, block in _blocks(rows, name, progress)
    )
    counts = count_masks(blocks, rows.shape[1])
    check_share(counts, p, name)
    law = told_law(counts)
    empty = int((counts.sizes == 0).sum())
    if empty:
        yield BAD, f"{empty} subsets are empty: rows that were never written?"
    repeated = rows.shape[0] - len(counts.sizes)
    if repeated:
        yield NOTED, f"{repeated} rows repeat the one before: replicates of a mask"
    if law is None:
        yield NOTED, f"subsets hold {counts.share:.4f} on average, of no known law"
    else:
        yield GOOD, f"{len(counts.sizes)} subsets, {law}"


def _outputs(rows: NpyRows, name: str, progress: Progress) -> Iterator[tuple[str, str]]:
    bad, first, blank = 0, -1, 0
    for start, block in _blocks(rows, name, progress):
        broken = ~np.isfinite(block).reshape(len(block), -1).all(1)
        if broken.any() and first < 0:
            first = start + int(np.argmax(broken))
        bad += int(broken.sum())
        blank += int((block == 0).reshape(len(block), -1).all(1).sum())
    if blank:
        yield BAD, f"{blank} rows are zeros throughout: never written?"
    if bad:
        yield BAD, f"{bad} rows are not finite, the first is row {first}"
    else:
        yield GOOD, f"all {rows.shape[0]} rows are finite"


def _blocks(
    rows: Rows, name: str, progress: Progress
) -> Iterator[tuple[int, np.ndarray]]:
    n = rows.shape[0]
    step = max(1, _BYTES // (8 * int(np.prod(rows.shape[1:]))))
    for start in range(0, n, step):
        stop = min(start + step, n)
        yield start, rows.read(start, stop)
        progress(name, stop, n)


def _compared(shapes: _Shapes) -> Iterator[Finding]:
    """Go over what files of one folder and fraction say of one another."""
    groups: dict[tuple[PurePosixPath, str], _Shapes] = {}
    for file, shape in shapes.items():
        stated = _matched(file)
        assert stated is not None
        folder = PurePosixPath(file).parent
        groups.setdefault((folder, stated["percent"]), {})[file] = shape
    for (folder, percent), group in groups.items():
        name = str(folder / f"*_{percent}pct")
        matrices = {f: s for f, s in group.items() if f.endswith(".npy")}
        if not matrices:
            continue
        models = {shape[0] for shape in matrices.values()}
        if len(models) > 1:
            yield Finding(name, BAD, f"files have {sorted(models)} rows, one a model")
            continue
        yield from _against_published(matrices, int(percent), models.pop(), name)


def _against_published(
    matrices: _Shapes, percent: int, n_models: int, name: str
) -> Iterator[Finding]:
    widths = {_width_of(file): shape[1] for file, shape in matrices.items()}
    for data in published.DATASETS.values():
        sizes = {"n_train": data.n_train, "n_test": data.n_test}
        if percent in data.models and all(
            width == sizes[axis] for axis, width in widths.items()
        ):
            expected = data.n_rows(percent)
            good = n_models == expected
            text = f"{n_models} models, as published for {data.name}: {expected}"
            if not good:
                text = (
                    f"{n_models} models, where {data.name} has {data.models[percent]} "
                    f"and {published.EVALUATION_MODELS} for evaluation"
                )
            yield Finding(name, GOOD if good else NOTED, text)
            return
    shown = ", ".join(f"{axis} = {width}" for axis, width in sorted(widths.items()))
    text = f"{n_models} models, {shown}: no data set of the release"
    yield Finding(name, NOTED, text)


def _width_of(file: str) -> str:
    """Return which number of examples is a matrix's second axis."""
    stated = _NAME.fullmatch(PurePosixPath(file).name)
    assert stated is not None
    masks = stated["kind"] == "masks"
    return "n_train" if masks or stated["split"] == "train" else "n_test"


def _silent(_name: str, _done: int, _total: int) -> None:
    """Report nothing."""
