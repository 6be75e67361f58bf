"""Subpopulations: examples that act on the same targets lie close together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.applications.rand_index import adjusted_rand
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_choice
from dmtheory.designs.seeds import Purpose, permutations

AXES = ("train", "targets")


def vectors_of(
    attribution: Attribution, axis: str = "train"
) -> Float[Tensor, "examples entries"]:
    """Return what an attribution says of each example: its scores on all others.

    Args:
        attribution: Scores.
        axis: "train" takes a training example's scores for all targets, "targets" a
            target's scores of all training examples.

    Returns:
        One row an example.

    Raises:
        ValueError: If there is no such axis.
    """
    check_choice(axis, AXES, "axis")
    return attribution.scores if axis == "train" else attribution.scores.T


def embedding(
    vectors: Float[Tensor, "examples entries"], n_components: int
) -> Float[Tensor, "examples components"]:
    """Return principal components of vectors of unit length.

    An example's length says how much it matters, its direction for whom; groups are a
    matter of direction. The same is done to raw features that it is compared with.

    Args:
        vectors: One row an example; rows of zeros stay zero.
        n_components: How many, at least 1; fewer where there are fewer.

    Returns:
        Coordinates along the components of largest variance, largest first. Their
        signs mean nothing.

    Raises:
        ValueError: If n_components < 1.
    """
    check_at_least(n_components, 1, "n_components")
    lengths = vectors.norm(dim=1, keepdim=True)
    unit = vectors / torch.where(lengths > 0, lengths, 1.0)
    left, sizes, _ = torch.linalg.svd(unit - unit.mean(0), full_matrices=False)
    return (left * sizes)[:, :n_components]


def clusters(
    points: Float[Tensor, "examples components"], n_clusters: int, *, seed: int = 0
) -> Int64[Tensor, " examples"]:
    """Return a cluster for every point, by k-means.

    Args:
        points: One row an example.
        n_clusters: How many clusters.
        seed: Seed of the starting points; the best of ten starts is taken.

    Returns:
        Cluster numbers, which mean nothing beyond who shares one.
    """
    from sklearn.cluster import KMeans

    check_at_least(n_clusters, 1, "n_clusters")
    check_at_least(len(points), n_clusters, "number of points")
    found = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(points.numpy())
    return torch.from_numpy(found).long()


def subpopulations(
    attribution: Attribution,
    n_clusters: int,
    *,
    axis: str = "train",
    n_components: int = 15,
    seed: int = 0,
) -> Int64[Tensor, " examples"]:
    """Group examples that act alike on the targets, or targets that are acted on alike.

    Args:
        attribution: Scores.
        n_clusters: How many groups.
        axis: "train" groups training examples, "targets" groups targets.
        n_components: Principal components that are kept.
        seed: Seed of the starting points.

    Returns:
        A group for every row or column.

    References:
        Ilyas et al. 2022, Datamodels, section 4.3 (datamodel embeddings).
    """
    points = embedding(vectors_of(attribution, axis), n_components)
    return clusters(points, n_clusters, seed=seed)


def permuted_columns(
    vectors: Float[Tensor, "examples entries"], *, seed: int
) -> Float[Tensor, "examples entries"]:
    """Return the same numbers, each column in an order of its own: a null embedding.

    Args:
        vectors: One row an example.
        seed: Seed of the orders.

    Returns:
        Vectors with the same distribution of every entry, and nothing that entries of
        an example have in common.
    """
    n_examples, n_entries = vectors.shape
    orders = permutations(
        seed, Purpose.SPLIT, torch.arange(n_entries), torch.arange(n_examples)
    )
    return vectors.gather(0, orders.T)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovery:
    """How well clusterings recover groups that are known, by name.

    Attributes:
        names: One name a clustering.
        values: Adjusted Rand index of each.
        draws: The same of resampled examples.
    """

    names: tuple[str, ...]
    values: Float[Tensor, " names"]
    draws: Float[Tensor, "names draws"]

    def index(self, name: str) -> Interval:
        """Return a clustering's adjusted Rand index."""
        place = self._place(name)
        return centred_interval(self.values[place], self.draws[place]).clipped(
            -1.0, 1.0
        )

    def difference(self, name: str, other: str) -> Interval:
        """Return one index minus another, on the same resampled examples."""
        one, two = self._place(name), self._place(other)
        return centred_interval(
            self.values[one] - self.values[two], self.draws[one] - self.draws[two]
        )

    def _place(self, name: str) -> int:
        check_choice(name, self.names, "name")
        return self.names.index(name)


def recovery(
    clusterings: Mapping[str, Tensor | Sequence[Tensor]],
    groups: Int64[Tensor, " examples"],
    *,
    examples: Tensor | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Recovery:
    """Hold clusterings to known groups, with intervals over examples.

    The clusterings are held fixed and examples resampled; a pair counts only if it is
    of two different examples, so that repeated ones do not agree with themselves.

    Args:
        clusterings: A cluster for every example, by name; several clusterings under
            one name (of permuted vectors, say) are averaged.
        groups: The known group of every example.
        examples: Which examples are judged, all by default; clusterings are of all.
        draws: Bootstrap draws, at least 1,000.
        seed: Seed of the resampling.

    Returns:
        Adjusted Rand indices: 1 for the same partition, 0 on average for one that has
        nothing to do with it.

    Raises:
        ValueError: If there is no clustering, or one has another length.
    """
    check_at_least(len(clusterings), 1, "number of clusterings")
    judged = torch.arange(len(groups)) if examples is None else examples
    truth = groups[judged]
    counts = resample_counts(len(truth), 1, draws=draws, seed=seed)
    once = torch.ones(1, len(truth), dtype=torch.float64)
    values, samples = [], []
    for name, given in clusterings.items():
        several = [given] if isinstance(given, Tensor) else list(given)
        for clustering in several:
            if len(clustering) != len(groups):
                raise ValueError(
                    f"clusterings[{name!r}] must have one entry an example "
                    f"({len(groups)}), got {len(clustering)}"
                )
        found = [
            torch.cat([adjusted_rand(c[judged], truth, n)[None] for c in several]).mean(
                0
            )
            for n in (once, counts)
        ]
        values.append(found[0][0])
        samples.append(found[1])
    return Recovery(
        names=tuple(clusterings), values=torch.stack(values), draws=torch.stack(samples)
    )
