"""What an analysis of imported models says, section by section."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.interchange.analyses.analysis import Analysis, Comparison
from dmtheory.rendering import NOTHING, format_interval, format_number


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the page.

    Attributes:
        title: Its heading.
        text: A paragraph.
        columns: The table's header; empty where there is no table.
        rows: The table's cells.
        figure: An inline SVG, left out of Markdown.
    """

    title: str
    text: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figure: Markup = field(default_factory=Markup)


def parts_of(analysis: Analysis) -> tuple[Part, ...]:
    """Return the sections of the page."""
    return (
        _what(analysis),
        _fit(analysis),
        _scores(analysis),
        *_comparisons(analysis.comparisons),
        _candidates(analysis),
        _embedding(analysis),
    )


def _what(analysis: Analysis) -> Part:
    tags = analysis.tags
    law = "none that is known" if tags.law is None else str(tags.law)
    held_out = NOTHING if tags.held_out is None else "{} to {}".format(*tags.held_out)
    rows = (
        ("problem", tags.problem),
        ("output", f"{tags.output} ({tags.sign}); a positive score raises it"),
        ("subset law", law),
        ("normalisation, steps", f"{tags.normalisation}, {tags.step_policy}"),
        ("unit of scores", "per unit of the raw mask"),
        ("trainings a row", str(tags.seeds_per_weight)),
        ("held-out rows", held_out),
        *((f"note {k}", note) for k, note in enumerate(tags.notes, start=1)),
    )
    text = "What the files hold, as stated by their format or decided on import."
    return Part("What was imported", text, ("", "value"), rows)


def _fit(analysis: Analysis) -> Part:
    fitted = analysis.fitted
    rows = [
        ("models fitted", format_number(analysis.n_fitted)),
        ("examples", format_number(fitted.n_train)),
        ("targets", format_number(len(fitted.target_labels))),
        ("method", fitted.method),
    ]
    if fitted.stderr is not None:
        rows.append((
            "median standard error",
            format_number(fitted.stderr.median().item()),
        ))
        width = 2 * 1.959964 * fitted.stderr.median().item()
        rows.append(("median width of a 95 % interval", format_number(width)))
    rows.append(("median size of a coefficient", _size(fitted.scores.abs().median())))
    if analysis.reliability is not None:
        rows.append(("reliability", _shown(analysis.reliability)))
    if analysis.discovered is not None:
        share = f"{100 * analysis.discovered:.2g} %"
        rows.append(("not zero, at a false discovery rate of 10 %", share))
    text = (
        "A linear datamodel of the models that are not held out. The reliability is "
        "the share of its coefficients' variance over examples that is no error."
    )
    return Part("The fit", text, ("", "value"), tuple(rows))


def _scores(analysis: Analysis) -> Part:
    first = analysis.scores.rows[0].lds
    rows = tuple(
        (
            row.name,
            _shown(row.lds.mean),
            _shown(row.difference),
            _shown(analysis.r_squared.get(row.name)),
        )
        for row in analysis.scores.rows
    )
    text = (
        f"Rank correlation of predicted and trained outputs on {first.n_subsets} "
        f"held-out subsets of {analysis.n_replicates} training(s) each, mean over "
        f"{len(first.target_labels)} targets. "
    )
    if first.ceiling is None:
        text += "The ceiling is unknown: it takes several trainings a subset."
    else:
        text += f"The noise of training sets the ceiling {_shown(first.ceiling)}."
    columns = ("attribution", "LDS", "minus the first", "held-out R²")
    return Part("Prediction of held-out models", text, columns, rows)


def _comparisons(found: Sequence[Comparison]) -> Iterator[Part]:
    if not found:
        return
    rows = tuple(
        (
            f"{one.a} on {one.b}",
            format_number(one.pearson),
            format_number(one.spearman),
            NOTHING if one.found is None else _shown(one.found.slope),
            NOTHING if one.found is None else _shown(one.found.disattenuated),
            one.refusal or "independent models",
        )
        for one in found
    )
    text = (
        "Correlations over examples as they are, and, where both sides come from "
        "models of their own, the slope with errors in variables and the correlation "
        "with errors taken out."
    )
    columns = ("pair", "Pearson", "Spearman", "slope", "disattenuated", "remark")
    yield Part("Agreement", text, columns, rows)


def _candidates(analysis: Analysis) -> Part:
    rows = tuple(
        (
            c.target,
            c.example,
            format_number(c.score),
            format_number(c.height),
            format_number(c.gap),
        )
        for c in analysis.candidates
    )
    text = (
        "Targets whose most helpful example stands out most, in robust standard "
        "deviations of the target's scores above their median and above the second. "
        "A copy of the target does that; so may the only example of its kind, or an "
        "error. Look at the pair."
    )
    columns = ("target", "example", "score", "above the median", "above the second")
    return Part("Leakage candidates", text, columns, rows)


def _embedding(analysis: Analysis) -> Part:
    from dmtheory.rendering.figures import Scatter, draw_scatter

    points = analysis.points
    sizes = analysis.groups.bincount().tolist()
    figure = Markup("")
    if points.shape[1] == 2:
        x, y = (tuple(points[:, k].tolist()) for k in (0, 1))
        drawing = draw_scatter(
            Scatter(
                x=x,
                y=y,
                title="Examples in the datamodel embedding",
                x_label="first component",
                y_label="second component",
            ),
            name="embedding",
        )
        figure = drawing.svg
    text = (
        "Examples by what they do to the targets: principal components of their "
        "coefficients, each example's scaled to length 1, in groups by k-means."
    )
    rows = tuple((f"group {k}", format_number(n)) for k, n in enumerate(sizes))
    return Part("Embedding", text, ("group", "examples"), rows, figure)


def _shown(interval: Interval | None) -> str:
    if interval is None or not interval.finite:
        return NOTHING
    return format_interval(interval.value, interval.low, interval.high)


def _size(value: Tensor) -> str:
    return format_number(float(value))
