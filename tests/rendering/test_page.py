"""Templates and files."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from dmtheory.rendering import environment, write_atomically


def test_values_are_escaped_and_unknown_names_raise(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text(
        "{{ value }} {{ 2.5 | number }} {{ value | code }}"
    )
    template = environment(tmp_path).get_template("page.txt")
    assert template.render(value="<b>`w`") == (
        "&lt;b&gt;`w` 2.50 &lt;b&gt;<code>w</code>"
    )
    with pytest.raises(UndefinedError):
        template.render()


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    write_atomically(path, "first")
    write_atomically(path, "second")
    assert path.read_text() == "second"

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "third")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]
