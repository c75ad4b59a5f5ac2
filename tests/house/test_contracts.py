"""Imports run one way, and each room imports only what it may."""

import subprocess
import sys

from tests.house.tree import ROOT


def test_no_import_contract_is_broken():
    linted = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert linted.returncode == 0, linted.stdout + linted.stderr
