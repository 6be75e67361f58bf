"""What an import of the package costs."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

IMPORT = """
import json, sys, time
import torch
before = time.process_time()
import dmtheory
seconds = time.process_time() - before
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""

HEAVY = {"hypothesis", "matplotlib", "pandas", "scipy", "sklearn", "statsmodels"}


def test_the_command_line_loads_nothing_heavy() -> None:
    code = "import json, sys, dmtheory.cli; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT
    )
    roots = {name.partition(".")[0] for name in json.loads(found.stdout)}
    assert "dmtheory" in roots
    assert not roots & HEAVY


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
    )
    found = json.loads(finished.stdout)
    roots = {name.partition(".")[0] for name in found["modules"]}
    assert "dmtheory" in roots
    assert not roots & HEAVY
    assert found["seconds"] < 1
    assert finished.stderr == ""
