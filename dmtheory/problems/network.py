"""Neural networks, many at once: any torch module, its loss and its output."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call

from dmtheory.checks import check_choice, check_seeds, check_weights
from dmtheory.data.dataset import Dataset
from dmtheory.designs.seeds import Purpose, model_seeds
from dmtheory.identity import digest
from dmtheory.placement import Placed
from dmtheory.problems.base import Description, Fit
from dmtheory.problems.outputs import OF_CLASSES, OF_RESPONSES
from dmtheory.problems.quality import OF_CLASSIFIERS, OF_REGRESSIONS, Quality
from dmtheory.training.augmentation import Augmentation
from dmtheory.training.batchable import check_batchable
from dmtheory.training.execution import Execution, Vmapped
from dmtheory.training.losses import CrossEntropy, Loss, SquaredError
from dmtheory.training.modules import prepared
from dmtheory.training.procedures import SGD, Procedure
from dmtheory.training.task import Task, unflattened
from dmtheory.training.unrolled import Unrolled
from dmtheory.weighting import NORMALISATIONS, Normalisation

_TYPES = (torch.float64, torch.float32)
_MOST_HELD_OUT = 500
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, eq=False)
class Network(Placed):
    """A network trained on weighted examples; the margin is its output by default.

    The objective is J(theta; w) = (1/W) sum_j w_j l_j(theta) + R(theta). A batch B
    estimates its data term by (N/|B|)/W times the weighted sum over B, so the divisor
    never depends on the weights inside the batch. A batch whose weights are all zero
    takes the regulariser's step only. The seed draws the initialisation, dropout,
    augmentation and, where each model has its own, the order.

    Attributes:
        make_module: Returns a freshly initialised module, which takes a batch of
            examples. Its parameters that require gradients are trained.
        data: Training examples, targets and held-out examples.
        training: The training procedure.
        loss: l_j of the predictions at a batch, [examples]; by default the
            cross-entropy of a classifier, half the squared error of a regression.
        output: Name of the output function: margin, max-margin, logit,
            log-likelihood, loss or probability of a classifier, prediction or
            squared-error of a regression with one output.
        augment: A random change of each example in training.
        normalisation: "sum" or "count".
        dtype: Precision of training; single precision has a floor under which finite
            differences are noise.
        execution: Who trains together.
    """

    make_module: Callable[[], nn.Module]
    data: Dataset
    training: Procedure = field(default_factory=SGD)
    loss: Loss | None = None
    output: str = "margin"
    augment: Augmentation | None = None
    normalisation: Normalisation = "sum"
    dtype: torch.dtype = torch.float64
    execution: Execution = field(default_factory=Vmapped)

    def __post_init__(self) -> None:
        check_choice(self.normalisation, NORMALISATIONS, "normalisation")
        check_choice(self.output, (*OF_CLASSES, *OF_RESPONSES), "output")
        if self.dtype not in _TYPES:
            raise ValueError(
                f"dtype must be torch.float64 or torch.float32, got {self.dtype}"
            )
        task = self.task()
        self._check_predictions(task)
        self.execution.check(task)
        self._make(task.device)

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name=f"{self.data.name}-network",
            digest=digest(
                "network",
                str(self.task().module),
                self._fingerprint,
                self.data.digest,
                self.training,
                self.task().loss,
                self.output,
                self.augment,
                self.normalisation,
                self.dtype,
            ),
            output=self.output,
            normalisation=self.normalisation,
            step_policy=self.training.step_policy,
            train_labels=self.data.train_labels,
            target_labels=self.data.target_labels,
            qualities=OF_CLASSIFIERS if self._classifies else OF_REGRESSIONS,
        )

    def initial(
        self, seeds: Int64[Tensor, " models"]
    ) -> Float[Tensor, "models params"]:
        """Return each model's initialisation, by the module's own rule.

        The global generator is seeded for each model and restored afterwards.
        """
        draws = model_seeds(0, seeds.cpu(), Purpose.INITIALISATION).tolist()
        rows = []
        with torch.random.fork_rng(devices=[]):
            for draw in draws:
                # This generator alone: seeding all devices costs more than a module.
                torch.default_generator.manual_seed(draw)
                made = [p for p in self.make_module().parameters() if p.requires_grad]
                rows.append(torch.cat([p.detach().flatten() for p in made]))
        return torch.stack(rows).to(self.dtype).to(seeds.device)

    def fit(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Fit:
        """Train one model a row.

        Returns:
            Parameters; networks have no certificate of optimality.

        Raises:
            ValueError: If the module changes buffers in training, so that parameters
                alone do not make its predictions.
        """
        moved = self.task().state_names
        if moved:
            raise ValueError(
                "make_module must return a module whose predictions its parameters "
                f"make, but training changes the buffer {moved[0]!r}: "
                "influence has no meaning there; use a normalisation without batch "
                "statistics"
            )
        params = torch.cat(list(self._chunks(weights, seeds)))
        return Fit(
            params=params,
            gradient_norm=torch.full_like(params[:, 0], torch.nan),
            converged=torch.isfinite(params).all(1),
        )

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Train one model a row and return the output at every target."""
        return torch.cat([self._outputs(part) for part in self._chunks(weights, seeds)])

    def measure(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> tuple[Float[Tensor, "models targets"], Quality]:
        """Return what `respond` does, with held-out loss and accuracy."""
        outputs, qualities = [], []
        for chunk in self._chunks(weights, seeds):
            outputs.append(self._outputs(chunk))
            qualities.append(self.quality(chunk))
        return torch.cat(outputs), Quality.together(qualities)

    def quality(self, params: Float[Tensor, "models params"]) -> Quality:
        """Return accuracy and mean cross-entropy, or error, on held-out examples.

        Of the first 500 at most: measuring all would cost a fifth of the training of a
        small network, and tell an accuracy no better than it needs to be.
        """
        data, task = self._data(params.device), self.task(params.device)
        x, y = data.x_held_out[:_MOST_HELD_OUT], data.y_held_out[:_MOST_HELD_OUT]

        def one(state: Tensor) -> Tensor:
            found = self.predictions_at(state, x)[None]
            if self._classifies:
                quality = Quality.of_classes(found, y)
            else:
                quality = Quality.of_responses(found.squeeze(-1), y)
            return quality.columns()[0]

        columns = self.execution.measure(task, one, params, len(x))
        return Quality(
            loss=columns[:, 0], accuracy=columns[:, 1] if self._classifies else None
        )

    def _outputs(self, state: Tensor) -> Float[Tensor, "models targets"]:
        task, n_targets = self.task(state.device), self.description.n_targets
        found = self.execution.measure(task, self.target_outputs, state, n_targets)
        return found.double()

    def unrolled(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Unrolled:
        """Return the steps of training, each of which can be differentiated.

        Raises:
            ValueError: If the steps taken depend on the weights, or an example's
                prediction depends on other examples or on random numbers of the
                module's own.
        """
        check_weights(weights, self.description.n_train)
        check_seeds(seeds, len(weights))
        if self.training.step_policy == "proportional":
            raise ValueError(
                "training must take fixed steps to be differentiated: proportional "
                "steps know weights of 0 and 1 alone; say step_policy='fixed'"
            )
        # However it is executed: a step is differentiated for many models at once.
        check_batchable(self.task())
        self._make(weights.device)
        return Unrolled(
            task=self.task(weights.device),
            start=self.initial(seeds),
            weights=weights.double(),
            seeds=seeds,
        )

    def predictions(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, "train classes"]:
        """Return the module's predictions at every training example."""
        return self.predictions_at(params, self.features(params.device))

    def features(self, device: torch.device) -> Tensor:
        """Return the training examples on a device, as the module takes them."""
        return self._data(device).x_train

    def predictions_at(
        self, params: Float[Tensor, " state"], x: Tensor
    ) -> Float[Tensor, "rows classes"]:
        """Return the module's predictions at any examples, each row's from its own."""
        module, task = self.on(params.device, _evaluated_on), self.task()
        like: dict[str, Tensor] = {n: module.get_parameter(n) for n in task.names}
        like |= {name: module.get_buffer(name) for name in task.state_names}
        return functional_call(module, unflattened(like, params), (x,))

    def prediction_losses(
        self, predictions: Float[Tensor, "train classes"]
    ) -> Float[Tensor, " train"]:
        """Return the loss at every training example."""
        return self.label_losses(predictions, self.labels(predictions.device))

    def labels(self, device: torch.device) -> Tensor:
        """Return the training examples' classes or responses on a device."""
        return self._data(device).y_train

    @cached_property
    def n_labels(self) -> int | None:
        """Number of classes that the module tells apart; None of a regression."""
        if not self._classifies:
            return None
        with torch.no_grad():
            found = self.on(_CPU, _evaluated_on)(self.features(_CPU)[:1])
        return int(found.shape[1])

    def label_losses(
        self, predictions: Float[Tensor, "rows classes"], labels: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the loss of each prediction if its label were this."""
        return self.task().loss(predictions, labels)

    def task(self, device: torch.device = _CPU) -> Task:
        """Return what one step of training needs: module, examples, loss, procedure."""
        return self.on(device, _task_on)

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return the output at every target."""
        return self.outputs_at(params, *self.targets(params.device))

    def targets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the targets on a device, with their classes or responses."""
        data = self._data(device)
        return data.x_target, data.y_target

    def outputs_at(
        self, params: Float[Tensor, " params"], x: Tensor, y: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return the output at any examples with their classes or responses."""
        measure = {**OF_CLASSES, **OF_RESPONSES}[self.output]
        return measure(self.predictions_at(params, x), y)

    def penalty(self, params: Float[Tensor, " params"]) -> Float[Tensor, ""]:
        """Return R(theta) = weight_decay/2 |theta|^2."""
        return 0.5 * self.training.weight_decay * (params**2).sum()

    def _chunks(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Iterator[Float[Tensor, "models state"]]:
        """Yield trained parameters, with buffers that training changed, by chunks."""
        check_weights(weights, self.description.n_train)
        check_seeds(seeds, len(weights))
        self._check_binary(weights)
        self._make(weights.device)
        task = self.task(weights.device)
        # As equal as can be: a small rest takes nearly as long as a whole chunk.
        n_chunks = -(-len(weights) // self.execution.chunk(task))
        size = -(-len(weights) // max(n_chunks, 1))
        for w, s in zip(weights.split(size), seeds.split(size), strict=True):
            yield self.execution.train(task, self.initial(s), w.double(), s)

    def _make(self, device: torch.device) -> None:
        """Make what is kept on a device, outside of any torch.func transform."""
        self.on(device, _task_on)
        self.on(device, _data_on)
        self.on(device, _evaluated_on)

    def _check_binary(self, weights: Tensor) -> None:
        if self.training.step_policy == "proportional" and bool(
            ((weights != 0) & (weights != 1)).any()
        ):
            raise ValueError(
                "weights must be 0 or 1 under proportional steps, which visit the "
                "subset alone: use step_policy='fixed' for other weights"
            )

    @property
    def _classifies(self) -> bool:
        return self.output in OF_CLASSES

    def _data(self, device: torch.device) -> Dataset:
        return self.on(device, _data_on)

    @property
    def _fingerprint(self) -> list[float]:
        """A few first predictions: modules that print alike may compute differently.

        Rounded, so that the digest is the same on machines that round differently.
        """
        seed = torch.zeros(1, dtype=torch.int64)
        params, module = self.initial(seed)[0].double(), self.task().module
        # In double precision, whose noise the rounding hides.
        exact = copy.deepcopy(module).double().eval()
        x = self._data(params.device).x_target[:2]
        x = x.double() if x.is_floating_point() else x
        with torch.no_grad():
            like = {name: module.get_parameter(name) for name in self.task().names}
            found = functional_call(exact, unflattened(like, params), (x,))
        return [float(f"{value:.5g}") for value in found.flatten().tolist()]

    def _check_predictions(self, task: Task) -> None:
        """Raise unless the module's predictions fit the classes or responses."""
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                found = copy.deepcopy(task.module)(task.x[:2])
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                "make_module must return a module that takes a batch of examples of "
                f"shape {tuple(task.x[:2].shape)}, but it fails: {reason}"
            ) from error
        if not isinstance(found, Tensor) or found.ndim != 2:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found)
            raise ValueError(
                "make_module must return a module with predictions of shape (batch, "
                f"outputs), got {shape} for a batch of {len(task.x[:2])}"
            )
        n_outputs = found.shape[1]
        y = torch.cat([self.data.y_train, self.data.y_target, self.data.y_held_out])
        if not self._classifies:
            if n_outputs != 1:
                raise ValueError(
                    "make_module must return a module with one output for "
                    f"{self.output}, got {n_outputs}"
                )
        elif y.is_floating_point() or int(y.min()) < 0:
            raise ValueError(
                f"data must have whole classes 0, 1, ... for the output {self.output}, "
                f"got {y.dtype}: for a regression say loss=SquaredError(), "
                "output='prediction'"
            )
        elif n_outputs < 2 or int(y.max()) >= n_outputs:
            raise ValueError(
                "make_module must return a module with at least "
                f"{max(int(y.max()) + 1, 2)} outputs, one a class, got {n_outputs}"
            )
        self._check_loss(task, found)

    def _check_loss(self, task: Task, predictions: Tensor) -> None:
        wrong = SquaredError if self._classifies else CrossEntropy
        if isinstance(task.loss, wrong):
            raise ValueError(
                f"loss must fit the output {self.output}, got {task.loss}: leave it "
                "out for the usual one, or name another output"
            )
        losses = task.loss(predictions.detach(), task.y[: len(predictions)])
        if losses.shape != predictions.shape[:1]:
            raise ValueError(
                "loss must return one number an example, shape "
                f"{tuple(predictions.shape[:1])}, got {tuple(losses.shape)}: take no "
                "mean over the batch (reduction='none')"
            )


def _data_on(problem: Network, device: torch.device) -> Dataset:
    return problem.data.cast(problem.dtype).to(device)


def _task_on(problem: Network, device: torch.device) -> Task:
    data = _data_on(problem, device)
    module = prepared(problem.make_module, problem.dtype).to(device)
    usual = CrossEntropy() if problem.output in OF_CLASSES else SquaredError()
    return Task(
        module=module,
        names=tuple(n for n, p in module.named_parameters() if p.requires_grad),
        x=data.x_train,
        y=data.y_train,
        ids=problem.data.ids,
        loss=usual if problem.loss is None else problem.loss,
        augment=problem.augment,
        procedure=problem.training,
        normalisation=problem.normalisation,
    )


def _evaluated_on(problem: Network, device: torch.device) -> nn.Module:
    return copy.deepcopy(problem.on(device, _task_on).module).eval()
