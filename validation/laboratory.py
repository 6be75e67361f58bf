"""The suite's laboratory: every estimate is made once and shared by the claims."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.inference.variances import Variances, variances_of
from dmtheory.derivatives.averages.averaged import AveragedDerivative
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import leave_one_out, response_derivative
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.derivatives.units import point_of
from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.pairs import ComplementaryPairs
from dmtheory.designs.perturbations import random_coordinates
from dmtheory.designs.replicates import Replicates
from dmtheory.engines.base import Engine
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import Curvature, ExactHessian
from dmtheory.influence.damping import DampingChoice, choose_damping
from dmtheory.problems.base import Measured, Problem
from dmtheory.responses.collect import collect
from dmtheory.responses.responses import Responses

AveragedBy = FiniteDifference | AveragedDerivative


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A problem of the suite and how much is spent on it.

    Attributes:
        make: Builds the problem.
        summary: What it is, in a sentence.
        p: Inclusion probability of the datamodel.
        n_models: Subsets behind the datamodel.
        n_coordinates: Examples, drawn uniformly, whose derivative is taken; None
            takes all.
        n_averaged: Examples for the subset-averaged derivative; None takes
            `n_coordinates`.
        n_seeds: Training seeds behind each derivative.
        averaged_by: How the subset-averaged derivative is estimated; the step of
            differences is absolute there, since the point moves over [0, 1].
        step: Finite-difference step, as a share of the level.
        curvature: Curvature of influence.
        damping: Damping of influence, fixed: where a claim is about damping itself.
        n_pilot: Subsets on which the damping of influence is chosen anew at each
            point; 0 keeps the fixed one.
        influence_models: Models whose influence is averaged.
        accuracy_floor: Least held-out accuracy (at w = 1, over masks); a network
            below it makes its claims inconclusive.
        n_evaluation: Subsets, of the datamodel's p, on which scores are evaluated.
        paired: Whether the datamodel's subsets are complementary pairs (p = 1/2).
    """

    make: Callable[[], Problem]
    summary: str
    p: float = 0.5
    n_models: int = 0
    n_coordinates: int | None = None
    n_averaged: int | None = None
    n_seeds: int = 1
    averaged_by: AveragedBy = FiniteDifference(step=0.05, n_seeds=2)  # noqa: RUF009
    step: float = 3e-4
    curvature: Curvature = ExactHessian()  # noqa: RUF009 -- frozen, without state
    damping: float = 0.0
    n_pilot: int = 0
    influence_models: int = 1
    accuracy_floor: tuple[float, float] | None = None
    n_evaluation: int = 500
    paired: bool = False

    def subsets(self, seed: int) -> Bernoulli | ComplementaryPairs:
        """Return the design of the datamodel's subsets."""
        if self.paired:
            return ComplementaryPairs(n_pairs=self.n_models // 2, seed=seed)
        return Bernoulli(p=self.p, n_models=self.n_models, seed=seed)


# Streams of experiment seeds: two sides of a comparison never share one.
_STREAMS = (
    "masks",
    "derivative",
    "averaged",
    "leave-one-out",
    "influence",
    "accuracy",
    "fixed size",
    "removals",
    "evaluation",
    "pathwise",
    "same seeds",
    "efficiency",
    "own seeds",
    "damping",
)
# Models whose influence is judged on the pilot, at every damping.
DAMPING_SEEDS = 3


class Laboratory:
    """Makes estimates on demand, keeps them, and reports the trainings as they go."""

    def __init__(
        self,
        settings: dict[str, Setting],
        *,
        seed: int,
        engine: Engine,
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Prepare a laboratory; nothing is trained yet.

        Args:
            settings: Problems by name.
            seed: The suite's seed; every experiment seed derives from it.
            engine: Where trainings run.
            progress: Called with (what, models done, models in all).
        """
        self.settings = settings
        self.seed = seed
        self.models_trained = 0
        self.engine = engine
        self._progress = progress
        self._problems: dict[str, Problem] = {}
        self._kept: dict[tuple[object, ...], Attribution] = {}
        self._responses: dict[str, Responses] = {}
        self._evaluations: dict[str, Responses] = {}
        self._variances: dict[str, Variances] = {}
        self._accuracy: dict[str, dict[str, float] | None] = {}
        self._pilots: dict[str, Responses] = {}
        self._choices: dict[tuple[object, ...], DampingChoice] = {}

    def problem(self, name: str) -> Problem:
        """Return a problem of the suite, built once."""
        if name not in self._problems:
            self._problems[name] = self.settings[name].make()
        return self._problems[name]

    def datamodel(self, name: str) -> Attribution:
        """Return the OLS datamodel on random subsets."""

        def make() -> Attribution:
            responses = self.responses(name)
            return fit_datamodel(responses)

        return self._keep(("datamodel", name), make)

    def responses(self, name: str) -> Responses:
        """Return the outputs of the models on random subsets."""
        if name not in self._responses:
            setting = self.settings[name]
            design = setting.subsets(self.experiment_seed("masks"))
            self._responses[name] = self.collected(name, design, "random subsets")
        return self._responses[name]

    def collected(self, name: str, design: Design, what: str) -> Responses:
        """Train a problem on a design, count the models and say what they are for."""
        responses = collect(
            self.problem(name),
            design,
            engine=self.engine,
            progress=self.counter(f"{name}: {what}", design.n_models),
        )
        self.models_trained += design.n_models
        return responses

    def first_responses(self, name: str, n_models: int) -> Responses:
        """Return the outputs of the first models on random subsets."""
        return self.responses(name).first(n_models)

    def variances(self, name: str) -> Variances:
        """Return what of the outputs on random subsets is linear in the masks."""
        if name not in self._variances:
            outputs = evaluation_of(self.responses(name))
            self._variances[name] = variances_of(outputs)
        return self._variances[name]

    def evaluation(self, name: str, n_models: int | None = None) -> Responses:
        """Return outputs on random subsets that no estimate has seen, or the first."""
        if name not in self._evaluations:
            setting = self.settings[name]
            design = Bernoulli(
                p=setting.p,
                n_models=setting.n_evaluation,
                seed=self.experiment_seed("evaluation"),
            )
            self._evaluations[name] = self.collected(name, design, "evaluation")
        found = self._evaluations[name]
        return found if n_models is None else found.first(n_models)

    def replicated(self, name: str, *, n_subsets: int, n_seeds: int) -> SubsetOutputs:
        """Return outputs of several seeds on each of the evaluation's first subsets."""
        subsets = Bernoulli(
            p=self.settings[name].p,
            n_models=n_subsets,
            seed=self.experiment_seed("evaluation"),
        )
        design = Replicates(design=subsets, n_replicates=n_seeds)
        return evaluation_of(self.collected(name, design, "replicates"))

    def derivative(self, name: str, *, at: float, n: int | None = None) -> Attribution:
        """Return dF/dw at w = at·1 by finite differences, of n examples if stated.

        All points of a problem share their training seeds, so laws that hold seed by
        seed can be checked to rounding.
        """
        coordinates = self.coordinates(name, n or self.settings[name].n_coordinates)
        return self.derivative_of(name, coordinates, at=at, key=n)

    def derivative_of(
        self, name: str, coordinates: tuple[int, ...], *, at: float, key: object
    ) -> Attribution:
        """Return the same of stated examples, kept under a key of their own."""
        setting = self.settings[name]
        method = FiniteDifference(step=setting.step * at, n_seeds=setting.n_seeds)

        def make() -> Attribution:
            return response_derivative(
                self.problem(name),
                method,
                at=at,
                coordinates=coordinates,
                seed=self.experiment_seed("derivative"),
                engine=self.engine,
                progress=self.counter(
                    f"{name}: derivative at {at:g}·1",
                    2 * len(coordinates) * setting.n_seeds,
                ),
            )

        return self._keep(("derivative", name, at, key), make)

    def averaged_derivative(self, name: str) -> Attribution:
        """Return the derivative averaged over subsets and the example's own weight."""
        setting = self.settings[name]
        coordinates = self.coordinates(
            name, setting.n_averaged or setting.n_coordinates
        )
        method = setting.averaged_by

        def make() -> Attribution:
            return response_derivative(
                self.problem(name),
                method,
                at=Bernoulli(p=setting.p),
                coordinates=coordinates,
                seed=self.experiment_seed("averaged"),
                engine=self.engine,
                progress=self.counter(
                    f"{name}: derivative over subsets",
                    _trainings(method, len(coordinates)),
                ),
            )

        return self._keep(("averaged", name), make)

    def leave_one_out(self, name: str) -> Attribution:
        """Return F(1) - F(1 - e_i) by retraining."""
        setting = self.settings[name]
        coordinates = self.coordinates(name, setting.n_coordinates)

        def make() -> Attribution:
            return leave_one_out(
                self.problem(name),
                coordinates=coordinates,
                n_seeds=setting.n_seeds,
                seed=self.experiment_seed("leave-one-out"),
                engine=self.engine,
                progress=self.counter(
                    f"{name}: leave one out",
                    (len(coordinates) + 1) * setting.n_seeds,
                ),
            )

        return self._keep(("leave-one-out", name), make)

    def pathwise(self, name: str, *, at: float, n_seeds: int) -> Attribution:
        """Return dF/dw at w = at·1 through training, of all examples."""

        def make() -> Attribution:
            return response_derivative(
                self.problem(name),
                Pathwise(n_seeds=n_seeds),
                at=at,
                seed=self.experiment_seed("pathwise"),
                engine=self.engine,
                progress=self.counter(f"{name}: through training", n_seeds),
            )

        return self._keep(("pathwise", name, at, n_seeds), make)

    def influence(
        self,
        name: str,
        *,
        at: float | Bernoulli,
        n_models: int | None = None,
        n_pilot: int | None = None,
    ) -> Attribution:
        """Return classical influence at w = at·1, or over subsets, per weight.

        Averaged over so many models, or those of the problem's setting; over a subset
        law over its own number. The damping is the problem's own choice at that point
        (`damping_choice`), whose trainings count in the attribution's.
        """
        setting = self.settings[name]
        n_seeds = n_models or setting.influence_models
        if isinstance(at, Bernoulli):
            n_seeds = at.n_models
        n_pilot = setting.n_pilot if n_pilot is None else n_pilot
        if n_pilot == 0:
            return self.influence_damped(name, setting.damping, at=at, n_models=n_seeds)
        choice = self.damping_choice(name, at=at, n_pilot=n_pilot)

        def make() -> Attribution:
            found = self._damped(name, choice.damping, at, n_seeds)
            # The choice looked at the first of these very models, and at the pilot.
            return replace(
                found,
                seeds=found.seeds | choice.attribution.seeds,
                n_models=max(n_seeds, DAMPING_SEEDS) + n_pilot,
                method=f"{found.method}, chosen by LDS on {n_pilot} subsets",
            )

        key = ("influence", name, at, n_seeds, "pilot", n_pilot)
        return self._keep(key, make, counted=n_pilot)

    def influence_damped(
        self, name: str, damping: float, *, at: float | Bernoulli, n_models: int
    ) -> Attribution:
        """Return classical influence with a damping that is given."""
        key = ("influence", name, at, n_models, damping)
        return self._keep(key, lambda: self._damped(name, damping, at, n_models))

    def _damped(
        self, name: str, damping: float, at: float | Bernoulli, n_models: int
    ) -> Attribution:
        return influence(
            self.problem(name),  # type: ignore[arg-type]
            curvature=self.settings[name].curvature,
            damping=damping,
            at=at,
            n_seeds=n_models,
            seed=self.experiment_seed("influence"),
            progress=self.counter(f"{name}: influence at {point_of(at)}", n_models),
        )

    def damping_choice(
        self, name: str, *, at: float | Bernoulli, n_pilot: int | None = None
    ) -> DampingChoice:
        """Return the damping that predicts a pilot best at a point, chosen once.

        Neither datamodels nor evaluations see the pilot. A subset law counts as one
        point, whatever its number of models.
        """
        n_pilot = n_pilot or self.settings[name].n_pilot
        if isinstance(at, Bernoulli):
            at = replace(at, n_models=DAMPING_SEEDS)
        key = (name, at, n_pilot)
        if key not in self._choices:
            self._choices[key] = choose_damping(
                self.problem(name),  # type: ignore[arg-type]
                self._pilot(name, n_pilot),
                curvature=self.settings[name].curvature,
                at=at,
                n_seeds=DAMPING_SEEDS,
                seed=self.experiment_seed("influence"),
            )
        return self._choices[key]

    def damping(self, name: str, *, at: float | Bernoulli) -> float:
        """Return the damping of influence at a point, chosen there or fixed."""
        setting = self.settings[name]
        if setting.n_pilot == 0:
            return setting.damping
        return self.damping_choice(name, at=at).damping

    def _pilot(self, name: str, n_models: int) -> Responses:
        setting = self.settings[name]
        if name not in self._pilots:
            design = Bernoulli(
                p=setting.p,
                n_models=max(n_models, setting.n_pilot),
                seed=self.experiment_seed("damping"),
            )
            self._pilots[name] = self.collected(name, design, "pilot of the damping")
        return self._pilots[name].first(n_models)

    def made(
        self, key: tuple[object, ...], make: Callable[[], Attribution]
    ) -> Attribution:
        """Return an estimate that a claim makes itself, kept under a key of its own."""
        return self._keep(key, make)

    def kept(self) -> dict[str, Attribution]:
        """Return every estimate that was made, by a name that a file may have."""
        return {
            re.sub(r"[^\w.-]+", "-", " ".join(map(str, key))): attribution
            for key, attribution in self._kept.items()
        }

    def coordinates(self, name: str, n: int | None) -> tuple[int, ...]:
        """Return the examples whose derivative is taken: n drawn uniformly, or all.

        The draw is part of the suite, not of its seed; smaller draws are contained in
        larger ones.
        """
        n_train = self.problem(name).description.n_train
        return random_coordinates(n_train, n or n_train, seed=0)

    def accuracy(self, name: str) -> dict[str, float] | None:
        """Return held-out accuracy at w = 1 and over masks, for classifiers."""
        if name not in self._accuracy:
            self._accuracy[name] = self._measure_accuracy(name)
        return self._accuracy[name]

    def _measure_accuracy(self, name: str) -> dict[str, float] | None:
        problem = self.problem(name)
        if not isinstance(problem, Measured):
            return None
        n_models = 1 if problem.description.deterministic else 16
        design = Bernoulli(
            p=self.settings[name].p, n_models=32, seed=self.experiment_seed("accuracy")
        )
        rows = torch.arange(32)
        masks = design.weights(rows, problem.description.n_train)
        full = torch.ones_like(masks[:n_models])
        points = {
            "at w = 1": (full, design.seeds(rows[:n_models])),
            "over masks": (masks, design.seeds(rows)),
        }
        found = {
            name: problem.measure(weights, seeds)[1].accuracy
            for name, (weights, seeds) in points.items()
        }
        return {
            name: accuracy.mean().item()
            for name, accuracy in found.items()
            if accuracy is not None
        } or None

    def experiment_seed(self, stream: str) -> int:
        """Return the experiment seed of a stream of trainings."""
        return self.seed * 100 + _STREAMS.index(stream)

    def blocked(self, name: str) -> str:
        """Return why a problem's claims cannot be judged: a model that learned nothing.

        Empty where nothing stands in the way.
        """
        floors = self.settings[name].accuracy_floor
        accuracy = self.accuracy(name)
        if floors is None or accuracy is None:
            return ""
        for (where, value), floor in zip(accuracy.items(), floors, strict=True):
            if value < floor:
                return f"held-out accuracy {where} is {value:.3f}, below {floor}"
        return ""

    def _keep(
        self,
        key: tuple[object, ...],
        make: Callable[[], Attribution],
        *,
        counted: int = 0,
    ) -> Attribution:
        """Make an estimate once and count its trainings but those counted before."""
        if key not in self._kept:
            self._kept[key] = make()
            if key[0] != "datamodel":
                self.models_trained += self._kept[key].n_models - counted
        return self._kept[key]

    def counter(self, what: str, total: int) -> Callable[[int], None]:
        """Return a callback that adds up finished models and reports them."""
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            self._progress(what, done, total)

        self._progress(what, 0, total)
        return count


def _trainings(method: AveragedBy, n_rows: int) -> int:
    """Return what a subset-averaged derivative of so many examples takes."""
    if isinstance(method, AveragedDerivative):
        return method.rule.n_models(method.n_units, n_rows)
    return 4 * n_rows * method.n_seeds
