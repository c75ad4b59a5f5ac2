"""`annexfleet user`: changing people, letting them in again, bounded keys."""

import tarfile
from pathlib import Path

import pytest
from tests.controller.cli.test_commands import Run, annex, run

from annexfleet_controller.access import factor, sealing
from annexfleet_controller.cli import exits
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import people, program_keys
from annexfleet_controller.store.database import open_database, reading

__all__ = ["annex", "run"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The one that `run` runs on."""
    return Home(tmp_path / "home", Settings())


def test_a_role_and_annexes_are_changed(run: Run, annex: str):
    run("user", "create", "clerk", "--role", "staff", "--annex", annex)

    assert run("user", "edit", "clerk", "--role", "operator", "--province")[0] == exits.DONE
    listed = run("user", "list")[1]
    assert "operator" in listed
    assert "province" in listed
    assert run("user", "edit", "clerk", "--annex", annex, "--full-name", "A Clerk")[0] == exits.DONE
    assert annex in run("user", "list")[1]
    assert run("audit", "verify")[0] == exits.DONE


@pytest.mark.parametrize(
    "wrong", [[], ["--email", "nowhere"], ["--annex", "nowhere"], ["--language", "de"], ["--role", "root"]]
)
def test_what_cannot_be_changed_so_is_refused(run: Run, wrong: list[str]):
    run("user", "create", "clerk", "--role", "staff")

    try:
        code = run("user", "edit", "clerk", *wrong)[0]
    except SystemExit as ended:  # argparse knows the choices
        code = int(ended.code or 0)

    assert code != exits.DONE
    assert "staff" in run("user", "list")[1]


def test_who_was_shut_out_comes_in_again_with_another_password(run: Run):
    _, first, _ = run("user", "create", "clerk", "--role", "staff")
    run("user", "disable", "clerk")

    code, second, _ = run("user", "enable", "clerk")

    assert code == exits.DONE
    assert second != first
    assert "disabled" not in run("user", "list")[1]


def test_a_key_has_the_bounds_that_were_said(run: Run, annex: str, home: Home):
    run("user", "create", "clerk", "--role", "technician")

    bounds = ("--role", "staff", "--reads-only", "--annex", annex)
    assert run("user", "key", "clerk", "--for", "Grafana", *bounds)[0] == exits.DONE
    assert run("user", "key", "clerk", "--for", "more", "--role", "admin")[0] != exits.DONE

    with reading(open_database(home.database_url)) as db:
        ((key, _),) = program_keys.listing(db)
        assert (key.role, key.reads_only) == ("staff", True)
        assert program_keys.annexes_of(db, key.digest) == {annex}


def test_a_second_factor_is_taken_from_who_lost_it(run: Run, home: Home):
    run("user", "create", "clerk", "--role", "staff")
    engine = open_database(home.database_url)
    with reading(engine) as db:
        number = people.get(db, "clerk").id
    offered = factor.begin(engine, home, number)
    confirm(engine, home, number, offered)
    assert "second factor" in run("user", "list")[1]

    assert "password alone" in run("user", "reset-factor", "clerk")[1]
    assert "second factor" not in run("user", "list")[1]
    assert "had no second factor" in run("user", "reset-factor", "clerk")[1]


def test_a_backup_holds_the_key_that_seals_second_factors(run: Run, home: Home, tmp_path: Path):
    run("user", "create", "clerk", "--role", "staff")
    sealed = sealing.seal(home, 1, b"secret")

    run("backup", str(tmp_path / "copy.tar"))
    with tarfile.open(tmp_path / "copy.tar") as tar:
        assert tar.getmember("accounts.key").mode == 0o600
    elsewhere = tmp_path / "elsewhere"
    assert run("restore", str(tmp_path / "copy.tar"), home=elsewhere)[0] == exits.DONE

    restored = Home(elsewhere, Settings())
    assert sealing.unseal(restored, 1, sealed) == b"secret"
    assert restored.accounts_key.stat().st_mode & 0o777 == 0o600


def confirm(engine, home: Home, number: int, offered: factor.Offered) -> None:
    from datetime import UTC, datetime

    import pyotp

    now = datetime.now(UTC)
    factor.confirm(engine, home, number, pyotp.TOTP(offered.key).at(now), session="", now=now)
