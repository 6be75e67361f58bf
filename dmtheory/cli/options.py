"""Options and helpers that commands share."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from dmtheory.attribution import Attribution
from dmtheory.catalogue import PROBLEMS
from dmtheory.console import Report
from dmtheory.derivatives.method import At
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.files import load_matrix, save_attribution
from dmtheory.responses.collect import Progress

FILE = click.Path(path_type=Path, dir_okay=False)


class Count(click.ParamType):
    """A whole number that is not below a least one."""

    name = "count"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the number."""
        try:
            number = int(str(value))
        except ValueError:
            self.fail(f"must be a whole number, got {value!r}", param, ctx)
        if number < self.least:
            self.fail(f"must be at least {self.least}, got {number}", param, ctx)
        return number


COUNT = Count()


class NewFile(click.Path):
    """A file to write, refused before anything is trained if its folder is missing."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path."""
        path = Path(str(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(
                f"its folder must exist: mkdir -p {shlex.quote(str(path.parent))}",
                param,
                ctx,
            )
        return path


problem = click.option(
    "--problem", required=True, help=f"{', '.join(PROBLEMS)}, or FILE.py:NAME."
)
normalisation = click.option(
    "--normalisation",
    type=click.Choice(["sum", "count"]),
    default="sum",
    show_default=True,
    help="W in (1/W) sum_j w_j l_j: the weights' sum, or N.",
)
models = click.option(
    "--models", type=COUNT, default=2000, show_default=True, help="Models to train."
)


def seed(default: int) -> Callable[[Any], Any]:
    """Return the seed option; commands whose results are compared differ in it."""
    return click.option(
        "--seed", default=default, show_default=True, help="Experiment seed."
    )


out = click.option("--out", type=NewFile(), required=True, help="File to write (.npz).")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def point(text: str) -> At:
    """Return the point or the law that a text names."""
    name, _, share = text.partition(":")
    if text.endswith(".npy"):
        return torch.from_numpy(load_matrix(Path(text)))
    try:
        return Bernoulli(p=float(share)) if name == "bernoulli" else float(text)
    except ValueError as error:
        raise click.UsageError(
            f"at must be a number, bernoulli:P or FILE.npy, got {text!r} ({error})"
        ) from None


def counter(progress: Report, what: str, total: int) -> Progress:
    """Return a callback that adds up finished models and moves a bar."""
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress(what, done, total)

    progress(what, 0, total)
    return count


def show_values(values: dict[str, Any], as_json: bool) -> None:
    """Print named values as lines or as JSON."""
    if as_json:
        click.echo(json.dumps(values, indent=1))
    else:
        click.echo("\n".join(f"{name}: {value}" for name, value in values.items()))


def save(attribution: Attribution, path: Path, as_json: bool, **more: Any) -> None:
    """Write an attribution file and print what it holds, and what more there is."""
    save_attribution(attribution, path)
    summary = {
        "file": str(path),
        "estimand": str(attribution.estimand),
        "examples": len(attribution.train_labels),
        "targets": len(attribution.target_labels),
        "models": attribution.n_models,
        "method": attribution.method,
        **more,
    }
    show_values(summary, as_json)
