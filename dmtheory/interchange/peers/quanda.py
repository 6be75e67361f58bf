"""What quanda writes: a list of subsets; outputs are the user's own."""

from dmtheory.interchange.files.npy import open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.texts import read_yaml, subset_lists
from dmtheory.interchange.files.torch_files import load_tensor
from dmtheory.interchange.imported.rows import SubsetRows
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags


def load_quanda_subsets(location: Location | Place, *, n_train: int) -> SubsetRows:
    """Load the subsets that quanda's linear datamodeling score was trained on.

    Args:
        location: A YAML file with a list of lists of kept examples, or a `.pt` file
            with a tensor [subsets, size].
        n_train: N.

    Returns:
        Masks.

    Raises:
        ValueError: If the file is missing, damaged or holds something else.
    """
    place = Place.of(location)
    if place.name.endswith(".pt"):
        rows = load_tensor(place, axes=(2,))
        kept = tuple(rows.read(0, rows.shape[0]))
    else:
        kept = subset_lists(read_yaml(place), str(place))
    sizes = {len(subset) for subset in kept[:-1]}
    # A list that ends too early is sound YAML; quanda draws subsets of one size.
    if len(sizes) == 1 and len(kept[-1]) < min(sizes):
        raise ValueError(
            f"{place} must hold subsets of one size, got {len(kept[-1])} examples in "
            f"the last and {min(sizes)} in all others: it was cut short"
        )
    return SubsetRows(subsets=kept, n_train=n_train)


def open_quanda(
    subsets: Location | Place,
    outputs: Location | Place,
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
        open_npy(Place.of(outputs), axes=2),
        Tags(source="quanda subsets", problem=problem, output=output),
    )
