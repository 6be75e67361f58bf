"""p-values and false discoveries: statsmodels, and rates by simulation."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from samples import an_attribution, normal
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from dmtheory import fit_datamodel
from dmtheory.datamodels.inference.discoveries import discoveries, p_values
from dmtheory.designs import Bernoulli

N_TRAIN = 20


def a_fit(n_models: int, beta: Tensor, *, seed: int) -> tuple[Tensor, Tensor, int]:
    """Return OLS coefficients, their errors and degrees of freedom."""
    design = Bernoulli(p=0.4, n_models=n_models, seed=seed)
    x = design.weights(torch.arange(n_models), len(beta))
    y = 1 + x @ beta + normal(n_models, beta.shape[1], seed=1000 + seed)
    fit = fit_datamodel(x, y, design=design)
    assert fit.stderr is not None
    return fit.scores, fit.stderr, n_models - len(beta) - 1


def test_p_values_are_those_of_statsmodels() -> None:
    beta = 0.5 * normal(N_TRAIN, 3, seed=1)
    scores, stderr, freedom = a_fit(30, beta, seed=1)
    found = p_values(scores, stderr, degrees_of_freedom=freedom)
    design = Bernoulli(p=0.4, n_models=30, seed=1)
    x = design.weights(torch.arange(30), N_TRAIN)
    y = 1 + x @ beta + normal(30, 3, seed=1001)
    for j in range(3):
        reference = sm.OLS(y[:, j].numpy(), sm.add_constant(x.numpy())).fit()
        assert freedom == reference.df_resid
        np.testing.assert_allclose(found[:, j], reference.pvalues[1:], rtol=1e-8)
    normal_law = p_values(scores, stderr)
    assert bool((normal_law <= found).all())


def test_p_values_keep_their_digits_far_out_and_know_exact_scores() -> None:
    scores = torch.tensor([[30.0], [0.0], [0.0], [2.0]]).double()
    stderr = torch.tensor([[1.0], [1.0], [0.0], [0.0]]).double()
    found = p_values(scores, stderr).flatten().tolist()
    assert found[0] == pytest.approx(9.813428854e-198, rel=1e-6)  # 2 (1 - Phi(30))
    assert found[1:] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(("method", "theirs"), [("bh", "fdr_bh"), ("by", "fdr_by")])
def test_adjusted_p_values_are_those_of_statsmodels(method: str, theirs: str) -> None:
    scores = 2 * normal(50, 4, seed=3)
    mine = an_attribution(scores, stderr=torch.ones_like(scores))
    found = discoveries(mine, rate=0.2, method=method)  # type: ignore[arg-type]
    for j in range(4):
        values = found.p_values[:, j].numpy()
        rejected, adjusted, *_ = multipletests(values, alpha=0.2, method=theirs)
        np.testing.assert_allclose(found.adjusted[:, j], adjusted, rtol=1e-12)
        assert found.found[:, j].tolist() == rejected.tolist()


def test_names_come_most_certain_first() -> None:
    scores = torch.tensor([[5.0], [0.1], [-9.0], [6.0]]).double()
    found = discoveries(an_attribution(scores, stderr=torch.ones_like(scores)))
    assert found.names("question 0") == ("row 2", "row 3", "row 0")
    with pytest.raises(ValueError, match="target must be one of question 0; got 'x'"):
        found.names("x")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_false_discovery_rate_is_as_stated(share: float) -> None:
    # OLS on 20 examples from 45 models, 24 degrees of freedom. Benjamini-Hochberg at
    # rate .2 has the rate .2 (1 - share) for independent scores and less for these,
    # which share one estimate of the noise. 400 studies of 5 targets: sigma is .008
    # under the null, where a share is 0 or 1, and .003 otherwise. A false alarm is 3.5
    # sigma above the rate, 3e-4; the floor says that the rate is used and not wasted.
    beta = torch.zeros(N_TRAIN, 5).double()
    beta[: int(share * N_TRAIN)] = 1.2
    shares, hits = [], []
    for study in range(400):
        scores, stderr, freedom = a_fit(45, beta, seed=study)
        mine = an_attribution(scores, stderr=stderr)
        found = discoveries(mine, rate=0.2, degrees_of_freedom=freedom).found
        false = (found & (beta == 0)).sum(0) / found.sum(0).clamp_min(1)
        shares.append(false.mean().item())
        hits.append(found[beta != 0].double().mean().item())
    rate = 0.2 * (1 - share)
    assert 0.7 * rate < np.mean(shares) < rate + 0.028
    if share:
        assert np.mean(hits) > 0.5


def test_the_normal_law_is_too_generous_with_few_degrees_of_freedom() -> None:
    # The same under the null with 4 degrees of freedom: t keeps the rate .2, the normal
    # law does not. Sigma is .01 and .02 over 200 studies: five sigma each.
    beta = torch.zeros(N_TRAIN, 5).double()
    with_t, without = [], []
    for study in range(200):
        scores, stderr, freedom = a_fit(25, beta, seed=study)
        mine = an_attribution(scores, stderr=stderr)
        found = discoveries(mine, rate=0.2, degrees_of_freedom=freedom).found
        with_t.append(found.any(0).double().mean().item())
        without.append(discoveries(mine, rate=0.2).found.any(0).double().mean().item())
    assert np.mean(with_t) < 0.25
    assert np.mean(without) > 0.3


def test_bad_input_is_named() -> None:
    scores = normal(4, 1, seed=0)
    mine = an_attribution(scores, stderr=torch.ones_like(scores))
    with pytest.raises(ValueError, match="must have standard errors for p-values"):
        discoveries(replace(mine, stderr=None))
    with pytest.raises(ValueError, match=r"rate must lie in \(0, 1\), got 1"):
        discoveries(mine, rate=1.0)
    with pytest.raises(ValueError, match="degrees_of_freedom must be at least 1"):
        discoveries(mine, degrees_of_freedom=0)
