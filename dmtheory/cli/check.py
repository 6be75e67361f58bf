"""The command `dmtheory check`."""

import json

import click

from dmtheory.cli import options

# As in `dmtheory.testing`, which is imported when the command runs: it needs an extra.
_CONTRACTS = ("datamodel", "attribution", "derivative", "curvature", "problem")
_PROFILES = ("ci", "dev", "deep")


@click.command()
@click.argument("estimator")
@click.option(
    "--contract",
    type=click.Choice(_CONTRACTS),
    help="Needed for a bare function that was not declared.",
)
@click.option(
    "--profile",
    type=click.Choice(_PROFILES),
    default="dev",
    show_default=True,
    help="Cases a property: ci 3 (the same each time), dev 40, deep 100.",
)
@click.option(
    "--not-promised",
    "not_promised",
    multiple=True,
    metavar="PROPERTY=REASON",
    help="A property that the estimator does not promise; may be repeated.",
)
@click.option("--tolerance", type=float, help="The estimator's stated numerical error.")
@options.as_json
@click.pass_context
def check(
    context: click.Context,
    estimator: str,
    contract: str | None,
    profile: str,
    not_promised: tuple[str, ...],
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Try an estimator, MODULE:NAME, against the properties that its kind owes.

    Prints what holds, and for what does not the smallest counterexample; the exit
    status is 1 where something promised does not hold.

    Example: dmtheory check my_module:my_fit --contract datamodel
    """
    from dmtheory import testing

    promises: dict[str, object] = {}
    if not_promised:
        promises["not_promised"] = dict(map(_reason, not_promised))
    if tolerance is not None:
        promises["tolerance"] = tolerance
    declared = testing.load_estimator(estimator, contract, **promises)
    table = testing.run_contract(
        testing.PROPERTIES[declared.contract], declared, testing.profile(profile)
    )
    click.echo(json.dumps(table.to_json(), indent=1) if as_json else str(table))
    context.exit(0 if table.passed else 1)


def _reason(text: str) -> tuple[str, str]:
    name, equals, reason = text.partition("=")
    if not (name and equals and reason):
        raise click.UsageError(
            f"not-promised must look like 'scale=its reason', got {text!r}"
        )
    return name, reason
