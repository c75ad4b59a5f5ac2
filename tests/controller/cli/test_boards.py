"""Boards and walls from the console."""

import re
from pathlib import Path

import pytest

from annexfleet_controller.__main__ import main
from annexfleet_controller.access import links
from annexfleet_controller.cli import exits
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import LinkUnknown
from annexfleet_controller.store.database import open_database
from annexfleet_controller.store.scope import WHOLE


def test_a_board_is_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["--home", str(tmp_path), *argv])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    run("annex", "create", "berkane-1", "--name-fr", "Annexe 1", "--name-ar", "الملحقة 1")
    code, address, _ = run("board", "create", "berkane-1", "--label", "hall")
    assert code == exits.DONE
    found = re.fullmatch(r"http://127\.0\.0\.1:8080/board/([\w-]{43})", address)
    assert found is not None
    engine = open_database(f"sqlite:///{tmp_path / 'controller.db'}")
    visitor = links.board_visitor(engine, found[1], address="10.0.0.1", now=SYSTEM.now())
    assert (visitor.annex_id, visitor.name) == ("berkane-1", "board:hall")

    listed = run("board", "list", "berkane-1")[1]
    assert "hall" in listed
    assert found[1] not in listed
    assert run("board", "revoke", "elsewhere", "1")[0] == exits.FAILED
    assert run("board", "revoke", "berkane-1", "1")[0] == exits.DONE
    assert "revoked" in run("board", "list")[1]
    with pytest.raises(LinkUnknown):
        links.board_visitor(engine, found[1], address="10.0.0.1", now=SYSTEM.now())
    engine.dispose()
    assert run("board", "create", "nowhere", "--label", "hall")[0] == exits.FAILED


def test_a_wall_is_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(*argv: str) -> tuple[int, str]:
        code = main(["--home", str(tmp_path), *argv])
        return code, capsys.readouterr().out.strip()

    code, address = run("wall", "create", "--label", "operations room")
    assert code == exits.DONE
    found = re.fullmatch(r"http://127\.0\.0\.1:8080/wall/([\w-]{43})", address)
    assert found is not None
    engine = open_database(f"sqlite:///{tmp_path / 'controller.db'}")
    visitor = links.wall_visitor(engine, found[1], address="10.0.0.1", now=SYSTEM.now())
    assert (visitor.scope, visitor.name) == (WHOLE, "wall:operations room")

    listed = run("wall", "list")[1]
    assert "(province)" in listed
    assert found[1] not in listed
    assert run("wall", "revoke", "7")[0] == exits.FAILED
    assert run("wall", "revoke", "1")[0] == exits.DONE
    assert "revoked" in run("wall", "list")[1]
    with pytest.raises(LinkUnknown):
        links.wall_visitor(engine, found[1], address="10.0.0.1", now=SYSTEM.now())
    engine.dispose()
    assert run("wall", "create", "--district", "nowhere", "--label", "hall")[0] == exits.FAILED
