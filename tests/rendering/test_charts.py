"""Charts and dot plots as inline SVG, read back from their coordinates."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from samples import unchecked

from dmtheory.rendering.charts import Chart, Series, draw_chart
from dmtheory.rendering.dots import DotPlot, Dots, Level, draw_dots

NUMBER = r"(-?[\d.]+)"


def a_series(**other: object) -> Series:
    given = {
        "label": "one",
        "x": (1.0, 2.0, 4.0),
        "y": (3.0, 5.0, 9.0),
        "low": (2.0, 4.0, 8.5),
        "high": (4.0, 7.0, 10.0),
    }
    return Series(**{**given, **other})  # type: ignore[arg-type]


def a_chart(*series: Series, **other: object) -> Chart:
    given = {"title": "A title", "x_label": "place", "y_label": "size"}
    return Chart(series=series or (a_series(),), **{**given, **other})  # type: ignore[arg-type]


def marks(svg: str, variable: str) -> np.ndarray:
    """Return where the marks of a colour are."""
    groups = re.findall(
        rf'<g clip-path[^>]*style="[^"]*{variable}[^"]*">(.*?)</g>', svg
    )
    uses = [u for g in groups for u in re.findall(rf'x="{NUMBER}" y="{NUMBER}"/>', g)]
    if not uses:
        single = rf'<use [^>]*x="{NUMBER}" y="{NUMBER}" style="[^"]*{variable}'
        uses = re.findall(single, svg)
    return np.array(uses, dtype=float)


def strokes(svg: str, variable: str) -> np.ndarray:
    """Return both ends of every straight stroke of a colour, in order."""
    path = (
        rf'<path d="M {NUMBER} {NUMBER} L {NUMBER} {NUMBER} ?"[^>]*'
        rf'style="[^"]*stroke: var\({variable}'
    )
    return np.array(re.findall(path, svg), dtype=float)


def scale(values: tuple[float, ...], places: np.ndarray) -> np.ndarray:
    """Return slope and offset of a linear axis; fails where it is none."""
    fitted, residual, *_ = np.polyfit(values, places, 1, full=True)
    assert residual[0] < 0.01
    return fitted


def test_marks_and_their_whiskers_stand_where_the_numbers_say() -> None:
    series = a_series()
    svg = draw_chart(a_chart(series), name="f").svg
    found = marks(svg, "--figure-points")
    scale(series.x, found[:, 0])
    height = scale(series.y, found[:, 1])
    assert height[0] < 0, "larger numbers stand higher"
    whiskers = strokes(svg, "--figure-points")
    assert len(whiskers) == 3
    for index, (x0, y0, x1, y1) in enumerate(whiskers):
        assert x0 == pytest.approx(found[index, 0], abs=0.1) == x1
        ends = np.polyval(height, [series.low[index], series.high[index]])
        assert [y0, y1] == pytest.approx(ends, abs=0.1)


def test_logarithmic_axes_place_equal_ratios_equally_far() -> None:
    series = a_series(y=(10.0, 100.0, 1000.0), low=(), high=())
    svg = draw_chart(a_chart(series, log="xy"), name="f").svg
    x, y = marks(svg, "--figure-points").T
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.1)
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.1)


def test_a_whisker_that_reaches_zero_leaves_a_logarithmic_frame() -> None:
    series = a_series(low=(-1.0, 4.0, 8.5))
    svg = draw_chart(a_chart(series, log="y"), name="f").svg
    lowest = strokes(svg, "--figure-points")[0]
    frame = strokes(svg, "--figure-ink")
    assert lowest[1] > marks(svg, "--figure-points")[0, 1]
    assert lowest[1] <= frame.reshape(-1, 2)[:, 1].max() + 0.1


def test_marks_decide_what_is_in_view_and_lines_do_not() -> None:
    ends = {"x": (-50.0, 100.0), "y": (-1e6, 1e6), "low": (), "high": ()}
    far = a_series(label="two", mark="line", **ends)
    both = a_series(), far
    alone = marks(draw_chart(a_chart(), name="f").svg, "--figure-points")
    beside = draw_chart(a_chart(*both, view="marks"), name="f").svg
    # The labels of the ticks are the same, so that the frame is too.
    assert alone == pytest.approx(marks(beside, "--figure-points"), abs=0.1)
    svg = draw_chart(a_chart(*both), name="f").svg
    crowded = marks(svg, "--figure-points")
    assert np.ptp(crowded[:, 1]) < 1 and np.ptp(crowded[:, 0]) < 10
    (line,) = re.findall(r'<path d="M ([^"]*)"[^>]*stroke: var\(--figure-fitted', svg)
    x0, y0, _, x1, y1 = line.split()
    assert float(x0) < crowded[0, 0] < crowded[2, 0] < float(x1)
    assert float(y1) < crowded[0, 1] < float(y0)


def test_numbers_that_are_not_positive_have_no_place_on_a_logarithmic_axis() -> None:
    series = a_series(
        y=(0.0, 10.0, 100.0), low=(-1.0, 9.0, 90.0), high=(2, 11.0, 110.0)
    )
    drawing = draw_chart(a_chart(series, log="y"), name="f")
    assert (drawing.shown, drawing.total) == (2, 3)
    found = marks(drawing.svg, "--figure-points")
    assert len(found) == 2
    ratio = found[0, 1] - found[1, 1]
    # From 9 to 11 is log(11/9)/log(10) of the way from 10 to 100: logarithmic still.
    whisker = strokes(drawing.svg, "--figure-points")[-2]
    wanted = ratio * np.log10(11 / 9)
    assert whisker[1] - whisker[3] == pytest.approx(wanted, abs=0.2)


def test_the_interval_of_a_line_is_a_band() -> None:
    line = a_series(label="two", mark="line")
    svg = draw_chart(a_chart(a_series(), line), name="f").svg
    (band,) = re.findall(r'<path d="([^"]*) z ?"[^>]*fill: var\(--figure-fitted', svg)
    drawn = np.array(re.findall(rf"{NUMBER} {NUMBER}", band), dtype=float)
    height = scale(line.y, marks(svg, "--figure-points")[:, 1])
    wanted = np.polyval(height, [max(line.high), min(line.low)])  # type: ignore[type-var]
    assert [drawn[:, 1].min(), drawn[:, 1].max()] == pytest.approx(wanted, abs=0.1)
    assert "opacity: 0.16" in svg


def test_a_trend_runs_through_its_marks_and_is_in_view() -> None:
    series = a_series(trend=((0.0, 8.0), (1.0, 17.0)), low=(), high=(), mark="points")
    svg = draw_chart(a_chart(series), name="f").svg
    found = marks(svg, "--figure-points")
    across, up = (scale(v, found[:, i]) for i, v in enumerate((series.x, series.y)))
    (line,) = strokes(svg, "--figure-points")
    assert line[::2] == pytest.approx(np.polyval(across, [0.0, 8.0]), abs=0.1)
    assert line[1::2] == pytest.approx(np.polyval(up, [1.0, 17.0]), abs=0.1)
    box = re.search(rf'viewBox="0 0 {NUMBER} {NUMBER}"', svg)
    assert box is not None and 0 < line.min()
    assert line[2] < float(box.group(1)) and line[1] < float(box.group(2))


def test_a_second_round_of_marks_is_hollow_and_a_line_beside_it_is_ink() -> None:
    series = [a_series(label=f"number {i}", low=(), high=()) for i in range(8)]
    line = a_series(label="law", mark="line", low=(), high=())
    svg = draw_chart(a_chart(*series, line), name="f").svg
    (filled,) = re.findall(r'style="(fill: var\(--figure-points[^"]*)"', svg)
    (hollow,) = re.findall(r'style="(fill-opacity: 0;[^"]*figure-points[^"]*)"', svg)
    assert "stroke" not in filled and "stroke-width: 1.4" in hollow
    dashed = re.findall(r'style="[^"]*dasharray[^"]*stroke: var\((--[\w-]*)', svg)
    assert dashed == ["--figure-ink"]


def test_words_stand_for_the_chart_and_every_series() -> None:
    series = [a_series(label=f"number {i}") for i in range(7)]
    series += [a_series(label="a line", mark="line")]
    drawing = draw_chart(a_chart(*series, x_ticks=(1.0, 2.0, 4.0)), name="f")
    root = ET.fromstring(drawing.svg)
    assert root[0].text == "A title"
    for kind in series:
        assert f"{kind.label}: 3.00 to 9.00, at 1.00 to 4.00." in (root[1].text or "")
    assert [key.label for key in drawing.legend] == [kind.label for kind in series]
    assert len({key.swatch for key in drawing.legend}) == 8
    for key in drawing.legend:
        ET.fromstring(key.swatch)


def test_series_differ_by_shape_and_not_by_colour_alone() -> None:
    series = [a_series(label=f"number {i}") for i in range(14)]
    legend = draw_chart(a_chart(*series), name="f").legend
    assert len({key.swatch for key in legend}) == 14
    grey = {re.sub(r"var\([^)]*\)", "grey", key.swatch) for key in legend}
    assert len(grey) == 14
    lines = [a_series(label=f"number {i}", mark="line") for i in range(4)]
    legend = draw_chart(a_chart(*lines), name="f").legend
    assert len({re.sub(r"var\([^)]*\)", "grey", key.swatch) for key in legend}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": (1.0,)}, "must be of one length"),
        ({"low": (1.0,)}, "must be of one length"),
        ({"x": (), "y": (), "low": (), "high": ()}, "at least 1"),
        ({"high": (1.0, float("inf"), 1.0)}, "must be finite"),
        ({"trend": ((1.0,), ())}, "as many x as y"),
        ({"trend": ((1.0,), (float("nan"),))}, "must be finite"),
    ],
)
def test_a_series_that_cannot_be_drawn_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_series(**changes)


def test_an_unknown_mark_is_refused() -> None:
    with unchecked(), pytest.raises(ValueError, match="mark must be one of"):
        a_series(mark="bars")


def test_a_chart_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one series"):
        Chart(title="t", x_label="x", y_label="y", series=())


@pytest.mark.parametrize("y", [(0.0,) * 3, (1e-300, 2e-300, 3e-300), (-1e12, 0, 1e12)])
def test_extreme_numbers_still_draw(y: tuple[float, ...]) -> None:
    series = a_series(y=y, low=y, high=(None, *y[1:]))
    for log in ("", "xy"):
        ET.fromstring(draw_chart(a_chart(series, log=log), name="f").svg)


def a_plot(**other: object) -> DotPlot:
    first = Dots(
        label="first",
        rows=("a", "b", "c"),
        x=(0.1, 0.5, 0.9),
        low=(0.0, 0.4, None),
        high=(0.2, 0.6, None),
    )
    second = Dots(label="second", rows=("b",), x=(0.7,), low=(0.65,), high=(0.8,))
    given = {
        "title": "A title",
        "x_label": "score",
        "rows": ("a", "b", "c"),
        "dots": (first, second),
        "levels": (Level(label="ceiling", x=0.95, low=0.93, high=0.97),),
    }
    return DotPlot(**{**given, **other})  # type: ignore[arg-type]


def test_dots_stand_in_their_rows_from_top_to_bottom() -> None:
    drawing = draw_dots(a_plot(), name="f")
    first = marks(drawing.svg, "--figure-points")
    second = marks(drawing.svg, "--figure-fitted")
    across = scale((0.1, 0.5, 0.9), first[:, 0])
    assert second[0, 0] == pytest.approx(np.polyval(across, 0.7), abs=0.1)
    for above, below in pairwise(first[:, 1]):
        assert above < below
    row = (first[0, 1] + first[2, 1]) / 2
    # Two dots of one row stand above and below its middle, inside the row.
    assert first[1, 1] < row < second[0, 1]
    assert second[0, 1] - row < (first[2, 1] - first[0, 1]) / 4
    whiskers = strokes(drawing.svg, "--figure-points")
    assert len(whiskers) == 2
    assert whiskers[0, ::2] == pytest.approx(np.polyval(across, [0.0, 0.2]), abs=0.1)
    ink = strokes(drawing.svg, "--figure-ink")
    ceiling = np.polyval(across, 0.95)
    assert any(np.allclose(line[::2], ceiling, atol=0.1) for line in ink)
    assert [key.label for key in drawing.legend] == ["first", "second", "ceiling"]


def test_plots_with_the_same_limits_share_an_axis() -> None:
    narrow = Dots(label="n", rows=("a",), x=(0.1,), low=(None,), high=(None,))
    plots = [a_plot(limits=(-1.0, 1.0)), a_plot(dots=(narrow,), limits=(-1.0, 1.0))]
    places = [marks(draw_dots(p, name="f").svg, "--figure-points")[0] for p in plots]
    assert places[0][0] == pytest.approx(places[1][0], abs=0.2)


def test_the_words_of_a_dot_plot() -> None:
    root = ET.fromstring(draw_dots(a_plot(), name="f").svg)
    assert root[0].text == "A title"
    assert "first: 0.100 to 0.900. second: 0.700." in (root[1].text or "")
    assert "ceiling: 0.950." in (root[1].text or "")
    assert {"a", "b", "c"} <= set(root.itertext())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ("a", "b")}, "must name every dot's row"),
        ({"rows": ("a", "b", "c", "a")}, "distinct names"),
        ({"dots": ()}, "at least one kind"),
        ({"limits": (1.0, 0.0)}, "limits must rise"),
    ],
)
def test_a_dot_plot_that_cannot_be_drawn_is_refused(
    changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        a_plot(**changes)


def test_dots_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length"):
        Dots(label="d", rows=("a",), x=(1.0, 2.0), low=(), high=())
    with pytest.raises(ValueError, match="finite"):
        Dots(label="d", rows=("a",), x=(float("nan"),), low=(None,), high=(None,))
