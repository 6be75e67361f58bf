"""Figures as inline SVG."""

import re
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from dmtheory.rendering.figures import Curve, Drawing, Scatter, Slope, draw_scatter
from dmtheory.rendering.svg import inline_svg


def a_scatter(n_points: int = 30, **other: object) -> Scatter:
    x = np.random.default_rng(n_points).normal(size=n_points)
    given = {
        "x": tuple(x.tolist()),
        "y": tuple((2 * x).tolist()),
        "title": "Two against one",
        "x_label": "one",
        "y_label": "two",
        "fitted": Slope(2.0, "fitted slope 2.00"),
        "predicted": Slope(1.0, "predicted slope 1"),
    }
    return Scatter(**{**given, **other})  # type: ignore[arg-type]


def points(drawing: Drawing) -> np.ndarray:
    uses = re.findall(r'<use href="#[^"]*" x="([\d.]+)" y="([\d.]+)"/>', drawing.svg)
    groups = re.findall(r"<g clip-path[^>]*>(?:<use[^>]*>)+", drawing.svg)
    assert len(groups) == 1
    return np.array(uses[-groups[0].count("<use") :], dtype=float)


def test_a_figure_is_well_formed_and_says_what_it_shows() -> None:
    drawing = draw_scatter(a_scatter(), name="first")
    root = ET.fromstring(drawing.svg)
    assert root.attrib["role"] == "img"
    title, description = root[0], root[1]
    assert root.attrib["aria-labelledby"].split() == ["first-title", "first-desc"]
    assert (title.attrib["id"], title.text) == ("first-title", "Two against one")
    assert "30 points" in (description.text or "")
    assert "predicted slope 1" in (description.text or "")


def test_nothing_leaks_into_the_page_or_out_of_it() -> None:
    svg = draw_scatter(a_scatter(), name="first").svg
    assert "http" not in svg
    for element in ("<style", "<metadata", "<image", "<script", "<!--", "font-family"):
        assert element not in svg


def test_ids_are_prefixed_unique_and_all_used() -> None:
    svgs = [draw_scatter(a_scatter(), name=name).svg for name in ("one", "two")]
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in svgs]
    assert not ids[0] & ids[1]
    for svg, own, name in zip(svgs, ids, ("one", "two"), strict=True):
        assert all(identity.startswith(f"{name}-") for identity in own)
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
        assert used and used <= own


def test_points_are_drawn_in_proportion() -> None:
    scatter = a_scatter()
    drawn = points(draw_scatter(scatter, name="f"))
    assert drawn.shape == (30, 2)
    for axis, values in enumerate((scatter.x, scatter.y)):
        wanted = np.asarray(values)[np.argsort(scatter.x, kind="stable")]
        residual = np.polyfit(wanted, drawn[:, axis], 1, full=True)[1]
        assert residual[0] < 0.01


def test_many_points_are_thinned_and_the_ends_kept() -> None:
    drawing = draw_scatter(a_scatter(3000), name="f")
    assert (drawing.shown, drawing.total) == (400, 3000)
    assert len(points(drawing)) == 400
    assert len(drawing.svg) < 30_000
    assert "400 of 3,000 points" in drawing.svg


def test_the_legend_names_every_line() -> None:
    curve = Curve((-1.0, 1.0), (0.0, 1.0), "a curve")
    legend = draw_scatter(a_scatter(curves=(curve,)), name="f").legend
    assert [key.label for key in legend] == [
        "fitted slope 2.00",
        "predicted slope 1",
        "a curve",
    ]
    assert len({key.swatch for key in legend}) == 3


@pytest.mark.parametrize("label", ["<script>&", "$5 & 6$", r"\frac_{", "漢字", ""])
def test_any_text_is_a_label(label: str) -> None:
    svg = draw_scatter(a_scatter(x_label=label, title=label), name="f").svg
    ET.fromstring(svg)
    assert "<script" not in svg
    assert label in "".join(ET.fromstring(svg).itertext())


def test_the_same_data_gives_the_same_figure() -> None:
    assert draw_scatter(a_scatter(), name="f") == draw_scatter(a_scatter(), name="f")


def test_drawing_leaves_the_global_settings_alone() -> None:
    before = dict(mpl.rcParams)
    draw_scatter(a_scatter(), name="f")
    assert dict(mpl.rcParams) == before


def test_on_logarithmic_axes_a_slope_is_an_exponent() -> None:
    x = (10.0, 100.0, 1000.0)
    svg = draw_scatter(
        Scatter(
            x=x,
            y=tuple(5 / value for value in x),
            title="t",
            x_label="n",
            y_label="error",
            fitted=Slope(-1.0, "exponent"),
            log="xy",
        ),
        name="f",
    ).svg
    line = re.search(
        r'<path d="M ([\d.]+) ([\d.]+) L ([\d.]+) ([\d.]+) " [^>]*fitted', svg
    )
    assert line is not None
    x0, y0, x1, y1 = map(float, line.groups())
    for px, py in re.findall(r'<use href="#f-\d" x="([\d.]+)" y="([\d.]+)"/>', svg)[
        -3:
    ]:
        on_line = y0 + (y1 - y0) * (float(px) - x0) / (x1 - x0)
        assert float(py) == pytest.approx(on_line, abs=0.1)


def test_a_logarithmic_axis_with_zero_stays_linear() -> None:
    drawing = draw_scatter(a_scatter(log="xy"), name="f")
    assert "−" in drawing.svg


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((1.0,), (), "of one length"),
        ((), (), "at least one point"),
        ((1.0,), (float("nan"),), "finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(x: tuple, y: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_scatter(x=x, y=y)


@pytest.mark.parametrize("x", [(0.0,), (5.0, 5.0), (1e-300, 2e-300), (1e12, 3e12)])
def test_extreme_data_still_draws(x: tuple[float, ...]) -> None:
    ET.fromstring(draw_scatter(a_scatter(x=x, y=x), name="f").svg)


def test_what_is_no_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match="viewBox"):
        inline_svg("<p>", name="a", title="b", description="c")
