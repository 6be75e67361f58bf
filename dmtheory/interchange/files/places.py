"""Where a file lies: a local path, or a URL that fsspec reaches, read by byte range."""

import glob
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Location = str | Path
# Bytes that are fetched at least where a reader asks for a few.
_BUFFER = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder or a file, local or in an object store.

    Attributes:
        path: The local path or the URL.
        options: What fsspec needs to open it, such as {"requester_pays": True}.
    """

    path: str
    options: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(
        location: "Location | Place", options: dict[str, Any] | None = None
    ) -> "Place":
        """Return the place of a path or URL; file:// is a local path."""
        if isinstance(location, Place):
            return location
        text = str(location)
        if text.startswith("file://"):
            text = unquote(urlsplit(text).path)
        return Place(path=text, options=dict(options or {}))

    @property
    def is_remote(self) -> bool:
        """Whether it is reached by fsspec."""
        return "://" in self.path

    @property
    def local(self) -> Path:
        """The local path.

        Raises:
            ValueError: If the place is remote.
        """
        if self.is_remote:
            raise ValueError(
                f"location must be a local path for this format, got {self.path}: "
                "download the file first"
            )
        return Path(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> "Place":
        """The folder it lies in."""
        if not self.is_remote:
            return Place(path=str(self.local.parent), options=self.options)
        return Place(
            path=self.path.rstrip("/").rpartition("/")[0], options=self.options
        )

    def __truediv__(self, name: str) -> "Place":
        """Return a place inside this folder."""
        joined = (
            f"{self.path.rstrip('/')}/{name}"
            if self.is_remote
            else str(self.local / name)
        )
        return Place(path=joined, options=self.options)

    def __str__(self) -> str:
        return self.path

    def exists(self) -> bool:
        """Return whether there is a file or a folder."""
        if not self.is_remote:
            return self.local.exists()
        with self._reached() as (files, path):
            return bool(files.exists(path))

    def is_file(self) -> bool:
        """Return whether there is a file."""
        if not self.is_remote:
            return self.local.is_file()
        return self._told().get("type") == "file"

    def find(self, pattern: str) -> "list[Place]":
        """Return what this folder holds by a pattern such as "*/a.npz", by name."""
        if not self.is_remote:
            found = [str(path) for path in self.local.glob(pattern)]
        else:
            with self._reached() as (files, path):
                named = files.glob(f"{glob.escape(path.rstrip('/'))}/{pattern}")
                found = [str(files.unstrip_protocol(each)) for each in named]
        return [Place(path=each, options=self.options) for each in sorted(found)]

    def size(self) -> int:
        """Return the file's length in bytes.

        Raises:
            ValueError: If there is no file, or its server does not say its length.
        """
        if not self.is_remote and self.local.is_file():
            return self.local.stat().st_size
        told = self._told() if self.is_remote else {}
        if told.get("type") != "file":
            raise ValueError(f"file must exist, got {self.path}")
        size = told.get("size")
        if size is None:
            raise ValueError(
                f"{self.path} must be served with its length: download the file"
            )
        return int(size)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start up to stop.

        Raises:
            ValueError: If the file is shorter.
        """
        if self.is_remote:
            with self._reached() as (files, path):
                content = bytes(files.cat_file(path, start=start, end=stop))
        else:
            with self.local.open("rb") as file:
                file.seek(start)
                content = file.read(stop - start)
        if len(content) != stop - start:
            raise ValueError(
                f"{self.path} must hold {stop} bytes, got {start + len(content)}: it "
                "was cut short"
            )
        return content

    def open(self) -> io.BufferedReader:
        """Open the file for reading; of a remote one, what is read is fetched.

        Returns:
            A file that seeks.

        Raises:
            ValueError: If there is no file.
        """
        size = self.size()
        if not self.is_remote:
            return self.local.open("rb")
        return io.BufferedReader(_Ranges(self, size), buffer_size=_BUFFER)

    def _told(self) -> dict[str, Any]:
        """Return what a server says of the place, nothing where there is none."""
        with self._reached() as (files, path), suppress(FileNotFoundError):
            return dict(files.info(path))
        return {}

    @contextmanager
    def _reached(self) -> Iterator[tuple[Any, str]]:
        # Stores are a package of their own and take a second to import.
        from dmtheory.responses.remote import reaching

        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]
        except ImportError:
            raise ImportError(
                f"location {self.path} is remote and needs fsspec: pip install "
                "'dmtheory[cloud]'"
            ) from None
        with reaching(self.path):
            files, path = url_to_fs(self.path, **self.options)
            yield files, str(path)


class _Ranges(io.RawIOBase):
    """A remote file as Python's files are, each read a request for its bytes."""

    def __init__(self, place: Place, size: int) -> None:
        self._place, self._size, self._at = place, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        if start[whence] + offset < 0:
            raise ValueError(f"place in {self._place} must be 0 or more, got {offset}")
        self._at = start[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        n = max(0, min(len(buffer), self._size - self._at))
        if n:
            buffer[:n] = self._place.read(self._at, self._at + n)
        self._at += n
        return n
