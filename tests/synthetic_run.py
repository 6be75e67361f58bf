"""A small made-up run with every kind of thing that a page must show."""

from typing import Any

import numpy as np

Json = dict[str, Any]


def synthetic_results() -> Json:
    """Return the data of a run that was never run, with all verdicts in it."""
    return {
        "suite": "small",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "config_digest": "sha256:77af01",
        "started": "2025-11-22T07:21:00+00:00",
        "seconds": 134.2,
        "seed": 0,
        "models_trained": 41200,
        "command": "python -m validation run small --out runs/small --seed 0",
        "environment": synthetic_environment(),
        "problems": _problems(),
        "claims": _claims(),
        "cases": [_digit_case(), _patient_case()],
    }


def synthetic_environment() -> Json:
    """Return the machine of the run."""
    return {
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "processor": "x86_64",
        "cores": 2,
        "packages": {"numpy": "2.4.0", "torch": "2.13.0", "matplotlib": "3.11.2"},
    }


def _problems() -> list[Json]:
    return [
        {
            "name": "breast-cancer-logistic-sum",
            "description": "Ridge logistic regression on standardised features.",
            "source": "Breast Cancer Wisconsin (Diagnostic)",
            "n_train": 300,
            "n_targets": 20,
            "normalisation": "sum",
            "output": "margin",
            "accuracy": {"at w = 1": 0.972, "over masks": 0.961},
        },
        {
            "name": "digits-network-sum",
            "description": "A tanh network with one hidden layer of 16 units.",
            "source": "Optical Recognition of Handwritten Digits",
            "n_train": 300,
            "n_targets": 30,
            "normalisation": "sum",
            "output": "margin",
            "accuracy": {"at w = 1": 0.941, "over masks": 0.902},
        },
        {
            "name": "random-set-function",
            "description": "A random function on all subsets of 10 examples.",
            "source": "",
            "n_train": 10,
            "n_targets": 1,
            "normalisation": "count",
            "output": "value",
            "accuracy": None,
        },
    ]


def part(name: str, value: float | None, **other: Any) -> Json:
    """Return a part of a claim, supported as expected unless said otherwise."""
    low, high = other.pop("interval", (value, value))
    return {
        "name": name,
        "statement": "",
        "value": value,
        "low": low,
        "high": high,
        "tolerance": [0.9, 1.1],
        "expected": "supported",
        "verdict": "supported",
        "passed": True,
        "note": "",
        **other,
    }


def claim(name: str, scale: str, problem: str, **other: Any) -> Json:
    """Return an entry, supported as expected unless said otherwise."""
    return {
        "id": name,
        "title": name.replace("-", " ").capitalize(),
        "statement": f"What {name} says.",
        "source": "theory, section 2",
        "scale": scale,
        "problem": problem,
        "verdict": "supported",
        "expected": "supported",
        "passed": True,
        "parts": [],
        "statistics": {},
        "tolerance": [None, None],
        "models_trained": 0,
        "seconds": 0.4,
        "reason": "",
        "estimands": [],
        "controls": [],
        "figure": None,
        **other,
    }


def _claims() -> list[Json]:
    return [
        _posted("V", "breast-cancer-logistic-sum", 2.041, 0.031, 6000),
        _posted("M", "digits-network-sum", 2.113, 0.094, 20000),
        claim(
            "bridge",
            "M",
            "digits-network-sum",
            title="The exact bridge from derivatives to datamodels",
            statement="A datamodel coefficient is the response derivative averaged "
            "over random subsets and over the example's own weight from 0 to 1.",
            parts=[part("slope", 1.012, interval=(0.981, 1.043))],
            models_trained=12000,
            figure=_scatter(1.01, 1.0),
        ),
        claim(
            "multilinear-identity",
            "C",
            "random-set-function",
            title="The coefficient is a derivative of the multilinear extension",
            parts=[
                part("largest error", 3.1e-14, tolerance=[0.0, 1e-10]),
                part("ratio at p = 1/2", 2.18075, tolerance=[2.18, 2.19]),
            ],
        ),
        claim(
            "noise-law",
            "V",
            "breast-cancer-logistic-sum",
            title="Correlation against the number of models follows the noise law",
            verdict="inconclusive",
            passed=False,
            parts=[
                part(
                    "largest gap",
                    0.027,
                    interval=(0.018, 0.036),
                    tolerance=[None, 0.03],
                    verdict="inconclusive",
                    passed=False,
                    note="about 1,800 more models would decide",
                ),
                part("shape", 0.99, interval=(0.97, 1.0), tolerance=[0.9, None]),
            ],
            reason="The interval reaches across the tolerance.",
            models_trained=3200,
            figure=_curve(),
        ),
        claim(
            "one-over-n",
            "V",
            "breast-cancer-logistic-sum",
            verdict="supported",
            expected="refuted",
            passed=False,
            parts=[
                part(
                    "slope",
                    1.03,
                    interval=(0.99, 1.07),
                    expected="refuted",
                    passed=False,
                )
            ],
            models_trained=301,
        ),
        claim(
            "leakage",
            "G",
            "cifar10-resnet",
            title="Planted copies are found",
            verdict="skipped",
            passed=None,
            reason="No CUDA device was found.",
            seconds=0.0,
        ),
    ]


def _posted(scale: str, problem: str, slope: float, half: float, models: int) -> Json:
    return claim(
        "posted-identity",
        scale,
        problem,
        title="The identity as posted",
        statement="The optimal datamodel coefficient at p = 1/2 equals the response "
        "derivative dF/dw at w = 1.",
        source="the post, third displayed equation from the end",
        verdict="refuted",
        expected="refuted",
        parts=[
            part(
                "slope",
                slope,
                interval=(slope - half, slope + half),
                statement="of the datamodel on the derivative at w = 1",
                verdict="refuted",
                expected="refuted",
            ),
            part(
                "direction kept",
                0.9953,
                interval=(0.9921, 0.9972),
                tolerance=[0.8, None],
                statement="disattenuated correlation",
            ),
            part(
                "half the slope",
                slope / 2,
                interval=(slope / 2 - 0.01, slope / 2 + 0.01),
            ),
        ],
        statistics={
            "disattenuated_slope": {
                "value": slope,
                "low": slope - half,
                "high": slope + half,
            },
            "naive_slope": {"value": slope - 0.2, "low": 1.79, "high": 1.85},
            "pearson": {"value": 0.981, "low": 0.977, "high": 0.985},
            "relative_error": {"value": 0.52, "low": None, "high": None},
        },
        models_trained=models,
        seconds=31.4,
        estimands=[
            {
                "role": "datamodel",
                "text": "β(1/2) of the margin, per unit of weight",
                "method": f"complementary pairs, {models:,} models",
            },
            {
                "role": "derivative",
                "text": "dF/dw at w = 1, per unit of weight",
                "method": "central differences, step 0.1, common seeds",
            },
        ],
        controls=[
            {
                "name": "estimate scaled by 1.25",
                "verdict": "refuted",
                "passed": False,
                "detail": "slope 2.55 [2.51, 2.59]",
            },
            {
                "name": "sign flipped",
                "verdict": "refuted",
                "passed": False,
                "detail": "correlation \N{MINUS SIGN}0.98",
            },
        ],
        figure=_scatter(slope, 1.0),
    )


def _scatter(fitted: float, predicted: float) -> Json:
    draw = np.random.default_rng(int(fitted * 1000))
    x = draw.normal(scale=0.04, size=900) * draw.exponential(size=900)
    y = fitted * x + draw.normal(scale=0.01, size=900)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "x_label": "response derivative at w = 1, margin per unit of weight",
        "y_label": "datamodel coefficient, p = 1/2, margin per unit of weight",
        "title": "Datamodel against response derivative, all targets",
        "fitted_slope": fitted,
        "predicted_slope": predicted,
        "fitted_label": f"fitted slope {fitted:.2f}",
        "predicted_label": f"slope {predicted:.2f}, as the post claims",
        "log": False,
    }


def _curve() -> Json:
    m = np.array([400.0, 800.0, 1600.0, 3200.0, 6400.0])
    return {
        "x": m.tolist(),
        "y": (3 / m).tolist(),
        "x_label": "number of models",
        "y_label": "squared error of the coefficients",
        "title": "Error against the number of models",
        "fitted_slope": -1.0,
        "predicted_slope": -1.1,
        "fitted_label": "fitted exponent \N{MINUS SIGN}1.00",
        "predicted_label": "predicted exponent \N{MINUS SIGN}1.10",
        "log": True,
        "lines": [{"x": [400.0, 6400.0], "y": [0.004, 0.001], "label": "ceiling"}],
    }


def _ring(seed: int) -> list[list[float]]:
    draw = np.random.default_rng(seed)
    row, column = np.mgrid[0:8, 0:8] - 3.5
    centre = draw.normal(scale=0.4, size=2)
    radius = np.hypot((row - centre[0]) * 0.8, (column - centre[1]) * 1.1)
    return np.clip(1.6 - np.abs(radius - 2.2) * 1.3, 0, 1).round(3).tolist()


def _bar(seed: int) -> list[list[float]]:
    draw = np.random.default_rng(seed)
    row, column = np.mgrid[0:8, 0:8] - 3.5
    lean = draw.normal(scale=0.25)
    return np.clip(1.7 - np.abs(column + lean * row), 0, 1).round(3).tolist()


def _digit_case() -> Json:
    def example(label: str, image: Any, score: float, half: float | None) -> Json:
        return {
            "label": label,
            "score": score,
            "low": None if half is None else score - half,
            "high": None if half is None else score + half,
            "image": image,
            "record": None,
        }

    def estimate(name: str, estimand: str, factor: float, half: float | None) -> Json:
        scores = (0.21, 0.17, 0.12, 0.09, 0.08)
        return {
            "name": name,
            "estimand": estimand,
            "method": "20,000 models, complementary pairs",
            "note": "",
            "helpful": [
                example(f"{117 + 13 * i}, a zero", _ring(i), factor * score, half)
                for i, score in enumerate(scores)
            ],
            "harmful": [
                example(f"{31 + 7 * i}, a one", _bar(i), -0.8 * factor * score, half)
                for i, score in enumerate(scores)
            ],
        }

    return {
        "problem": "digits-network-sum",
        "title": "A zero that the network is unsure of",
        "intro": "The output is the margin of the correct class, averaged over seeds.",
        "target": {"label": "digit 1203, a zero", "image": _ring(99), "record": None},
        "estimates": [
            estimate("Datamodel", "β(1/2), margin per unit of weight", 1.0, 0.03),
            estimate("Response derivative", "dF/dw at w = 1, same unit", 0.47, 0.02),
            estimate("Influence", "damped Gauss-Newton at w = 1, same unit", 0.4, None),
        ],
    }


def _patient_case() -> Json:
    names = ("mean radius", "mean texture", "mean concavity", "worst area")
    names += tuple(f"feature {index}" for index in range(9))

    def patient(number: int, kind: str) -> Json:
        draw = np.random.default_rng(number)
        record = {name: float(draw.gamma(9, 2)) for name in names}
        return {
            "label": f"patient {number}, {kind}",
            "image": None,
            "record": {"class": kind, **record},
        }

    def estimate(name: str, factor: float) -> Json:
        return {
            "name": name,
            "estimand": "margin per unit of weight",
            "method": "6,000 models",
            "note": "",
            "helpful": [
                {
                    **patient(20 + i, "malignant"),
                    "score": factor * (6 - i),
                    "low": factor * (5.5 - i),
                    "high": factor * (6.5 - i),
                }
                for i in range(3)
            ],
            "harmful": [
                {
                    **patient(50 + i, "benign"),
                    "score": -factor * (5 - i),
                    "low": -factor * (5 - i),
                    "high": -factor * (5 - i),
                }
                for i in range(3)
            ],
        }

    return {
        "problem": "breast-cancer-logistic-sum",
        "title": "A patient on the border",
        "intro": "Which earlier patients moved the diagnosis?",
        "target": patient(7, "malignant"),
        "estimates": [
            estimate("Datamodel", 2e-4),
            estimate("Response derivative", 1e-4),
            estimate("Influence", 1e-3),
        ],
    }


def a_chart() -> Json:
    """Return a chart of a study: marks with a law, and a line with a band."""
    return {
        "kind": "chart",
        "title": "Trainings against N",
        "caption": "From `pilots`.",
        "x_label": "training examples N",
        "y_label": "trainings",
        "log": "xy",
        "x_ticks": [75.0, 150.0, 300.0],
        "view": "all",
        "series": [
            {
                "label": "central differences",
                "mark": "both",
                "x": [75.0, 150.0, 300.0],
                "y": [640.123456, 1300.0, 2500.0],
                "low": [600.0, 1200.0, None],
                "high": [700.0, 1400.0, None],
                "trend": {"x": [75.0, 600.0], "y": [600.0, 5000.0]},
            },
            {
                "label": "a law",
                "mark": "line",
                "x": [75.0, 300.0],
                "y": [500.0, 2000.0],
                "low": [400.0, 1800.0],
                "high": [600.0, 2200.0],
            },
        ],
    }


def some_dots() -> Json:
    """Return a dot plot of a study."""
    return {
        "kind": "dots",
        "title": "LDS on digits",
        "caption": "",
        "x_label": "linear datamodeling score",
        "rows": ["1 seed", "10 seeds", "datamodel"],
        "limits": [-0.1, 1.0],
        "dots": [
            {
                "label": "influence at w = 1",
                "rows": ["1 seed", "10 seeds"],
                "x": [0.71, 0.82],
                "low": [0.69, 0.8],
                "high": [0.73, 0.84],
            },
            {
                "label": "others",
                "rows": ["datamodel"],
                "x": [0.93],
                "low": [None],
                "high": [None],
            },
        ],
        "levels": [{"label": "ceiling", "x": 0.96, "low": 0.95, "high": 0.97}],
    }


def a_study(problem: str, **other: Any) -> Json:
    """Return a study with both kinds of figures."""
    return {
        "id": "frontier",
        "title": "Cost against accuracy",
        "text": "How many trainings each route takes.",
        "note": f"This is about {problem}.",
        "scale": "M",
        "problem": problem,
        "explains": ["bridge", "a-claim-that-was-not-run"],
        "legend": [{"name": "a law", "text": "dF/dw at `w = 1`"}],
        "models_trained": 1234,
        "seconds": 5.5,
        "figures": [a_chart(), some_dots()],
        **other,
    }
