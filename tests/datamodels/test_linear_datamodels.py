"""Datamodels against statsmodels, enumeration and simulation."""

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from samples import a_description, normal, responses_of, table, unchecked
from scipy.stats import t as student
from torch import Tensor

from dmtheory import OLS, Responses, collect, fit_datamodel
from dmtheory.datamodels.rows.sample import Sample, block_rows, independent_rows
from dmtheory.designs import Bernoulli, ComplementaryPairs, CoordinatePairs
from dmtheory.problems import BlackBox, LeastSquares, SetFunction
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import population_regression

N_TRAIN, N_TARGETS = 5, 2
MADE_UP = a_description(
    N_TRAIN,
    N_TARGETS,
    output="sum",
    normalisation="count",
    train_labels=tuple("abcde"),
    target_labels=("x", "y"),
)


def additive_and_noise(
    design: Any, *, noise: float = 0.5, bends: bool = False
) -> Responses:
    """Return outputs 1 + x'beta (+ x_0 x_1) + noise, with beta_ij = i - j."""
    weights = design.weights(torch.arange(design.n_models), N_TRAIN)
    outputs = 1 + weights @ truth() + noise * normal(len(weights), N_TARGETS, seed=7)
    if bends:
        outputs = outputs + (weights[:, 0] * weights[:, 1])[:, None]
    return responses_of(design, outputs, MADE_UP)


def truth() -> Tensor:
    rows, columns = torch.arange(N_TRAIN).double(), torch.arange(N_TARGETS).double()
    return rows[:, None] - columns


def rows_of(weights: Tensor, outputs: Tensor, *, paired: bool) -> Sample:
    if paired:
        return block_rows(weights, outputs, size=2, has_mean=False)
    return independent_rows(weights, outputs)


def test_ols_is_that_of_statsmodels() -> None:
    responses = additive_and_noise(Bernoulli(p=0.3, n_models=40, seed=1), bends=True)
    found = fit_datamodel(responses)
    by_hand = OLS().fit(independent_rows(responses.weights(), responses.outputs))
    assert by_hand.degrees_of_freedom == 34
    assert found.intercept is not None
    assert found.stderr is not None
    design = sm.add_constant(responses.weights().numpy())
    for j in range(N_TARGETS):
        reference = sm.OLS(responses.outputs[:, j].numpy(), design).fit()
        assert found.intercept[j].item() == pytest.approx(
            reference.params[0], abs=1e-10
        )
        np.testing.assert_allclose(
            found.scores[:, j], reference.params[1:], rtol=0, atol=1e-10
        )
        np.testing.assert_allclose(
            found.stderr[:, j], reference.bse[1:], rtol=0, atol=1e-10
        )


def test_pairs_are_a_regression_of_half_differences_without_intercept() -> None:
    design = ComplementaryPairs(n_pairs=30, seed=1)
    responses = additive_and_noise(design, bends=True)
    found = fit_datamodel(responses)
    assert found.intercept is not None
    assert found.stderr is not None
    weights, outputs = responses.weights().numpy(), responses.outputs.numpy()
    for j in range(N_TARGETS):
        half = (outputs[0::2, j] - outputs[1::2, j]) / 2
        reference = sm.OLS(half, weights[0::2] - 0.5).fit()
        assert reference.df_resid == 25
        np.testing.assert_allclose(
            found.scores[:, j], reference.params, rtol=0, atol=1e-10
        )
        np.testing.assert_allclose(
            found.stderr[:, j], reference.bse, rtol=0, atol=1e-10
        )
        # The mean output is the intercept plus half of all coefficients.
        expected = outputs[:, j].mean() - reference.params.sum() / 2
        assert found.intercept[j].item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n_train", [1, 3, 8])
def test_ols_on_every_subset_is_the_population_regression(n_train: int) -> None:
    # The full factorial has the law of p = 1/2 exactly.
    masks, values = all_masks(n_train), normal(2**n_train, 3, seed=n_train)
    if n_train == 1:  # two rows leave no degree of freedom: take each twice
        masks, values = masks.repeat(2, 1), values.repeat(2, 1)
    found = fit_datamodel(masks, values, design=Bernoulli(p=0.5))
    intercept, beta = population_regression(values[: 2**n_train], 0.5)
    torch.testing.assert_close(found.scores, beta, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.intercept, intercept, rtol=0, atol=1e-10)


def test_pairs_cancel_even_terms_and_the_seed_effect_exactly() -> None:
    # f = x'beta + 3 (x_0 - 1/2)(x_1 - 1/2) + an effect of the pair's seed.
    design = ComplementaryPairs(n_pairs=12, seed=3)
    rows = torch.arange(24)
    signs = design.weights(rows, N_TRAIN) - 0.5
    effect = (design.seeds(rows) % 1000).double()
    shared = 3 * signs[:, 0] * signs[:, 1] + effect
    outputs = signs @ truth() + shared[:, None]
    found = fit_datamodel(responses_of(design, outputs, MADE_UP))
    torch.testing.assert_close(found.scores, truth(), rtol=0, atol=1e-10)
    assert found.stderr is not None
    assert found.stderr.max() < 1e-10


@pytest.mark.parametrize(("p", "paired"), [(0.3, False), (0.5, False), (0.5, True)])
def test_a_95_percent_interval_covers_its_coefficient(p: float, paired: bool) -> None:
    # 500 studies, 5 coefficients that are nearly independent: coverage .95 with
    # sigma sqrt(.95 · .05/500) ~ .010 even if a study's coefficients moved as one.
    # The band [.92, .98] is then 3 sigma: false alarm below 3e-3, at a fixed seed.
    n_studies, n_models = 500, 40
    covered = 0.0
    for study in range(n_studies):
        design = (
            ComplementaryPairs(n_pairs=n_models // 2, seed=study)
            if paired
            else Bernoulli(p=p, n_models=n_models, seed=study)
        )
        weights = design.weights(torch.arange(n_models), N_TRAIN)
        noise = normal(n_models, N_TARGETS, seed=10_000 + study)
        outputs = 1 + weights @ truth() + noise
        fit = OLS().fit(rows_of(weights, outputs, paired=paired))
        reach = student.ppf(0.975, fit.degrees_of_freedom) * fit.stderr
        covered += ((fit.coefficients - truth()).abs() <= reach).double().mean().item()
    assert 0.92 < covered / n_studies < 0.98


@pytest.mark.parametrize("paired", [False, True])
def test_units_average_to_the_scores_and_carry_their_standard_error(
    paired: bool,
) -> None:
    design = (
        ComplementaryPairs(n_pairs=400, seed=2)
        if paired
        else Bernoulli(p=0.5, n_models=800, seed=2)
    )
    found = fit_datamodel(additive_and_noise(design))
    assert found.units is not None
    assert found.stderr is not None
    torch.testing.assert_close(found.units.mean(0), found.scores, rtol=0, atol=1e-12)
    n_units = len(found.units)
    implied = found.units.std(0) / math.sqrt(n_units)
    # A standard deviation of n units has relative sigma 1/sqrt(2n) ~ .05: 5 sigma.
    assert ((implied / found.stderr).log().abs() < 5 / math.sqrt(2 * n_units)).all()


@pytest.mark.parametrize("paired", [False, True])
def test_split_halves_have_the_covariance_of_independent_fits(paired: bool) -> None:
    # Errors of two independent estimates have mean product 0. For the halves of one
    # fit on m normal rows it is V (1 - c^2 m/(m-1) (1 - k - d)), of order V/m: V the
    # variance of a coefficient, c^2 = m/freedom the units' inflation, k = 1/m with an
    # intercept, d the mean squared leverage times m/N. Without c it would be V N/m
    # more, here .3 V. A mean over 800 studies of 5 products has sigma below .05 V;
    # within 5 sigma, false alarm 6e-7 a case.
    n_studies, n_rows = 800, 20
    products, squares = [], []
    for study in range(n_studies):
        x = normal(n_rows, N_TRAIN, seed=20_000 + study)
        noise = normal(n_rows, 1, seed=30_000 + study)
        if paired:
            x = torch.stack([0.5 + x, 0.5 - x], dim=1).flatten(0, 1)
            noise = torch.stack([noise, -noise], 1).flatten(0, 1)
        fit = OLS().fit(rows_of(x, noise, paired=paired))
        assert fit.units is not None
        first, second = fit.units[::2].mean(0), fit.units[1::2].mean(0)
        products.append((first * second).mean())
        squares.append(fit.coefficients.square().mean())
    product, variance = torch.stack(products), torch.stack(squares).mean()
    sigma = product.std() / math.sqrt(n_studies)
    m, n = n_rows, N_TRAIN
    squared = (n + 2) / (m + 2) if paired else (m - 1) * (n + 2) / (m * (m + 1))
    kept = 1 - squared if paired else 1 - 1 / m - squared
    freedom = m - n if paired else m - n - 1
    expected = variance * (1 - m / freedom * m / (m - 1) * kept)
    assert sigma < 0.05 * variance
    assert expected.abs() < 2 / m * variance
    assert (product.mean() - expected).abs() < 5 * sigma


def test_a_diverged_model_is_left_out_and_a_pair_goes_as_one() -> None:
    def fails(weights: Tensor) -> Tensor:
        return weights[:, :3].sum(1) == 3

    def answer(weights: Tensor, seeds: Tensor) -> Tensor:
        outputs = weights @ truth() + (seeds % 7).double()[:, None]
        return outputs.masked_fill(fails(weights)[:, None], torch.nan)

    made = additive_and_noise(Bernoulli(p=0.5, n_models=4, seed=0))
    box = BlackBox(description=made.description, train_and_measure=answer)
    for design in (
        Bernoulli(p=0.5, n_models=80, seed=4),
        ComplementaryPairs(n_pairs=40, seed=4),
    ):
        responses = collect(box, design)
        x, y = responses.weights(), responses.outputs
        assert torch.equal(responses.diverged, fails(x))
        assert 0 < int(responses.diverged.sum()) < 40
        found = fit_datamodel(responses)
        kept = ~fails(x)
        if isinstance(design, ComplementaryPairs):
            pairs = kept[::2] & kept[1::2]
            half = (y[::2] - y[1::2])[pairs] / 2
            expected = torch.linalg.lstsq(x[::2][pairs] - 0.5, half).solution
        else:
            columns = torch.cat([x, torch.ones(80, 1).double()], dim=1)
            expected = torch.linalg.lstsq(columns[kept], y[kept]).solution[:-1]
        torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-10)
        assert found.n_models == 80
        assert f"{int(fails(x).sum())} diverged" in found.method


def test_a_datamodel_of_responses_says_what_it_estimates() -> None:
    problem = LeastSquares(data=table(4, 2, seed=0), ridge=0.1, normalisation="count")
    found = fit_datamodel(collect(problem, Bernoulli(p=0.3, n_models=12, seed=6)))
    estimand, described = found.estimand, problem.description
    assert estimand.quantity == "datamodel"
    assert (estimand.point.kind, estimand.point.level) == ("subsets", 0.3)
    assert estimand.unit == "per_weight"
    assert (estimand.output, estimand.normalisation, estimand.step_policy) == (
        "prediction",
        "count",
        "fixed",
    )
    assert estimand.problem == described.digest
    assert found.train_labels == described.train_labels
    assert found.target_labels == described.target_labels
    assert found.seeds == {6}
    assert (found.n_train, found.n_models) == (4, 12)


MASKS = Bernoulli(p=0.5, seed=1).weights(torch.arange(30), 4)
OUTPUTS = normal(30, 2, seed=0)
HALVES = Bernoulli(p=0.5)


def changed(matrix: Tensor, row: int, column: int, value: float) -> Tensor:
    return matrix.clone().index_put(
        (torch.tensor(row), torch.tensor(column)), torch.tensor(value).double()
    )


@pytest.mark.parametrize(
    ("masks", "outputs", "message"),
    [
        (MASKS[:5], OUTPUTS[:5], "outputs must come from at least 6 models .* got 5"),
        (
            MASKS * torch.tensor([1.0, 1.0, 0.0, 1.0]),
            OUTPUTS,
            "masks must vary in every column, got a constant column 2",
        ),
        (
            MASKS[:, [0, 1, 2, 1]],
            OUTPUTS,
            "masks must have distinct columns, got columns 1 and 3",
        ),
        (
            torch.cat([MASKS[:, :2], 1 - MASKS[:, :2]], dim=1),
            OUTPUTS,
            "masks must have linearly independent columns",
        ),
        (
            MASKS,
            changed(OUTPUTS, 3, 1, math.nan),
            r"outputs must be finite, got nan at index \(3, 1\)",
        ),
        (
            changed(MASKS, 5, 2, math.inf),
            OUTPUTS,
            r"masks must be finite, got inf at index \(5, 2\)",
        ),
        (MASKS, OUTPUTS[:29], "masks and outputs .* got 30 and 29 rows"),
        (changed(MASKS, 0, 0, 0.5), OUTPUTS, "masks must hold 0 and 1 only"),
        (MASKS[0], OUTPUTS, r"masks must be a non-empty matrix .* shape \(4,\)"),
        (MASKS, OUTPUTS[:, :0], r"outputs must be a non-empty matrix .* \(30, 0\)"),
    ],
)
def test_arrays_that_make_no_datamodel_are_refused(
    masks: Tensor, outputs: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_datamodel(masks, outputs, design=HALVES)


def test_a_design_that_contradicts_the_masks_is_refused() -> None:
    # 30 x 4 masks of p = 1/2 have a share of ones 10 sigma from .9.
    with pytest.raises(ValueError, match=r"p = 0\.9 was stated, but .* ones is 0\.\d"):
        fit_datamodel(MASKS, OUTPUTS, design=Bernoulli(p=0.9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MASKS, OUTPUTS, {}), "design must say how the masks were drawn"),
        ((MASKS, None, {"design": HALVES}), "outputs must be given beside masks"),
        (
            ([["a", "b"]], OUTPUTS, {"design": HALVES}),
            "masks must be an array of numbers, got dtype",
        ),
    ],
)
def test_missing_or_meaningless_arguments_are_refused(
    arguments: tuple[Any, Any, dict[str, Any]], message: str
) -> None:
    masks, outputs, options = arguments
    with pytest.raises(TypeError, match=message):
        fit_datamodel(masks, outputs, **options)


def test_responses_bring_their_own_outputs_and_design() -> None:
    responses = additive_and_noise(Bernoulli(p=0.5, n_models=20, seed=0))
    with pytest.raises(TypeError, match="outputs and design come with the responses"):
        fit_datamodel(responses, design=HALVES)


def test_responses_of_another_design_are_refused() -> None:
    design = CoordinatePairs(at=1.0, steps=(0.1,), coordinates=(0, 1), n_seeds=5)
    with pytest.raises(TypeError, match=r"random subsets .* got CoordinatePairs"):
        fit_datamodel(additive_and_noise(design))


def test_pairs_need_more_pairs_than_examples() -> None:
    responses = additive_and_noise(ComplementaryPairs(n_pairs=5, seed=0))
    with pytest.raises(ValueError, match=r"at least 6 complementary pairs .* got 5"):
        fit_datamodel(responses)


def test_masks_of_pairs_are_never_fitted_as_independent_models() -> None:
    # The stacked regression's standard errors are wrong: they count the pairs' even
    # terms and seed effects as noise.
    responses = additive_and_noise(ComplementaryPairs(n_pairs=30, seed=1), bends=True)
    of_pairs = fit_datamodel(responses)
    assert of_pairs.stderr is not None
    with unchecked():
        try:
            given = fit_datamodel(
                responses.weights(), responses.outputs, design=responses.design
            )
        except (TypeError, ValueError):
            return
    torch.testing.assert_close(given.stderr, of_pairs.stderr)


def test_arrays_of_numpy_and_of_booleans_are_read_alike() -> None:
    from_torch = fit_datamodel(MASKS, OUTPUTS, design=HALVES)
    from_numpy = fit_datamodel(
        MASKS.numpy().astype(bool), OUTPUTS.numpy().astype(np.float64), design=HALVES
    )
    assert torch.equal(from_numpy.scores, from_torch.scores)
    assert from_torch.train_labels[0] == "example 0"
    assert from_torch.target_labels == ("target 0", "target 1")
    assert from_torch.estimand.normalisation == "unknown"
    other = fit_datamodel(MASKS, OUTPUTS + 1, design=HALVES)
    assert other.estimand.problem != from_torch.estimand.problem


def test_ols_converges_to_the_population_coefficients() -> None:
    # F is far from linear; 4,000 models leave a standard error; 5 sigma over 12
    # coefficients: false alarm 1e-5.
    values = normal(64, 2, seed=3)
    problem = SetFunction(values=values)
    found = fit_datamodel(collect(problem, Bernoulli(p=0.35, n_models=4000, seed=0)))
    _, beta = population_regression(values, 0.35)
    assert found.stderr is not None
    assert ((found.scores - beta).abs() < 5 * found.stderr).all()
    assert found.stderr.max() < 0.2 * beta.abs().max()


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_outputs_beyond_the_range_of_squares_are_refused(scale: float) -> None:
    masks = Bernoulli(p=0.5, seed=1).weights(torch.arange(40), 4)
    with pytest.raises(ValueError, match="got another at target 0: measure them in"):
        fit_datamodel(masks, scale * normal(40, 2, seed=1), design=Bernoulli(p=0.5))
