"""Image classifiers as a problem: players, qualities, derivatives, refusals."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import no_seeds, unchecked, weight_rows
from torch import Tensor
from torch.nn.functional import cross_entropy

from dmtheory import EKFAC, GaussNewton, collect, influence
from dmtheory.data import digits, synthetic_images
from dmtheory.designs import Bernoulli
from dmtheory.problems import FIDELITY, SMOOTH, THROUGHPUT, Cifar
from dmtheory.problems.base import DifferentiableProblem, Measured

N_TRAIN = 12
DATA = synthetic_images(n_train=N_TRAIN, n_targets=3, n_test=6, n_classes=3)
TINY = SMOOTH.smaller(width=2, epochs=2, batch_size=5)
SEEDS = torch.tensor([3, 8])


def problem(**changes: Any) -> Cifar:
    fields: dict[str, Any] = {"data": DATA, "recipe": TINY, "dtype": torch.float64}
    return Cifar(**{**fields, **changes})


def ones(n_models: int = 1, n_train: int = N_TRAIN) -> Tensor:
    return torch.ones(n_models, n_train).double()


def test_it_is_a_problem_that_is_measured_and_differentiated() -> None:
    assert isinstance(problem(), Measured)
    assert isinstance(problem(), DifferentiableProblem)
    described = problem().description
    assert described.step_policy == "fixed"
    assert problem(mode="subset").description.step_policy == "proportional"
    assert described.train_labels[4] == "image 4 (automobile)"
    assert described.target_labels[2] == "test image 2 (bird)"


def test_groups_are_players_whose_images_share_a_weight() -> None:
    groups = tuple(i % 4 for i in range(N_TRAIN))
    grouped = problem(groups=groups)
    weights = weight_rows(2, 4, seed=0)
    expected = problem().respond(weights[:, list(groups)], SEEDS)
    assert torch.equal(grouped.respond(weights, SEEDS), expected)
    assert grouped.description.train_labels == tuple(f"group {g}" for g in range(4))
    named = replace(grouped, group_labels=("a", "b", "c", "d"))
    assert named.description.train_labels == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="groups must be None for derivatives"):
        grouped.fit(weights, SEEDS)


def test_quality_is_of_all_test_images_and_targets_are_some() -> None:
    """Against the parameters, by torch's own losses."""
    found = problem()
    outputs, quality = found.measure(ones(2), SEEDS)
    params = found.fit(ones(2), SEEDS).params
    for k in range(2):
        logits = found.predictions_at(params[k], DATA.x_held_out)
        expected = cross_entropy(logits, DATA.y_held_out)
        torch.testing.assert_close(quality.loss[k], expected, rtol=0, atol=1e-12)
        right = (logits.argmax(1) == DATA.y_held_out).double().mean()
        assert quality.accuracy is not None
        assert float(quality.accuracy[k]) == float(right)
        torch.testing.assert_close(
            found.target_outputs(params[k]), outputs[k], rtol=0, atol=1e-12
        )
    # Targets are the first test images; where they are all, they are predicted once.
    whole = synthetic_images(n_train=N_TRAIN, n_targets=6, n_test=6, n_classes=3)
    assert whole.x_target is whole.x_held_out
    every = problem(data=whole).respond(ones(2), SEEDS)
    torch.testing.assert_close(every[:, :3], outputs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("recipe", [FIDELITY, THROUGHPUT])
def test_a_test_image_and_its_mirror_image_are_the_same_to_averaged_views(
    recipe: Any,
) -> None:
    """Left to right, not channels as in the datamodels example.

    A view that is moved along a diagonal first has no mirror image among the others.
    """
    unmoved = [view for view in recipe.views if view.shift == 0]
    views = tuple(replace(view, share=1 / len(unmoved)) for view in unmoved)
    small = replace(recipe.smaller(width=2, epochs=1, batch_size=5), views=views)
    shown = {
        name: replace(
            DATA, x_target=DATA.x_target.flip(axis) if axis else DATA.x_target
        )
        for name, axis in (("as is", 0), ("mirrored", 3), ("channels", 1))
    }
    outputs = {
        name: problem(data=data, recipe=small).respond(ones(), SEEDS[:1])
        for name, data in shown.items()
    }
    torch.testing.assert_close(
        outputs["mirrored"], outputs["as is"], rtol=0, atol=1e-12
    )
    assert (outputs["channels"] - outputs["as is"]).abs().max() > 1e-6


def test_influence_is_the_same_by_the_problem_and_by_its_network() -> None:
    found = problem(normalisation="count")
    params = found.fit(ones(2), SEEDS).params
    options: dict[str, Any] = {"damping": 0.1, "parameters": params}
    by = influence(found, curvature=GaussNewton(), **options)
    assert by.scores.shape == (N_TRAIN, 3)
    same = influence(found.network, curvature=GaussNewton(), **options)
    assert same.estimand == by.estimand
    torch.testing.assert_close(same.scores, by.scores, rtol=0, atol=1e-12)


def test_influence_is_what_the_damped_gauss_newton_matrix_says() -> None:
    """Dense algebra on Jacobians of the network, for one model under `count`."""
    found = problem(normalisation="count")
    params = found.fit(ones(), SEEDS[:1]).params[0]
    jacobian = torch.func.jacrev(found.predictions)(params)
    p = found.predictions(params).softmax(1)
    hessians = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    curvature = torch.einsum("jcp,jcd,jdq->pq", jacobian, hessians, jacobian) / N_TRAIN
    decay = TINY.groups[0].weight_decay
    damped = curvature + (decay + 0.1) * torch.eye(len(params)).double()
    residual = p - torch.nn.functional.one_hot(DATA.y_train, 3)
    slopes = torch.einsum("jc,jcp->jp", residual, jacobian)
    toward = torch.func.jacrev(found.target_outputs)(params)
    expected = -slopes @ torch.linalg.solve(damped, toward.T) / N_TRAIN
    scores = influence(
        found, curvature=GaussNewton(), damping=0.1, parameters=params
    ).scores
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-10)


def test_kronecker_factors_take_its_network() -> None:
    found = problem()
    params = found.fit(ones(), SEEDS[:1]).params
    scores = influence(
        found.network, curvature=EKFAC(), damping=0.1, parameters=params
    ).scores
    exact = influence(
        found, curvature=GaussNewton(), damping=0.1, parameters=params
    ).scores
    cosine = (scores * exact).sum() / scores.norm() / exact.norm()
    assert cosine > 0.9


def test_finite_differences_and_collections_take_it() -> None:
    found = problem(mode="subset", dtype=torch.float32)
    responses = collect(found, Bernoulli(p=0.5, n_models=3, seed=1), block=2)
    assert responses.outputs.shape == (3, 3)
    again = pickle.loads(pickle.dumps(found))
    design = Bernoulli(p=0.5, n_models=3, seed=1)
    rows = torch.arange(3)
    outputs = again.respond(design.weights(rows, N_TRAIN), design.seeds(rows))
    assert torch.equal(outputs, responses.outputs.double())


def test_its_digest_knows_what_changes_numbers() -> None:
    digests = {
        made.description.digest
        for made in (
            problem(),
            problem(mode="subset"),
            problem(normalisation="count"),
            problem(dtype=torch.float32),
            problem(output="loss"),
            problem(groups=tuple(range(N_TRAIN))),
            problem(recipe=replace(TINY, epochs=3)),
            problem(data=synthetic_images(n_train=N_TRAIN, seed=1)),
        )
    }
    assert len(digests) == 8
    same = problem(models_at_once=2, device="cpu")
    assert same.description.digest == problem().description.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "both"}, "mode must be one of subset, weighted"),
        ({"normalisation": "mean"}, "normalisation must be one of"),
        ({"output": "accuracy"}, "output must be one of"),
        ({"dtype": torch.int8}, "dtype must be torch.float64, float32"),
        ({"models_at_once": 0}, "models_at_once must be at least 1"),
        ({"data": digits(n_train=20)}, "data must have uint8 images of shape"),
        (
            {"data": replace(DATA, class_names=("a", "b"))},
            "data must have classes 0 to 1",
        ),
        ({"groups": (0, 1)}, "groups must number every image"),
        ({"groups": (0, 2) * 6}, "groups must number every image"),
        ({"groups": (0, 1) * 6, "group_labels": ("a",)}, "group_labels must have one"),
        ({"group_labels": ("a",)}, "group_labels must be empty"),
    ],
)
def test_what_makes_no_problem_is_refused(changes: Any, message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        problem(**changes)


def test_what_cannot_be_trained_or_differentiated_is_refused() -> None:
    with pytest.raises(ValueError, match="weights must be 0 or 1 in subset mode"):
        problem(mode="subset").respond(0.5 * ones(), SEEDS[:1])
    with pytest.raises(ValueError, match=r"weights must have shape \(models, 12\)"):
        problem().respond(ones(1, 5), SEEDS[:1])
    with unchecked(), pytest.raises(ValueError, match=r"seeds must have shape \(1,\)"):
        problem().respond(ones(), no_seeds(2))
    for recipe in (FIDELITY, THROUGHPUT):
        with pytest.raises(ValueError, match="recipe must be SMOOTH for derivatives"):
            problem(recipe=recipe.smaller(width=2)).fit(ones(), SEEDS[:1])
    with pytest.raises(ValueError, match="groups of recipe 'smooth' must hold every"):
        problem(recipe=replace(TINY, groups=())).respond(ones(), SEEDS[:1])
