"""The figures of mutation testing: their intervals, and what the document says."""

import pytest
from statsmodels.stats.proportion import proportion_confint

from mutation.figures import explained, figures_of, results, statement, wilson
from mutation.modules import MODULES, ROOT

TEXT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("killed", "tried"), [(0, 5), (93, 110), (7, 7)])
def test_the_interval_is_wilsons(killed: int, tried: int) -> None:
    expected = proportion_confint(killed, tried, alpha=0.05, method="wilson")
    assert wilson(killed, tried) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("module", MODULES)
def test_the_document_says_what_is_kept(module: str) -> None:
    kept = results()[module]
    figures = figures_of(kept["mutants"])
    assert {name: kept[name] for name in figures} == figures
    assert statement(kept) in TEXT


def test_every_survivor_is_explained_and_nothing_else() -> None:
    left = {
        f"{row['file']}|{row['operator']}|{row['occurrence']}"
        for kept in results().values()
        for row in kept["mutants"]
        if not row["killed"]
    }
    found = explained()
    assert set(found) == left
    for why in found.values():
        kind, _, words = why.partition(": ")
        assert kind in {"equivalent", "real"}
        assert words
