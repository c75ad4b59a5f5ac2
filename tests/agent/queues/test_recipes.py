"""The README's recipes are understood, and the one for FQM counts right on FQM's own table layout."""

import re
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from annexfleet_agent import queues
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.settings import Settings

_README = Path(queues.__file__).parent / "README.md"
RECIPES = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", _README.read_text(), re.DOTALL)]


@pytest.mark.parametrize("recipe", RECIPES, ids=range(len(RECIPES)))
def test_every_recipe_is_a_source(recipe: dict[str, Any]):
    settings = msgspec.convert(recipe, Settings)

    assert [collector.name for collector in queues.collectors(settings, SystemClock())] == ["queues"]


def test_the_recipe_for_fqm_counts_who_waits(tmp_path: Path):
    path = tmp_path / "data.sqlite"
    database = sqlite3.connect(path)
    database.executescript("""
        create table offices (id integer primary key, name varchar(300));
        create table serials (id integer primary key, number integer, timestamp datetime, p boolean, pdt datetime,
                              on_hold boolean, status varchar(10), office_id integer);
        insert into offices values (1, '12'), (2, 'legal');
        insert into serials (number, timestamp, p, pdt, on_hold, office_id) values
            (100, datetime('now', '-2 days'), 0, null, 0, 1),
            (101, datetime('now', '-90 minutes') || '.123456', 1, datetime('now', '-80 minutes'), 0, 1),
            (102, datetime('now', '-30 minutes') || '.123456', 1, datetime('now', '-10 minutes') || '.5', 0, 1),
            (103, datetime('now', '-20 minutes') || '.123456', 0, null, 0, 1),
            (104, datetime('now', '-25 minutes') || '.123456', 0, null, 1, 1),
            (105, datetime('now', '-5 minutes') || '.123456', 0, null, 0, 1);
    """)
    database.close()
    recipe = next(r for r in RECIPES if "serials" in r["queue"][0].get("query", ""))
    recipe["queue"][0]["path"] = str(path)
    (collector,) = queues.collectors(msgspec.convert(recipe, Settings), SystemClock())

    report = collector.collect()

    assert report.problems == {}
    office = report.readings["queue:12"]
    assert office["queue_waiting_count"] == 2
    assert office["queue_served_last_hour_count"] == 1
    assert office["queue_longest_wait_seconds"] == pytest.approx(1200, abs=10)
    assert report.readings["queue:legal"]["queue_waiting_count"] == 0
    assert "queue_longest_wait_seconds" not in report.readings["queue:legal"]
