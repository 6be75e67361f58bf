"""Stores that are reached over a network: what went wrong on the way, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zarr.storage import FsspecStore

# What storage clients raise are OSErrors and classes of their own. These say something
# about content or code instead, and are for the caller.
_NOT_THE_WAY = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
)


class StoreError(RuntimeError):
    """A store is missing, damaged, out of reach, newer, or of another run."""


@contextmanager
def reaching(location: Any) -> Iterator[None]:
    """Turn what a storage client raises into a StoreError; local errors stay.

    Args:
        location: A path, a URL or a zarr store.

    Raises:
        StoreError: If the location is remote and cannot be read or written.
    """
    try:
        yield
    except _NOT_THE_WAY:
        raise
    except Exception as error:
        if not _is_remote(location):
            raise
        cause = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(
            f"store {place_of(location)} cannot be reached ({cause}): {_remedy(error)}"
        ) from error


def place_of(location: Any) -> str:
    """Return what a location is called in messages: its path or its URL."""
    if isinstance(location, FsspecStore):
        return str(location.fs.unstrip_protocol(location.path))
    return str(location)


def _is_remote(location: Any) -> bool:
    if isinstance(location, str):
        return "://" in location and not location.startswith("file://")
    return isinstance(location, FsspecStore)


def _remedy(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "install what it names; for s3:// pip install 'dmtheory[cloud]'"
    if isinstance(error, FileNotFoundError):
        return "make the bucket first, or correct its name"
    if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        return (
            "give credentials that may read and write there (for s3:// "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile)"
        )
    return (
        "check the network and the endpoint (for s3:// AWS_ENDPOINT_URL), then run "
        "again; what was written stays"
    )
