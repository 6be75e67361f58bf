"""Training and test images as a data set: players, targets, and who tells accuracy."""

import torch
from jaxtyping import Int64
from torch import Tensor

from dmtheory.data.dataset import Dataset
from dmtheory.data.images.labelled import SIDE, LabelledImages


def with_roles(
    name: str,
    train: LabelledImages,
    test: LabelledImages,
    targets: Int64[Tensor, " targets"],
    *,
    class_names: tuple[str, ...],
    source: str,
) -> Dataset:
    """Return training images, targets among the test images, and all test images.

    Where every test image is a target, both are the same tensor: it is kept once and
    predicted once.

    Args:
        name: A short name for people.
        train: The players.
        test: Images for the held-out accuracy.
        targets: Places of the targets among the test images.
        class_names: One name a class.
        source: Where they come from, in words.

    Returns:
        The data set.
    """
    every = torch.equal(targets, torch.arange(len(test.rows)))
    test_labels = test.labels(class_names)
    return Dataset(
        name=name,
        x_train=train.images,
        y_train=train.classes,
        x_target=test.images if every else test.images[targets],
        y_target=test.classes if every else test.classes[targets],
        x_held_out=test.images,
        y_held_out=test.classes,
        train_labels=train.labels(class_names),
        target_labels=tuple(f"test {test_labels[i]}" for i in targets.tolist()),
        train_ids=train.rows,
        class_names=class_names,
        image_shape=(SIDE, SIDE),
        source=source,
    )
