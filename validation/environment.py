"""The machine and the versions behind a run."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("dmtheory", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")


def environment() -> dict[str, Any]:
    """Return Python, platform and package versions; no names of hosts or users."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": os.cpu_count() or 1,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def commit() -> str:
    """Return the checkout's commit, marked when files differ from it."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
