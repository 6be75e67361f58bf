"""Mutants: cosmic-ray's operators on the places where a mistake could sit.

A place is where one family of operators applies; of its mutations one is drawn, so that
an arithmetic sign, which could become any of six others, weighs no more than a number.
Left out, since a change there is no mistake of reasoning or is noticed by any import:
annotations, the decorator of dataclasses, and text in f-strings. Arithmetic becomes
other arithmetic and bits other bits: a shift of a float raises at once, and would
flatter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
_BINARY = "ReplaceBinaryOperator_"
_WITH_ARGUMENTS = {"VariableReplacer", "VariableInserter"}
_EXPRESSIONS = {
    "arith_expr",
    "term",
    "power",
    "expr",
    "xor_expr",
    "and_expr",
    "shift_expr",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: Path from the repository's root.
        line: Where it is.
        operator: cosmic-ray's operator.
        occurrence: Which of the operator's mutations of the file.
        before: The line as it is.
        after: The line in its place, if there is one.
    """

    file: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str

    @property
    def key(self) -> str:
        return f"{self.file}|{self.operator}|{self.occurrence}|{self.before}"


def sample(sources: dict[str, str], n: int, seed: int) -> list[Mutant]:
    """Return n mutants at places drawn without replacement, in the order drawn.

    Args:
        sources: Text by file.
        n: How many; fewer where there are fewer places.
        seed: Of the draw.
    """
    draw = Random(seed)
    every = [
        (file, place) for file in sorted(sources) for place in places(sources[file])
    ]
    draw.shuffle(every)
    found: list[Mutant] = []
    for file, choices in every:
        if len(found) == n:
            break
        made = (_made(file, sources[file], *draw.choice(choices)) for _ in range(3))
        found += [mutant for mutant in made if mutant is not None][:1]
    return found


def places(source: str) -> list[list[tuple[str, int]]]:
    """Return, place by place, the mutations (operator, occurrence) that it allows."""
    by_place: dict[tuple[Any, str], list[tuple[str, int]]] = {}
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in _operators():
        occurrence = 0
        for node in nodes:
            for position in operator.mutation_positions(node):
                if _counts(node, name):
                    place = position, _family(name)
                    by_place.setdefault(place, []).append((name, occurrence))
                occurrence += 1
    return [by_place[place] for place in sorted(by_place)]


def mutated(source: str, operator: str, occurrence: int) -> str | None:
    """Return the changed source; None where it does not compile."""
    changed = mutate_code(source, OperatorProvider()[operator](), occurrence)
    try:
        compile(changed, "mutant", "exec")
    except SyntaxError:
        return None
    return changed


def _made(file: str, source: str, operator: str, occurrence: int) -> Mutant | None:
    changed = mutated(source, operator, occurrence)
    if changed is None or changed == source:
        return None
    before, after = source.splitlines(), changed.splitlines()
    pairs = zip(before, after, strict=False)
    line = next(k for k, (old, new) in enumerate(pairs) if old != new)
    lines = 0 if operator == "RemoveDecorator" else 1
    return Mutant(
        file=file,
        line=line + 1,
        operator=operator,
        occurrence=occurrence,
        before=before[line].strip(),
        after=" ".join(each.strip() for each in after[line : line + lines]),
    )


def _operators() -> Iterator[tuple[str, Any]]:
    provider = OperatorProvider()
    for name in provider:
        if name in _WITH_ARGUMENTS:
            continue
        if name.startswith(_BINARY):
            old, new = name.removeprefix(_BINARY).split("_")
            if (old in _ARITHMETIC) != (new in _ARITHMETIC):
                continue
        yield name, provider[name]()


def _family(name: str) -> str:
    return name.split("_")[0]


def _counts(node: Any, name: str) -> bool:
    if name.startswith(_BINARY) and node.parent.type not in _EXPRESSIONS:
        return False
    if name == "RemoveDecorator" and _is_dataclass(node):
        return False
    child = node
    while (parent := child.parent) is not None:
        if parent.type == "fstring" or _is_annotation(parent, child):
            return False
        if parent.type == "decorator" and _is_dataclass(parent):
            return False
        child = parent
    return True


def _is_annotation(parent: Any, child: Any) -> bool:
    if parent.type == "tfpdef":
        return child is not parent.children[0]
    if parent.type == "annassign":
        return child is parent.children[1]
    return parent.type == "funcdef" and child is parent.annotation


def _is_dataclass(decorator: Any) -> bool:
    return decorator.get_code(include_prefix=False).startswith("@dataclass")
