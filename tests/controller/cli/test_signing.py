"""`annexfleet keys`, and what the doctor says of the signer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import doctor, exits
from annexfleet_controller.cli.signing import ensure_keys
from annexfleet_controller.identity import authority, signer_service, signing
from annexfleet_controller.identity.signer import SignerAway, status
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import audit
from annexfleet_controller.store.database import open_database, reading
from annexfleet_controller.store.scope import WHOLE

NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home", Settings())
    authority.ensure(made)
    signing.ensure(made)
    return made


@contextmanager
def answering(home: Home) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=signer_service.run, args=(home, stop))
    thread.start()
    try:
        while True:
            try:
                status(home)
            except SignerAway:
                assert thread.is_alive()
            else:
                break
        yield
    finally:
        stop.set()
        thread.join()


def told(home: Home) -> list[tuple[str, str]]:
    return [(check.level, f"{check.found} {check.cure}") for check in doctor._signer(home, NOW)]


def keys(home: Home, *argv: str) -> int:
    return main(["--home", str(home.path), "keys", *argv])


def test_keys_are_shown_with_the_root_that_signed_them(home: Home, capsys: pytest.CaptureFixture[str]):
    found = signing.load(home)

    assert keys(home, "show") == exits.DONE

    shown = capsys.readouterr().out
    assert authority.load(home).pin in shown
    assert f"{found.key_id}  run, command  signs here" in shown
    assert "does not answer" in shown
    with answering(home):
        keys(home, "show")
    assert f"answers, with version {found.keys.version}" in capsys.readouterr().out


def test_a_rotation_asks_first_and_tells_what_became_of_it(home: Home, capsys: pytest.CaptureFixture[str]):
    before = signing.load(home)

    assert keys(home, "rotate") == exits.FAILED  # nobody is there to say yes
    assert signing.load(home).keys == before.keys
    assert "--now" in capsys.readouterr().err
    assert keys(home, "rotate", "--now") == exits.DONE

    after = signing.load(home)
    assert after.key_id != before.key_id
    assert f"key {after.key_id} signs from now on. The old keys are dropped." in capsys.readouterr().out
    assert keys(home, "rotate", "--now", "--keep-old") == exits.DONE
    assert after.key_id in {key.id for key in signing.load(home).keys.keys}
    engine = open_database(home.database_url)
    with reading(engine) as db:
        entries = audit.entries(db, WHOLE, act="keys.rotate")
    engine.dispose()
    assert [entry.facts["keep_old"] for entry in entries] == [True, False]
    assert entries[1].subject == f"keys:{after.key_id}"


@pytest.mark.parametrize(("typed", "code"), [("yes", exits.DONE), ("no", exits.FAILED), ("", exits.FAILED)])
def test_somebody_who_is_there_is_asked(home: Home, monkeypatch: pytest.MonkeyPatch, typed: str, code: int):
    before = signing.load(home)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _question: typed)

    assert keys(home, "rotate") == code

    assert (signing.load(home).key_id != before.key_id) is (code == exits.DONE)


def test_without_the_roots_key_all_else_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    home = Home(tmp_path / "home", Settings())
    authority.ensure(home)
    (home.authority_dir / "root.key").rename(tmp_path / "safe.key")

    ensure_keys(home)

    assert "no run and no command can be signed" in caplog.text
    assert keys(home, "rotate", "--now") == exits.FAILED
    assert keys(home, "rotate", "--now", "--root-key", str(tmp_path / "safe.key")) == exits.DONE


# -- the doctor


def test_a_signer_that_answers_is_well(home: Home):
    with answering(home):
        found = told(home)

    assert [level for level, _ in found] == ["ok", "ok"]


def test_a_signer_that_is_away_is_told(home: Home):
    assert told(home)[-1][0] == "wrong"
    assert "annexfleet serve" in told(home)[-1][1]


def test_keys_that_cannot_be_used_are_told(home: Home):
    (home.signer_dir / signing.KEYS).write_bytes(b"{")

    ((level, says),) = told(home)
    assert level == "wrong"
    assert "annexfleet keys rotate" in says


def test_what_else_may_be_wrong_is_told(home: Home):
    found = signing.load(home)
    (home.signer_dir / f"{found.key_id}.key").chmod(0o644)
    ahead = int((NOW + timedelta(days=300)).timestamp() * 1000)
    (home.signer_dir / signing.SEQUENCE).write_text(str(ahead))

    said = told(home)

    assert any(level == "wrong" and "chmod 600" in says for level, says in said)
    assert any(level == "warning" and "7200 h ahead" in says for level, says in said)
    (home.signer_dir / signing.SEQUENCE).write_text("many")
    assert any(level == "wrong" and "holds no number" in says for level, says in told(home))
