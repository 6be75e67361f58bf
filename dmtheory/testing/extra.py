"""Hypothesis is an optional extra: one line says how to get it."""

try:
    import hypothesis
except ImportError as error:
    raise ImportError(
        "dmtheory.testing needs Hypothesis: pip install 'dmtheory[testing]'"
    ) from error

__all__ = ["hypothesis"]
