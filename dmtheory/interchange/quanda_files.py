"""What quanda writes: a list of subsets; outputs are the user's own."""

from pathlib import Path

from dmtheory.interchange.npy import open_npy
from dmtheory.interchange.places import Place
from dmtheory.interchange.rows import SubsetRows
from dmtheory.interchange.runs import ImportedRuns
from dmtheory.interchange.tags import Tags
from dmtheory.interchange.texts import read_yaml, subset_lists
from dmtheory.interchange.torch_files import load_tensor


def load_quanda_subsets(path: Path, *, n_train: int) -> SubsetRows:
    """Load the subsets that quanda's linear datamodeling score was trained on.

    Args:
        path: A YAML file with a list of lists of kept examples, or a `.pt` file with a
            tensor [subsets, size].
        n_train: N.

    Returns:
        Masks.

    Raises:
        ValueError: If the file is missing, damaged or holds something else.
    """
    if path.suffix == ".pt":
        kept = load_tensor(path, axes=(2,))
        if kept.is_floating_point():
            raise ValueError(f"{path} must hold example numbers, got {kept.dtype}")
        return SubsetRows(subsets=tuple(kept.long().numpy()), n_train=n_train)
    return SubsetRows(subsets=subset_lists(read_yaml(path), str(path)), n_train=n_train)


def open_quanda(
    subsets: Path,
    outputs: Path,
    *,
    n_train: int,
    problem: str,
    output: str = "log-likelihood",
) -> ImportedRuns:
    """Open quanda's subsets with the outputs of their models.

    quanda keeps models and no outputs; its score correlates the log-softmax of the
    target's class.

    Args:
        subsets: The list of subsets.
        outputs: What one measured of the models, a `.npy` file [subsets, targets].
        n_train: N.
        problem: Name of the problem.
        output: The output function.

    Returns:
        The models.

    Raises:
        ValueError: If a file is missing, damaged or of other shapes.
    """
    return ImportedRuns.of(
        load_quanda_subsets(subsets, n_train=n_train),
        open_npy(Place.of(outputs, None), axes=2),
        Tags(source="quanda subsets", problem=problem, output=output),
    )
