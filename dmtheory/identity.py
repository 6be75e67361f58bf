"""Digests that identify data and procedures, and labels for those without names."""

import hashlib

from torch import Tensor


def digest(*parts: object) -> str:
    """Return a short digest of tensors and plain values, stable across machines."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            state.update(f"{part.dtype}{tuple(part.shape)}".encode())
            state.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            state.update(repr(part).encode())
        state.update(b"|")
    return state.hexdigest()[:16]


def numbered(prefix: str, n: int) -> tuple[str, ...]:
    """Return default labels such as "example 0"."""
    return tuple(f"{prefix} {i}" for i in range(n))
