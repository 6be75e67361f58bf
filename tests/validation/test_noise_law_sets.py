"""The noise law is seen on disjoint sets of models, whose spread is counted."""

import torch
from samples import a_description, normal, responses_of

from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.designs.bernoulli import Bernoulli
from validation.claim import Entry, Evidence
from validation.claims import noise_law
from validation.statistics.over_units import scores_of
from validation.statistics.replicates import mean_of

N, M = 6, 20


def made_up(n_models: int, seed: int):
    design = Bernoulli(p=0.5, n_models=n_models, seed=seed)
    masks = design.weights(torch.arange(n_models), N)
    outputs = masks @ normal(N, 2, seed=1) + 2 * normal(n_models, 2, seed=seed)
    return responses_of(design, outputs, a_description(N, 2))


def test_sets_are_disjoint_rows_each_fitted_alone() -> None:
    """By least squares with an intercept; the last rows, too few, are left."""
    responses = made_up(5 * M + 7, seed=3)
    found = noise_law._fits(responses, M)
    assert len(found) == 5
    for place, fitted in enumerate(found):
        rows = slice(place * M, (place + 1) * M)
        masks = responses.weights()[rows]
        columns = torch.cat([torch.ones(M, 1).double(), masks], 1)
        right = torch.linalg.lstsq(columns, responses.outputs[rows]).solution[1:]
        torch.testing.assert_close(fitted.scores, right)
    assert len(noise_law._fits(made_up(20 * M, seed=3), M)) == noise_law.MOST_SETS


def test_the_interval_counts_sets_where_there_are_enough() -> None:
    held_out = evaluation_of(made_up(200, seed=4))
    fits = noise_law._fits(made_up(8 * M, seed=3), M)
    entry = Entry(scale="V", problem="breast-cancer-sum")
    widths = {}
    for n in (2, 8):
        evidence = Evidence(
            estimates={f"a | {k}": fits[k] for k in range(n)},
            numbers={"a": 0.5},
            held_out={"held out": held_out},
        )
        (part,) = noise_law.judge(evidence, entry)
        each = scores_of([one.scores for one in fits[:n]], held_out)
        assert abs(part.interval.value + 0.5 - each.mean().item()) < 1e-6
        widths[n] = part.interval.high - part.interval.value
        assert ("held fixed" in part.statement) == (n == 2)
    student = mean_of(each)
    sampled = (widths[8] ** 2 - widths[2] ** 2) ** 0.5
    assert abs(sampled - (student.high - student.value)) < 1e-6
