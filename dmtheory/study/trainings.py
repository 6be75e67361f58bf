"""What a study trains, each piece with an experiment seed of its own."""

from collections.abc import Callable

from dmtheory.agreement.scale_free import ScaleCheck, scale_free
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.method import At
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.pairs import ComplementaryPairs
from dmtheory.designs.perturbations import random_coordinates
from dmtheory.designs.replicates import Replicates
from dmtheory.engines.base import Engine
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import ExactHessian
from dmtheory.influence.damping import choose_damping
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.responses.collect import collect
from dmtheory.responses.responses import Responses
from dmtheory.study.plan import LEVEL, StudyPlan, can_be_differentiated

# Steps as a share of the level: where training is random they must rise above rounding
# of long trainings, where it is solved to its end they need not.
_STEP = {True: 1e-3, False: 0.1}
AT_ONE, MATCHED, OVER = "at w = 1", "at w = p·1", "over random halves"

Report = Callable[[str, int, int], None]


class Trainings:
    """Collects, differentiates and checks one problem as a plan says."""

    def __init__(
        self,
        problem: Problem,
        plan: StudyPlan,
        seed: int,
        engine: Engine | None,
        progress: Report | None,
    ) -> None:
        """Prepare a study's trainings; nothing is trained yet.

        Args:
            problem: The training map and its outputs.
            plan: What to train.
            seed: The experiment's seed.
            engine: Where trainings run; in this process by default.
            progress: Called with (what, models done, models in all).
        """
        self.problem, self.plan, self.engine = problem, plan, engine
        self.report: Report = progress or (lambda what, done, total: None)
        self.seeds = {
            name: 10 * seed + place
            for place, name in enumerate((
                "pairs",
                "evaluation",
                "derivatives",
                "scale",
                "tuning",
                "influence",
            ))
        }
        self.fixed = problem.description.step_policy == "fixed"

    def pairs(self) -> Responses:
        """Return outputs of complementary random halves."""
        design = ComplementaryPairs(n_pairs=self.plan.n_pairs, seed=self.seeds["pairs"])
        return self._collected(design, "random halves")

    def evaluation(self) -> Responses:
        """Return outputs of random halves on which scores are judged."""
        design = Bernoulli(
            p=LEVEL, n_models=self.plan.n_evaluation, seed=self.seeds["evaluation"]
        )
        times = self.plan.n_replicates
        if times == 1:
            return self._collected(design, "evaluation")
        return self._collected(
            Replicates(design=design, n_replicates=times), "evaluation"
        )

    def scale(self) -> ScaleCheck | None:
        """Return the check of F(c w) = F(w); none where weights are 0 or 1."""
        if not self.fixed:
            return None
        n_seeds = self.plan.n_scale_seeds
        return scale_free(
            self.problem,
            level=LEVEL,
            n_seeds=n_seeds,
            seed=self.seeds["scale"],
            engine=self.engine,
            progress=self._counter("scale-freeness", 4 * n_seeds),
        )

    def derivatives(self) -> dict[str, Attribution]:
        """Return dF/dw at w = 1 and at w = 1/2 by central differences."""
        if not self.fixed:
            return {}
        n_train = self.problem.description.n_train
        coordinates = random_coordinates(
            n_train, self.plan.n_coordinates, seed=self.seeds["derivatives"]
        )
        step = _STEP[self.problem.description.deterministic]
        return {
            f"dF/dw {where}": response_derivative(
                self.problem,
                FiniteDifference(step=step * at, n_seeds=self.plan.n_seeds),
                at=at,
                coordinates=coordinates,
                seed=self.seeds["derivatives"],
                engine=self.engine,
                progress=self._counter(
                    f"dF/dw {where}", 2 * len(coordinates) * self.plan.n_seeds
                ),
            )
            for where, at in ((AT_ONE, 1.0), (MATCHED, LEVEL))
        }

    def influences(self) -> dict[str, Attribution]:
        """Return influence at 1, at the matched point and over random halves."""
        problem, n = self.problem, self.plan.n_influence
        if n == 0 or not can_be_differentiated(problem):
            return {}
        assert isinstance(problem, DifferentiableProblem)
        law = Bernoulli(p=LEVEL, n_models=2 * n, seed=self.seeds["influence"])
        points: dict[str, At] = {AT_ONE: 1.0, MATCHED: LEVEL, OVER: law}
        tuning = self._tuning()
        return {
            f"influence {where}": self._influence(problem, where, at, tuning)
            for where, at in points.items()
        }

    def _influence(
        self,
        problem: DifferentiableProblem,
        where: str,
        at: At,
        tuning: SubsetOutputs | None,
    ) -> Attribution:
        n_seeds = 1 if problem.description.deterministic else self.plan.n_influence
        n = at.n_models if isinstance(at, Bernoulli) else n_seeds
        count = self._counter(f"influence {where}", n)
        seed = self.seeds["influence"]
        if tuning is None:
            # Solved to its end: nothing to damp.
            return influence(
                problem,
                curvature=ExactHessian(),
                at=at,
                n_seeds=n_seeds,
                seed=seed,
                progress=count,
            )
        return choose_damping(
            problem,
            tuning,
            at=at,
            # At w = 1 scores are of another scale than what predicts halves.
            by="lds" if where == AT_ONE else "error",
            n_seeds=n_seeds,
            seed=seed,
            progress=count,
        ).attribution

    def _tuning(self) -> SubsetOutputs | None:
        if self.plan.n_tuning == 0:
            return None
        design = Bernoulli(
            p=LEVEL, n_models=self.plan.n_tuning, seed=self.seeds["tuning"]
        )
        return evaluation_of(self._collected(design, "choosing the damping"))

    def _collected(
        self, design: Bernoulli | ComplementaryPairs | Replicates, what: str
    ) -> Responses:
        return collect(
            self.problem,
            design,
            engine=self.engine or "local",
            progress=self._counter(what, design.n_models),
        )

    def _counter(self, what: str, total: int) -> Callable[[int], None]:
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            self.report(what, done, total)

        return count
