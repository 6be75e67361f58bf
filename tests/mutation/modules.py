"""Which modules are mutated, and which tests are to notice."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A package of the library with its tests.

    Attributes:
        package: Its folder.
        tests: Files and folders of tests, those marked `long` excepted.
        leaving_out: Words in the names of tests that take too long for so many runs.
    """

    package: str
    tests: tuple[str, ...]
    leaving_out: tuple[str, ...] = ()

    def files(self) -> list[str]:
        found = sorted((ROOT / self.package).glob("*.py"))
        return [str(path.relative_to(ROOT)) for path in found]


MODULES = {
    "estimators": Module(
        package="dmtheory/datamodels/estimators",
        tests=tuple(
            f"tests/datamodels/test_{name}.py"
            for name in (
                "linear_datamodels",
                "ridge",
                "ridge_without_law",
                "shrinkage",
                "no_linear_part",
                "block_designs",
                "moments",
                "lasso",
            )
        ),
        leaving_out=("interval_covers",),
    ),
    "agreement": Module(package="dmtheory/agreement", tests=("tests/agreement",)),
    "designs": Module(
        package="dmtheory/designs",
        tests=("tests/designs", "tests/datamodels/test_block_designs.py"),
        leaving_out=("interval_covers",),
    ),
}
