"""What is wrong, on the command line."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.controller.web import troubled
from tests.databases import put_database

from annexfleet_controller.__main__ import main
from annexfleet_controller.store.database import open_database, writing


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A jam in the first annex, a line cut in the second."""
    put_database(tmp_path / "controller.db")
    engine = open_database(f"sqlite:///{tmp_path / 'controller.db'}")
    with writing(engine) as db:
        troubled.two_annexes(db, now=datetime.now(UTC))
    engine.dispose()
    return tmp_path


def said(home: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["--home", str(home), *argv]) == 0
    return capsys.readouterr().out


def test_incidents_stand_in_a_table_with_the_reason_of_their_place(home: Path, capsys: pytest.CaptureFixture[str]):
    first, second = said(home, capsys, "incidents", "list").splitlines()

    assert "Paper jam (guichet-hp); 12 people waiting, 2 services blocked" in first
    assert "berkane-1" in first
    assert "line_cut" in second


def test_alerts_stand_in_a_table(home: Path, capsys: pytest.CaptureFixture[str]):
    lines = said(home, capsys, "alerts", "list").splitlines()

    assert len(lines) == 5
    assert any("device.offline" in line and "(guichet-16)" in line for line in lines)


@pytest.mark.parametrize(
    ("argv", "kinds"),
    [
        ((), ["printer", "line_cut"]), (("--annex", "berkane-2"), ["line_cut"]), (("--state", "resolved"), []),
        (("--state", "all"), ["printer", "line_cut"]),
    ],
)  # fmt: skip
def test_programs_get_json(home: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], kinds: list[str]):
    items = json.loads(said(home, capsys, "incidents", "list", "--json", *argv))["items"]

    assert [item["kind"] for item in items] == kinds


def test_alerts_of_an_annex_as_json(home: Path, capsys: pytest.CaptureFixture[str]):
    (alert,) = json.loads(said(home, capsys, "alerts", "list", "--json", "--annex", "berkane-1"))["items"]

    assert (alert["rule"], alert["title"], alert["annex"]) == ("printer.blocked", "Paper jam (guichet-hp)", "berkane-1")
    assert json.loads(said(home, capsys, "alerts", "list", "--json", "--state", "cleared"))["items"] == []
