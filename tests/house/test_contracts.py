"""Imports run one way, and each room imports only what it may."""

import ast
import subprocess
import sys

from tests.house.tree import ROOT, files

_STATEMENTS = {"select", "insert", "update", "delete", "text"}


def test_no_import_contract_is_broken():
    linted = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_sql_stands_in_the_store_and_nowhere_else():
    found = []
    for path in files(".py"):
        if path.parts[:2] != ("controller", "annexfleet_controller") or path.parts[2] == "store":
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
                found += [f"{path}: {name.name}" for name in node.names if name.name in _STATEMENTS]

    assert not found


def test_only_the_simulator_runs_agents():
    found = []
    for path in files(".py"):
        if path.parts[:2] != ("controller", "annexfleet_controller") or path.parts[2] == "simulate":
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                names = [f"{module}.{name.name}" for name in node.names]
            elif isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            found += [
                f"{path}: {name}" for name in names
                if name.startswith("annexfleet_agent.") and not name.startswith("annexfleet_agent.protocol")
            ]  # fmt: skip

    assert not found
