"""Filters that whiten small patches of images."""

import torch
from jaxtyping import Float
from torch import Tensor

_DAMPING = 5e-4


def whitening_filters(
    images: Float[Tensor, "images side side2 channels"], size: int
) -> Float[Tensor, "filters channels size size"]:
    """Return eigenvectors of the patches' second moments over their scale, and minus.

    Args:
        images: Scaled images, channels last.
        size: Side of a patch.

    Returns:
        2 x channels x size^2 filters; each eigenvector's largest entry is positive, so
        that machines agree on signs.

    References:
        Page 2019, How to train your ResNet; KellerJordan/cifar10-airbench: the damping.
    """
    patches = images.permute(0, 3, 1, 2).unfold(2, size, 1).unfold(3, size, 1)
    channels = patches.shape[1]
    flat = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    largest = vectors.abs().argmax(0, keepdim=True)
    vectors = vectors * vectors.gather(0, largest).sign()
    filters = (vectors / (values + _DAMPING).sqrt()).T
    return torch.cat([filters, -filters]).unflatten(1, (channels, size, size))
