"""A comparison of runs as sentences, for a terminal and for the page."""

from collections.abc import Iterable

from dmtheory.rendering import (
    NOTHING,
    format_duration,
    format_interval,
    format_number,
)
from dmtheory.rendering.tables import Table
from reports.compare import Against, Comparison
from reports.moves import CHANGED, FALSE_ALARM, Move

# Exact numbers are shown to where they count as the same.
_DIGITS = 10


def comparison_text(comparison: Comparison) -> str:
    """Write what differs, for a terminal.

    Args:
        comparison: The comparison.

    Returns:
        Its lines.
    """
    lines: list[str] = []
    for one in comparison.against:
        lines += [f"{one.run} against {comparison.run}", *sentences(one)]
        for table in tables(one):
            lines += ["", f"{table.caption}:", *_rows(table)]
        lines.append("")
    return "\n".join(lines[:-1])


def sentences(one: Against) -> tuple[str, ...]:
    """Say in words what differs between a run and the first."""
    return (_verdicts(one), _numbers(one), _cost(one))


def tables(one: Against) -> tuple[Table, ...]:
    """Return what differs as tables, those that are empty left out."""
    made = (
        Table(
            caption="Verdicts that changed",
            columns=("claim", "scale", "problem", "part", "before", "after"),
            rows=tuple(
                (v.claim, v.scale, v.problem, v.part or "all", v.before, v.after)
                for v in one.verdicts
            ),
        ),
        _moves("Numbers that should be the same", one.moved)
        if one.same_models
        else _moves("Numbers that moved beyond noise", one.moved),
        _moves("Numbers that differ, with no interval to judge by", one.unjudged),
        Table(
            caption="Settings and surroundings that differ",
            columns=("what", "before", "after"),
            rows=tuple(
                (d.name, d.before or NOTHING, d.after or NOTHING) for d in one.settings
            ),
        ),
        Table(
            caption="Claims that the first run does not decide",
            columns=("claim",),
            rows=tuple((name,) for name in one.added),
        ),
    )
    return tuple(table for table in made if table.rows)


def _verdicts(one: Against) -> str:
    if not one.verdicts:
        return "No verdict changed."
    claims = sum(not change.part for change in one.verdicts)
    parts = len(one.verdicts) - claims
    return f"Verdicts changed: {claims} of claims, {parts} of parts."


def _numbers(one: Against) -> str:
    count = f"{format_number(one.n_numbers)} numbers"
    if one.same_models:
        said = f"Seeds and settings are the same, and so should be the {count}: "
        return said + (
            f"{len(one.moved)} differ by more than rounding."
            if one.moved
            else "they are, but for rounding."
        )
    said = (
        f"Of {count} in both, {len(one.moved)} moved beyond noise: by more than "
        f"{one.limit:.2f} standard errors of the difference of independent estimates, "
        f"a level that equal runs pass with probability {FALSE_ALARM:g} at most."
    )
    if one.same_seed:
        said += (
            " The seed is the same, so the runs may share trainings and are then nearer"
            " to one another than the level assumes."
        )
    return said


def _cost(one: Against) -> str:
    models = " and ".join(format_number(count) for count in one.models)
    seconds = " and ".join(format_duration(length) for length in one.seconds)
    return f"Models trained, before and after: {models}, in {seconds}."


def _moves(caption: str, moves: tuple[Move, ...]) -> Table:
    return Table(
        caption=caption,
        columns=(
            "claim",
            "scale",
            "problem",
            "number",
            "before",
            "after",
            "standard errors",
        ),
        rows=tuple(
            (
                move.claim,
                move.scale,
                move.problem,
                move.name,
                format_interval(*move.before, exact_digits=_DIGITS),
                format_interval(*move.after, exact_digits=_DIGITS),
                _errors(move),
            )
            for move in moves
        ),
    )


def _errors(move: Move) -> str:
    """Return the difference in standard errors, where these mean anything."""
    if move.kind == CHANGED and move.errors is not None:
        # The same models: its size beside the noise of one run, not evidence.
        return f"({move.errors:+.2g})"
    return NOTHING if move.errors is None else f"{move.errors:+.1f}"


def _rows(table: Table) -> Iterable[str]:
    widths = [
        max(len(row[k]) for row in (table.columns, *table.rows))
        for k in range(len(table.columns))
    ]
    for row in (table.columns, *table.rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
