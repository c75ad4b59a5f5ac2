"""What is done to a rollout at the console besides approving and steering it, and what it leads to."""

import io
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.api import changing
from tests.controller.api.changing import came_out
from tests.controller.site import Site

from annexfleet_controller.__main__ import main
from annexfleet_controller.rollouts import keeping, proposing
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import audit, rollouts, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.scope import WHOLE

PLAN = ("rollout", "plan", "greet", "--set", "greet_version=2.0.0", "--limit", "all")


class Console:
    """Commands of people at the console of a home with devices 1 to 4."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.site, self._capsys, self._monkeypatch = site, capsys, monkeypatch

    def __call__(self, *argv: str, by: str = "amina") -> tuple[int, str, str]:
        self._monkeypatch.setenv("SUDO_USER", by)
        code = main(["--home", str(self.site.home.path), *argv])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def detail(self, number: int = 1) -> Detail:
        with reading(self.site.engine) as db:
            return rollouts.find(db, WHOLE, number)

    def begun(self) -> None:
        self(*PLAN)
        self("rollout", "submit", "1")
        with writing(self.site.engine) as db:
            proposing.approve(
                db, self.site.home, 1, Asker(name="brahim", via="session"), version=rollouts.find(db, WHOLE, 1).version,
                now=self.site.clock.now(),
            )  # fmt: skip
        assert self("rollout", "start", "1")[0] == 0


@pytest.fixture
def console(
    sqlite_engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Console:
    site = changing.province(sqlite_engine, tmp_path)
    (site.home.path / "controller.toml").write_text(
        f'playbooks_dir = "{site.home.settings.playbooks_dir}"\n'
        f'database_url = "{sqlite_engine.url.render_as_string(hide_password=False)}"\n'
    )
    return Console(site, capsys, monkeypatch)


def test_a_second_person_rejects_and_says_why(console: Console):
    console(*PLAN)
    console("rollout", "submit", "1")

    own = console("rollout", "reject", "1", "--reason", "No", by="amina")
    code, out, _ = console("rollout", "reject", "1", "--reason", "Not before the elections", by="brahim")

    assert (own[0], code, out) == (1, 0, "rollout 1 is a draft again\n")
    assert (console.detail().state, console.detail().state_reason) == ("draft", "Not before the elections")
    with pytest.raises(SystemExit):
        console("rollout", "reject", "1", by="brahim")


def test_its_author_takes_it_back(console: Console):
    console(*PLAN)
    console("rollout", "submit", "1")
    version = console.detail().version

    late = console("rollout", "withdraw", "1", "--version", str(version - 1))
    code, out, _ = console("rollout", "withdraw", "1", "--version", str(version))

    assert (late[0], code, out) == (1, 0, "rollout 1 is a draft again\n")
    with reading(console.site.engine) as db:
        (entry,) = audit.entries(db, WHOLE, act="rollout.withdraw")
        assert (entry.actor, entry.via) == ("amina", "console")
    assert console("rollout", "withdraw", "1")[0] == 1, "a draft cannot be withdrawn"


def test_a_dry_run_is_queued_on_one_wave_and_attached(console: Console):
    console(*PLAN)

    code, out, _ = console("rollout", "dry-run", "1", "--wave", "1")

    run_id = console.detail().dry_run_id
    assert (code, out.startswith(f"run {run_id} is queued")) == (0, True)
    with reading(console.site.engine) as db:
        run = runs.find(db, WHOLE, run_id or 0)
        assert run.check
        assert 0 < run.hosts.all < 4
    assert console("rollout", "dry-run", "9")[0] == 1


def test_what_failed_is_tried_again_and_the_same_is_begun_anew(console: Console):
    console.begun()
    assert console("rollout", "retry", "1")[0] == 1, "nothing failed yet"
    came_out(console.site, 1, {1: "failed", 2: "succeeded", 3: "timed_out"}, state="done")

    retried = console("rollout", "retry", "1")
    cloned = console("rollout", "clone", "1", by="brahim")

    assert (retried[0], cloned[0]) == (0, 0)
    assert retried[1].startswith("draft 2, version 1, 2 devices;")
    assert cloned[1].startswith("draft 3, version 1, 4 devices;")
    assert [(console.detail(n).relation, console.detail(n).of_rollout) for n in (2, 3)] == [("retry", 1), ("clone", 1)]
    assert console.detail(3).author == "brahim"


def test_what_was_done_is_taken_back_by_drafts(console: Console):
    console.begun()
    came_out(console.site, 1, {1: "succeeded", 2: "succeeded"}, state="done")

    code, out, _ = console("rollout", "rollback", "1")

    assert code == 0
    assert out.startswith("draft 2, version 1, 2 devices;")
    assert (console.detail(2).relation, console.detail(2).variables) == ("rollback", {"greet_version": "0.1.0"})
    assert console("rollout", "rollback", "2")[0] == 1, "it was never started"


def test_a_secret_of_another_is_given_anew_from_standard_input(console: Console, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hush\n"))
    assert console(*PLAN, "--secret", "greet_word")[0] == 0

    missing = console("rollout", "clone", "1", by="brahim")
    monkeypatch.setattr("sys.stdin", io.StringIO("quiet\n"))
    strange = console("rollout", "clone", "1", "--secret", "other", by="brahim")
    given = console("rollout", "clone", "1", "--secret", "greet_word", by="brahim")

    assert (missing[0], strange[0], given[0]) == (1, 1, 0)
    assert keeping.secrets(console.site.home, 2) == {"greet_word": "quiet"}
