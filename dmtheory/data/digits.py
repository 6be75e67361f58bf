"""Scikit-learn's 8 x 8 handwritten digits."""

import torch

from dmtheory.data.dataset import Dataset, Split


def digits(*, n_train: int = 300, n_targets: int = 30, seed: int = 0) -> Dataset:
    """Return handwritten digits, pixels scaled to [0, 1].

    Args:
        n_train: Training examples N.
        n_targets: Targets; the remaining images are held out.
        seed: Seed of the split.

    Returns:
        A data set of 64 pixels in 10 classes.

    References:
        Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI.
    """
    from sklearn.datasets import load_digits

    table = load_digits()
    x = torch.from_numpy(table.data) / 16.0
    y = torch.from_numpy(table.target).long()
    split = Split.random(len(x), n_train=n_train, n_targets=n_targets, seed=seed)

    def label(row: int) -> str:
        return f"image {row} (a {int(y[row])})"

    return Dataset(
        name="digits",
        x_train=x[split.train],
        y_train=y[split.train],
        x_target=x[split.target],
        y_target=y[split.target],
        x_held_out=x[split.held_out],
        y_held_out=y[split.held_out],
        train_labels=tuple(map(label, split.train.tolist())),
        target_labels=tuple(map(label, split.target.tolist())),
        feature_names=tuple(f"pixel {i // 8},{i % 8}" for i in range(64)),
        class_names=tuple(str(c) for c in range(10)),
        image_shape=(8, 8),
        raw_train=x[split.train],
        raw_target=x[split.target],
        source="scikit-learn load_digits (UCI optical recognition of digits)",
    )
