"""What the datamodels release publishes: names, types, counts and sizes.

References:
    Ilyas et al. 2022, Datamodels: Predicting Predictions from Training Data; the data's
    README, github.com/MadryLab/datamodels-data (the table of models and that of sizes).
"""

from dataclasses import dataclass

from dmtheory.checks import check_choice

PERCENTS = (10, 20, 50, 75)
SPLITS = ("test", "train")
# Models beyond those for estimation, in every matrix; which rows they are is not said.
EVALUATION_MODELS = 10_000
CLASSES = 10
MASK_TYPE, OUTPUT_TYPE, WEIGHT_TYPE = "bool", "float16", "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One data set of the release.

    Attributes:
        name: Its folder.
        n_train: Training examples.
        n_test: Test examples.
        models: Models for estimation, by percent.
        has_logits: Whether logits of all classes are there.
    """

    name: str
    n_train: int
    n_test: int
    models: dict[int, int]
    has_logits: bool

    def n_targets(self, split: str) -> int:
        """Return how many targets a split has."""
        check_choice(split, SPLITS, "split")
        return self.n_test if split == "test" else self.n_train

    def n_rows(self, percent: int) -> int:
        """Return the rows of each matrix: models for estimation and evaluation."""
        if percent not in self.models:
            known = ", ".join(map(str, self.models))
            raise ValueError(
                f"percent must be one of {known} for {self.name}, got {percent}"
            )
        return self.models[percent] + EVALUATION_MODELS

    def matrix_bytes(self, percent: int) -> int:
        """Return the bytes of masks and of both splits' margins, without headers."""
        margins = 2 * (self.n_train + self.n_test)
        return self.n_rows(percent) * (self.n_train + margins)

    def logit_bytes(self, percent: int) -> int:
        """Return the bytes of both splits' logits, without headers."""
        return self.n_rows(percent) * (self.n_train + self.n_test) * CLASSES * 2

    def weight_bytes(self, split: str) -> int:
        """Return the bytes of one split's datamodels, bias and penalty included."""
        return 4 * (self.n_train + 2) * self.n_targets(split)


CIFAR = Published(
    name="cifar",
    n_train=50_000,
    n_test=10_000,
    models={10: 1_500_000, 20: 750_000, 50: 300_000, 75: 600_000},
    has_logits=True,
)
# The repository does not state the sizes of FMoW's splits; these are the paper's, and
# the published sizes in bytes fit them.
FMOW = Published(
    name="fmow",
    n_train=21_404,
    n_test=3_138,
    models={20: 375_000, 50: 150_000, 75: 300_000},
    has_logits=False,
)
DATASETS = {"cifar": CIFAR, "fmow": FMOW}


def mask_name(percent: int) -> str:
    """Return the name of the file of masks."""
    return f"train_masks_{percent}pct.npy"


def output_name(kind: str, split: str, percent: int) -> str:
    """Return the name of a file of margins or logits."""
    check_choice(kind, ("margins", "logits"), "kind")
    check_choice(split, SPLITS, "split")
    return f"{split}_{kind}_{percent}pct.npy"


def weight_name(split: str, percent: int) -> str:
    """Return the name of a file of datamodels."""
    check_choice(split, SPLITS, "split")
    return f"{split}_{percent}pct.pt"
