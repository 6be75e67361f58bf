"""Outputs that jump: a response may have a derivative where no single model has."""

import warnings

# Names under which a problem may state a 0/1 output.
JUMPING = frozenset({"accuracy", "0/1 accuracy", "correct", "error", "zero-one"})


def warn_of_jumps(output: str) -> None:
    """Warn that differences of a 0/1 output see only the models that flip.

    A model flips between w - h d and w + h d with probability O(h), so a quotient has
    variance O(1/h), whatever the seeds share.
    """
    if output in JUMPING:
        warnings.warn(
            f"output {output!r} jumps between 0 and 1, so that most differences are 0 "
            "and few are 1/2h: take a large step and many seeds, or a smooth output "
            "such as 'margin'",
            UserWarning,
            stacklevel=2,
        )
