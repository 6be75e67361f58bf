"""Held-out loss and accuracy go with every run, so that nobody explains noise."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from samples import no_seeds, table
from torch import Tensor

from dmtheory import collect
from dmtheory.cli import cli
from dmtheory.designs import Bernoulli
from dmtheory.problems import (
    MLP,
    SGD,
    BlackBox,
    Description,
    LeastSquares,
    LogisticRegression,
    Network,
    Problem,
)
from dmtheory.responses import responses as reading
from dmtheory.responses.responses import load_responses

N = 12
CLASSES = table(N, 3, classes=2, seed=0)
LOGISTIC = LogisticRegression(data=CLASSES, ridge=0.1)
NETWORK = Network(
    make_module=MLP((3, 4, 2)), data=CLASSES, training=SGD(epochs=2, batch_size=4)
)
DESIGN = Bernoulli(p=0.5, n_models=70, seed=1)
each_classifier = pytest.mark.parametrize("problem", [LOGISTIC, NETWORK])


def by_hand(problem: LogisticRegression | Network) -> tuple[Tensor, Tensor]:
    """Return loss and accuracy from each model's probabilities, one by one."""
    rows = torch.arange(70)
    fit = problem.fit(DESIGN.weights(rows, N), DESIGN.seeds(rows))
    losses, accuracies = [], []
    for theta in fit.params:
        if isinstance(problem, LogisticRegression):
            one = torch.sigmoid(CLASSES.x_held_out @ theta)
            p = torch.stack([1 - one, one], 1)
        else:
            module = problem.make_module().double()
            torch.nn.utils.vector_to_parameters(theta, module.parameters())
            p = torch.softmax(module(CLASSES.x_held_out), 1).detach()
        own = p[torch.arange(len(p)), CLASSES.y_held_out]
        losses.append(-own.log().mean())
        accuracies.append((own > 0.5).double().mean())
    return torch.stack(losses), torch.stack(accuracies)


@each_classifier
@pytest.mark.parametrize("stored", [False, True])
def test_a_run_keeps_the_quality_of_each_model(
    problem: LogisticRegression | Network, stored: bool, tmp_path: Path
) -> None:
    place = tmp_path / "run.zarr" if stored else None
    found = collect(problem, DESIGN, store=place, block=16)
    loss, accuracy = by_hand(problem)
    assert found.description.qualities == ("held-out loss", "held-out accuracy")
    torch.testing.assert_close(found.quality("held-out loss"), loss)
    torch.testing.assert_close(found.quality("held-out accuracy"), accuracy)
    assert 0 < accuracy.std()
    assert found.outputs.shape == (70, 4)
    if stored:
        again = load_responses(place)
        assert again.qualities is not None
        assert found.qualities is not None
        assert torch.equal(again.qualities, found.qualities)
        data = reading.open_dataset(place)
        assert dict(data.sizes) == {"models": 70, "targets": 4}
        np.testing.assert_array_equal(data["held-out accuracy"], accuracy)
        np.testing.assert_array_equal(data["outputs"], found.outputs)


def test_a_regression_keeps_its_held_out_loss() -> None:
    data = table(N, 3, seed=2)
    problem = LeastSquares(data=data, ridge=0.1)
    found = collect(problem, DESIGN)
    rows = torch.arange(70)
    params = problem.fit(DESIGN.weights(rows, N), no_seeds(70)).params
    errors = params @ data.x_held_out.T - data.y_held_out
    expected = 0.5 * errors.square().mean(1)
    torch.testing.assert_close(found.quality("held-out loss"), expected)
    with pytest.raises(ValueError, match=r"qualities \(held-out loss\), got 'held-ou"):
        found.quality("held-out accuracy")


def test_without_held_out_examples_the_quality_is_unknown_and_nothing_diverges() -> (
    None
):
    nothing = replace(
        CLASSES, x_held_out=CLASSES.x_held_out[:0], y_held_out=CLASSES.y_held_out[:0]
    )
    for problem in (replace(LOGISTIC, data=nothing), replace(NETWORK, data=nothing)):
        found = collect(problem, DESIGN)
        assert found.quality("held-out loss").isnan().all()
        assert found.quality("held-out accuracy").isnan().all()
        assert not found.diverged.any()


def test_a_black_box_has_none_and_says_so() -> None:
    description = Description(
        name="box",
        digest="1",
        output="mean",
        normalisation="sum",
        step_policy="fixed",
        train_labels=tuple("abc"),
        target_labels=("t",),
    )
    box = BlackBox(
        description=description, train_and_measure=lambda w, s: w.sum(1, keepdim=True)
    )
    found = collect(box, Bernoulli(p=0.5, n_models=4))
    assert found.qualities is not None
    assert found.qualities.shape == (4, 0)
    promised = replace(box, description=replace(description, qualities=("loss",)))
    with pytest.raises(TypeError, match="must have a method `measure`, since its desc"):
        collect(promised, Bernoulli(p=0.5, n_models=4))


@dataclass(frozen=True)
class Broken:
    """Outputs are not finite for some models; qualities always are."""

    problem: LogisticRegression

    @property
    def description(self) -> Description:
        return self.problem.description

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        return self.measure(weights, seeds)[0]

    def measure(self, weights: Tensor, seeds: Tensor) -> tuple[Tensor, object]:
        outputs, quality = self.problem.measure(weights, seeds)
        outputs = outputs.clone()
        outputs[weights[:, 0] == 0] = torch.nan
        return outputs, quality


def test_a_model_diverges_by_its_outputs_alone() -> None:
    problem: Problem = Broken(LOGISTIC)
    found = collect(problem, DESIGN)
    absent = DESIGN.weights(torch.arange(70), N)[:, 0] == 0
    assert torch.equal(found.diverged, absent)
    assert found.quality("held-out accuracy").isfinite().all()


def test_the_command_says_how_good_the_models_are(tmp_path: Path) -> None:
    runner = CliRunner()
    store = str(tmp_path / "run.zarr")
    words = ["--problem", "breast-cancer-logistic", "--models", "300", "--block", "64"]
    done = runner.invoke(
        cli, ["collect", *words, "--store", store, "--json"], catch_exceptions=False
    )
    values = json.loads(done.output)
    kept = load_responses(store)
    for name in ("held-out loss", "held-out accuracy"):
        # Five blocks: the summary reads them all.
        assert values[name] == pytest.approx(kept.quality(name).mean().item())
    assert values["held-out accuracy"] > 0.9
