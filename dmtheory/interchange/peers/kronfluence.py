"""What kronfluence writes: pickled masks and outputs, and scores in safetensors."""

import numpy as np
import torch

from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand, Point
from dmtheory.identity import numbered
from dmtheory.interchange.files.pickled_arrays import load_pickled_array
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.tensors import read_safetensors
from dmtheory.interchange.imported.rows import ArrayRows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags

ALL_MODULES = "all_modules"


def open_kronfluence(
    masks: Location | Place,
    outputs: Location | Place,
    *,
    problem: str,
    output: str,
    held_out: tuple[int, int] | None = None,
) -> ImportedRuns:
    """Open `masks.pt` and `margins.pt` (or `losses.pt`) of kronfluence's examples.

    The files are pickled numpy arrays; they are read without running the pickle.

    Args:
        masks: 0/1 masks, [models, train].
        outputs: What was measured, [models, queries].
        problem: Name of the problem.
        output: The output function; the files do not say it.
        held_out: Rows for evaluation, first and end.

    Returns:
        The models, in memory.

    Raises:
        ValueError: If a file is missing, damaged or holds other things, or they differ
            in rows.
    """
    return ImportedRuns.of(
        ArrayRows(load_pickled_array(masks)),
        ArrayRows(load_pickled_array(outputs)),
        Tags(
            source="kronfluence masks and outputs",
            problem=problem,
            output=output,
            held_out=held_out,
        ),
    )


def load_kronfluence_scores(
    location: Location | Place, *, problem: str, measurement: str
) -> Attribution:
    r"""Load pairwise scores of kronfluence as influence.

    kronfluence computes s_qi = grad m_q' (C + damping)^-1 grad l_i, C the curvature of
    the mean loss. Influence of the measurement is its negative, tau_i = -s_qi, in Koh
    and Liang's unit, per epsilon; rows become targets.

    Args:
        location: A safetensors file with the key `all_modules`, [queries, train].
        problem: Name of the problem.
        measurement: The output function that the task measures.

    Returns:
        Scores [train, targets] per epsilon; positive raises the measurement.

    Raises:
        ValueError: If the file is missing, damaged or lacks the key.

    References:
        Grosse et al. 2023, Studying large language model generalization with influence
        functions, equation 5.
    """
    scores = read_safetensors(location, (ALL_MODULES,))[0][ALL_MODULES]
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(
            f"{location}: {ALL_MODULES} must be a matrix (queries x train), got shape "
            f"{tuple(scores.shape)}"
        )
    turned = -torch.from_numpy(np.ascontiguousarray(scores.T)).double()
    return Attribution(
        scores=turned,
        estimand=Estimand(
            quantity="influence",
            point=Point("weights", 1.0),
            output=measurement,
            normalisation="unknown",
            step_policy="unknown",
            problem=problem,
            unit="per_epsilon",
        ),
        train_labels=numbered("example", turned.shape[0]),
        target_labels=numbered("target", turned.shape[1]),
        n_train=turned.shape[0],
        method="pairwise scores of kronfluence, negated: they are those of removal",
    )
