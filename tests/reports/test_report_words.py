"""What a report says of an entry beside its numbers."""

import itertools
from typing import Any

import pytest
from synthetic_run import claim, part

from dmtheory.estimand import POINT_KINDS, QUANTITIES, UNITS, Estimand, Point
from dmtheory.rendering.formulas import mathml
from reports.cases import case_of
from reports.changes import changes
from reports.estimands import Side, side_of
from reports.matrix import matrix_of
from reports.method import METHOD

Json = dict[str, Any]


def explained(quantity: str, point: Point, **other: Any) -> Side:
    fields = {
        "output": "margin",
        "normalisation": "sum",
        "step_policy": "fixed",
        "problem": "digest",
        "seeds_per_weight": 20,
        **other,
    }
    estimand = Estimand(quantity=quantity, point=point, **fields)
    return side_of({"role": "side", "text": str(estimand), "method": "by hand"})


@pytest.mark.parametrize(
    ("quantity", "kind", "unit"),
    [*itertools.product(QUANTITIES, POINT_KINDS, UNITS)],
)
def test_the_line_of_every_estimand_is_understood(
    quantity: str, kind: str, unit: str
) -> None:
    law = "Bernoulli" if kind in {"subsets", "average"} else "f00"
    side = explained(quantity, Point(kind, 0.5, law), unit=unit)
    assert "20 training seeds a weight vector" in side.conditions
    assert "divided by the sum of the weights" in side.conditions
    assert ("N times that per weight" in side.conditions) == (unit == "per_epsilon")
    for tex in side.tex:
        mathml(tex)


def test_counts_in_a_method_are_singular_or_plural() -> None:
    data = {"role": "side", "text": "", "method": "step 0.1, 1 unit(s), 11 model(s)"}
    assert side_of(data).method == "step 0.1, 1 unit, 11 models"


SUBSETS, AVERAGE = Point("subsets", 0.3), Point("average", 0.3)
FULL, HALF = Point("weights", 1.0), Point("weights", 0.5)


@pytest.mark.parametrize(
    ("quantity", "point", "words", "tex"),
    [
        ("datamodel", SUBSETS, "with probability 0.3", r"\beta(0.3) = \arg\min"),
        ("response derivative", FULL, "on the full data", r"|_{w = 1}"),
        ("response derivative", HALF, "every weight is 0.5", r"|_{w = 0.5 \cdot 1}"),
        ("response derivative", AVERAGE, "own weight from 0 to 1", r"E_S \int_0^1"),
        ("influence", HALF, "without training again", r"\frac{1}{W} \left( \tau_i -"),
        ("influence", SUBSETS, "models of subsets that hold", r"\frac{1}{W}"),
        ("leave-one-out", FULL, "is left out", "F(w) - F(w - w_i e_i)"),
    ],
)
def test_each_estimand_has_its_own_words_and_formula(
    quantity: str, point: Point, words: str, tex: str
) -> None:
    side = explained(quantity, point)
    assert words in side.words
    assert tex in side.tex[0]


def test_the_divisor_of_influence_is_that_of_the_training_loss() -> None:
    assert explained("influence", FULL, normalisation="count").tex[0] == (
        r"\frac{\tau_i}{N}"
    )
    unknown = explained("influence", FULL, normalisation="unknown")
    assert unknown.words and not unknown.tex
    assert (
        explained("influence", FULL, normalisation="count", unit="per_epsilon")
        .tex[0]
        .startswith(r"N \cdot ")
    )


def test_a_line_of_another_form_is_left_as_it_is() -> None:
    side = side_of({"role": "r", "text": "β(1/2) of the margin", "method": ""})
    assert side.text == "β(1/2) of the margin"
    assert not side.words and not side.tex and not side.conditions


def test_every_formula_of_the_method_can_be_set() -> None:
    for chapter in METHOD:
        assert chapter.notes
        for note in chapter.notes:
            assert not note.tex or mathml(note.tex)


def said(*parts: Json, **other: Any) -> tuple[str, ...]:
    return changes(claim("a", "M", "p", parts=list(parts), **other))


def test_a_supported_number_would_have_to_leave_its_tolerance() -> None:
    # Ends .02 and .06 inside; half the width is .01 x 8 / 2.
    (sentence,) = said(part("slope", 0.98, interval=(0.92, 1.04)))
    assert "reaches out of the tolerance (0.9 to 1.1)" in sentence
    assert "nearer end, 0.920, is 0.0200 away from that, 0.33 times half" in sentence
    (sentence,) = said(part("r", 0.9, interval=(0.85, 0.95), tolerance=[0.8, None]))
    assert "(at least 0.8). The nearer end, 0.850, is 0.0500 away" in sentence


def test_a_refuted_number_would_have_to_reach_into_its_tolerance() -> None:
    above = part("slope", 2.0, interval=(1.9, 2.1), verdict="refuted")
    below = part("slope", 0.4, interval=(0.3, 0.5), verdict="refuted")
    assert "into the tolerance" in said(above)[0]
    assert "nearer end, 1.90, is 0.800 away from that, 8.0 times" in said(above)[0]
    assert "nearer end, 0.500, is 0.400 away from that, 4.0 times" in said(below)[0]


def test_an_open_number_says_what_would_decide_it() -> None:
    open_part = part(
        "gap",
        0.1,
        interval=(0.0, 0.2),
        tolerance=[None, 0.15],
        verdict="inconclusive",
        note="about 1,800 more models would decide",
    )
    assert said(open_part) == (
        "gap: the interval reaches across an end of at most 0.15: about 1,800 more "
        "models would decide.",
    )


def test_exact_numbers_are_told_in_one_sentence() -> None:
    error = part("error", 1e-14, tolerance=[0.0, 1e-10])
    (sentence,) = said(error, {**error, "name": "other"})
    assert sentence == (
        "Exact numbers, which have no noise; another value of one of them, outside "
        "0 to 10⁻¹⁰, would."
    )
    mixed = said(part("slope", 1.0, interval=(0.95, 1.05)), error)
    assert len(mixed) == 2 and mixed[1].startswith("error: an exact number")
    refuted = part("slope", 2.2, verdict="refuted")
    assert "within 0.9 to 1.1, would" in said(refuted)[0]


def test_parts_that_only_tell_more_are_counted() -> None:
    own = part("slope", 0.98, interval=(0.92, 1.04), headline=True)
    more = part("its score", 0.8, interval=(0.7, 0.9), headline=False)
    sentences = said(own, more, more)
    assert len(sentences) == 2 and sentences[0].startswith("slope:")
    assert sentences[1].startswith("2 more parts bear on whether it came out")
    assert said(more)[0].startswith("One more part bears")


def test_what_has_no_interval_or_no_value_is_not_made_up() -> None:
    assert "not known" in said(part("r", 0.9, interval=(None, None)))[0]
    assert said(part("r", None)) == ()
    free = part("r", 0.9, interval=(0.8, 1.0), tolerance=[None, None])
    assert "every value is allowed" in said(free)[0]


def test_the_smallest_wrong_scale_that_is_noticed_is_named() -> None:
    sentences = said(noticed_slopes={"above": 1.05, "below": 1 / 1.1})
    assert "by a factor of 1.05 or more, or 0.909 or less no longer" in sentences[-1]
    assert said(noticed_slopes={"above": None, "below": None}) == ()
    assert said(noticed_slopes=None) == ()


def control(name: str, *, passed: bool | None, **other: Any) -> Json:
    return {"name": name, "verdict": "refuted", "passed": passed, "detail": "", **other}


def test_the_matrix_tells_caught_from_missed_and_from_what_need_not_be() -> None:
    first = claim(
        "a",
        "V",
        "p",
        controls=[
            control("scaled", passed=False, required=True),
            control("permuted", passed=True, required=False),
        ],
        noticed_slopes={"above": 1.1, "below": None},
    )
    second = claim("b", "M", "q", controls=[control("scaled", passed=True)])
    untried = claim("c", "C", "r")
    matrix = matrix_of([(first, "x"), (second, "y"), (untried, "z")])
    assert matrix.table.columns[3:5] == ("scaled", "permuted")
    assert matrix.table.rows == (
        ("a", "V", "p", "caught", "not noticed", "1.1", "–"),
        ("b", "M", "q", "missed", "–", "–", "–"),
    )
    assert [row.anchor for row in matrix.rows] == ["x", "y"]
    states = [[cell.state for cell in row.cells] for row in matrix.rows]
    assert states == [["good", "none"], ["bad", "none"]]


def scored(label: str, score: float) -> Json:
    numbers = {"score": score, "low": score - 0.1, "high": score + 0.1}
    return {"label": label, "image": None, "record": None, **numbers}


def test_an_example_has_all_that_is_known_of_it_in_one_row() -> None:
    about = {"estimand": "e", "method": "m", "note": ""}
    data = {
        "problem": "p",
        "title": "t",
        "intro": "",
        "target": {"label": "x", "image": None, "record": None},
        "estimates": [
            {
                "name": "first",
                "helpful": [scored("a", 3.0), scored("b", 2.0)],
                "harmful": [scored("z", -2.0)],
                **about,
            },
            {
                "name": "second",
                "helpful": [scored("b", 2.5), scored("c", 9.0)],
                "harmful": [scored("y", -3.0), scored("z", -1.0)],
                "others": [{"label": "a", "score": 0.5, "low": None, "high": None}],
                **about,
            },
        ],
    }
    case = case_of(data, lambda *names: "-".join(names))
    (_, helpful), (_, harmful) = case.groups
    # By the first estimate where it knows the example, those that it does not after.
    assert [example.label for example in helpful] == ["a", "b", "c"]
    assert [example.label for example in harmful] == ["z", "y"]
    scores = [[s and s["score"] for s in example.scores] for example in helpful]
    assert scores == [[3.0, 0.5], [2.0, 2.5], [None, 9.0]]
    assert case.table.rows[0] == ("helpful", "a", "3.00 [2.90, 3.10]", "0.500")
    assert case.shared and case.domains[0] == case.domains[1]
    assert case.domains[0][1] > 9.1
