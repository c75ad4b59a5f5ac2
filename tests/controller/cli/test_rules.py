"""`annexfleet rules` as a person uses it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.controller.alerts import pasts
from tests.databases import put_database

from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import exits
from annexfleet_controller.cli import rules as command
from annexfleet_controller.cli.opened import console_user
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.store.database import open_database, writing

Run = Callable[..., tuple[int, str, str]]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on a home of this test, where there is one annex: exit code, what it printed, its complaint."""
    put_database(tmp_path / "controller.db")

    def run_(*argv: str) -> tuple[int, str, str]:
        code = main(["--home", str(tmp_path), *argv])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    assert run_("annex", "create", "berkane-1", "--name-fr", "1", "--name-ar", "1")[0] == exits.DONE
    return run_


def test_a_list_of_all_rules(run: Run):
    code, out, _ = run("rules", "list")

    assert code == exits.DONE
    assert [line.split()[0] for line in out.splitlines()] == list(default_rules())
    assert "used=0.85 used_clear=0.8 free=1e+10" in out


def test_a_change_is_shown_and_taken_back(run: Run):
    assert run("rules", "set", "disk.low", "used=0.9", "for=20m", "audience=it,staff")[0] == exits.DONE
    assert run("rules", "set", "disk.low", "severity=info")[0] == exits.DONE

    out = run("rules", "show", "disk.low")[1]
    for words in ("used=0.9  (by default 0.85)", "for_s = 1200  (20m)", "severity = info", "audience = it,staff"):
        assert words in out
    assert f"by {console_user()}" in out
    assert run("rules", "reset", "disk.low")[1].endswith("as it was.")
    assert "used=0.85" in run("rules", "show", "disk.low")[1]
    assert "nothing had been changed" in run("rules", "reset", "disk.low")[1]


def test_an_annex_follows_the_province_but_for_what_it_changed(run: Run):
    run("rules", "set", "device.offline", "--annex", "berkane-1", "for.tablet=30m", "enabled=no")

    assert "for.tablet = 1800" in run("rules", "show", "device.offline", "--annex", "berkane-1")[1]
    assert "for.tablet = 900" in run("rules", "show", "device.offline")[1]
    assert "off" in next(
        line for line in run("rules", "list", "--annex", "berkane-1")[1].splitlines() if "device.offline" in line
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["show", "disk.full"], "there is no rule 'disk.full'"),
        (["set", "disk.full", "used=0.9"], "there is no rule 'disk.full'"),
        (["reset", "disk.full"], "there is no rule 'disk.full'"),
        (["try", "--rule", "disk.full"], "there is no rule 'disk.full'"),
        (["set", "disk.low", "used=85"], "levels.used: out_of_range, low 0.0, high 1.0"),
        (["set", "disk.low", "used=much"], "levels.used: not_a_number"),
        (["set", "disk.low", "used_clear=0.85"], "levels.used_clear: clear_not_below, other 0.85"),
        (["set", "disk.low", "usage=0.9"], "usage: unknown_field"),
        (["set", "disk.low", "enabled=maybe"], "enabled: wrong_type"),
        (["set", "disk.low", "used"], "is not NAME=VALUE"),
        (["set", "disk.low", "used=0.9", "--annex", "nowhere"], "no annex 'nowhere'"),
        (["list", "--annex", "nowhere"], "no annex 'nowhere'"),
        (["try", "--rule", "disk.low", "--since", "yesterday"], "neither a span such as 7d, 24h or 90m nor a day"),
        (["try", "--rule", "disk.low", "--since", "2090-01-01"], "must be in the past"),
        (["try", "--rule", "disk.low", "--since", "200d"], "no more than 90 days ago"),
        (["try", "--rule", "disk.low", "--annex", "nowhere"], "no annex 'nowhere'"),
        (["try", "--rule", "disk.low", "--device", "d-nobody"], "no device 'd-nobody'"),
        (["try", "--rule", "disk.low", "--level", "used=7"], "levels.used: out_of_range"),
        (["try", "--rule", "deadman"], "it is about the controller itself"),
        (["try", "--rule", "config.drift"], "config_differs is not kept"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(run: Run, argv: list[str], words: str):
    code, _, said = run("rules", *argv)

    assert code == exits.FAILED
    assert words in said


def test_a_rule_is_tried_on_the_past(run: Run, tmp_path: Path):
    now = datetime.now(UTC)
    engine = open_database(f"sqlite:///{tmp_path / 'controller.db'}")
    with writing(engine) as db:
        device_id = pasts.device(db, 1, "berkane-1", at=now)
        pasts.came(db, 1, at=now - timedelta(hours=3))
        ratios = [0.3] * 12 + [0.95] * 6 + [0.5] * 12
        pasts.beats(db, 1, [{"": {"memory_used_ratio": r}} for r in ratios], first=now - timedelta(hours=3))
    engine.dispose()

    code, out, _ = run("rules", "try", "--rule", "mem.high", "--since", "24h", "--annex", "berkane-1")

    assert code == exits.DONE
    line, total = out.splitlines()
    assert f"device {device_id} (guichet-1)  memory_high  memory_used_ratio 0.95" in line
    assert total.startswith("mem.high would have fired 1 times since")
    out = run("rules", "try", "--rule", "mem.high", "--since", "24h", "--level", "used=0.97")[1]
    assert out.startswith("mem.high would have fired 0 times")
    out = run("rules", "try", "--rule", "mem.high", "--since", "24h", "--level", "for=1h", "--device", device_id)[1]
    assert out.startswith("mem.high would have fired 0 times")


def test_who_asks_further_back_than_numbers_are_kept_is_told(run: Run):
    assert "before, only changes are replayed" in run("rules", "try", "--rule", "mem.high", "--since", "30d")[1]
    assert "only changes" not in run("rules", "try", "--rule", "mem.high", "--since", "7d")[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7d", NOW - timedelta(days=7)), ("24h", NOW - timedelta(days=1)), ("90m", NOW - timedelta(minutes=90)),
     ("1.5h", NOW - timedelta(minutes=90)), ("2026-11-20T00:00:00+00:00", datetime(2026, 11, 20, tzinfo=UTC))],
)  # fmt: skip
def test_since_when(text: str, expected: datetime):
    assert command._since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "7", "7w", "-7d", "d", "0d", "2026-13-01", "9999999d"])
def test_since_when_it_cannot_be(text: str):
    with pytest.raises(Invalid):
        command._since(text, NOW)


@pytest.mark.parametrize("changes", [
    ["levels=1", "used=0.9"], ["for_s_by_role=1", "for.tablet=5"], ["for=nan"], ["used=inf"], ["used=1e999"],
    ["samples=٣٣٣٣٣٣٣٣٣٣"], ["samples=²"], ["a\0b=1"], ["for.\ud800=1"], ["severity=\ud800"], ["audience=,"],
    ["=1"], ["used="], ["for.=1"], ["used=999999d"], ["enabled=perhaps"], ["x" * 5000 + "=1"],
])  # fmt: skip
def test_what_cannot_be_is_refused_in_words(run: Run, changes: list[str]):
    code, _, complaint = run("rules", "set", "disk.low", *changes)

    assert code == exits.FAILED
    assert complaint


@pytest.mark.parametrize("argv", [
    ["show", "disk.lo\0w"], ["show", "\ud800"], ["set", "nope", "used=1"], ["list", "--annex", "a\0b"],
    ["reset", "disk.low", "--annex", "x" * 300],
    ["try", "--rule", "disk.low", "--since", "999999d"], ["try", "--rule", "disk.low", "--since", "9999-12-31"],
    ["try", "--rule", "disk.low", "--since", "0001-01-01"], ["try", "--rule", "disk.low", "--device", "\0"],
    ["try", "--rule", "disk.low", "--level", "levels=1", "--level", "used=2"],
])  # fmt: skip
def test_no_word_of_a_command_line_makes_it_stumble(run: Run, argv: list[str]):
    code, _, complaint = run("rules", *argv)

    assert code != exits.DONE
    assert complaint
