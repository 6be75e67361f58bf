"""CIFAR-10 as uint8 images with stable ids, from the files that are around."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from dmtheory.data.dataset import Dataset
from dmtheory.data.images.archive import SHA256, TEST, TRAIN, URL, read_batches
from dmtheory.data.images.labelled import CLASS_NAMES, LabelledImages, chosen_rows
from dmtheory.data.images.parquet import parquet_rows, read_parquet
from dmtheory.data.images.roles import with_roles
from dmtheory.designs.seeds import Purpose, permutation

# Streams of the choice of subsets.
_TRAIN, _TEST = 0, 1


def cifar10(
    path: str | Path | None = None,
    *,
    n_train: int | None = None,
    n_targets: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Return CIFAR-10: 50,000 training and 10,000 test images, 32 x 32, uint8.

    An image's stable id is its number in its file. Orders of different files differ,
    so ids name the same image in the archive and in a shuffled parquet file only where
    their rows agree.

    Args:
        path: The official python archive (cifar-10-python.tar.gz), the folder that it
            unpacks to, or a folder with one train*.parquet and one test*.parquet.
            None downloads the archive once, through pooch, and checks it.
        n_train: Training images, all by default; subsets of different sizes are
            nested.
        n_targets: Targets among the test images, all of them by default.
        n_test: Test images, which give the held-out accuracy; all by default.
        seed: Seed of the choice of subsets.

    Returns:
        A data set whose source is "CIFAR-10", or "CIFAR-10 (JPEG)" where images were
        stored with loss.

    Raises:
        ValueError: If the path holds no CIFAR-10, or a number is out of range.
        ImportError: If a reader of the format is not installed.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    files = _located(downloaded() if path is None else Path(path))
    train = files.train(n_train, seed)
    test = files.test(n_test, seed)
    order = permutation(seed, Purpose.SPLIT, _TEST, test.rows)
    if n_targets is not None:
        _check_count(n_targets, len(order), "n_targets")
    lossy = train.lossy or test.lossy
    return with_roles(
        "cifar10",
        train,
        test,
        chosen_rows(len(order), n_targets, order),
        class_names=CLASS_NAMES,
        source="CIFAR-10 (JPEG)" if lossy else "CIFAR-10",
    )


def downloaded(url: str = URL, *, sha256: str = SHA256) -> Path:
    """Return the official archive in pooch's cache, downloaded where it is not there.

    Raises:
        ValueError: If what was downloaded has another checksum.
        ImportError: If pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "the download needs pooch: pip install 'dmtheory[formats]', or give the "
            "path of CIFAR-10's python archive"
        ) from error
    # Quiet: the library never prints.
    pooch.get_logger().setLevel("WARNING")
    name, folder = url.rpartition("/")[2], pooch.os_cache("dmtheory")
    try:
        found = pooch.retrieve(
            url, known_hash=f"sha256:{sha256}", fname=name, path=folder
        )
    except ValueError as error:
        raise ValueError(
            f"{url} must have the checksum sha256:{sha256}, but what came has another: "
            "try again, or give the path of CIFAR-10's python archive"
        ) from error
    return Path(found)


@dataclass(frozen=True, slots=True)
class _Archive:
    path: Path

    def train(self, n: int | None, seed: int) -> LabelledImages:
        return _some(read_batches(self.path, TRAIN), n, seed, _TRAIN, "n_train")

    def test(self, n: int | None, seed: int) -> LabelledImages:
        return _some(read_batches(self.path, TEST), n, seed, _TEST, "n_test")


@dataclass(frozen=True, slots=True)
class _Parquet:
    train_file: Path
    test_file: Path

    def train(self, n: int | None, seed: int) -> LabelledImages:
        rows = _choice(parquet_rows(self.train_file), n, seed, _TRAIN, "n_train")
        return read_parquet(self.train_file, rows)

    def test(self, n: int | None, seed: int) -> LabelledImages:
        rows = _choice(parquet_rows(self.test_file), n, seed, _TEST, "n_test")
        return read_parquet(self.test_file, rows)


def _located(path: Path) -> _Archive | _Parquet:
    if not path.exists():
        raise ValueError(
            f"path must be CIFAR-10's python archive, its folder, or a folder of "
            f"parquet files, but there is no {path}"
        )
    found = {part: sorted(path.glob(f"{part}*.parquet")) for part in ("train", "test")}
    if not any(found.values()):
        return _Archive(path)
    for part, files in found.items():
        if len(files) != 1:
            raise ValueError(
                f"path must have one {part}*.parquet, got {len(files)} in {path}"
            )
    return _Parquet(found["train"][0], found["test"][0])


def _some(
    whole: LabelledImages, n: int | None, seed: int, stream: int, name: str
) -> LabelledImages:
    rows = _choice(len(whole.rows), n, seed, stream, name)
    return LabelledImages(
        images=whole.images[rows], classes=whole.classes[rows], rows=rows
    )


def _choice(
    n_rows: int, n: int | None, seed: int, stream: int, name: str
) -> Int64[Tensor, " images"]:
    if n is not None:
        _check_count(n, n_rows, name)
    order = permutation(seed, Purpose.SPLIT, stream, torch.arange(n_rows))
    return chosen_rows(n_rows, n, order)


def _check_count(n: int, most: int, name: str) -> None:
    if not 1 <= n <= most:
        raise ValueError(f"{name} must lie in [1, {most}], got {n}")
