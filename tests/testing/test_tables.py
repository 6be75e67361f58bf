"""Verdicts, counterexamples, declarations; as one call, as tests, as a command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import strategies as st
from samples import unchecked

from dmtheory import OLS, GaussNewton, influence
from dmtheory.cli import cli
from dmtheory.cli.check import check
from dmtheory.problems import SampleMean
from dmtheory.testing import (
    PROFILES,
    ContractTable,
    Declared,
    NotApplicable,
    Profile,
    Property,
    Violation,
    check_datamodel_estimator,
    check_problem,
    declares,
    load_estimator,
    profile,
    run_contract,
)
from dmtheory.testing.declaring import contract_of
from dmtheory.testing.properties import CONTRACTS

FEW = Profile(examples=30, same=True)


def property_of(check: Any, name: str = "small") -> Property:
    return Property(
        name=name,
        statement="Numbers are small.",
        cases=st.integers(0, 1000),
        check=check,
    )


def outcome_of(check: Any, **promises: Any) -> Any:
    declared = Declared(estimator=abs, contract="problem", **promises)
    return run_contract([property_of(check)], declared, FEW).outcomes[0]


def test_a_counterexample_is_the_smallest() -> None:
    def check(_: Declared, number: int) -> None:
        if number >= 17:
            raise Violation(f"{number} is large")

    found = outcome_of(check)
    assert (found.verdict, found.counterexample) == ("fails", "17")
    assert found.reason == "17 is large"


def test_a_crash_is_a_failure_that_names_itself() -> None:
    def check(_: Declared, number: int) -> None:
        raise KeyError("scores")

    found = outcome_of(check)
    assert (found.verdict, found.reason) == ("fails", "KeyError: 'scores'")


def test_what_holds_says_on_how_many_cases() -> None:
    found = outcome_of(lambda *_: None)
    assert (found.verdict, found.reason, found.examples) == ("holds", "", 30)


def test_cases_that_an_estimator_does_not_take_are_counted() -> None:
    def odd_only(_: Declared, number: int) -> None:
        if number % 2 == 0:
            raise NotImplementedError("even numbers are not taken")

    found = outcome_of(odd_only)
    assert found.verdict == "holds"
    assert 0 < found.examples < 30
    left_out = f"not on {30 - found.examples} of 30 cases: even numbers are not taken"
    assert found.reason == left_out


def test_what_applies_to_no_case_is_not_applicable() -> None:
    def never(*_: Any) -> None:
        raise NotApplicable("there is no intercept")

    found = outcome_of(never)
    assert (found.verdict, found.examples) == ("not applicable", 0)
    assert found.reason == "there is no intercept"


def test_what_is_not_promised_is_not_run() -> None:
    def check(*_: Any) -> None:
        raise AssertionError

    found = outcome_of(check, not_promised={"small": "only large numbers"})
    assert (found.verdict, found.reason) == ("not promised", "only large numbers")


def test_what_fails_once_and_holds_again_is_told() -> None:
    calls = []

    def check(_: Declared, number: int) -> None:
        calls.append(number)
        if len(calls) == 3:
            raise Violation("once")

    assert outcome_of(check).reason == "fails on a case once and holds on it again"


def test_a_promise_must_be_about_a_property() -> None:
    with pytest.raises(ValueError, match=r"not_promised must name .* got 'smal'"):
        outcome_of(lambda *_: None, not_promised={"smal": "typing"})


def test_a_table_reads_as_text_and_as_json() -> None:
    def check(_: Declared, number: int) -> None:
        if number > 3:
            raise Violation("too large")

    declared = Declared(estimator=abs, contract="problem")
    properties = [property_of(check), property_of(lambda *_: None, "fine")]
    table = run_contract(properties, declared, FEW)
    lines = str(table).splitlines()
    assert lines[0] == "abs: problem contract, stated numerical error 1e-08"
    assert lines[1].split() == ["small", "fails", "too", "large"]
    assert lines[2].split() == ["on", "4"]
    assert lines[3].split() == ["fine", "holds"]
    values = json.loads(json.dumps(table.to_json()))
    assert values["passed"] is False
    assert [each["verdict"] for each in values["outcomes"]] == ["fails", "holds"]
    assert table.verdict("fine") == "holds"
    with pytest.raises(Violation, match="too large"):
        table.check()
    with pytest.raises(ValueError, match="property must be one of"):
        table.verdict("fin")


@pytest.mark.parametrize(
    ("estimator", "contract"),
    [
        (OLS(), "datamodel"),
        (GaussNewton(), "curvature"),
        (SampleMean(values=torch.ones(3)), "problem"),
        (declares("attribution")(influence), "attribution"),
        (influence, None),
    ],
)
def test_an_object_tells_its_contract(estimator: Any, contract: str | None) -> None:
    assert contract_of(estimator) == contract


def test_one_estimator_is_not_declared_twice() -> None:
    with pytest.raises(ValueError, match="under the datamodel contract, got problem"):
        check_datamodel_estimator(declares("problem")(abs))


def test_one_call_gives_a_table() -> None:
    values = torch.tensor([1.0, 2.0, 4.0]).double()
    with unchecked():
        found = check_problem(SampleMean(values=values), profile=profile("ci"))
    assert isinstance(found, ContractTable)
    assert found.passed
    assert found.estimator == "SampleMean"


HALVED = '''
import torch
from dmtheory.testing import declares

def half(masks, outputs, design):
    """Least squares, half of it."""
    x = masks - masks.mean(0)
    return 0.5 * torch.linalg.pinv(x, rtol=1e-10) @ (outputs - outputs.mean(0))

declared = declares("datamodel", not_promised={"sign": "nobody asked"})(half)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"made_up_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(HALVED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_the_command_tables_what_holds_and_what_does_not(module: str) -> None:
    stated = [f"{module}:declared", "--profile", "ci", "--json"]
    with unchecked():
        found = CliRunner().invoke(cli, ["check", *stated])
    assert found.exit_code == 1, found.output
    table = json.loads(found.stdout)
    verdicts = {each["property"]: each for each in table["outcomes"]}
    assert verdicts["population coefficient"]["verdict"] == "fails"
    # Of one player with one effect: 1 where 2 is right.
    assert verdicts["population coefficient"]["counterexample"].startswith(
        "2 players, p = 0.5, spectrum {1}: 1"
    )
    assert verdicts["scale"]["verdict"] == "holds"
    assert verdicts["sign"]["reason"] == "nobody asked"
    assert verdicts["bad input refused"]["verdict"] == "fails"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (["nowhere:x"], "estimator must be MODULE:NAME: No module named 'nowhere'"),
        (["json"], "estimator must be MODULE:NAME, got 'json'"),
        (["json:dumps"], "contract must be said of json:dumps"),
        (["json:dumps", "--not-promised", "sign"], "not-promised must look like"),
        (
            ["json:dumps", "--contract", "datamodel", "--not-promised", "sig=no"],
            "not_promised must name properties of the datamodel contract",
        ),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(
    stated: list[str], message: str
) -> None:
    found = CliRunner().invoke(cli, ["check", *stated])
    said = found.output + str(found.exception)
    assert found.exit_code != 0
    assert message in said


def test_the_command_knows_every_contract_and_profile() -> None:
    choices = {each.name: getattr(each.type, "choices", ()) for each in check.params}
    assert tuple(choices["contract"]) == CONTRACTS
    assert tuple(choices["profile"]) == PROFILES


def test_a_class_is_made_without_arguments() -> None:
    assert load_estimator("dmtheory:OLS").contract == "datamodel"


WITHOUT = """
import sys
sys.modules["hypothesis"] = None
import dmtheory
from dmtheory.cli import cli
from dmtheory.cli.check import check
try:
    import dmtheory.testing
except ImportError as error:
    print(error)
"""


def test_without_hypothesis_one_line_says_how_to_get_it() -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    expected = "dmtheory.testing needs Hypothesis: pip install 'dmtheory[testing]'\n"
    assert found.stdout == expected
