"""Output functions against probabilities computed by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import no_seeds, normal, table, weight_rows

from dmtheory.problems import LeastSquares, LogisticRegression, SoftmaxRegression
from dmtheory.problems.outputs import OF_CLASSES, OF_RESPONSES

CLASSES = torch.tensor([2, 0, 1, 2])


@given(seed=st.integers(0, 1000))
def test_outputs_of_classes_are_functions_of_the_probabilities(seed: int) -> None:
    logits = normal(3, 4, 3, seed=seed)
    p = torch.softmax(logits, -1)
    own = p[:, torch.arange(4), CLASSES]
    best_other = p.clone()
    best_other[:, torch.arange(4), CLASSES] = 0
    expected = {
        "margin": (own / (1 - own)).log(),
        "max-margin": own.log() - best_other.amax(-1).log(),
        "logit": logits[:, torch.arange(4), CLASSES],
        "log-likelihood": own.log(),
        "loss": -own.log(),
        "probability": own,
    }
    assert set(expected) == set(OF_CLASSES)
    for name, output in OF_CLASSES.items():
        torch.testing.assert_close(output(logits, CLASSES), expected[name])


def test_outputs_of_responses() -> None:
    z, y = torch.tensor([[[1.0], [4.0]]]), torch.tensor([3.0, 3.0])
    assert OF_RESPONSES["prediction"](z, y).tolist() == [[1.0, 4.0]]
    assert OF_RESPONSES["squared-error"](z, y).tolist() == [[2.0, 0.5]]


def test_a_problem_measures_the_output_that_was_asked_for() -> None:
    weights = weight_rows(2, 20, seed=1)
    for make, n_classes in ((LogisticRegression, 2), (SoftmaxRegression, 3)):
        data = table(20, 4, classes=n_classes, seed=0)
        found = {
            name: make(data=data, ridge=0.1, output=name).respond(weights, no_seeds(2))
            for name in OF_CLASSES
        }
        own = found["probability"]
        torch.testing.assert_close(found["margin"], (own / (1 - own)).log())
        torch.testing.assert_close(found["loss"], -own.log())
        with pytest.raises(ValueError, match="output must be one of margin, max-ma"):
            make(data=data, ridge=0.1, output="accuracy")
    numbers = table(20, 4, seed=0)
    found = {
        name: LeastSquares(data=numbers, output=name).respond(weights, no_seeds(2))
        for name in OF_RESPONSES
    }
    torch.testing.assert_close(
        found["squared-error"], 0.5 * (found["prediction"] - numbers.y_target) ** 2
    )
