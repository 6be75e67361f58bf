"""Agreement of datamodel estimators with what is known exactly."""

import math
from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.designs import Bernoulli, ComplementaryPairs, SubsetDesign
from dmtheory.problems.set_functions import all_masks
from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.datamodel.fits import (
    Fitted,
    check_scores,
    fitted,
    limit_of,
)
from dmtheory.testing.contracts.scores import DRAWN_ERRORS, EXACT_ERRORS
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.strategies.games import SpectralGame
from dmtheory.testing.strategies.studies import (
    Study,
    additive_studies,
    exact_studies,
    fixed_size_studies,
)
from dmtheory.theory.exhaustive import fixed_size_datamodel

_N_TRAIN, _N_TARGETS, _N_DESIGNS, _N_MODELS = 4, 150, 6, 120
# Five standard deviations of the mean of as many indicators of a 95 % interval as there
# are targets (a target's own may move as one): a false alarm has probability 6e-7.
_BAND = 5 * math.sqrt(0.95 * 0.05 / (_N_TARGETS * _N_DESIGNS))
_NORMAL_95 = 1.959964


def _is_the_population_coefficient(declared: Declared, study: Study) -> None:
    p = study.game.p
    expected = limit_of(declared, study.game.datamodel, p * (1 - p))
    check_scores(
        declared, study, fitted(declared, study), expected, errors=EXACT_ERRORS
    )


def _finds_an_additive_truth(declared: Declared, study: Study) -> None:
    if declared.limit is not None:
        raise NotApplicable("what a penalty leaves of few drawn rows is not known")
    found, truth = fitted(declared, study), study.game.datamodel
    null = study.design.null_directions(len(truth))
    identified = torch.eye(len(truth)).double() - null.T @ null
    projected = replace(found, scores=identified @ found.scores)
    check_scores(declared, study, projected, identified @ truth, errors=DRAWN_ERRORS)


def _knows_a_fixed_size(declared: Declared, study: Study) -> None:
    n, size = study.masks.shape[1], int(study.masks[0].sum())
    table = study.game.values(all_masks(n))
    variance = size * (n - size) / (n * (n - 1))
    truth = limit_of(declared, fixed_size_datamodel(table, size), variance)
    found = fitted(declared, study)
    centred = replace(found, scores=found.scores - found.scores.mean(0))
    check_scores(declared, study, centred, truth - truth.mean(0), errors=EXACT_ERRORS)


@dataclass(frozen=True, slots=True)
class _Trials:
    """Many targets with normal noise and their own additive truth, on drawn masks."""

    paired: bool
    p: float
    seed: int

    def design(self, number: int) -> SubsetDesign:
        seed = 1000 * self.seed + number
        if self.paired:
            return ComplementaryPairs(n_pairs=_N_MODELS // 2, seed=seed)
        return Bernoulli(p=self.p, n_models=_N_MODELS, seed=seed)

    def study(self, number: int) -> tuple[Study, Tensor]:
        """Return one of the designs with outputs, and the coefficients."""
        design = self.design(number)
        generator = torch.Generator().manual_seed(1000 * self.seed + number)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        masks = design.weights(torch.arange(_N_MODELS), _N_TRAIN)
        beta = 0.5 * normal(_N_TRAIN, _N_TARGETS)
        outputs = 1 + masks @ beta + normal(_N_MODELS, _N_TARGETS)
        if self.paired:
            effect = 3 * normal(_N_MODELS // 2, _N_TARGETS)
            outputs = outputs + effect.repeat_interleave(2, 0)
        nothing = SpectralGame(n_train=_N_TRAIN, p=self.p, terms={(): (0.0,)})
        study = Study(
            masks=masks, outputs=outputs, design=design, game=nothing, said=str(self)
        )
        return study, beta


def _covers(declared: Declared, case: _Trials) -> None:
    shares = []
    for number in range(_N_DESIGNS):
        study, beta = case.study(number)
        found = fitted(declared, study)
        shares.append(_covered(found, beta))
    share = sum(shares) / len(shares)
    if abs(share - 0.95) > _BAND:
        raise Violation(
            f"95 % intervals must cover {0.95 - _BAND:.3f} to {0.95 + _BAND:.3f} of "
            f"the coefficients, got {share:.3f}"
        )


def _covered(found: Fitted, beta: Tensor) -> float:
    if found.stderr is None:
        raise NotApplicable("the estimator returns no standard errors")
    reach = _NORMAL_95 * found.stderr
    return ((found.scores - beta).abs() <= reach).double().mean().item()


def _errors_shrink(declared: Declared, study: Study) -> None:
    """Four times the models, each subset four times as often: half the error."""
    once = fitted(declared, study)
    if once.stderr is None:
        raise NotApplicable("the estimator returns no standard errors")
    often = replace(
        study, masks=study.masks.repeat(4, 1), outputs=study.outputs.repeat(4, 1)
    )
    more = fitted(declared, often).stderr
    assert more is not None
    # Degrees of freedom differ by a few of the rows; there are at least 60.
    check_same(more, once.stderr / 2, "stderr", tolerance=0.06, size=1e-9)


TRUTHS = (
    Property(
        name="population coefficient",
        statement="On every subset as often as its law says, with interactions: "
        "beta_i(p) = E[F(S + i) - F(S - i)].",
        cases=exact_studies(least=250),
        check=_is_the_population_coefficient,
    ),
    Property(
        name="additive truth",
        statement="Without noise or interactions: the truth, within the stated error, "
        "under every design of subsets.",
        cases=additive_studies(),
        check=_finds_an_additive_truth,
    ),
    Property(
        name="fixed size",
        statement="On every subset of one size: the minimum-norm datamodel, up to the "
        "constant that no such subsets show.",
        cases=fixed_size_studies(least=250),
        check=_knows_a_fixed_size,
    ),
    Property(
        name="interval coverage",
        statement="95 % intervals cover 95 % of the coefficients, models independent.",
        cases=st.builds(
            _Trials, st.just(False), st.sampled_from([0.5, 0.3]), st.integers(0, 9)
        ),
        check=_covers,
        cost=20,
    ),
    Property(
        name="coverage under pairs",
        statement="The same where complementary pairs share a seed's effect.",
        cases=st.builds(_Trials, st.just(True), st.just(0.5), st.integers(0, 9)),
        check=_covers,
        cost=20,
    ),
    Property(
        name="errors fall",
        statement="Standard errors of four times the models are half as large.",
        cases=exact_studies(noise=True),
        check=_errors_shrink,
    ),
)
