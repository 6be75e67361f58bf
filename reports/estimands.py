"""An estimand in plain words and as a formula, from the line that names it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# What `str` of an estimand writes, see dmtheory/estimand.py.
_LINE = re.compile(
    r"(?P<quantity>.+?) at (?P<point>.+) of the (?P<output>.+?), "
    r"(?P<unit>per weight|per epsilon), normalisation (?P<normalisation>\w+), "
    r"(?P<steps>\w+) steps, (?P<seeds>\d+) seed\(s\) a weight vector"
)
_SUBSETS = re.compile(
    r"(?P<average>averaged over )?S ~ (?P<law>.+)\((?P<p>[^()]+)\)"
    r"( and the example's own weight)?"
)
_LEVEL = re.compile(r"w = (?P<c>[\d.e+-]+)(?:·1)?")
_Explained = tuple[str, tuple[str, ...]]
_UNITS = {
    "per weight": "change of the {output} per unit of the example's weight",
    "per epsilon": "change of the {output} per unit of ε, N times that per weight",
}
_NORMALISATIONS = {
    "sum": "training loss divided by the sum of the weights (`sum`)",
    "count": "training loss divided by N (`count`)",
    "unknown": "normalisation of the training loss unknown",
}
_STEPS = {
    "fixed": "as many training steps whatever the weights",
    "proportional": "training steps in proportion to the size of the subset",
    "unknown": "number of training steps unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the numbers that a claim compares.

    Attributes:
        role: What it is in the comparison, such as "estimate: datamodel".
        text: The estimand's own line.
        words: The same in plain words; empty where the line is of another form.
        tex: The same in formulas; none where it has none.
        conditions: Under which conditions it is meant.
        method: How it was estimated.
    """

    role: str
    text: str
    words: str
    tex: tuple[str, ...]
    conditions: str
    method: str


def side_of(data: dict[str, Any]) -> Side:
    """Explain one side of a comparison.

    Args:
        data: Its role, text and method, as a run wrote them.

    Returns:
        The side; a line of a form that is not known is left as it is.
    """
    found = _LINE.fullmatch(data["text"])
    words, conditions = "", ""
    tex: tuple[str, ...] = ()
    if found is not None:
        words, tex = _explained(found)
        conditions = _conditions(found)
    return Side(
        role=data["role"],
        text=data["text"],
        words=words,
        tex=tex,
        conditions=conditions,
        method=_counted(data["method"]),
    )


def _counted(text: str) -> str:
    """Write "1 unit(s)" as "1 unit" and "20 unit(s)" as "20 units"."""
    return re.sub(
        r"(\d+) (\w+)\(s\)",
        lambda found: f"{found[1]} {found[2]}{'' if found[1] == '1' else 's'}",
        text,
    )


def _conditions(found: re.Match[str]) -> str:
    seeds = int(found["seeds"])
    said = [
        _UNITS[found["unit"]].format(output=found["output"]),
        _NORMALISATIONS.get(found["normalisation"], found["normalisation"]),
        _STEPS.get(found["steps"], f"{found['steps']} steps"),
        f"{seeds} training {'seed' if seeds == 1 else 'seeds'} a weight vector",
    ]
    return "; ".join(said)


def _explained(found: re.Match[str]) -> _Explained:
    make = _QUANTITIES.get(found["quantity"])
    if make is None:
        return "", ()
    words, tex = make(found)
    if tex and found["unit"] == "per epsilon":
        tex = (rf"N \cdot {tex[0]}", *tex[1:])
    return words, tex


def _datamodel(found: re.Match[str]) -> _Explained:
    over = _SUBSETS.fullmatch(found["point"])
    if over is None or over["average"]:
        return "", ()
    words = (
        "the example's coefficient in the linear function of the subset that predicts "
        "the expected output best, over subsets that hold each example with "
        f"probability {over['p']}"
    )
    if over["law"] != "Bernoulli":
        words = words.replace("over subsets", f"over subsets ({over['law']})")
    return words, (
        rf"\beta({over['p']}) = \arg\min_b \, E_S "
        r"\left( F(1_S) - b_0 - \sum_{i \in S} b_i \right)^2",
    )


def _derivative(found: re.Match[str]) -> _Explained:
    over = _SUBSETS.fullmatch(found["point"])
    if over is not None and over["average"]:
        return (
            "the derivative of the expected output with respect to the example's "
            f"weight, averaged over subsets that hold each other example with "
            f"probability {over['p']} and over the example's own weight from 0 to 1",
            (
                r"E_S \int_0^1 \frac{\partial F}{\partial w_i}"
                r"(1_{S - i} + t e_i) \, dt",
            ),
        )
    where, at = _place(found["point"])
    return (
        "the derivative of the expected output with respect to the example's training "
        f"weight, {where}",
        (rf"\left. \frac{{\partial F(w)}}{{\partial w_i}} \right|_{{{at}}}",),
    )


def _influence(found: re.Match[str]) -> _Explained:
    over = _SUBSETS.fullmatch(found["point"])
    where = (
        f"averaged over models of subsets that hold each example with probability "
        f"{over['p']}"
        if over is not None
        else _place(found["point"])[0]
    )
    words = (
        "what the gradients and the curvature of trained models foretell for that "
        f"derivative, without training again, {where}"
    )
    whole = r"\tau_i = -\nabla f^\top H^{-1} \nabla \ell_i"
    scaled = {
        "count": r"\frac{\tau_i}{N}",
        "sum": r"\frac{1}{W} \left( \tau_i - \frac{1}{W} \sum_j w_j \tau_j \right)",
    }
    if found["normalisation"] not in scaled:
        return words, ()
    return words, (scaled[found["normalisation"]], whole)


def _left_out(found: re.Match[str]) -> _Explained:
    where, _ = _place(found["point"])
    return (
        f"the change of the expected output when the example is left out, {where}",
        (r"F(w) - F(w - w_i e_i)",),
    )


def _proximal(found: re.Match[str]) -> _Explained:
    where, _ = _place(found["point"])
    return (
        "the change of the output when the example's loss is taken away and the "
        "trained model moves on from where it is, held near its own predictions and "
        f"parameters (proximal Bregman response), {where}",
        (),
    )


def _gradient_product(found: re.Match[str]) -> _Explained:
    where, _ = _place(found["point"])
    return (
        "the product of the example's gradient with that of the output, without any "
        f"curvature, {where}: a score, of which only the ranks can be compared",
        (r"-\nabla f^\top \nabla \ell_i",),
    )


_QUANTITIES: dict[str, Callable[[re.Match[str]], _Explained]] = {
    "datamodel": _datamodel,
    "response derivative": _derivative,
    "influence": _influence,
    "leave-one-out": _left_out,
    "proximal Bregman response": _proximal,
    "gradient product": _gradient_product,
}


def _place(point: str) -> tuple[str, str]:
    level = _LEVEL.fullmatch(point)
    if level is None:
        return f"at {point}", "w"
    if level["c"] == "1":
        return "on the full data (every weight 1)", "w = 1"
    return (
        f"where every weight is {level['c']}",
        rf"w = {level['c']} \cdot 1",
    )
