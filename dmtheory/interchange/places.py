"""Where a file lies: a local path, or a URL that fsspec reaches, read by byte range."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Location = str | Path


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
    def of(location: "Location | Place", options: dict[str, Any] | None) -> "Place":
        """Return the place of a path or URL."""
        if isinstance(location, Place):
            return location
        return Place(path=str(location), options=dict(options or {}))

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

    def __truediv__(self, name: str) -> "Place":
        """Return a place inside this folder."""
        joined = (
            f"{self.path.rstrip('/')}/{name}"
            if self.is_remote
            else str(self.local / name)
        )
        return Place(path=joined, options=self.options)

    def exists(self) -> bool:
        """Return whether there is a file or a folder."""
        if not self.is_remote:
            return self.local.exists()
        files, path = self._filesystem()
        return bool(files.exists(path))

    def size(self) -> int:
        """Return the file's length in bytes.

        Raises:
            ValueError: If there is no file.
        """
        if not self.exists() or (not self.is_remote and not self.local.is_file()):
            raise ValueError(f"file must exist, got {self.path}")
        if not self.is_remote:
            return self.local.stat().st_size
        files, path = self._filesystem()
        return int(files.size(path))

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start up to stop.

        Raises:
            ValueError: If the file is shorter.
        """
        if self.is_remote:
            files, path = self._filesystem()
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

    def _filesystem(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]
        except ImportError:
            raise ImportError(
                f"location {self.path} is remote and needs fsspec: pip install "
                "'dmtheory[cloud]'"
            ) from None
        files, path = url_to_fs(self.path, **self.options)
        return files, str(path)
