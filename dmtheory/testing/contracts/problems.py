"""The contract of problems: randomised training maps with their outputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad

from dmtheory.data.dataset import Dataset
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable
from dmtheory.weighting import normaliser


@dataclass(frozen=True, slots=True)
class Probe:
    """Weights that repeat over the examples, whatever their number, and a seed."""

    pattern: tuple[float, ...]
    seed: int

    def weights(self, n_train: int) -> Tensor:
        """Return one weight vector, as a row."""
        pattern = torch.tensor(self.pattern, dtype=torch.float64)
        return pattern[torch.arange(n_train) % len(pattern)][None]

    def __str__(self) -> str:
        repeated = ", ".join(f"{value:g}" for value in self.pattern)
        return f"weights {repeated} in turn, seed {self.seed}"

    __repr__ = __str__


def _probes(*, zeros: bool = True) -> st.SearchStrategy[Probe]:
    values = [1.0, 0.5, 2.0, *([0.0] if zeros else [])]
    patterns = st.lists(st.sampled_from(values), min_size=1, max_size=3).filter(any)
    return st.builds(Probe, patterns.map(tuple), st.integers(0, 3))


_ANY = _probes()


def _respond(problem: Problem, weights: Tensor, seeds: Tensor) -> Tensor:
    found = problem.respond(weights.clone(), seeds.clone())
    expected = len(weights), problem.description.n_targets
    if found.shape != expected or found.dtype != torch.float64:
        raise Violation(
            f"respond must return float64 of shape {expected} (models, targets), got "
            f"{found.dtype} of shape {tuple(found.shape)}"
        )
    return found.detach()


def _rows(problem: Problem, probe: Probe) -> tuple[Tensor, Tensor]:
    """Return three rows, of which the first and the last are the same training."""
    weights = probe.weights(problem.description.n_train)
    rows = torch.cat([weights, weights.flip(1) + 0.25, weights])
    return rows, torch.tensor([probe.seed, probe.seed + 1, probe.seed])


def _check(declared: Declared, found: Tensor, expected: Tensor, what: str) -> None:
    check_same(found, expected, what, tolerance=declared.tolerance, size=1.0)


def _returns_outputs(declared: Declared, probe: Probe) -> None:
    found = _respond(declared.estimator, *_rows(declared.estimator, probe))
    if not bool(torch.isfinite(found).all()):
        raise Violation("outputs must be finite, got some that are not")


def _is_deterministic(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    rows = _rows(problem, probe)
    first, second = (_respond(problem, *rows) for _ in range(2))
    check_again(second, first, "outputs of the second call")


def _keeps_its_inputs(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    weights, seeds = _rows(problem, probe)
    kept = weights.clone(), seeds.clone()
    problem.respond(weights, seeds)
    check_same(weights, kept[0], "weights after the call", tolerance=0.0)
    check_same(seeds.double(), kept[1].double(), "seeds after it", tolerance=0.0)


def _keeps_models_apart(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    weights, seeds = _rows(problem, probe)
    together = _respond(problem, weights, seeds)
    alone = [_respond(problem, weights[[k]], seeds[[k]]) for k in range(len(weights))]
    _check(declared, together, torch.cat(alone), "outputs beside other models")


def _says_whether_seeds_matter(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train).repeat(2, 1)
    first, second = _respond(problem, weights, torch.tensor([probe.seed, 12345]))
    same = torch.equal(first, second)
    if problem.description.deterministic and not same:
        raise Violation("training is declared deterministic, but seeds change outputs")
    if not problem.description.deterministic and same:
        raise Violation("training is declared random, but seeds do not change outputs")


def _is_defined_everywhere(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    n = problem.description.n_train
    rows = torch.zeros(3, n, dtype=torch.float64)
    rows[1, 0], rows[2] = 1.0, 1.0
    found = _respond(problem, rows, torch.full((3,), probe.seed))
    if not bool(torch.isfinite(found).all()):
        raise Violation(
            "F must be defined for no example, for one and for all, got an output "
            "that is not finite"
        )


def _is_scale_free(declared: Declared, probe: Probe) -> None:
    problem = declared.estimator
    if problem.description.normalisation != "sum":
        raise NotApplicable("the normalisation is not `sum`")
    weights = probe.weights(problem.description.n_train)
    rows = torch.cat([weights, 3 * weights])
    found = _respond(problem, rows, torch.full((2,), probe.seed))
    _check(declared, found[1], found[0], "outputs at 3w")


def _is_continuous(declared: Declared, probe: Probe) -> None:
    """A weight moved by 1e-3, 1e-6: outputs move in proportion, not by a jump."""
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train)
    first = torch.zeros_like(weights)
    first[:, 0] = 1.0
    rows = torch.cat([weights, weights + 1e-3 * first, weights + 1e-6 * first])
    here, far, near = _respond(problem, rows, torch.full((3,), probe.seed))
    allowed = 0.1 * (far - here).abs() + 1e-4 * here.abs() + 1e-6
    if bool(((near - here).abs() > allowed).any()):
        step = (near - here).abs().max().item()
        raise Violation(f"a weight moved by 1e-6 moves an output by {step:.3g}")


def _with_data(problem: Any, change: Callable[[Dataset], Dataset]) -> Any:
    data = getattr(problem, "data", None)
    if not isinstance(data, Dataset):
        raise NotApplicable("the problem has no `data` that could be changed")
    return replace(problem, data=change(data))


def _ignores_weight_zero(declared: Declared, probe: Probe) -> None:
    """An example of weight 0 may be replaced by another with the same label."""
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train)
    weights[:, 0] = 0.0

    def change(data: Dataset) -> Dataset:
        x = data.x_train.clone()
        x[0] = x[-1].flip(-1) + 1
        return replace(data, x_train=x)

    other = _with_data(problem, change)
    seeds = torch.tensor([probe.seed])
    _check(
        declared,
        _respond(other, weights, seeds),
        _respond(problem, weights, seeds),
        "outputs after a change of an example of weight 0",
    )


def _forgets_the_order(declared: Declared, probe: Probe) -> None:
    """Examples reordered with their numbers, labels and weights."""
    problem = declared.estimator
    weights = probe.weights(problem.description.n_train)
    order = torch.arange(weights.shape[1]).flip(0)

    def change(data: Dataset) -> Dataset:
        labels = tuple(data.train_labels[i] for i in order.tolist())
        return replace(
            data,
            x_train=data.x_train[order],
            y_train=data.y_train[order],
            train_labels=labels,
            train_ids=data.ids[order],
            raw_train=None,
        )

    other, seeds = _with_data(problem, change), torch.tensor([probe.seed])
    _check(
        declared,
        _respond(other, weights[:, order], seeds),
        _respond(problem, weights, seeds),
        "outputs after a reordering",
    )


def _measures_what_it_fits(declared: Declared, probe: Probe) -> None:
    problem = _differentiable(declared)
    weights, seeds = _rows(problem, probe)
    params = problem.fit(weights, seeds).params
    outputs = torch.stack([problem.target_outputs(row) for row in params]).detach()
    _check(declared, outputs, _respond(problem, weights, seeds), "target outputs")


def _minimises_what_it_says(declared: Declared, probe: Probe) -> None:
    """The gradient of (1/W) sum_j w_j l_j + R at a convex problem's parameters."""
    problem = _differentiable(declared)
    if not problem.description.deterministic:
        raise NotApplicable("a random training promises no minimum")
    weights, seeds = _rows(problem, probe)
    params = problem.fit(weights, seeds).params.detach()
    shares = weights * normaliser(weights, problem.description.normalisation)[:, None]
    for theta, share in zip(params, shares, strict=True):

        def objective(at: Tensor, share: Tensor = share) -> Tensor:
            losses = problem.prediction_losses(problem.predictions(at))
            return share @ losses + problem.penalty(at)

        slope = grad(objective)(theta)
        check_same(
            slope,
            torch.zeros_like(slope),
            "gradient of J at the fit",
            tolerance=1e-6,
            size=1.0,
        )


def _differentiable(declared: Declared) -> DifferentiableProblem:
    if not isinstance(declared.estimator, DifferentiableProblem):
        raise NotApplicable("the problem has no parameters")
    return declared.estimator


_BAD = ("negative weights", "weights that are no numbers", "a weight too few")


@dataclass(frozen=True, slots=True)
class _Bad:
    kind: str

    def __str__(self) -> str:
        return self.kind

    __repr__ = __str__


def _refuses_bad_input(declared: Declared, bad: _Bad) -> None:
    problem = declared.estimator
    ones = torch.ones(1, problem.description.n_train, dtype=torch.float64)
    weights = {_BAD[0]: -ones, _BAD[1]: torch.nan * ones, _BAD[2]: ones[:, 1:]}
    try:
        problem.respond(weights[bad.kind], torch.tensor([0]))
    except (ValueError, TypeError):
        return
    raise Violation(f"{bad.kind} must be refused by ValueError")


PROBLEM = (
    Property(
        name="outputs",
        statement="respond returns finite float64 [models, targets].",
        cases=_ANY,
        check=_returns_outputs,
    ),
    Property(
        name="determinism",
        statement="The same weights and seeds give the same outputs, to 12 digits.",
        cases=_ANY,
        check=_is_deterministic,
    ),
    Property(
        name="inputs kept",
        statement="Weights and seeds are as before the call.",
        cases=_ANY,
        check=_keeps_its_inputs,
    ),
    Property(
        name="chunk invariance",
        statement="A model's outputs do not depend on which are trained with it.",
        cases=_ANY,
        check=_keeps_models_apart,
    ),
    Property(
        name="seeds as described",
        statement="Seeds change outputs exactly where training is not deterministic.",
        cases=_ANY,
        check=_says_whether_seeds_matter,
    ),
    Property(
        name="defined everywhere",
        statement="F is finite for no example, for one and for all.",
        cases=_ANY,
        check=_is_defined_everywhere,
    ),
    Property(
        name="scale-free",
        statement="Under `sum`, F(3w) = F(w).",
        cases=_ANY,
        check=_is_scale_free,
    ),
    Property(
        name="continuity",
        statement="Outputs have no jump in a weight above 0.",
        cases=_probes(zeros=False),
        check=_is_continuous,
    ),
    Property(
        name="weight 0 = absent",
        statement="The features of an example of weight 0 do not matter.",
        cases=_probes(zeros=False),
        check=_ignores_weight_zero,
    ),
    Property(
        name="train permutation",
        statement="Examples reordered with their ids and weights: the same outputs.",
        cases=_ANY,
        check=_forgets_the_order,
    ),
    Property(
        name="fit and respond",
        statement="f at the fitted parameters is what respond returns.",
        cases=_ANY,
        check=_measures_what_it_fits,
    ),
    Property(
        name="stationarity",
        statement="A deterministic fit has gradient 0 of (1/W) sum_j w_j l_j + R.",
        cases=_ANY,
        check=_minimises_what_it_says,
    ),
    Property(
        name="bad input refused",
        statement="Weights that are negative, not finite or too few raise.",
        cases=st.sampled_from(_BAD).map(_Bad),
        check=_refuses_bad_input,
    ),
)


def check_problem(
    problem: Problem, *, profile: Profile | None = None, **promises: Any
) -> ContractTable:
    """Try everything that a problem owes to the estimators of this package.

    Every case trains a few models, so take a small instance of a problem.

    Args:
        problem: The problem; with `data`, more can be tried, and more yet where it is
            a `DifferentiableProblem`.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(PROBLEM, declared_as("problem", problem, promises), profile)
