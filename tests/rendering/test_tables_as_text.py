"""Tables in Markdown, CSV and LaTeX, and figures in files."""

import csv
import io
import re
import struct
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from dmtheory.rendering.figures import Curve, Scatter, Slope, draw_scatter
from dmtheory.rendering.prints import save_figure
from dmtheory.rendering.tables import (
    Table,
    csv_table,
    latex_table,
    markdown_table,
    markdown_text,
)

TABLE = Table(
    caption="What & why_not",
    columns=("name", "value"),
    rows=(
        ("=1+1", "-0.5"),
        ("a | b, `code`", "3.1×10⁻¹⁴"),
        ("50 % of $x_i$ \\ {#}", "–"),
        ("<b>bold</b>\nnew *line*", "−2 [−3, −1]"),
    ),
)


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 0 must have 2 cells, got 1"):
        Table(caption="", columns=("a", "b"), rows=(("1",),))


def test_a_spreadsheet_reads_numbers_and_runs_no_formula() -> None:
    header, *rows = csv.reader(io.StringIO(csv_table(TABLE)))
    assert header == ["name", "value"]
    # A dash is an empty cell; a negative number stays one.
    assert rows[0] == ["'=1+1", "-0.5"]
    assert [row[1] for row in rows] == ["-0.5", "3.1×10⁻¹⁴", "", "−2 [−3, −1]"]
    assert rows[3][0] == TABLE.rows[3][0]


def test_markdown_keeps_one_line_a_row_and_acts_on_nothing() -> None:
    caption, _, header, rule, *rows = markdown_table(TABLE).rstrip().split("\n")
    assert caption == "What &amp; why\\_not:"
    assert header == "| name | value |" and rule == "| --- | --- |"
    assert len(rows) == 4
    # A bar that is not escaped ends a cell.
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)
    assert "`code`" in rows[1] and "a \\| b" in rows[1]
    assert "&lt;b&gt;bold&lt;/b&gt; new \\*line\\*" in rows[3]


@pytest.mark.parametrize("hostile", ["[x](javascript:y)", "![x](y)", "<img src=x>"])
def test_markdown_makes_no_link_and_no_element(hostile: str) -> None:
    assert not re.search(r"(?<!\\)[\[<!]", markdown_text(hostile))


def test_latex_has_no_command_of_a_cell() -> None:
    text = latex_table(TABLE)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert r"50 \% of \$x\_i\$ \textbackslash{} \{\#\}" in body
    assert r"3.1$\times$$10^{-14}$" in body and r"$-$2 [$-$3, $-$1]" in body
    assert body.count(r" \\" + "\n") == 4
    assert r"\caption{What \& why\_not}" in text
    for line in body.split("\n")[1:-1]:
        assert len(re.findall(r"(?<!\\)&", line)) == 1


def drawing(label: str = "fitted"):
    scatter = Scatter(
        x=(0.0, 1.0, 2.0),
        y=(0.0, 2.0, 3.0),
        title="a title",
        x_label="costs in $ and $",
        y_label="y",
        fitted=Slope(1.5, label),
        curves=(Curve((0.0, 1.0), (0.0, 1.0), "$\\frac$ of a curve"),),
    )
    return draw_scatter(scatter, name="f")


def test_a_png_is_a_picture_with_the_legend_below(tmp_path: Path) -> None:
    save_figure(drawing(), tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG") and width > 900
    # Two keys add two lines to the height of the axes alone.
    assert height / width > drawing().plate.size[1] / drawing().plate.size[0] + 0.05


@pytest.mark.parametrize("label", ["fitted 1.5", "_hidden 1.5", " 1.5", "$1.5"])
def test_a_file_names_every_key_that_the_page_names(label: str) -> None:
    made = drawing(label)
    axes = Figure().subplots()
    made.plate.plot(axes)
    handles, labels = axes.get_legend_handles_labels()
    assert len(handles) == len(made.legend) == 2
    assert any(label in one for one in labels)


def test_a_pdf_holds_its_text_and_is_the_same_twice(tmp_path: Path) -> None:
    save_figure(drawing(), tmp_path / "a.pdf")
    save_figure(drawing(), tmp_path / "b.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF") and data == (tmp_path / "b.pdf").read_bytes()
    assert b"/Font" in data and b"CreationDate" not in data


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="suffix of path must be one of"):
        save_figure(drawing(), tmp_path / "a.bmp")
    assert not list(tmp_path.iterdir())
