"""CIFAR-10 from its files, and made-up images of its shape."""

from dmtheory.data.images.cifar10 import cifar10
from dmtheory.data.images.synthetic import synthetic_images

__all__ = ["cifar10", "synthetic_images"]
