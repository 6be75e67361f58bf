"""The Markdown twin of the page: the same object as text, with formulas in TeX."""

from collections.abc import Iterable
from typing import Any

from dmtheory.rendering import (
    NOTHING,
    format_duration,
    format_interval,
    format_number,
    format_range,
)
from dmtheory.rendering.tables import Table, markdown_table, markdown_text
from reports.estimands import Side
from reports.method import Chapter
from reports.report import Entry, Report, Section, interval_over

Json = dict[str, Any]


def markdown_report(report: Report) -> str:
    """Write all that the page says as Markdown; of a figure, its title and words.

    Args:
        report: The report.

    Returns:
        A whole document.
    """
    run = report.run
    blocks = [
        "# Are datamodels influence functions in expectation?",
        f"Suite {_text(run['suite'])}, {_text(report.started)}, "
        f"{format_number(run['models_trained'])} models, "
        f"{format_duration(run['seconds'])}, commit {_code(run['commit'])}",
        *map(_text, report.summary),
        "## Verdicts",
        markdown_table(_overview(report)),
        "## What the numbers mean",
        *(block for chapter in report.method for block in _chapter(chapter)),
        *_cases(report),
        *_studies(report),
        "## Claims",
        *(block for section in report.sections for block in _section(section)),
        *_wrong(report),
        *_making(report),
    ]
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _text(text: str) -> str:
    return markdown_text(text)


def _code(text: str) -> str:
    # A backtick would end the code.
    return f"`{' '.join(text.replace('`', ' ').split())}`"


def _overview(report: Report) -> Table:
    columns = ("claim", "verdict", "outcome", "together", "scale", "problem")
    return Table(
        caption="One row a claim, scale and problem; numbers with 95 % intervals",
        columns=(*columns, "numbers", "models"),
        rows=tuple(_overview_row(entry) for entry in report.entries),
    )


def _overview_row(entry: Entry) -> tuple[str, ...]:
    claim = entry.data
    numbers = [f"{h.name}: {h.value} {h.interval}".strip() for h in entry.headlines]
    return (
        claim["id"],
        claim["verdict"],
        _outcome(claim["passed"]),
        NOTHING if entry.standing is None else entry.standing.words,
        claim["scale"],
        claim["problem"],
        "; ".join(numbers) or claim["reason"] or NOTHING,
        format_number(claim["models_trained"]),
    )


def _outcome(passed: bool | None) -> str:
    return {None: "not run", True: "as expected", False: "not as expected"}[passed]


def _chapter(chapter: Chapter) -> Iterable[str]:
    yield f"### {_text(chapter.title)}"
    yield "\n".join(
        f"- **{_text(note.name)}**: {_text(note.words)}{_formula(note.tex)}"
        for note in chapter.notes
    )


def _formula(tex: str) -> str:
    return f" ${tex}$" if tex else ""


def _cases(report: Report) -> Iterable[str]:
    if report.cases:
        yield "## Cases"
    for case in report.cases:
        yield f"### {_text(case.data['title'])}"
        target = case.data["target"]["label"]
        yield _text(f"{case.data['intro']} Target: {target}.")
        yield "\n".join(map(_side, case.sides))
        yield markdown_table(case.table)


def _studies(report: Report) -> Iterable[str]:
    if report.studies:
        yield "## What explains the numbers"
    for study in report.studies:
        problem = f": {study.data['problem']}" if study.data["problem"] else ""
        yield f"### {_text(study.data['title'] + problem)}"
        yield _text(f"{study.data['text']} {study.data['note']}")
        for figure in study.figures:
            yield _text(figure.data["caption"])
            yield markdown_table(figure.numbers)


def _section(section: Section) -> Iterable[str]:
    yield f"### {_text(section.first['title'])} ({_code(section.name)})"
    yield _text(section.first["statement"])
    if section.first["source"]:
        yield f"Source: {_text(section.first['source'])}"
    for entry in section.entries:
        yield from _entry(entry)


def _entry(entry: Entry) -> Iterable[str]:
    claim = entry.data
    yield f"#### {claim['scale']}, {_text(claim['problem'])}"
    yield (
        f"**{claim['verdict']}**, {_outcome(claim['passed'])}{_together(entry)}; "
        f"{format_number(claim['models_trained'])} models trained, "
        f"{format_duration(claim['seconds'])}."
    )
    if claim["reason"]:
        yield _text(f"Reason. {claim['reason']}")
    if claim["parts"]:
        yield markdown_table(_parts(claim))
    if entry.sides:
        yield "\n".join(map(_side, entry.sides))
    if entry.drawing is not None:
        plate = entry.drawing.plate
        yield f"Figure: {_text(plate.title)}. {_text(plate.description)}"
    if entry.changes:
        yield "What would change the verdict:"
        yield "\n".join(f"- {_text(sentence)}" for sentence in entry.changes)
    if entry.statistics:
        yield "\n".join(
            f"- {_text(name)}: {_interval(found)}"
            for name, found in entry.statistics.items()
        )


def _together(entry: Entry) -> str:
    if entry.standing is None:
        return ""
    return f", {entry.standing.words} (p {entry.standing.chance})"


def _interval(found: Json) -> str:
    return _text(format_interval(found["value"], found["low"], found["high"]))


def _parts(claim: Json) -> Table:
    return Table(
        caption=f"Parts of {claim['id']} on {claim['problem']}",
        columns=("part", "statement", "value", "tolerance", "verdict", "expected"),
        rows=tuple(
            (
                part["name"],
                f"{part['statement']} {interval_over(part)}",
                format_interval(part["value"], part["low"], part["high"]),
                format_range(*part["tolerance"]),
                part["verdict"] if part.get("judged", True) else "reported",
                part["expected"] if part.get("judged", True) else NOTHING,
            )
            for part in claim["parts"]
        ),
    )


def _side(side: Side) -> str:
    words = _text(side.words or side.text) + "".join(map(_formula, side.tex))
    conditions = f" ({_text(side.conditions)})" if side.conditions else ""
    method = f", by {_text(side.method)}" if side.method else ""
    return f"- **{_text(side.role)}**: {words}{conditions}{method}"


def _wrong(report: Report) -> Iterable[str]:
    if report.matrix.rows:
        yield "## Wrong estimates"
        yield markdown_table(report.matrix.table)


def _making(report: Report) -> Iterable[str]:
    run, machine = report.run, report.environment
    yield "## How it was made"
    yield f"To reproduce: {_code(run['command'])}"
    packages = [f"{name} {version}" for name, version in machine["packages"].items()]
    facts = {
        "Suite": run["suite"],
        "Started": report.started,
        "Seed": str(run["seed"]),
        "Commit": run["commit"],
        "Configuration digest": run["config_digest"],
        "Python": machine["python"],
        "Machine": f"{machine['platform']}; {machine['processor']}; "
        f"{machine['cores']} cores",
        "Packages": ", ".join(packages),
    }
    yield "\n".join(f"- {name}: {_text(value)}" for name, value in facts.items())
    yield markdown_table(_problems(run))


def _problems(run: Json) -> Table:
    columns = ("problem", "what", "data", "N", "targets", "normalisation", "output")
    return Table(
        caption="Problems",
        columns=(*columns, "held-out accuracy"),
        rows=tuple(
            (
                problem["name"],
                problem["description"],
                problem["source"] or NOTHING,
                format_number(problem["n_train"]),
                format_number(problem["n_targets"]),
                problem["normalisation"],
                problem["output"],
                "; ".join(
                    f"{value:.3f} {name}"
                    for name, value in (problem["accuracy"] or {}).items()
                )
                or NOTHING,
            )
            for problem in run["problems"]
        ),
    )
