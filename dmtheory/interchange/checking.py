"""Is this file what it claims to be? Headers, sizes, rows and shares, one finding each.

Every file of a folder that has a name of the release or of the datamodels code's store
is held to what that name promises, and files of one fraction to one another.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmtheory.interchange import published
from dmtheory.interchange.entries import checked_masks
from dmtheory.interchange.laws import check_share, count_masks, told_law
from dmtheory.interchange.npy import NpyRows, open_npy
from dmtheory.interchange.places import Place
from dmtheory.interchange.torch_files import load_tensors

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


def check_release(path: Path, *, progress: Progress | None = None) -> list[Finding]:
    """Check every file of the release in a folder, or one file, from first to last row.

    Args:
        path: A `.npy` or `.pt` file, or a folder that is searched.
        progress: Called with (file, rows done, rows in all).

    Returns:
        Findings in the order of the files' names; files that share a fraction are
        compared at the end.

    Raises:
        ValueError: If no file there has a name of the release.
    """
    root = path if path.is_dir() else path.parent
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    named = [file for file in files if _matched(file) is not None]
    if not named:
        raise ValueError(
            "path must hold files of the release, such as train_masks_50pct.npy, got "
            f"{path}"
        )
    findings: list[Finding] = []
    shapes: dict[Path, tuple[int, ...]] = {}
    for file in named:
        name = str(file.relative_to(root))
        try:
            for level, text in _found_in(file, shapes, progress or _silent):
                findings.append(Finding(name, level, text))
        except ValueError as error:
            findings.append(Finding(name, BAD, str(error)))
    return findings + list(_compared(shapes, root))


def _matched(file: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(file.name) or _WEIGHTS.fullmatch(file.name)


def _found_in(
    file: Path, shapes: dict[Path, tuple[int, ...]], progress: Progress
) -> Iterator[tuple[str, str]]:
    """Go over the findings in one file, and note its shape."""
    stated = _matched(file)
    assert stated is not None
    if file.suffix == ".pt":
        tensors = load_tensors(file, {"weight": 2, "bias": 1, "lam": 1})
        shape = tuple(tensors["weight"].shape)
        shapes[file] = shape
        kinds = {str(value.dtype).removeprefix("torch.") for value in tensors.values()}
        if kinds != {published.WEIGHT_TYPE}:
            yield NOTED, f"types {', '.join(sorted(kinds))}, the release has float32"
        lengths = len(tensors["bias"]), len(tensors["lam"])
        if lengths != (shape[1], shape[1]):
            yield BAD, f"bias and lam have {lengths} entries for {shape[1]} targets"
        elif not all(bool(value.isfinite().all()) for value in tensors.values()):
            yield BAD, "entries are not finite"
        else:
            yield GOOD, f"datamodels of {shape[1]} targets by {shape[0]} examples"
        return
    kind = stated["kind"]
    rows = open_npy(Place.of(file, None), axes=3 if kind == "logits" else 2)
    shapes[file] = rows.shape
    expected = published.MASK_TYPE if kind == "masks" else published.OUTPUT_TYPE
    if str(rows.header.dtype) != expected:
        yield BAD, f"entries are {rows.header.dtype}, the release has {expected}"
        return
    yield GOOD, f"{expected} {rows.shape}, {rows.header.n_bytes} bytes as stated"
    if kind == "masks":
        yield from _masks(rows, int(stated["percent"]) / 100, file.name, progress)
    else:
        yield from _outputs(rows, file.name, progress)


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
    repeated = rows.shape[0] - len(counts.sizes)
    if repeated:
        yield NOTED, f"{repeated} rows repeat the one before: replicates of a mask"
    if law is None:
        yield NOTED, f"subsets hold {counts.share:.4f} on average, of no known law"
    else:
        yield GOOD, f"{len(counts.sizes)} subsets, {law}"


def _outputs(rows: NpyRows, name: str, progress: Progress) -> Iterator[tuple[str, str]]:
    bad, first = 0, -1
    for start, block in _blocks(rows, name, progress):
        broken = ~np.isfinite(block).reshape(len(block), -1).all(1)
        if broken.any() and first < 0:
            first = start + int(np.argmax(broken))
        bad += int(broken.sum())
    if bad:
        yield BAD, f"{bad} rows are not finite, the first is row {first}"
    else:
        yield GOOD, f"all {rows.shape[0]} rows are finite"


def _blocks(
    rows: NpyRows, name: str, progress: Progress
) -> Iterator[tuple[int, np.ndarray]]:
    n = rows.shape[0]
    step = max(1, _BYTES // (8 * int(np.prod(rows.shape[1:]))))
    for start in range(0, n, step):
        stop = min(start + step, n)
        yield start, rows.read(start, stop)
        progress(name, stop, n)


def _compared(shapes: dict[Path, tuple[int, ...]], root: Path) -> Iterator[Finding]:
    """Go over what files of one folder and fraction say of one another."""
    groups: dict[tuple[Path, str], dict[Path, tuple[int, ...]]] = {}
    for file, shape in shapes.items():
        stated = _matched(file)
        assert stated is not None
        groups.setdefault((file.parent, stated["percent"]), {})[file] = shape
    for (folder, percent), group in groups.items():
        name = str(folder.relative_to(root) / f"*_{percent}pct")
        matrices = {f: s for f, s in group.items() if f.suffix == ".npy"}
        if not matrices:
            continue
        models = {shape[0] for shape in matrices.values()}
        if len(models) > 1:
            yield Finding(name, BAD, f"files have {sorted(models)} rows, one a model")
            continue
        yield from _against_published(matrices, int(percent), models.pop(), name)


def _against_published(
    matrices: dict[Path, tuple[int, ...]], percent: int, n_models: int, name: str
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


def _width_of(file: Path) -> str:
    """Return which number of examples is a matrix's second axis."""
    stated = _NAME.fullmatch(file.name)
    assert stated is not None
    masks = stated["kind"] == "masks"
    return "n_train" if masks or stated["split"] == "train" else "n_test"


def _silent(_name: str, _done: int, _total: int) -> None:
    """Report nothing."""
