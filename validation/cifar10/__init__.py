"""The CIFAR-10 suite: the claims on deep networks, within a budget of time."""
