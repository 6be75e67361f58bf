"""What a run is: its resolved configuration, which identifies it."""

from typing import Any

from dmtheory.checks import check_at_least, check_choice
from dmtheory.designs.base import Design
from dmtheory.designs.describe import design_to_json, without_count
from dmtheory.problems.base import Description

DTYPES = ("float64", "float32", "float16")


def run_config(
    problem: Description, design: Design, *, block: int, dtype: str
) -> dict[str, Any]:
    """Return everything that decides a run's numbers but the number of its models.

    Args:
        problem: The problem.
        design: The design; how many rows it has is no part of a run's identity.
        block: Models a block.
        dtype: Precision that outputs are stored in.

    Returns:
        Plain values, with labels so that the store can be read alone.
    """
    check_at_least(block, 1, "block")
    check_choice(dtype, DTYPES, "dtype")
    return {
        "problem": problem.name,
        "problem_digest": problem.digest,
        "output": problem.output,
        "normalisation": problem.normalisation,
        "step_policy": problem.step_policy,
        "deterministic": problem.deterministic,
        "qualities": list(problem.qualities),
        "n_train": problem.n_train,
        "n_targets": problem.n_targets,
        "train_labels": list(problem.train_labels),
        "target_labels": list(problem.target_labels),
        "design": without_count(design_to_json(design)),
        "block": block,
        "dtype": dtype,
    }


def described(config: dict[str, Any]) -> Description:
    """Return the problem's description from a run's configuration."""
    return Description(
        name=config["problem"],
        digest=config["problem_digest"],
        output=config["output"],
        normalisation=config["normalisation"],
        step_policy=config["step_policy"],
        deterministic=config["deterministic"],
        qualities=tuple(config["qualities"]),
        train_labels=tuple(config["train_labels"]),
        target_labels=tuple(config["target_labels"]),
    )
