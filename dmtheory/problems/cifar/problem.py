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
from dmtheory.problems.outputs import OF_CLASSES
from dmtheory.problems.quality import OF_CLASSIFIERS, Quality
from dmtheory.training.images.lane import Lane
from dmtheory.training.images.measuring import logits
from dmtheory.training.images.pixels import channels_last
from dmtheory.training.images.plan import MODES, STEP_POLICY, Mode
from dmtheory.training.images.precision import Precision
from dmtheory.training.images.recipe import Recipe
from dmtheory.training.images.recipes import FIDELITY
from dmtheory.training.images.running import Running, usual_running
from dmtheory.training.images.stock import make_stock
from dmtheory.training.images.trainer import Trainer
from dmtheory.weighting import NORMALISATIONS, Normalisation


@dataclass(frozen=True, kw_only=True, eq=False)
class Cifar(Placed):
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
        measured = [self._measured(lane) for lane in self.trained(weights, seeds)]
        outputs = torch.stack([found for found, _ in measured]).to(weights.device)
        columns = torch.cat([quality for _, quality in measured]).to(weights.device)
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

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the logits at every training image, unmoved."""
        return self.network.predictions(params)

    def features(self, device: torch.device) -> Tensor:
        """Return the training images on a device."""
        return self.network.features(device)

    def predictions_at(
        self, params: Float[Tensor, " params"], x: Tensor
    ) -> Float[Tensor, "rows classes"]:
        """Return the logits at any images."""
        return self.network.predictions_at(params, x)

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return the loss at every training image."""
        return self.network.prediction_losses(predictions)

    @property
    def n_labels(self) -> int | None:
        """Number of classes."""
        return self.network.n_labels

    def label_losses(
        self, predictions: Float[Tensor, "rows classes"], labels: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the loss of each prediction if its label were this."""
        return self.network.label_losses(predictions, labels)

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return the output at every target."""
        return self.network.target_outputs(params)

    def targets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the targets on a device, with their classes."""
        return self.network.targets(device)

    def outputs_at(
        self, params: Float[Tensor, " params"], x: Tensor, y: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the output at any images with their classes."""
        return self.network.outputs_at(params, x, y)

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return R(theta) = weight_decay/2 |theta|^2."""
        return self.network.penalty(params)

    def _measured(self, lane: Lane) -> tuple[Tensor, Tensor]:
        """Return outputs at the targets, and loss and accuracy on test images."""
        trainer = self.on(lane.stock.device, _trainer_on)
        views = self.on(lane.stock.device, _test_on)

        def at(images: Tensor) -> Tensor:
            evaluated = trainer.evaluated
            return logits(trainer.stock, evaluated, lane.state(), images).double()

        seen = at(views.images)
        quality = Quality.of_classes(seen[None], views.classes)
        toward = seen if views.targets is None else at(views.targets)
        measure = OF_CLASSES[self.output]
        return measure(toward, views.target_classes), quality.columns()

    def _check_differentiable(self) -> None:
        check_smooth(self.recipe)
        if self.groups is not None:
            raise ValueError(
                "groups must be None for derivatives with respect to parameters: take "
                "the influence of images, whose sum over a group is the group's"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shown:
    """Test images on a device; no targets where these are all of them."""

    images: Tensor
    classes: Tensor
    targets: Tensor | None
    target_classes: Tensor


def _test_on(problem: Cifar, device: torch.device) -> _Shown:
    data = problem.data
    apart = data.x_target is not data.x_held_out
    return _Shown(
        images=channels_last(data.x_held_out).to(device),
        classes=data.y_held_out.to(device),
        targets=channels_last(data.x_target).to(device) if apart else None,
        target_classes=data.y_target.to(device),
    )


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
