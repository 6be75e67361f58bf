"""Write what a study found: one self-contained page, and its numbers as JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import Row
from dmtheory.agreement.scale_free import ScaleCheck
from dmtheory.files import save_attribution
from dmtheory.rendering.figures import Drawing, Scatter, Slope, draw_scatter
from dmtheory.rendering.page import environment, write_atomically
from dmtheory.rendering.tables import html_table
from dmtheory.rendering.text import format_interval, format_number
from dmtheory.study.advice import advice
from dmtheory.study.study import DATAMODEL, Comparison, Study

_TEMPLATES = Path(__file__).parent / "templates"
# Examples of each end of a ranking.
_SHOWN = 5


def write_study(found: Study, folder: Path) -> Path:
    """Write the page, its numbers and every estimate into a folder.

    Args:
        found: What a study found.
        folder: Where to write `study.html`, `study.json` and the attribution files;
            made if it is not there.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, attribution in found.attributions.items():
        save_attribution(attribution, folder / f"{file_name(name)}.npz")
    write_atomically(folder / "study.json", json.dumps(to_json(found), indent=1))
    page = folder / "study.html"
    write_atomically(page, render_study(found))
    return page


def file_name(name: str) -> str:
    """Return an estimate's name as a file may have it."""
    kept = (c if c.isalnum() else " " for c in name.replace("·1", ""))
    return "-".join("".join(kept).split())


def to_json(found: Study) -> dict[str, Any]:
    """Return a study's numbers, intervals as value, low and high."""
    return {
        "problem": found.name,
        "seed": found.seed,
        "plan": found.plan.to_json(),
        "models_trained": found.n_models,
        "quality over random halves": found.quality,
        "scale_free": None if found.scale is None else _scale(found.scale),
        "comparisons": {
            held.name: {name: asdict(x) for name, x in held.found.intervals().items()}
            for held in found.comparisons
        },
        "lds": {
            row.name: {"lds": asdict(row.lds.mean), "ahead": asdict(row.difference)}
            for row in found.scores.rows
        },
        "ceiling": _plain(found.scores.rows[0].lds.ceiling),
        "trainings to match influence": None
        if found.needed is None
        else _plain(found.needed.models),
        "advice": list(advice(found)),
    }


def render_study(found: Study) -> str:
    """Return the page, which refers to nothing outside itself.

    Args:
        found: What a study found.

    Returns:
        A whole HTML document.
    """
    return (
        environment(_TEMPLATES)
        .get_template("study.html")
        .render(
            study=found,
            advice=advice(found),
            comparisons=_comparisons(found),
            scores=_scores(found),
            plan=_plan(found),
            figures=_figures(found),
            rankings=_rankings(found),
            estimands=_estimands(found),
        )
    )


def _comparisons(found: Study) -> Markup:
    columns = ("", "slope", "theory", "correlation, errors taken out", "raw", "error")
    rows = [
        (
            held.name,
            _text(held.found.slope),
            format_number(held.found.expected_slope),
            _text(held.found.disattenuated),
            _text(held.found.pearson),
            _text(held.found.relative_error),
        )
        for held in found.comparisons
    ]
    caption = "Slope through the origin, errors in variables; 95 % intervals"
    return html_table(columns, rows, caption=caption, row_headers=True)


def _scores(found: Study) -> Markup:
    rows = [
        (row.name, _text(row.lds.mean), _ahead(found, row)) for row in found.scores.rows
    ]
    ceiling = found.scores.rows[0].lds.ceiling
    if ceiling is not None:
        rows.append(("ceiling set by seeds", _text(ceiling), ""))
    columns = ("", "LDS", f"minus the {DATAMODEL}'s")
    return html_table(
        columns, rows, caption="Rank correlation on unseen halves", row_headers=True
    )


def _ahead(found: Study, row: Row) -> str:
    return "" if row.name == found.scores.reference else _text(row.difference)


def _plan(found: Study) -> Markup:
    rows = [
        (name.removeprefix("n_"), f"{n:,}") for name, n in found.plan.to_json().items()
    ]
    rows.append(("trainings in all", f"{found.n_models:,}"))
    return html_table(("", "number"), rows, caption="The plan", row_headers=True)


def _figures(found: Study) -> tuple[Drawing, ...]:
    return tuple(
        _figure(found, held, number) for number, held in enumerate(found.comparisons)
    )


def _figure(found: Study, held: Comparison, number: int) -> Drawing:
    name, _, reference = held.name.partition(" on ")
    across = found.attributions[reference]
    up = found.attributions[name].restricted(train=across.train_labels)
    predicted = held.found.expected_slope
    scatter = Scatter(
        x=tuple(across.scores.flatten().tolist()),
        y=tuple(up.scores.flatten().tolist()),
        title=held.name,
        x_label=f"{reference}, per weight",
        y_label=f"{name}, per weight",
        fitted=Slope(held.found.slope.value, "measured slope"),
        predicted=None if predicted is None else Slope(predicted, "theory"),
    )
    return draw_scatter(scatter, name=f"study{number}")


def _rankings(found: Study) -> Markup:
    """Return the first target's examples at both ends, by every estimate."""
    datamodel = found.attributions[DATAMODEL]
    ranking = datamodel.top(target=0, k=_SHOWN)
    columns = ("example", *found.attributions)
    entries = (*ranking.helpful, *ranking.harmful[::-1])
    rows = [
        (
            entry.label,
            *(_score(found, name, entry.label) for name in found.attributions),
        )
        for entry in entries
    ]
    caption = (
        f"{datamodel.target_labels[0]}: the most helpful and the most harmful examples "
        "by the datamodel; change of the output per unit of weight, ± 1.96 standard "
        "errors"
    )
    return html_table(columns, rows, caption=caption, row_headers=True)


def _score(found: Study, name: str, label: str) -> str:
    attribution = found.attributions[name]
    if label not in attribution.train_labels:
        return ""
    row = attribution.train_labels.index(label)
    value = format_number(attribution.scores[row, 0].item())
    if attribution.stderr is None:
        return value
    return f"{value} ± {format_number(1.96 * attribution.stderr[row, 0].item())}"


def _estimands(found: Study) -> Markup:
    rows = [(name, str(a.estimand), a.method) for name, a in found.attributions.items()]
    columns = ("", "what it estimates", "how")
    return html_table(columns, rows, caption="Estimands", row_headers=True)


def _scale(check: ScaleCheck) -> dict[str, Any]:
    return {
        "scale_free": check.scale_free,
        "level": check.level,
        "change at one": asdict(check.at_one),
        "change elsewhere": asdict(check.elsewhere),
    }


def _plain(interval: Interval | None) -> dict[str, float | None] | None:
    """Return an interval, infinite ends as null: JSON has no infinity."""
    if interval is None:
        return None
    return {
        name: value if abs(value) < float("inf") else None
        for name, value in asdict(interval).items()
    }


def _text(interval: Interval) -> str:
    return format_interval(interval.value, interval.low, interval.high)
