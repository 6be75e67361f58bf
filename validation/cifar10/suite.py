"""A run of the suite: plan, train, analyse, one stage at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dmtheory.engines.local import Serial
from dmtheory.identity import digest
from validation.cifar10.archive import Archive
from validation.cifar10.ledger import Clock, Ledger, open_ledger
from validation.cifar10.models import N_MODELS, POINTS
from validation.cifar10.plan import UNKNOWN_RATIO, Speed, Stage, Task, stages
from validation.cifar10.removals import removal_work, removals_foreseen
from validation.cifar10.sizes import Sizes
from validation.cifar10.subjects import Subjects
from validation.cifar10.tasks import do_task, tasks
from validation.cifar10.training import n_done, train
from validation.cifar10.works import (
    BY_SEED,
    CLASS_DIRECTIONS,
    CLASS_GROUPS,
    CLASS_PAIRS,
    GROUPS,
    IMAGE_SUBSETS,
    IMAGES,
    PAIRS,
    SINGLE,
    Work,
    works,
)

Report = Callable[[str, int, int], None]
# Influence by the first rule at every point, TRAK and gradient products: before single
# images; all other tasks come last.
_FIRST_TASKS = len(POINTS) + 2


@dataclass(slots=True, kw_only=True)
class Suite:
    """A run of the suite in its folder.

    Attributes:
        subjects: What is trained.
        sizes: How much.
        folder: Where everything is kept.
        seed: The suite's seed.
        report: Called with (what, models done, models in all).
        ledger: What was spent and done, over all calls.
        again: Tasks that an earlier call left out, which this one has yet to try.
    """

    subjects: Subjects
    sizes: Sizes
    folder: Path
    seed: int
    report: Report
    ledger: Ledger = field(init=False)
    again: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Open the folder.

        Raises:
            ValueError: If it holds something else.
        """
        subjects = self.subjects
        identity = {
            "suite": f"cifar10 {self.sizes.name}",
            "seed": self.seed,
            "problems": digest(
                *(subjects.problem(key).description.digest for key in subjects.titles())
            ),
        }
        self.ledger = open_ledger(self.folder, identity)

    def archive(self) -> Archive:
        """Return what the folder holds now."""
        return Archive(self.subjects, self.folder, self.sizes, seed=self.seed)

    def items(self) -> list[Work | Task]:
        """Return work and tasks in order of worth."""
        archive = self.archive()
        named = {work.name: work for work in works(self.sizes, self.seed)}
        last = (CLASS_PAIRS, CLASS_DIRECTIONS, BY_SEED)
        of_groups = [named.pop(name) for name in last]
        of_images = [named.pop(name) for name in (IMAGES, IMAGE_SUBSETS)]
        of_models = tasks(archive, self.speed())
        first, later = of_models[:_FIRST_TASKS], of_models[_FIRST_TASKS:]
        removals = removal_work(archive) or removals_foreseen(archive)
        return [
            *named.values(),
            *first,
            *of_images,
            removals,
            *of_groups,
            *later,
        ]

    def done(self, items: Sequence[Work | Task]) -> dict[str, int]:
        """Return how many models there are of each work, and 1 for finished tasks."""
        return {item.name: self._n_done(item) for item in items}

    def _n_done(self, item: Work | Task) -> int:
        if isinstance(item, Task):
            return int(item.name in set(self.ledger.finished) - self.again)
        return n_done(item, self.folder)

    def there(self) -> set[str]:
        """Return the work and tasks of which there is enough to be of use."""
        return {
            item.name
            for item in self.items()
            if self._n_done(item) >= (1 if isinstance(item, Task) else item.least)
            and item.name not in self.ledger.notes
        }

    def models_trained(self) -> int:
        """Return how many models were trained, those of attributions included."""
        items = self.items()
        works_done = sum(self._n_done(i) for i in items if isinstance(i, Work))
        points = {name.split(", ")[0] for name in self.ledger.finished} & set(POINTS)
        return works_done + N_MODELS * len(points)

    def speed(self) -> Speed:
        """Return how long models take, as last measured."""
        speeds = self.ledger.speeds
        return Speed(seconds_a_model={**speeds, CLASS_GROUPS: speeds[GROUPS]})

    def measure_speed(self, clock: Clock) -> None:
        """Train two new blocks of each recipe; the second is timed, both are kept."""
        named = {work.name: work for work in works(self.sizes, self.seed)}
        for work in (named[PAIRS], named[IMAGES]):
            if work.problem in self.ledger.speeds:
                continue
            block = work.block(self.sizes)
            there = -(-self._n_done(work) // block) * block
            self._train(work, there + block, clock)
            begun = time.perf_counter()
            self._train(work, there + 2 * block, clock)
            seconds = time.perf_counter() - begun
            self.ledger.speeds[work.problem] = seconds / block
            self.ledger.throughput[work.problem] = {
                "models": block,
                "seconds": seconds,
                "models an hour": 3600 * block / seconds,
            }
            clock.tick()

    def noise_ratio(self, problem: str) -> float:
        """Return noise over signal of a problem's outputs, once enough is there."""
        works_of = {GROUPS: PAIRS, CLASS_GROUPS: CLASS_PAIRS, SINGLE: IMAGES}
        if works_of[problem] not in self.there():
            return UNKNOWN_RATIO
        parts = self.archive().variances(problem).parts
        ratio = (parts.noise.mean() / parts.linear.mean()).item()
        return ratio if 0 < ratio < float("inf") else UNKNOWN_RATIO

    def plan(self, budget: float) -> list[Stage]:
        """Return what is left to do within a budget over all calls."""
        items = self.items()
        return stages(
            items,
            done=self.done(items),
            speed=self.speed(),
            seconds=budget - self.ledger.spent - self.sizes.reserve_seconds,
            sizes=self.sizes,
        )

    def run(self, budget: float) -> None:
        """Do one stage after the other while the next one fits into the budget.

        What an earlier call left out is tried again.

        Raises:
            RuntimeError: If a stage leaves no models behind.
        """
        clock = Clock(self.ledger, self.folder)
        self.again = set(self.ledger.notes)
        self.measure_speed(clock)
        clock.tick()
        while planned := self.plan(budget):
            self._do(planned[0], clock)

    def _do(self, stage: Stage, clock: Clock) -> None:
        item = next(item for item in self.items() if item.name == stage.name)
        begun, before = time.perf_counter(), self._n_done(item)
        if isinstance(item, Task):
            self.report(item.name, 0, 1)
            self.again.discard(item.name)
            do_task(item.name, self.archive(), self.ledger)
            self.report(item.name, 1, 1)
        else:
            trained = self._train(item, stage.models, clock)
            spent = time.perf_counter() - begun
            if trained:
                self.ledger.speeds[_speed_of(item)] = spent / trained
        seconds, models = time.perf_counter() - begun, self._n_done(item) - before
        if models <= 0:
            raise RuntimeError(f"stage {stage.name!r} left nothing behind")
        self.ledger.stages.append({
            "name": stage.name,
            "models": models,
            "seconds": seconds,
        })
        clock.tick()

    def _train(self, work: Work, n_models: int, clock: Clock) -> int:
        """Train what there is not of so many models; return how many that were."""
        done: list[int] = []

        def count(n: int) -> None:
            done.append(n)
            self.report(work.name, sum(done), n_models)
            clock.tick()

        train(
            work,
            self.subjects.problem(work.problem),
            self.folder,
            n_models,
            self.sizes,
            engine=Serial(),
            progress=count,
        )
        # The first report is of what was found.
        return sum(done[1:])


def _speed_of(work: Work) -> str:
    return GROUPS if work.problem == CLASS_GROUPS else work.problem
