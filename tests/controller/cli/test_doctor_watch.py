"""What the doctor says of alerts and notices."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from annexfleet_controller.cli import doctor
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import figures, jobs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.rules import RuleOverride

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


def found(engine: Engine, path: Path) -> dict[str, tuple[str, str]]:
    home = Home(path, Settings(database_url=str(engine.url.render_as_string(hide_password=False))))
    return {check.name: (check.level, check.found) for check in doctor._watch(home, NOW)}


def test_a_province_that_nobody_watches_is_told_so(sqlite_engine: Engine, tmp_path: Path):
    checks = found(sqlite_engine, tmp_path)

    assert checks["watch"] == ("wrong", "nobody watches over alerts")
    assert checks["notices"] == ("warning", "nobody is told of incidents")


def test_a_watch_is_seen_and_a_rule_that_does_not_count(sqlite_engine: Engine, tmp_path: Path):
    with writing(sqlite_engine) as db:
        assert jobs.claim(db, "watch_alerts", "w", now=NOW, lease=timedelta(seconds=60))
        db.add(RuleOverride(
            scope="", rule_id="cpu.high", document='{"levels": {"no_such": 1}}', version=1, updated_at=NOW,
            updated_by="x",
        ))  # fmt: skip

    checks = found(sqlite_engine, tmp_path)

    assert checks["watch"][0] == "ok"
    assert checks["rules"][0] == "warning"
    assert "cpu.high" in checks["rules"][1]


def test_a_watch_that_fails_and_notices_that_cannot_be_planned_are_told(sqlite_engine: Engine, tmp_path: Path):
    with writing(sqlite_engine) as db:
        assert jobs.claim(db, "watch_alerts", "w", now=NOW, lease=timedelta(seconds=60))
        jobs.tell(db, "watch_alerts", "w", failed="KeyError")
        figures.put(db, {"notices_planning_failed_at_seconds": NOW.timestamp()}, now=NOW)

    with reading(sqlite_engine) as db:
        assert jobs.failed(db, "watch_alerts") == "KeyError"
    home = Home(tmp_path, Settings(database_url=str(sqlite_engine.url.render_as_string(hide_password=False))))
    wrong = [check.found for check in doctor._watch(home, NOW) if check.level == "wrong"]
    assert wrong == ["the watch over alerts fails again and again: KeyError", "notices cannot be planned"]
