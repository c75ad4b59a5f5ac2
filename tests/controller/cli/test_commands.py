"""`annexfleet` as a person uses it: commands in, sentences and exit codes out."""

import re
import socket
import sqlite3
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.controller.fleet import device_id
from tests.controller.web import places
from tests.databases import put_database

from annexfleet_agent.protocol import enrolment
from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import exits, lock
from annexfleet_controller.identity import revocation
from annexfleet_controller.store.database import open_database, writing

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on a home of this test: exit code, what it printed, what it complained of."""

    def run_(*argv: str, home: Path = tmp_path / "home") -> tuple[int, str, str]:
        code = main(["--home", str(home), *argv])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run_


@pytest.fixture
def annex(run: Run, tmp_path: Path) -> str:
    put_database(tmp_path / "home" / "controller.db")
    assert run("annex", "create", "berkane-1", "--name-fr", "Annexe 1", "--name-ar", "الملحقة 1")[0] == exits.DONE
    return "berkane-1"


def test_a_new_person_gets_a_one_time_password(run: Run):
    code, password, _ = run("user", "create", "clerk", "--role", "technician")

    assert code == exits.DONE
    assert re.fullmatch(r"[a-z0-9]{4}(-[a-z0-9]{4}){4}", password)
    assert "one-time password" in run("user", "list")[1]


def test_a_reset_gives_another_password(run: Run):
    _, first, _ = run("user", "create", "clerk", "--role", "admin")

    code, second, _ = run("user", "reset", "clerk")

    assert code == exits.DONE
    assert second != first


def test_a_person_can_be_confined_to_annexes(run: Run, annex: str):
    run("user", "create", "clerk", "--role", "staff", "--annex", annex)

    assert annex in run("user", "list")[1]


def test_a_disabled_person_is_shown_as_such(run: Run):
    run("user", "create", "clerk", "--role", "staff")

    assert run("user", "disable", "clerk")[0] == exits.DONE
    assert "disabled" in run("user", "list")[1]


def test_a_key_is_for_a_program(run: Run):
    run("user", "create", "clerk", "--role", "operator")

    code, key, _ = run("user", "key", "clerk", "--for", "a report")

    assert code == exits.DONE
    assert len(key) > 40


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("user", "reset", "nobody"), "nobody"),
        (("user", "create", "a b", "--role", "admin"), "name"),
        (("token", "create", "--annex", "nowhere"), ""),
        (("token", "revoke", "nothing"), "nothing"),
        (("device", "revoke", "d-nobody"), "d-nobody"),
        (("annex", "create", "x-1", "--name-fr", "x", "--name-ar", "x", "--time-zone", "Moon/Sea"), "Moon/Sea"),
        (("restore", "/nowhere.tar"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run: Run, argv: tuple[str, ...], sentence: str):
    code, _, complaint = run(*argv)

    assert code == exits.FAILED
    assert complaint.startswith("annexfleet: ")
    assert sentence in complaint
    assert "Traceback" not in complaint


def test_an_annex_stands_once(run: Run, annex: str):
    code, _, complaint = run("annex", "create", annex, "--name-fr", "x", "--name-ar", "x")

    assert code == exits.FAILED
    assert annex in complaint
    assert run("annex", "create", annex, "--name-fr", "x", "--name-ar", "x", "--if-missing")[0] == exits.DONE


def test_a_token_names_this_controller(run: Run, annex: str):
    code, text, _ = run("token", "create", "--annex", annex, "--devices", "3")

    token = enrolment.decode_token(text)
    assert code == exits.DONE
    assert token.enrol_url == "https://127.0.0.1:8443"
    assert "0/3 used" in run("token", "list")[1]
    assert text not in run("token", "list")[1]


def test_a_revoked_token_is_shown_as_such(run: Run, annex: str):
    _, text, _ = run("token", "create", "--annex", annex)

    assert run("token", "revoke", enrolment.decode_token(text).id)[0] == exits.DONE
    assert "revoked" in run("token", "list")[1]


def test_wrong_settings_name_their_key(run: Run, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/controller.toml").write_text("web_port = 0\n")

    code, _, complaint = run("migrate")

    assert code == exits.SETTINGS
    assert "web_port" in complaint


def test_a_device_is_listed_and_shut_out(run: Run, annex: str, tmp_path: Path):
    engine = open_database(f"sqlite:///{tmp_path / 'home/controller.db'}")
    with writing(engine) as db:
        places.device(db, 1, annex, now=datetime.now(UTC), name="guichet-1")
    engine.dispose()
    assert "guichet-1" in run("device", "list")[1]

    code, said, _ = run("device", "revoke", device_id(1))

    assert (code, f"Device {device_id(1)} is revoked" in said) == (exits.DONE, True)
    assert "guichet-1" not in run("device", "list")[1]
    assert "guichet-1" in run("device", "list", "--revoked", "--annex", annex)[1]


@pytest.mark.parametrize("error", [revocation.NotHeeded("it lets it in"), revocation.NotKicked("no answer")])
def test_a_broker_that_does_not_heed_is_said_with_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(revocation, "revoke", fail)

    code, _, complaint = run("device", "revoke", "d-1")

    assert code == exits.FAILED
    assert "Restart the broker" in complaint
    assert str(error) in complaint


def test_a_second_serve_on_the_same_home_is_refused(run: Run, tmp_path: Path):
    with lock.held(tmp_path / "home", "serve"):
        code, _, complaint = run("serve")

    assert code == exits.TAKEN
    assert "already running" in complaint


def test_a_taken_port_is_named_with_its_setting(run: Run, tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (tmp_path / "home").mkdir()
        (tmp_path / "home/controller.toml").write_text(f"web_port = {port}\n")

        code, _, complaint = run("serve")

    assert code == exits.TAKEN
    assert f"Port {port} is taken" in complaint
    assert "web_port" in complaint


def test_a_lock_is_free_after_its_holder(tmp_path: Path):
    with lock.held(tmp_path, "serve"):
        pass
    with lock.held(tmp_path, "serve"):
        pass


def test_a_database_that_is_none_is_said(run: Run, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/controller.db").write_bytes(b"this is no database, whatever its name says" * 100)

    code, _, complaint = run("user", "list")

    assert code == exits.FAILED
    assert "database" in complaint.lower()


def test_a_backup_is_whole_and_private_and_can_be_restored(run: Run, annex: str, tmp_path: Path):
    run("token", "create", "--annex", annex)  # makes the authority
    run("keys", "rotate", "--now")
    shown = run("keys", "show")[1]
    file = tmp_path / "province.tar"

    assert run("backup", str(file))[0] == exits.DONE
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        assert {"controller.db", "authority/root.key", "signer/keys.json"} <= set(tar.getnames())

    elsewhere = tmp_path / "elsewhere"
    assert run("restore", str(file), home=elsewhere)[0] == exits.DONE
    assert annex in run("annex", "list", home=elsewhere)[1]
    assert run("keys", "show", home=elsewhere)[1].split("signer")[0] == shown.split("signer")[0]
    assert (elsewhere / "authority/root.key").stat().st_mode & 0o777 == 0o600
    (integrity,) = sqlite3.connect(elsewhere / "controller.db").execute("PRAGMA integrity_check").fetchone()
    assert integrity == "ok"


def test_a_backup_overwrites_nothing(run: Run, annex: str, tmp_path: Path):
    file = tmp_path / "province.tar"
    file.write_text("mine")

    code, _, complaint = run("backup", str(file))

    assert code == exits.FAILED
    assert "exists" in complaint
    assert file.read_text() == "mine"


def test_a_failed_backup_leaves_no_file(run: Run, tmp_path: Path):
    file = tmp_path / "province.tar"

    code, _, complaint = run("backup", str(file))

    assert code == exits.FAILED
    assert "no database" in complaint
    assert not file.exists()


def test_nothing_is_restored_over_what_is_there(run: Run, annex: str, tmp_path: Path):
    file = tmp_path / "province.tar"
    run("backup", str(file))

    code, _, complaint = run("restore", str(file))

    assert code == exits.FAILED
    assert "not empty" in complaint


def test_a_file_that_is_no_backup_is_refused(run: Run, tmp_path: Path):
    file = tmp_path / "other.tar"
    with tarfile.open(file, "w"):
        pass

    code, _, complaint = run("restore", str(file))

    assert code == exits.FAILED
    assert "no backup" in complaint


def test_the_doctor_says_what_is_missing_and_how_to_mend_it(run: Run):
    code, findings, _ = run("doctor")

    assert code == exits.FAILED
    assert "annexfleet migrate" in findings
    assert "annexfleet serve" in findings


def test_the_doctor_finds_keys_that_others_can_read(run: Run, annex: str, tmp_path: Path):
    run("token", "create", "--annex", annex)
    key = tmp_path / "home/authority/root.key"
    key.chmod(0o644)

    findings = run("doctor")[1]

    assert f"chmod 600 {key}" in findings
    assert "database: sqlite, up to date" in findings
