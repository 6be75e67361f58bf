"""Formulas: written once in a small part of TeX, read offline as MathML."""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_LETTERS = {
    "beta": "β",
    "ell": "ℓ",
    "varepsilon": "ε",
    "gamma": "γ",
    "lambda": "λ",
    "nabla": "∇",
    "partial": "∂",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "theta": "θ",
    "top": "⊤",
}
_SIGNS = {
    "approx": "≈",
    "cdot": "·",
    "cup": "∪",
    "ge": "≥",
    "in": "∈",
    "langle": "⟨",
    "le": "≤",
    "rangle": "⟩",
    "setminus": "∖",
    "sim": "∼",
    "{": "{",
    "}": "}",
}
# Names set upright, and signs whose bounds stand below and above.
_NAMES = {"arg": "arg", "min": "min", "Phi": "Φ"}
_LARGE = {"sum": "∑"}
_BESIDE = {"int": "∫"}
_SPACE = {",": "0.17em", ";": "0.28em", "quad": "1em"}
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|\S")

_STACKED = ("munder", "mover", "munderover")
_SIDEWAYS = ("msub", "msup", "msubsup")

_Node = tuple[Markup, bool]


def mathml(tex: str) -> Markup:
    r"""Turn a formula into MathML that a browser sets without any help.

    Args:
        tex: The formula: letters, numbers, signs, `^`, `_`, braces, and the commands
            \\frac, \\sqrt, \\mathrm, \\text, \\left, \\right and those of common
            Greek letters and relations.

    Returns:
        A `math` element in display style, the source as its alternative text.

    Raises:
        ValueError: If the formula is unbalanced or holds an unknown command.
    """
    tokens = _Tokens(tex)
    body = _row(_sequence(tokens, end=None))
    return Markup('<math displaystyle="true" alttext="{}">{}</math>').format(tex, body)


class _Tokens:
    """The tokens of a formula, taken one by one."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        # The words of a text are one token, spaces and all.
        parts = re.split(r"(\\(?:text|mathrm)\{[^{}]*\})", tex)
        self._rest = list(self._of(parts))

    @staticmethod
    def _of(parts: list[str]) -> Iterator[str]:
        for part in parts:
            whole = part.startswith(("\\text{", "\\mathrm{"))
            yield from [part] if whole else _TOKEN.findall(part)

    @property
    def next(self) -> str | None:
        return self._rest[0] if self._rest else None

    def take(self) -> str:
        if not self._rest:
            raise ValueError(f"tex must be a whole formula, got {self.tex!r}")
        return self._rest.pop(0)

    def expect(self, token: str) -> None:
        if self.next != token:
            raise ValueError(
                f"tex must have {token!r} where {self.next!r} stands in {self.tex!r}"
            )
        self.take()


def _sequence(tokens: _Tokens, *, end: str | None) -> list[Markup]:
    nodes = []
    while tokens.next != end:
        if tokens.next in {"}", "\\right"}:
            raise ValueError(f"tex must be balanced, got {tokens.tex!r}")
        nodes.append(_scripted(tokens))
    if end is not None:
        tokens.expect(end)
    return nodes


def _scripted(tokens: _Tokens) -> Markup:
    base, stacked = _atom(tokens)
    scripts: dict[str, Markup] = {}
    while tokens.next in {"_", "^"}:
        kind = tokens.take()
        if kind in scripts:
            raise ValueError(f"tex must have one {kind!r} a sign, got {tokens.tex!r}")
        scripts[kind] = _atom(tokens)[0]
    if not scripts:
        return base
    names = _STACKED if stacked else _SIDEWAYS
    name = names[2] if len(scripts) == 2 else names["^" in scripts]
    inner = Markup("").join([scripts[kind] for kind in "_^" if kind in scripts])
    return _element(name, base + inner)


def _atom(tokens: _Tokens) -> _Node:
    token = tokens.take()
    if token == "{":
        return _row(_sequence(tokens, end="}")), False
    if token in {"}", "_", "^"}:
        raise ValueError(f"tex must have a sign before {token!r}, got {tokens.tex!r}")
    if token.startswith("\\"):
        return _command(token[1:], tokens)
    if token[0].isdigit():
        return _element("mn", token), False
    if token.isalpha():
        return _element("mi", token), False
    return _operator("\N{MINUS SIGN}" if token == "-" else token), False


def _command(name: str, tokens: _Tokens) -> _Node:
    word = re.fullmatch(r"(text|mathrm)\{([^{}]*)\}", name)
    if word is not None:
        return _word(*word.groups()), False
    if name == "frac":
        over, under = _atom(tokens)[0], _atom(tokens)[0]
        return _element("mfrac", over + under), False
    if name == "sqrt":
        return _element("msqrt", _atom(tokens)[0]), False
    if name == "left":
        return _fenced(tokens), False
    if name in _SPACE:
        return Markup('<mspace width="{}"/>').format(_SPACE[name]), False
    if name in _LETTERS:
        return _element("mi", _LETTERS[name]), False
    if name in _NAMES:
        return _upright(_NAMES[name]), name == "min"
    for signs, stacked in ((_LARGE, True), (_BESIDE, False), (_SIGNS, False)):
        if name in signs:
            return _operator(signs[name]), stacked
    raise ValueError(f"tex must use known commands, got \\{name} in {tokens.tex!r}")


def _fenced(tokens: _Tokens) -> Markup:
    opening = _fence(tokens)
    inner = _row(_sequence(tokens, end="\\right"))
    closing = _fence(tokens)
    scripts = ""
    if tokens.next == "_":
        tokens.take()
        scripts = _atom(tokens)[0]
        closing = _element("msub", closing + scripts)
    return _element("mrow", opening + inner + closing)


def _fence(tokens: _Tokens) -> Markup:
    token = tokens.take()
    if token == ".":
        return Markup("")
    return Markup('<mo fence="true" stretchy="true">{}</mo>').format(token.lstrip("\\"))


def _word(kind: str, text: str) -> Markup:
    return _element("mtext", text) if kind == "text" else _upright(text)


def _upright(text: str) -> Markup:
    return Markup('<mi mathvariant="normal">{}</mi>').format(text)


def _operator(sign: str) -> Markup:
    # Brackets that are not asked to grow keep their size.
    return Markup('<mo stretchy="false">{}</mo>').format(sign)


def _row(nodes: list[Markup]) -> Markup:
    inner = Markup("").join(nodes)
    return inner if len(nodes) == 1 else _element("mrow", inner)


def _element(name: str, content: Markup | str) -> Markup:
    return Markup(f"<{name}>{{}}</{name}>").format(escape(content))
