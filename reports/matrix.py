"""The matrix of wrong estimates: which mistakes each claim notices."""

from dataclasses import dataclass
from typing import Any

from dmtheory.rendering import NOTHING
from dmtheory.rendering.tables import Table

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What became of one wrong estimate in one entry.

    Attributes:
        text: "caught", "missed" where it had to be caught, "not noticed" where the
            claim does not depend on it, or a dash where it was not tried.
        state: "good", "bad" or "none", as the page colours it.
    """

    text: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry against every wrong estimate.

    Attributes:
        name: The claim's id.
        scale: The scale.
        problem: The problem.
        anchor: The entry's id in the page.
        cells: One a column.
        above: The smallest factor above 1 that is noticed, as text.
        below: The largest factor below 1 that is noticed, as text.
    """

    name: str
    scale: str
    problem: str
    anchor: str
    cells: tuple[Cell, ...]
    above: str
    below: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All entries against all wrong estimates.

    Attributes:
        columns: What is wrong with each estimate.
        rows: The entries that were tried with one.
        with_slopes: Whether the smallest slopes noticed were looked for.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    with_slopes: bool

    @property
    def table(self) -> Table:
        """All of it as texts."""
        slopes = ("factor noticed above 1", "factor noticed below 1")
        return Table(
            caption="Wrong estimates and what each claim makes of them",
            columns=(
                "claim",
                "scale",
                "problem",
                *self.columns,
                *(slopes if self.with_slopes else ()),
            ),
            rows=tuple(
                (
                    row.name,
                    row.scale,
                    row.problem,
                    *(cell.text for cell in row.cells),
                    *((row.above, row.below) if self.with_slopes else ()),
                )
                for row in self.rows
            ),
        )


def matrix_of(entries: list[tuple[Json, str]]) -> Matrix:
    """Gather the matrix.

    Args:
        entries: Every entry as the run wrote it, with its id in the page.

    Returns:
        The matrix; a claim that was tried with no wrong estimate has no row.
    """
    tried = [(claim, anchor) for claim, anchor in entries if claim["controls"]]
    names = [control["name"] for claim, _ in tried for control in claim["controls"]]
    columns = tuple(dict.fromkeys(names))
    return Matrix(
        columns=columns,
        rows=tuple(_row(claim, anchor, columns) for claim, anchor in tried),
        with_slopes=any(claim.get("noticed_slopes") for claim, _ in tried),
    )


def _row(claim: Json, anchor: str, columns: tuple[str, ...]) -> Row:
    controls = {control["name"]: control for control in claim["controls"]}
    slopes = claim.get("noticed_slopes") or {"above": None, "below": None}
    return Row(
        name=claim["id"],
        scale=claim["scale"],
        problem=claim["problem"],
        anchor=anchor,
        cells=tuple(_cell(controls.get(name)) for name in columns),
        above=_factor(slopes["above"]),
        below=_factor(slopes["below"]),
    )


def _cell(control: Json | None) -> Cell:
    if control is None or control["passed"] is None:
        return Cell(text=NOTHING, state="none")
    if not control["passed"]:
        return Cell(text="caught", state="good")
    # Runs that say nothing of it tried only what has to be caught.
    if control.get("required", True):
        return Cell(text="missed", state="bad")
    return Cell(text="not noticed", state="none")


def _factor(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"
