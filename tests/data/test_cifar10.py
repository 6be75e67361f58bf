"""CIFAR-10's readers: round trips, refusals, subsets, and the real files if there."""

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from dmtheory.data import Dataset, cifar10, synthetic_images
from dmtheory.data.images.cifar10 import downloaded

SHARED = Path(__file__).parents[3] / "shared/data/cifar10-jpeg"
BATCHES = [f"data_batch_{n}" for n in range(1, 6)]
RNG = np.random.default_rng(0)
TRAIN, TEST = (RNG.integers(0, 256, (n, 3072), np.uint8) for n in (15, 6))
TRAIN_CLASSES, TEST_CLASSES = ([i % 10 for i in range(n)] for n in (15, 6))


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Return a batch as Python 2 wrote the official ones: protocol 2, text as bytes."""
    raw = io.BytesIO()
    raw.write(b"\x80\x02}(U\x04dataq\x01")
    state = pickle.dumps(pixels, protocol=2)
    raw.write(state[2:-1].replace(b"numpy._core", b"numpy.core"))
    raw.write(b"U\x06labelsq\x02")
    raw.write(pickle.dumps(labels, protocol=2)[2:-1])
    raw.write(b"u.")
    return raw.getvalue()


def contents() -> dict[str, bytes]:
    found = {
        name: python2_pickle(TRAIN[3 * k : 3 * k + 3], TRAIN_CLASSES[3 * k : 3 * k + 3])
        for k, name in enumerate(BATCHES)
    }
    return {**found, "test_batch": python2_pickle(TEST, TEST_CLASSES)}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0)).save(file, kind)
    return file.getvalue()


def tables(folder: Path, kind: str = "PNG", column: str = "img") -> Path:
    folder.mkdir(exist_ok=True)
    for part, pixels, classes in (
        ("train", TRAIN, TRAIN_CLASSES),
        ("test", TEST, TEST_CLASSES),
    ):
        images = [{"bytes": encoded(row, kind), "path": "x"} for row in pixels]
        table = pa.table({column: images, "label": classes})
        parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")
    return folder


def check_images(data: Dataset) -> None:
    assert data.x_train.dtype == torch.uint8
    np.testing.assert_array_equal(data.x_train, TRAIN.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.x_held_out, TEST.reshape(-1, 3, 32, 32))
    assert data.y_train.tolist() == TRAIN_CLASSES
    assert data.y_target.tolist() == TEST_CLASSES
    assert data.x_target is data.x_held_out
    assert data.ids.tolist() == list(range(15))
    assert data.train_labels[3] == "image 3 (cat)"
    assert data.target_labels[1] == "test image 1 (automobile)"
    assert data.class_names[9] == "truck"


def test_the_official_archive_and_its_folder_are_read(tmp_path: Path) -> None:
    packed = cifar10(archive(tmp_path / "cifar-10-python.tar.gz", contents()))
    check_images(packed)
    assert packed.source == "CIFAR-10"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in contents().items():
        (folder / name).write_bytes(content)
    check_images(cifar10(str(folder)))


@pytest.mark.parametrize("column", ["img", "image"])
def test_parquet_without_loss_is_read_exactly(tmp_path: Path, column: str) -> None:
    data = cifar10(tables(tmp_path / "hub", column=column))
    check_images(data)
    assert data.source == "CIFAR-10"


def test_jpeg_is_named_and_decoded_as_its_library_does(tmp_path: Path) -> None:
    data = cifar10(tables(tmp_path / "hub", "JPEG"))
    assert data.source == "CIFAR-10 (JPEG)"
    with Image.open(io.BytesIO(encoded(TRAIN[4], "JPEG"))) as image:
        expected = np.asarray(image).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.x_train[4], expected)


def test_subsets_are_nested_and_keep_their_ids(tmp_path: Path) -> None:
    path = tables(tmp_path / "hub")
    small, large = (cifar10(path, n_train=n, n_targets=2, n_test=5) for n in (4, 9))
    assert set(small.ids.tolist()) < set(large.ids.tolist())
    for data in (small, large):
        rows = TRAIN.reshape(-1, 3, 32, 32)[data.ids]
        np.testing.assert_array_equal(data.x_train, rows)
        assert data.y_train.tolist() == [TRAIN_CLASSES[i] for i in data.ids]
    assert small.target_labels == large.target_labels
    assert len(small.x_held_out) == 5
    place = int(small.target_labels[0].split()[2])
    np.testing.assert_array_equal(small.x_target[0].flatten(), TEST[place])
    same = cifar10(archive(tmp_path / "a.tar.gz", contents()), n_train=4, n_targets=2)
    assert torch.equal(same.ids, small.ids)
    assert set(cifar10(path, n_train=4, seed=1).ids.tolist()) != set(small.ids.tolist())


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    for protocol in (0, 2, 5):
        hostile = pickle.dumps({b"data": Runs(trap)}, protocol=protocol)
        path = archive(tmp_path / "a.tar.gz", {**contents(), "data_batch_2": hostile})
        with pytest.raises(ValueError, match=r"data_batch_2 .*mkdir is not allowed"):
            cifar10(path)
    assert not trap.exists()


def batch_of(**fields: Any) -> bytes:
    return pickle.dumps({name.encode(): value for name, value in fields.items()}, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a pickled batch"),
        (b"not a pickle", "must be a pickled batch"),
        (
            batch_of(data=TRAIN[:3].astype(float), labels=[0] * 3),
            "'f8' are not allowed",
        ),
        (batch_of(data=TRAIN[:3, :9], labels=[0] * 3), "'data' of bytes"),
        (batch_of(data=[1, 2], labels=[0] * 2), "'data' of bytes"),
        (batch_of(labels=[0]), "'data' of bytes"),
        (batch_of(data=TRAIN[:3], labels=[0] * 2), "one whole number an image"),
        (
            batch_of(data=TRAIN[:3], labels=[0, 1, 12]),
            "must have labels 0 to 9, got 12",
        ),
    ],
)
def test_batches_that_hold_something_else_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = archive(tmp_path / "a.tar.gz", {**contents(), "data_batch_3": content})
    with pytest.raises(ValueError, match=message):
        cifar10(path)


def test_places_without_cifar_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no"):
        cifar10(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="it has no data_batch_1"):
        cifar10(tmp_path)
    (tmp_path / "text.tar.gz").write_text("hello")
    with pytest.raises(ValueError, match="must be a tar archive"):
        cifar10(tmp_path / "text.tar.gz")
    hub = tables(tmp_path / "hub")
    with pytest.raises(ValueError, match=r"n_train must lie in \[1, 15\], got 16"):
        cifar10(hub, n_train=16)
    with pytest.raises(ValueError, match=r"n_targets must lie in \[1, 3\], got 4"):
        cifar10(hub, n_test=3, n_targets=4)
    with pytest.raises(ValueError, match="must have a column 'img' or 'image'"):
        cifar10(tables(tmp_path / "other", column="picture"))
    (hub / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(ValueError, match=r"one test\*.parquet, got 0"):
        cifar10(hub)
    (hub / "test.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="must be a parquet file"):
        cifar10(hub)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"no image", "image 1 must be a PNG or JPEG image"),
        (None, "image 1 must hold the image's bytes"),
    ],
)
def test_entries_that_are_no_images_are_refused(
    tmp_path: Path, entry: bytes | None, message: str
) -> None:
    hub = tables(tmp_path / "hub")
    images = [
        {"bytes": encoded(TRAIN[0], "PNG"), "path": ""},
        {"bytes": entry, "path": ""},
    ]
    parquet.write_table(
        pa.table({"img": images, "label": [0, 1]}), hub / "train-00000-of-00001.parquet"
    )
    with pytest.raises(ValueError, match=message):
        cifar10(hub)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve a made-up archive on this machine."""
    (tmp_path / "served").mkdir()
    archive(tmp_path / "served/cifar-10-python.tar.gz", contents())
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_archive_is_downloaded_once_and_checked(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    content = (tmp_path / "served/cifar-10-python.tar.gz").read_bytes()
    right = hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError, match="must have the checksum"):
        downloaded(address, sha256="0" * 64)
    path = downloaded(address, sha256=right)
    check_images(cifar10(path))
    assert path.is_relative_to(tmp_path / "cache")
    (tmp_path / "served/cifar-10-python.tar.gz").unlink()
    assert downloaded(address, sha256=right) == path


def test_synthetic_images_are_the_same_everywhere_and_tell_classes_apart() -> None:
    data = synthetic_images(n_train=40, n_targets=4, n_test=20, n_classes=5)
    assert data.x_train.shape == (40, 3, 32, 32)
    assert data.digest == "6641186a005edf2f"
    means = torch.stack([
        data.x_train[data.y_train == c].double().mean(0).flatten() for c in range(5)
    ])
    shown = data.x_held_out.double().flatten(1)
    assert torch.equal(torch.cdist(shown, means).argmin(1), data.y_held_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_classes": 11}, r"n_classes must lie in \[2, 10\]"),
        ({"n_train": 0}, "n_train must be at least 1"),
        ({"n_targets": 9, "n_test": 8}, "n_test must be at least 9"),
    ],
)
def test_numbers_of_synthetic_images_are_checked(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic_images(**changes)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no CIFAR-10 beside the repository")
def test_the_shared_images_are_cifar10() -> None:
    """Channel means of the originals, by 2,000 images (standard error .004)."""
    data = cifar10(SHARED, n_train=2000, n_targets=3, n_test=100)
    assert data.source == "CIFAR-10 (JPEG)"
    means = data.x_train.double().mean((0, 2, 3)) / 255
    expected = torch.tensor([0.4913, 0.4821, 0.4465]).double()
    assert (means - expected).abs().max() < 0.015
    assert data.y_train.bincount(minlength=10).min() > 120
