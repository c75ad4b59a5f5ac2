"""Files that one can read in one go, and a README in each room."""

import ast
from pathlib import Path

import pytest
from tests.house.tree import ROOT, files

LONGEST_FILE = 400
LONGEST_TEST_FILE = 500
"""Tests mirror the code; a file of theirs may be longer rather than be cut where the code is not."""
LONGEST_FUNCTION = 60

LONG_FILES: dict[str, str] = {
    "agent/annexfleet_agent/runner/warm.py": "a script that the system's Python runs; it can import nothing of ours",
}
"""Files that may be longer, each with its reason."""

LONG_FUNCTIONS: dict[str, str] = {}
"""`file::function` that may be longer, each with its reason."""

PYTHON = [path for path in files(".py") if "migrations/versions" not in path.as_posix()]
ROOMS = sorted(
    {path.parent for path in PYTHON if path.name == "__init__.py" and path.parts[0] != "tests"}
    | {Path("agent"), Path("controller"), Path("deploy"), Path("tests")}
)
_INNER = ("annexfleet_agent", "annexfleet_controller")
"""The packages themselves: their README is the one beside pyproject.toml."""


@pytest.mark.parametrize("path", PYTHON, ids=str)
def test_a_file_can_be_read_in_one_go(path: Path):
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())

    limit = LONGEST_TEST_FILE if path.parts[0] == "tests" else LONGEST_FILE
    assert lines <= limit or str(path) in LONG_FILES, f"{path} has {lines} lines"


def test_no_function_is_longer_than_a_screen():
    too_long = []
    for path in PYTHON:
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                name = f"{path}::{node.name}"
                if lines > LONGEST_FUNCTION and name not in LONG_FUNCTIONS:
                    too_long.append(f"{name}: {lines} lines")

    assert not too_long


def test_exceptions_are_still_needed():
    for name in LONG_FILES:
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) > LONGEST_FILE, name


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_room_explains_itself(room: Path):
    if room.name in _INNER or any(part in ("tables", "migrations", "pages") for part in room.parts):
        return  # part of the room around it
    readme = ROOT / room / "README.md"

    assert readme.exists(), f"{room} has no README.md"
    assert len(readme.read_text(encoding="utf-8")) > 200, f"{readme} says next to nothing"
