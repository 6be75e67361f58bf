"""CIFAR-10, or images of its shape, by a recipe: the problem at full scale."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_choice, check_seeds, check_weights
from dmtheory.data.dataset import Dataset
from dmtheory.identity import digest, numbered
from dmtheory.placement import Placed
from dmtheory.problems.base import Description, Fit
from dmtheory.problems.cifar.as_network import Described, as_network
from dmtheory.problems.cifar.checking import (
    check_binary,
    check_groups,
    check_images,
    check_smooth,
    n_classes,
)
from dmtheory.problems.cifar.differentiable import ByNetwork
from dmtheory.problems.cifar.measuring import TestSet, measured
from dmtheory.problems.outputs import OF_CLASSES
from dmtheory.problems.quality import OF_CLASSIFIERS, Quality
from dmtheory.training.images.lane import Lane
from dmtheory.training.images.plan import MODES, STEP_POLICY, Mode
from dmtheory.training.images.precision import Precision
from dmtheory.training.images.recipe import Recipe
from dmtheory.training.images.recipes import FIDELITY
from dmtheory.training.images.running import Running, usual_running
from dmtheory.training.images.stock import make_stock
from dmtheory.training.images.trainer import Trainer
from dmtheory.weighting import NORMALISATIONS, Normalisation


@dataclass(frozen=True, kw_only=True, eq=False)
class Cifar(Placed, ByNetwork):
    """Image classifiers trained by a recipe; the margin is their output by default.

    The objective is J(theta; w) = (1/W) sum_j w_j l_j(theta) + R(theta). Subset mode
    visits the images of weight 1 alone, in steps proportional to their number; weighted
    mode visits all in fixed steps and weighs their losses and, where the network has
    batch normalisation, the batch's statistics, so that weight 0 means absent. The seed
    draws the initialisation, the order of all images, and each image's moves at each
    visit; none of it depends on weights, batch or models trained beside.

    Attributes:
        data: Images as bytes, from `dmtheory.data.cifar10` or `synthetic_images`.
        recipe: The procedure: FIDELITY, THROUGHPUT or SMOOTH.
        mode: "subset" (weights 0 and 1) or "weighted".
        normalisation: "sum" or "count".
        groups: The player of every image, 0, ..., G - 1, where groups are the players:
            weights then have one column a group, and an image has its group's.
        group_labels: One label a group; "group 0" and so on by default.
        device: Where models train; where the weights are if None.
        models_at_once: Models trained side by side on the device.
        execution: How steps run; branches of a captured graph on a GPU and one after
            another elsewhere if None.
        dtype: float64, float32, or bfloat16 and float16 with parameters in float32.
        output: Name of the output function, such as "margin" or "max-margin".
    """

    data: Dataset
    recipe: Recipe = FIDELITY
    mode: Mode = "weighted"
    normalisation: Normalisation = "sum"
    groups: tuple[int, ...] | None = None
    group_labels: tuple[str, ...] = ()
    device: torch.device | str | None = None
    models_at_once: int = 4
    execution: Running | None = None
    dtype: torch.dtype = torch.float32
    output: str = "margin"

    def __post_init__(self) -> None:
        check_choice(self.mode, MODES, "mode")
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.output, tuple(OF_CLASSES), "output")
        check_at_least(self.models_at_once, 1, "models_at_once")
        check_images(self.data)
        check_groups(self.groups, self.group_labels, self.data.n_train)
        Precision(self.dtype)

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name=f"{self.data.name}-{self.recipe.name}",
            digest=digest(
                "images",
                self.data.digest,
                self.recipe,
                self.mode,
                self.normalisation,
                self.groups,
                self.dtype,
                self.output,
            ),
            output=self.output,
            normalisation=self.normalisation,
            step_policy=STEP_POLICY[self.mode],
            train_labels=self._player_labels,
            target_labels=self.data.target_labels,
            qualities=OF_CLASSIFIERS,
        )

    @property
    def _player_labels(self) -> tuple[str, ...]:
        if self.groups is None:
            return self.data.train_labels
        return self.group_labels or numbered("group", max(self.groups) + 1)

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Train one model a row and return the output at every target."""
        return self.measure(weights, seeds)[0]

    def measure(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> tuple[Float[Tensor, "models targets"], Quality]:
        """Return what `respond` does, with loss and accuracy on all test images."""
        rows = [self._measured(lane) for lane in self.trained(weights, seeds)]
        outputs = torch.stack([found for found, _ in rows]).to(weights.device)
        columns = torch.cat([quality for _, quality in rows]).to(weights.device)
        return outputs, Quality(loss=columns[:, 0], accuracy=columns[:, 1])

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Fit:
        """Train one model a row.

        Returns:
            Parameters in float64, whatever they were trained in; networks have no
            certificate of optimality.

        Raises:
            ValueError: If the recipe's network has batch statistics, so that
                parameters alone do not make its predictions.
        """
        self._check_differentiable()
        found = [lane.flat().double() for lane in self.trained(weights, seeds)]
        params = torch.stack(found).to(weights.device)
        self.network.make_ready(weights.device)
        return Fit(
            params=params,
            gradient_norm=torch.full_like(params[:, 0], torch.nan),
            converged=torch.isfinite(params).all(1),
        )

    def trained(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Iterator[Lane]:
        """Train one model a row and yield each in a lane, which the next ones reuse.

        Yields:
            A lane, to be read before the next is asked for.
        """
        check_weights(weights, self.description.n_train)
        check_seeds(seeds, len(weights))
        if self.mode == "subset":
            check_binary(weights)
        device = weights.device if self.device is None else torch.device(self.device)
        weights = weights.to(device)
        if self.groups is not None:
            weights = weights[:, torch.tensor(self.groups, device=device)]
        yield from self.on(device, _trainer_on).train(weights, seeds.cpu())

    @cached_property
    def network(self) -> Described:
        """The same losses and outputs as a `Network` in float64, for K-FAC and others.

        It has the problem's description, so that what is computed by it is an
        attribution of this problem. Train by the problem itself, and give the
        parameters.

        Raises:
            ValueError: If parameters alone do not make predictions, or groups are the
                players.
        """
        self._check_differentiable()
        return as_network(self.description, self.data, self.recipe, self.output)

    def _measured(self, lane: Lane) -> tuple[Tensor, Tensor]:
        """Return outputs at the targets, and loss and accuracy on test images."""
        device = lane.stock.device
        return measured(
            lane.stock,
            self.on(device, _trainer_on).evaluated,
            lane.state(),
            self.on(device, _test_on),
            OF_CLASSES[self.output],
        )

    def _check_differentiable(self) -> None:
        check_smooth(self.recipe)
        if self.groups is not None:
            raise ValueError(
                "groups must be None for derivatives with respect to parameters: take "
                "the influence of images, whose sum over a group is the group's"
            )


def _test_on(problem: Cifar, device: torch.device) -> TestSet:
    return TestSet.of(problem.data, device)


def _trainer_on(problem: Cifar, device: torch.device) -> Trainer:
    data = problem.data
    stock = make_stock(
        problem.recipe,
        Precision(problem.dtype),
        data.x_train,
        data.y_train,
        data.ids,
        n_classes=n_classes(data),
        device=device,
    )
    return Trainer(
        stock,
        mode=problem.mode,
        normalisation=problem.normalisation,
        models_at_once=problem.models_at_once,
        running=problem.execution or usual_running(device),
    )
