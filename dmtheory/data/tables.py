"""Scikit-learn's small real tables: breast cancer and diabetes."""

import torch
from torch import Tensor

from dmtheory.data.dataset import Dataset, Split


def breast_cancer(*, n_train: int = 400, n_targets: int = 20, seed: int = 0) -> Dataset:
    """Return the Wisconsin diagnostic breast cancer records, standardised.

    Thirty measurements of cell nuclei and a column of ones; class 1 is benign. Its
    question is the medical one: which patients' records shape this diagnosis?

    Args:
        n_train: Training records N.
        n_targets: Patients whose diagnosis is explained; other records are held out.
        seed: Seed of the split.

    Returns:
        A data set of 31 features in 2 classes.

    References:
        Street, Wolberg, Mangasarian 1993, Nuclear feature extraction for breast tumor
        diagnosis.
    """
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    classes = tuple(str(c) for c in table.target_names)
    y = torch.from_numpy(table.target).long()
    return _standardised(
        name="breast-cancer",
        raw=torch.from_numpy(table.data),
        y=y,
        split=Split.random(len(y), n_train=n_train, n_targets=n_targets, seed=seed),
        labels=[f"record {i} ({classes[c]})" for i, c in enumerate(y.tolist())],
        feature_names=tuple(map(str, table.feature_names)),
        class_names=classes,
        source="scikit-learn load_breast_cancer (UCI Wisconsin diagnostic)",
    )


def diabetes(*, n_train: int = 350, n_targets: int = 20, seed: int = 0) -> Dataset:
    """Return the diabetes progression records, standardised; a regression.

    Ten baseline measurements and a column of ones; the response is the disease's
    progression after a year, centred and scaled to unit variance on the training rows.

    Args:
        n_train: Training records N.
        n_targets: Patients whose prediction is explained; other records are held out.
        seed: Seed of the split.

    Returns:
        A data set of 11 features with a real response.

    References:
        Efron, Hastie, Johnstone, Tibshirani 2004, Least angle regression.
    """
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    y = torch.from_numpy(table.target)
    split = Split.random(len(y), n_train=n_train, n_targets=n_targets, seed=seed)
    train = y[split.train]
    return _standardised(
        name="diabetes",
        raw=torch.from_numpy(table.data),
        y=(y - train.mean()) / train.std(),
        split=split,
        labels=[f"record {i} (progression {v:.0f})" for i, v in enumerate(y.tolist())],
        feature_names=tuple(map(str, table.feature_names)),
        class_names=(),
        source="scikit-learn load_diabetes (Efron et al. 2004)",
    )


def _standardised(
    *,
    name: str,
    raw: Tensor,
    y: Tensor,
    split: Split,
    labels: list[str],
    feature_names: tuple[str, ...],
    class_names: tuple[str, ...],
    source: str,
) -> Dataset:
    """Standardise features by the training rows and add a column of ones."""
    mean, std = raw[split.train].mean(0), raw[split.train].std(0)
    x = torch.cat([(raw - mean) / std, torch.ones(len(raw), 1).double()], dim=1)
    return Dataset(
        name=name,
        x_train=x[split.train],
        y_train=y[split.train],
        x_target=x[split.target],
        y_target=y[split.target],
        x_held_out=x[split.held_out],
        y_held_out=y[split.held_out],
        train_labels=tuple(labels[i] for i in split.train.tolist()),
        target_labels=tuple(labels[i] for i in split.target.tolist()),
        feature_names=(*feature_names, "intercept"),
        class_names=class_names,
        raw_train=raw[split.train],
        raw_target=raw[split.target],
        source=source,
    )
