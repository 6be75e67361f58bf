"""What the run's folder holds, as the claims ask for it; nothing is trained here."""

from pathlib import Path

import torch
from torch import Tensor

from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of_arrays
from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.units import from_labelled_units
from dmtheory.engines.local import Serial
from dmtheory.estimand import Point
from dmtheory.files import load_attribution
from dmtheory.problems.quality import OF_CLASSIFIERS
from dmtheory.responses.responses import Responses
from validation.cifar10.attributions import path_of
from validation.cifar10.sizes import Sizes
from validation.cifar10.subjects import Subjects
from validation.cifar10.training import n_done, responses_of_work
from validation.cifar10.works import (
    AT_HALF,
    AT_ONE,
    BY_SEED,
    CLASS_DIRECTIONS,
    CLASS_GROUPS,
    CLASS_PAIRS,
    DIFFERENCES,
    FULL_DATA,
    GROUP_SUBSETS,
    GROUPS,
    HALF,
    IMAGE_SUBSETS,
    IMAGES,
    PAIRS,
    SINGLE,
    joint_moves,
    works,
)
from validation.laboratory import Laboratory, Setting

_SUBSETS = {GROUPS: PAIRS, CLASS_GROUPS: CLASS_PAIRS, SINGLE: IMAGES}
_HELD_OUT = {GROUPS: GROUP_SUBSETS, SINGLE: IMAGE_SUBSETS}
_DERIVATIVES = {
    (GROUPS, HALF): AT_HALF,
    (GROUPS, 1.0): AT_ONE,
    (CLASS_GROUPS, HALF): CLASS_DIRECTIONS,
}


class Archive(Laboratory):
    """A laboratory whose models are all trained: it reads a run's folder."""

    def __init__(
        self, subjects: Subjects, folder: Path, sizes: Sizes, *, seed: int
    ) -> None:
        """Open a run's folder."""
        settings = {
            key: Setting(
                make=lambda key=key: subjects.problem(key),  # type: ignore[misc]
                summary=subjects.words,
                paired=key != SINGLE,
                accuracy_floor=None if key == SINGLE else sizes.accuracy_floor,
            )
            for key in subjects.titles()
        }
        super().__init__(settings, seed=seed, engine=Serial(), progress=lambda *_: None)
        self.subjects, self.folder, self.sizes = subjects, folder, sizes
        self._works = {work.name: work for work in works(sizes, seed)}

    def there(self, work: str) -> int:
        """Return how many models of a piece of work are there."""
        return n_done(self._works[work], self.folder)

    def read(self, work: str, n_targets: int | None = None) -> Responses:
        """Return the models of a piece of work, with the first targets alone.

        Raises:
            ValueError: If there are none.
        """
        found = responses_of_work(self._works[work], self.folder, n_targets)
        if found is None:
            raise ValueError(f"work must have models, but {work!r} has none yet")
        return found

    def responses(self, name: str) -> Responses:
        """Return the outputs of the models on random subsets, of the judged targets."""
        if name not in self._responses:
            found = self.read(_SUBSETS[name], self.sizes.n_targets)
            self._responses[name] = found
        return self._responses[name]

    def evaluation(self, name: str, n_models: int | None = None) -> Responses:
        """Return outputs on random subsets that no estimate has seen, all of them."""
        if name not in self._evaluations:
            found = self.read(_HELD_OUT[name], self.sizes.n_targets)
            self._evaluations[name] = found
        return self._evaluations[name]

    def datamodel(self, name: str) -> Attribution:
        """Return the datamodel: OLS of groups, ridge of more images than models."""

        def make() -> Attribution:
            estimator = Ridge() if name == SINGLE else None
            return fit_datamodel(self.responses(name), estimator=estimator)

        return self.made(("datamodel", name), make)

    def derivative(self, name: str, *, at: float, n: int | None = None) -> Attribution:
        """Return dF/dw at w = at·1 by random directions, of all groups."""
        work = _DERIVATIVES[name, at]
        return self.made(
            ("derivative", name, at), lambda: fit_datamodel(self.read(work))
        )

    def differences(self) -> Attribution:
        """Return dF/dw at w = p·1 of some groups by central differences."""
        responses = self.read(DIFFERENCES)
        outputs = self._of_seeds(responses, self._works[DIFFERENCES].unit)
        return self._differenced(responses, outputs)

    def by_seed(self) -> tuple[Attribution, SubsetOutputs]:
        """Return such differences, and what each of their seeds does in other moves.

        Returns:
            dF/dw of some groups with a unit a seed; outputs of the same seeds where
            these groups are in at weight 1, or out, all others staying at p.
        """
        responses, sizes = self.read(BY_SEED), self.sizes
        outputs = self._of_seeds(responses, self._works[BY_SEED].unit)
        derivative = self._differenced(responses, outputs[:, : 2 * sizes.differenced])
        after = outputs[:, 2 * sizes.differenced :].transpose(0, 1)
        there = joint_moves(sizes, self.seed)
        return derivative, evaluation_of_arrays(
            there.repeat_interleave(len(outputs), 0),
            after.flatten(0, 1),
            like=derivative,
            n_replicates=len(outputs),
        )

    @staticmethod
    def _of_seeds(responses: Responses, unit: int) -> Tensor:
        """Return outputs [seeds, moves, targets] of seeds of which none diverged."""
        kept = responses.diverged.unflatten(0, (-1, unit)).logical_not().all(1)
        return responses.outputs.unflatten(0, (-1, unit))[kept]

    def _differenced(self, responses: Responses, outputs: Tensor) -> Attribution:
        """Return central differences of moves up and down, a unit a seed."""
        step, n_seeds = HALF / 2, len(outputs)
        pairs = outputs.unflatten(1, (self.sizes.differenced, 2))
        labels = responses.description.train_labels
        return from_labelled_units(
            (pairs[:, :, 0] - pairs[:, :, 1]) / (2 * step),
            responses.description,
            labels[: self.sizes.differenced],
            n_train=len(labels),
            quantity="response derivative",
            point=Point("weights", HALF),
            n_models=responses.n_models,
            seed=responses.design.seed,  # type: ignore[attr-defined]
            method=f"central differences, step {step:g}, {n_seeds} seed(s)",
        )

    def attribution(self, place: str) -> Attribution | None:
        """Return a kept attribution, None where there is none."""
        path = path_of(self.folder, place)
        return load_attribution(path) if path.exists() else None

    def accuracy(self, name: str) -> dict[str, float] | None:
        """Return held-out accuracy at w = 1 and over half subsets, where measured."""
        if name not in self._accuracy:
            places = {"over masks": _SUBSETS[name]}
            if name != SINGLE:
                places = {"at w = 1": FULL_DATA, **places}
            self._accuracy[name] = {
                where: self._mean_accuracy(work)
                for where, work in places.items()
                if self.there(work)
            } or None
        return self._accuracy[name]

    def _mean_accuracy(self, work: str) -> float:
        responses = self.read(work, 1)
        accuracy = responses.quality(OF_CLASSIFIERS[1])
        return torch.nanmean(accuracy).item()
