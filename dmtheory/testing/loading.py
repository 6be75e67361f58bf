"""An estimator by its import path."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from dmtheory.testing.contracts import PROPERTIES
from dmtheory.testing.declaring import contract_of, declared_as
from dmtheory.testing.properties import CONTRACTS, Declared
from dmtheory.testing.running import check_names


def load_estimator(path: str, contract: str | None = None, **promises: Any) -> Declared:
    """Import an estimator and declare it.

    Args:
        path: MODULE:NAME, looked for in the working directory too.
        contract: Needed for a bare function that was not declared.
        **promises: More fields of `Declared`.

    Returns:
        The estimator under its contract.

    Raises:
        ValueError: If there is no such thing, or nobody says which contract is meant.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ValueError(f"estimator must be MODULE:NAME, got {path!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"estimator must be MODULE:NAME: {error}") from None
    if isinstance(found, type):
        found = found()
    contract = contract or contract_of(found)
    if contract is None:
        raise ValueError(
            f"contract must be said of {path}, one of {', '.join(CONTRACTS)}: a bare "
            "function does not tell; give --contract, or decorate it with `declares`"
        )
    declared = declared_as(contract, found, promises)
    check_names(PROPERTIES[contract], declared)
    return declared
