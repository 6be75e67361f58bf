"""Formulas as MathML, read back by a parser of XML."""

import re
from xml.etree import ElementTree

import pytest

from dmtheory.rendering.formulas import mathml


def tree(tex: str) -> ElementTree.Element:
    return ElementTree.fromstring(mathml(tex))


def linear(node: ElementTree.Element) -> str:
    """Write a formula back on one line, every script and fraction in brackets."""
    parts = [linear(child) for child in node]
    match node.tag:
        case "mfrac":
            return f"[{parts[0]}]/[{parts[1]}]"
        case "msub" | "munder":
            return f"{parts[0]}_[{parts[1]}]"
        case "msup" | "mover":
            return f"{parts[0]}^[{parts[1]}]"
        case "msubsup" | "munderover":
            return f"{parts[0]}_[{parts[1]}]^[{parts[2]}]"
        case "msqrt":
            return f"root[{''.join(parts)}]"
        case "mspace":
            return ""
    return (node.text or "") + "".join(parts)


@pytest.mark.parametrize(
    ("tex", "read"),
    [
        ("x", "x"),
        ("a - 12.5b", "a−12.5b"),
        ("w_i^2", "w_[i]^[2]"),
        ("w^2_i", "w_[i]^[2]"),
        (r"\int_0^1 g_i(1_{S-i} + t e_i) \, dt", "∫_[0]^[1]g_[i](1_[S−i]+te_[i])dt"),
        (r"\frac{\partial F}{\partial w_i}", "[∂F]/[∂w_[i]]"),
        (r"\left. f \right|_{w = 1}", "f|_[w=1]"),
        (r"\left( a + b \right)^2", "(a+b)^[2]"),
        (r"\arg\min_b \sum_{i \in S} b_i", "argmin_[b]∑_[i∈S]b_[i]"),
        (r"\sqrt{\frac{L}{L + N \sigma^2}}", "root[[L]/[L+Nσ^[2]]]"),
        (r"-\nabla f^\top H^{-1}", "−∇f^[⊤]H^[−1]"),
        (r"\mathrm{LDS} = \text{two words}", "LDS=two words"),
        (r"\langle a, b \rangle", "⟨a,b⟩"),
    ],
)
def test_a_formula_is_read_as_it_is_meant(tex: str, read: str) -> None:
    assert linear(tree(tex)) == read


def test_bounds_of_sums_stand_below_and_those_of_integrals_beside() -> None:
    assert tree(r"\sum_i").find(".//munder") is not None
    assert tree(r"\int_0^1").find(".//msubsup") is not None


def test_a_bar_grows_and_a_bracket_alone_does_not() -> None:
    assert [mo.get("stretchy") for mo in tree(r"\left. f(w) \right|_1").iter("mo")] == [
        "false",
        "false",
        "true",
    ]


def test_the_source_is_the_alternative_text_and_everything_is_escaped() -> None:
    tex = r'\text{<b> & "q"} < a'
    assert tree(tex).get("alttext") == tex
    assert not re.search(r"<b>|& ", mathml(tex))


@pytest.mark.parametrize(
    "tex",
    # Of \frac12 the two digits are one number, and the second argument is missing.
    [
        "{a",
        "a}",
        r"\frac12",
        r"\frac{a}",
        r"\unknown",
        "a^",
        "_i",
        "a_i_j",
        r"\left( a",
        "a}b",
    ],
)
def test_what_is_no_formula_is_refused(tex: str) -> None:
    with pytest.raises(ValueError, match="tex must"):
        mathml(tex)
