"""Which device a process trains on.

A problem trains on the device of the weights that it is given, so a worker needs no
more than a device's name: weights and seeds are made on the CPU and moved there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar

import torch

CPU = "cpu"

_DEVICE: ContextVar[str] = ContextVar("device", default=CPU)


def local_devices() -> tuple[str, ...]:
    """Return every CUDA device of this machine, the CPU where there is none."""
    return _cuda_devices() or (CPU,)


def worker_device() -> torch.device:
    """Return the device that this process was given; the CPU if none was."""
    return torch.device(_DEVICE.get())


def give_device(device: str) -> None:
    """Give this process a device for the rest of its life."""
    if torch.device(device).type == "cuda":
        # Else what a library makes on "cuda" would gather on the first device. If the
        # device fails, so will the first block that is sent there, with an error that
        # reaches the caller; one raised here would end the process without a word.
        with suppress(Exception):
            torch.cuda.set_device(device)
    _DEVICE.set(device)


@contextmanager
def device_given(device: str) -> Iterator[None]:
    """Give this process a device for a while."""
    token = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(token)


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the devices of "cpu", "cuda" (every one) or a list, "cuda:0,cuda:1".

    Raises:
        ValueError: If the text names a device that this machine does not have.
    """
    if text.strip() == "cuda" and _cuda_devices():
        return _cuda_devices()
    devices = tuple(name.strip() for name in text.split(","))
    check_devices(devices)
    return devices


def check_devices(devices: Sequence[str]) -> None:
    """Raise unless every device is the CPU or a CUDA device of this machine.

    Raises:
        TypeError: If devices is one string.
        ValueError: If there is none, or one that does not exist.
    """
    if isinstance(devices, str):
        raise TypeError(
            f"devices must be a sequence of names, got {devices!r}: write [{devices!r}]"
        )
    if not devices:
        raise ValueError("devices must name at least one device, got none")
    there = _cuda_devices()
    for name in devices:
        if name not in there and not _is_cpu(name):
            raise ValueError(
                f"devices must be of this machine ({', '.join((CPU, *there))}), got "
                f"{name!r}: {_remedy(name, there)}"
            )


def _cuda_devices() -> tuple[str, ...]:
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def _is_cpu(name: str) -> bool:
    try:
        return torch.device(name).type == CPU
    except (RuntimeError, TypeError):
        return False


def _remedy(name: str, there: tuple[str, ...]) -> str:
    if str(name).startswith("cuda") and not there:
        return "use cpu, or install a torch and a driver that see the GPU"
    return f"use {', '.join(there)} or cpu" if there else "use cpu"
