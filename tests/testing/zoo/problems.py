"""Wrong problems, each one step away from ridge regression on seven examples."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from samples import table
from torch import Tensor
from zoo.wrong import Wrong

from dmtheory.problems import Description, Fit, LeastSquares

DATA = table(7, 2, seed=3)


@dataclass(frozen=True, eq=False)
class Around:
    """A right problem whose answers are changed on the way."""

    data: Any = DATA

    @cached_property
    def inner(self) -> LeastSquares:
        return LeastSquares(data=self.data, ridge=0.1)

    @property
    def description(self) -> Description:
        return self.inner.description

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        return self.inner.respond(weights, seeds)


def answering(
    respond: Callable[[Around, Tensor, Tensor], Tensor], **described: Any
) -> Any:
    class Wrongly(Around):
        @property
        def description(self) -> Description:
            return replace(self.inner.description, **described)

        def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
            return respond(self, weights, seeds)

    return Wrongly()


def hidden_noise(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    right = self.inner.respond(weights, seeds)
    return right + torch.randn(1).double()


def seeds_ignored(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    return self.inner.respond(weights, seeds)


def batch_of_models(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    right = self.inner.respond(weights, seeds)
    return right + 0.1 * right.mean(0)


def counts_everyone(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    inner = replace(self.inner, normalisation="count")
    return inner.respond(weights, seeds)


def batch_statistics(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    x = self.data.x_train
    data = replace(
        self.data, x_train=x / x.std(0), x_target=self.data.x_target / x.std(0)
    )
    return replace(self.inner, data=data).respond(weights, seeds)


def rounded(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    total = weights.sum(1, keepdim=True).clamp_min(1e-9)
    # A jump at w_0 = the largest of the others' weights, where the probes start.
    share = weights[:, :1] / total > weights[:, 1:].amax(1, keepdim=True) / total
    return self.inner.respond(weights, seeds) + share.double()


def any_weights(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    n = self.description.n_train
    padded = torch.cat([weights, torch.ones(len(weights), n).double()], 1)[:, :n]
    return self.inner.respond(padded.nan_to_num(0.0).abs(), seeds)


def undefined_at_nothing(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    right = self.inner.respond(weights, seeds)
    return right / (weights.sum(1, keepdim=True) > 0)


def single_precision(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    return self.inner.respond(weights, seeds).float()


def normalises_in_place(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    right = self.inner.respond(weights, seeds)
    weights.div_(weights.sum(1, keepdim=True).clamp_min(1e-9))
    return right


def noise_by_row_number(self: Around, weights: Tensor, seeds: Tensor) -> Tensor:
    rows = torch.linspace(-1, 1, weights.shape[1]).double()
    tilted = weights * (1 + 0.2 * rows)
    return self.inner.respond(tilted, seeds)


class MeasuresLosses(LeastSquares):
    """What respond returns is not what the parameters are measured by."""

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        return super().respond(weights, seeds).square()


class PenaltyInLosses(LeastSquares):
    """The penalty is in the losses too."""

    def prediction_losses(self, predictions: Tensor) -> Tensor:
        extra = 0.05 * predictions.square().squeeze(-1)
        return super().prediction_losses(predictions) + extra


class StoppedEarly(LeastSquares):
    """Training ends before its minimum, and says nothing."""

    def fit(self, weights: Tensor, seeds: Tensor, *, keep_factor: bool = False) -> Fit:
        fit = super().fit(weights, seeds, keep_factor=keep_factor)
        return replace(fit, params=0.98 * fit.params)


PROBLEMS = (
    Wrong(
        mistake="noise from a global generator",
        by=("determinism",),
        estimator=answering(hidden_noise),
    ),
    Wrong(
        mistake="seeds without effect",
        by=("seeds as described",),
        estimator=answering(seeds_ignored, deterministic=False),
        seen="quanda `train_subset_model` (never re-initialised)",
    ),
    Wrong(
        mistake="models of a batch see each other",
        by=("chunk invariance",),
        estimator=answering(batch_of_models),
    ),
    Wrong(
        mistake="divides by N and says `sum`",
        by=("scale-free",),
        estimator=answering(counts_everyone),
    ),
    Wrong(
        mistake="statistics of examples of weight 0",
        by=("weight 0 = absent",),
        estimator=answering(batch_statistics),
        seen="batch normalisation under weighted losses",
    ),
    Wrong(
        mistake="an output that jumps", by=("continuity",), estimator=answering(rounded)
    ),
    Wrong(
        mistake="any weights taken",
        by=("bad input refused",),
        estimator=answering(any_weights),
    ),
    Wrong(
        mistake="not a number for the empty subset",
        by=("defined everywhere",),
        estimator=answering(undefined_at_nothing),
    ),
    Wrong(
        mistake="single precision",
        by=("outputs",),
        estimator=answering(single_precision),
    ),
    Wrong(
        mistake="the caller's weights divided in place",
        by=("inputs kept",),
        estimator=answering(normalises_in_place),
    ),
    Wrong(
        mistake="randomness by row number, not by id",
        by=("train permutation",),
        estimator=answering(noise_by_row_number),
    ),
    Wrong(
        mistake="respond and target_outputs measure two things",
        by=("fit and respond",),
        estimator=MeasuresLosses(data=DATA, ridge=0.1),
        seen="trak #22, #65 (which f?)",
    ),
    Wrong(
        mistake="the penalty is in the losses too",
        by=("stationarity",),
        estimator=PenaltyInLosses(data=DATA, ridge=0.1),
    ),
    Wrong(
        mistake="training stopped early",
        by=("stationarity",),
        estimator=StoppedEarly(data=DATA, ridge=0.1),
        seen="alibi PR #80, influence-release #10",
    ),
)
