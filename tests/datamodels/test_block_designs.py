"""Models that share a seed: antithetic pairs and partitions, every estimator."""

import itertools
from collections.abc import Callable

import pytest
import statsmodels.api as sm
import torch
from samples import normal
from scipy.stats import t as student
from torch import Tensor

from dmtheory import OLS, fit_datamodel
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import regression_of
from dmtheory.datamodels.rows.sample import Sample, block_rows, independent_rows
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    FixedSize,
    Stratified,
    SubsetDesign,
)
from dmtheory.estimand import Point
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import (
    fixed_size_datamodel,
    population_regression,
    weighted_banzhaf,
)

N_TRAIN = 3


def every_pair(p: float) -> Tensor:
    """Return all antithetic pairs at p = 1/4 or 3/4, as often as the law says."""
    # u in (0, 1/4), (1/4, 3/4) twice, (3/4, 1), of which each example has one.
    u = torch.tensor([1, 3, 5, 7]).double() / 8
    drawn = torch.tensor(list(itertools.product(u.tolist(), repeat=N_TRAIN)))
    pair = torch.stack([drawn < p, 1 - drawn < p], dim=1)
    return pair.flatten(0, 1).double()


def every_partition(parts: int) -> Tensor:
    places = torch.tensor(list(itertools.product(range(parts), repeat=N_TRAIN)))
    rows = torch.stack([places == part for part in range(parts)], dim=1)
    return rows.flatten(0, 1).double()


def outputs_at(masks: Tensor, values: Tensor) -> Tensor:
    return values[(masks.long() * 2 ** torch.arange(masks.shape[1])).sum(1)]


BLOCKS = {
    "antithetic 1/4": (lambda: every_pair(0.25), 2, True, 0.25),
    "antithetic 3/4": (lambda: every_pair(0.75), 2, True, 0.75),
    "pairs": (lambda: every_partition(2), 2, False, 0.5),
    "three parts": (lambda: every_partition(3), 3, False, 1 / 3),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_whole_population_gives_the_population_coefficients(kind: str) -> None:
    make, size, has_mean, p = BLOCKS[kind]
    masks, values = make(), normal(2**N_TRAIN, 2, seed=3)
    assert masks.mean().item() == pytest.approx(p, abs=1e-12)
    intercept, beta = population_regression(values, p)
    sample = block_rows(
        masks,
        outputs_at(masks, values),
        size=size,
        has_mean=has_mean,
        level=p,
        variances=torch.full((N_TRAIN,), p * (1 - p), dtype=torch.float64),
    )
    fit = OLS().fit(sample)
    torch.testing.assert_close(fit.coefficients, beta, rtol=0, atol=1e-12)
    torch.testing.assert_close(fit.intercept, intercept, rtol=0, atol=1e-12)
    ridge = Ridge(l2_penalties=(0.1,)).fit(sample)
    shrunk = beta / (1 + 0.1 / (p * (1 - p)))
    torch.testing.assert_close(ridge.coefficients, shrunk, rtol=0, atol=1e-12)
    if not has_mean:
        difference = DifferenceOfMeans().fit(sample)
        torch.testing.assert_close(difference.coefficients, beta, rtol=0, atol=1e-12)


def test_a_partition_into_two_is_a_complementary_pair() -> None:
    masks = ComplementaryPairs(n_pairs=30, seed=1).weights(torch.arange(60), 6)
    outputs = normal(60, 2, seed=1)
    for errors in ("homoscedastic", "robust"):
        rule = OLS(errors=errors)
        pairs = fit_datamodel(
            masks, outputs, design=ComplementaryPairs(), estimator=rule
        )
        parts = fit_datamodel(
            masks, outputs, design=DisjointBlocks(parts=2), estimator=rule
        )
        anti = fit_datamodel(
            masks, outputs, design=AntitheticPairs(p=0.5), estimator=rule
        )
        for other in (parts, anti):
            torch.testing.assert_close(other.scores, pairs.scores)
            torch.testing.assert_close(other.stderr, pairs.stderr)


def test_robust_errors_are_hc1_and_clustered_by_block() -> None:
    masks, outputs = normal(60, 4, seed=1), normal(60, 2, seed=2)
    outputs = outputs * (1 + masks[:, :1].square())
    robust = OLS(errors="robust")
    alone = robust.fit(independent_rows(masks, outputs))
    sample = block_rows(masks, outputs, size=2, has_mean=True)
    pairs = robust.fit(sample)
    assert alone.stderr is not None and pairs.stderr is not None
    chunk = sample.gathered()
    constant = torch.tensor([1.0, 0.0]).double().repeat(30)[:, None]
    columns = torch.cat([constant, chunk.x.flatten(0, 1)], dim=1).numpy()
    for t in range(2):
        reference = sm.OLS(outputs[:, t].numpy(), sm.add_constant(masks.numpy()))
        hc1 = reference.fit(cov_type="HC1").bse[1:]
        torch.testing.assert_close(alone.stderr[:, t], torch.from_numpy(hc1))
        model = sm.OLS(chunk.y.flatten(0, 1)[:, t].numpy(), columns)
        clustered = model.fit(
            cov_type="cluster",
            cov_kwds={
                "groups": torch.arange(30).repeat_interleave(2).numpy(),
                "use_correction": False,
            },
        ).bse[1:]
        expected = torch.from_numpy(clustered) * (60 / (60 - 4 - 1)) ** 0.5
        torch.testing.assert_close(pairs.stderr[:, t], expected)


Make = Callable[[int, int], SubsetDesign]
DESIGNS: dict[str, tuple[Make, int]] = {
    "antithetic .3": (lambda n, s: AntitheticPairs(p=0.3, n_pairs=n, seed=s), 2),
    "antithetic .7": (lambda n, s: AntitheticPairs(p=0.7, n_pairs=n, seed=s), 2),
    "three parts": (lambda n, s: DisjointBlocks(parts=3, n_blocks=n, seed=s), 3),
}


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("antithetic .3", "ols"),
        ("antithetic .3", "robust"),
        ("antithetic .7", "ols"),
        ("antithetic .7", "difference"),
        ("three parts", "ols"),
        ("three parts", "difference"),
    ],
)
def test_a_95_percent_interval_covers_where_a_block_shares_its_seed(
    kind: str, rule: str
) -> None:
    # Errors of a block: a common part (variance 1, of which the regression knows
    # nothing) and one a model (variance 1/4). 250 studies of 4 coefficients and 2
    # targets whose errors are independent of one another: if a target's coefficients
    # moved as one, sigma of the coverage would be .0097. The band of .03 is 3.1 sigma:
    # false alarm below 2e-3 a case, at fixed seeds.
    make, size = DESIGNS[kind]
    n_blocks, n_train = 40, 4
    estimator = {
        "ols": OLS(),
        "robust": OLS(errors="robust"),
        "difference": DifferenceOfMeans(),
    }[rule]
    beta = normal(n_train, 2, seed=5)
    covered = []
    for study in range(250):
        design = make(n_blocks, study)
        masks = design.weights(torch.arange(size * n_blocks), n_train)
        common = normal(n_blocks, 2, seed=study).repeat_interleave(size, 0)
        own = 0.5 * normal(len(masks), 2, seed=50_000 + study)
        fit = estimator.fit(sample_of(masks, masks @ beta + common + own, design))
        assert fit.stderr is not None and fit.degrees_of_freedom is not None
        reach = student.ppf(0.975, fit.degrees_of_freedom) * fit.stderr
        covered.append(((fit.coefficients - beta).abs() <= reach).double().mean())
    coverage = torch.stack(covered).mean().item()
    # With 40 blocks the robust sums are a little short, as they are known to be.
    low = 0.90 if rule == "robust" else 0.92
    assert low < coverage < 0.98


def sample_of(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Sample:
    return regression_of(masks, outputs, design=design).sample


def test_the_common_seed_of_a_partition_changes_nothing() -> None:
    design = DisjointBlocks(parts=4, n_blocks=25, seed=2)
    masks = design.weights(torch.arange(100), 5)
    outputs = normal(100, 2, seed=1)
    shifted = outputs + 100 * normal(25, 2, seed=2).repeat_interleave(4, 0)
    for rule in (OLS(), Ridge(l2_penalties=(0.1,)), DifferenceOfMeans()):
        a = fit_datamodel(masks, outputs, design=design, estimator=rule)
        b = fit_datamodel(masks, shifted, design=design, estimator=rule)
        torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-10)
        torch.testing.assert_close(a.stderr, b.stderr, rtol=0, atol=1e-10)


def test_a_difference_of_means_is_the_covariance_over_the_known_variance() -> None:
    masks = Bernoulli(p=0.3, seed=1).weights(torch.arange(50), 4)
    outputs = 1e4 + normal(50, 2, seed=1)
    found = fit_datamodel(
        masks, outputs, design=Bernoulli(p=0.3), estimator=DifferenceOfMeans()
    )
    both = torch.cov(torch.cat([masks, outputs], dim=1).T)[:4, 4:]
    torch.testing.assert_close(found.scores, both / 0.21, rtol=0, atol=1e-9)
    products = (masks - masks.mean(0))[:, :, None] * (outputs - outputs.mean(0))[
        :, None
    ]
    expected = (50 / 49 * products / 0.21).std(0) / 50**0.5
    torch.testing.assert_close(found.stderr, expected, rtol=0, atol=1e-9)
    assert found.units is not None
    torch.testing.assert_close(found.units.mean(0), found.scores, rtol=0, atol=1e-9)


def test_a_difference_of_means_on_every_subset_is_the_banzhaf_value() -> None:
    # m/(m-1) since the sample's covariance is unbiased and these rows are no sample.
    masks, values = all_masks(6), normal(64, 2, seed=1)
    found = fit_datamodel(
        masks, values, design=Bernoulli(p=0.5), estimator=DifferenceOfMeans()
    )
    expected = weighted_banzhaf(values, 0.5) * 64 / 63
    torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-12)
    chosen = masks.sum(1) == 3
    sized = fit_datamodel(
        masks[chosen],
        values[chosen],
        design=FixedSize(size=3),
        estimator=DifferenceOfMeans(),
    )
    expected = fixed_size_datamodel(values, 3) * 20 / 19
    torch.testing.assert_close(sized.scores, expected, rtol=0, atol=1e-12)


def test_the_error_of_a_difference_of_means_counts_the_other_examples() -> None:
    # Variance (sigma^2 + L)/(m p(1-p)); over 200 coefficients the mean of stderr^2 has
    # a relative sigma of about 2/sqrt(m) = .03, here within 5 of them.
    n_models, n_train, p = 4000, 200, 0.3
    masks = Bernoulli(p=p, seed=2).weights(torch.arange(n_models), n_train)
    beta = normal(n_train, 1, seed=3)
    outputs = masks @ beta + 5 * normal(n_models, 1, seed=4)
    found = fit_datamodel(
        masks, outputs, design=Bernoulli(p=p), estimator=DifferenceOfMeans()
    )
    linear = p * (1 - p) * float(beta.square().sum())
    assert found.stderr is not None
    law = (25 + linear) / (n_models * p * (1 - p))
    assert found.stderr.square().mean().item() == pytest.approx(law, rel=0.15)
    # Errors are those: standardised, 200 of them have a mean square of 1 +- 5 · .1.
    errors = (found.scores - beta) / found.stderr
    assert 0.5 < errors.square().mean() < 1.5


def test_a_stratified_design_states_its_variances() -> None:
    design = Stratified(strata=(0, 0, 0, 0, 1, 1), fraction=0.5, n_models=4000, seed=0)
    masks = design.weights(torch.arange(4000), 6)
    beta = torch.tensor([1.0, -1, 2, -2, 3, -3]).double()[:, None]
    from dmtheory.datamodels.rows.regression import variances

    sample = independent_rows(
        masks,
        masks @ beta,
        null_directions=design.null_directions(6),
        variances=variances(design, 6),
    )
    fit = DifferenceOfMeans().fit(sample)
    assert fit.stderr is not None
    # Noise-free but for the other examples; 6 coefficients within 5 sigma.
    assert ((fit.coefficients - beta).abs() < 5 * fit.stderr).all()
    exact = OLS().fit(sample)
    torch.testing.assert_close(exact.coefficients, beta, rtol=0, atol=1e-10)


def test_arrays_of_a_stratified_design_are_fitted_as_its_rows_are() -> None:
    design = Stratified(strata=(7, 7, 7, 7, 2, 2), fraction=0.5, n_models=60, seed=0)
    masks = design.weights(torch.arange(60), 6)
    outputs = masks @ normal(6, 2, seed=1) + normal(60, 2, seed=2)
    found = fit_datamodel(masks, outputs, design=design)
    # The minimum-norm solution, by the pseudo-inverse: no stratum's total is moved.
    x, y = masks - masks.mean(0), outputs - outputs.mean(0)
    expected = torch.linalg.pinv(x, rtol=1e-10) @ y
    torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-12)
    assert found.estimand.point == Point("subsets", 0.5, "Stratified")


@pytest.mark.parametrize(
    ("rows", "design", "message"),
    [
        (6, Stratified(strata=(3, 3, 1, 1), fraction=0.5), "1 of stratum 0 .* 0 to 2"),
        (
            6,
            Stratified(strata=(1, 1, 1), fraction=0.5),
            "one entry an example .4., got 3",
        ),
    ],
)
def test_masks_that_contradict_their_strata_are_refused(
    rows: int, design: SubsetDesign, message: str
) -> None:
    masks = torch.zeros(rows, 4).double()
    # The larger stratum number comes first: its rows are as stated.
    masks[:, 0], masks[1, 2:] = 1, 1
    with pytest.raises(ValueError, match=message):
        fit_datamodel(masks, normal(rows, 1, seed=1), design=design)


@pytest.mark.parametrize(
    ("rows", "design", "message"),
    [
        (5, ComplementaryPairs(), "blocks of 2 models were stated, but there are 5"),
        (6, DisjointBlocks(parts=3), "partitions into 3 parts were stated"),
        (6, ComplementaryPairs(), "consecutive rows are no complements"),
        (6, FixedSize(size=2), "size 2 was stated, but rows hold 0 to 3"),
    ],
)
def test_masks_that_contradict_their_design_are_refused(
    rows: int, design: SubsetDesign, message: str
) -> None:
    masks = torch.zeros(rows, 3).double()
    masks[0] = 1
    with pytest.raises(ValueError, match=message):
        fit_datamodel(masks, normal(rows, 1, seed=1), design=design)


def test_a_difference_of_means_needs_a_known_design_and_three_models() -> None:
    masks = torch.eye(3).double()
    with pytest.raises(TypeError, match="sample must state the variances"):
        DifferenceOfMeans().fit(independent_rows(masks, masks))
    two = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    with pytest.raises(ValueError, match="at least 3 models or pairs"):
        fit_datamodel(two, two, design=Bernoulli(p=0.5), estimator=DifferenceOfMeans())
