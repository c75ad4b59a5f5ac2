from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from tests.controller.waves.towns import province

from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.waves.documents import PRESETS
from annexfleet_controller.waves.model import Expectation, Nature, Policy
from annexfleet_controller.waves.rehearsal import Background, Mishap, Release, Script, Story, rehearse

EVENING = datetime(2026, 10, 5, 16, 45, tzinfo=UTC)
"""A Monday, a quarter of an hour after closing."""
NATURE = Nature(configures="agent", expects=(Expectation(fact="agent_version", equals="2"),), takes_s=240)
TOWN = province(24, 4)
DAY_S = 86_400.0


def story(script: Script, policy: Policy = PRESETS["careful"], *, days: float = 5) -> Story:
    given = {"new_facts": {"agent_version": "2"}}
    script = Script(**({name: getattr(script, name) for name in script.__struct_fields__} | given))
    return rehearse(TOWN, policy, NATURE, script, start_at=EVENING, deadline_s=days * DAY_S)


def kinds(told: Story) -> list[str]:
    return [moment.kind for moment in told.moments if moment.kind not in {"device", "gate", "begun"}]


def of(told: Story, number: int) -> tuple[str, str]:
    target = next(target for target in told.targets if target.number == number)
    return target.state, target.reason


def test_a_good_release_reaches_every_device_wave_after_wave():
    told = story(Script())

    assert kinds(told) == ["started", *["wave", "soaking"] * len(told.plan.waves), "done"]
    assert told.tally == {"succeeded": 24}
    assert told.stopped_at is None
    assert [moment.at for moment in told.moments] == sorted(moment.at for moment in told.moments)


def test_what_shows_only_under_load_is_found_after_the_night_before_it_is_done():
    evening = PRESETS["evening"]
    bad = Script(release=Release(fault="under_load", crashes_an_open_hour=4))
    before = structs.replace(evening, last_soak_s=0.0, last_soak_open_s=0.0)

    missed, found = story(bad, before), story(bad, evening)

    assert missed.rollout.state == "done"
    assert (found.rollout.state, found.touched_at_stop, found.begun_after_stop) == ("stopped", 24, 0)
    assert found.stopped_at is not None
    assert (EVENING + timedelta(days=1)).date() == found.stopped_at.date(), "the next morning"
    assert story(Script(), evening).rollout.state == "done"


def test_it_is_the_same_story_every_time():
    script = Script(background=Background(), seed=5)

    assert story(script) == story(script)
    assert story(script).moments != story(Script(background=Background(), seed=6)).moments


def test_devices_are_changed_only_while_their_annex_is_closed():
    told = story(Script(background=Background(), seed=3))

    for target in told.targets:
        if target.begun_at is not None and target.run_ended_at is not None:
            assert DEFAULT.open_seconds(target.begun_at, target.run_ended_at - timedelta(seconds=120)) == 0


def test_the_canary_serves_people_before_anybody_else_is_touched():
    told = story(Script())
    waves = [moment.at for moment in told.moments if moment.kind == "wave"]

    assert DEFAULT.open_seconds(waves[0], waves[1]) >= 4 * 3600


@pytest.mark.parametrize(
    ("fault", "state", "reason"), [("play_fails", "failed", "play_failed"), ("hangs", "timed_out", "run_timed_out")]
)
def test_one_device_that_fails_or_hangs(fault: str, state: str, reason: str):
    last = story(Script()).plan.waves[-1].devices[-1]
    bold = Policy(most_bad_count=3, most_bad_ratio=0.2)

    told = story(Script(release=Release(fault=fault, devices=(last,))), bold)  # type: ignore[arg-type]

    assert of(told, last) == (state, reason)
    assert told.harmed == (last,)


def test_one_that_comes_back_after_days_is_changed_at_night_and_the_others_do_not_wait():
    away = story(Script()).plan.waves[-1].devices[0]

    told = story(Script(mishaps=(Mishap(kind="link", device=away, at_s=-60, lasts_s=3.2 * DAY_S),)), days=6)

    assert of(told, away) == ("succeeded", "")
    ended = {target.number: target.ended_at for target in told.targets}
    assert ended[away] - EVENING > timedelta(days=3)  # type: ignore[operator]
    assert max(at for number, at in ended.items() if number != away) - EVENING < timedelta(days=2)  # type: ignore[type-var, operator]
    assert kinds(told)[-1] == "done"


def test_one_that_never_comes_back_is_told_at_the_deadline():
    away = story(Script()).plan.waves[-1].devices[0]

    told = story(Script(mishaps=(Mishap(kind="link", device=away, at_s=-60, lasts_s=30 * DAY_S),)), days=3)

    assert of(told, away) == ("unknown", "deadline")
    assert told.rollout.state == "done"


def test_a_link_that_breaks_in_the_middle_defers():
    first = story(Script()).plan.waves[0].devices[0]

    told = story(Script(mishaps=(Mishap(kind="link", device=first, at_s=60, lasts_s=1200),)))

    states = [m.facts["state"] for m in told.moments if m.kind == "device" and m.facts["device"] == first]
    assert states == ["deferred", "verifying", "succeeded"]


@pytest.mark.parametrize(
    "release",
    [
        Release(fault="crash", after_s=3600),
        Release(fault="crash_loop", after_s=600),
        Release(fault="leak", leak_an_hour=0.05),
        Release(fault="under_load", crashes_an_open_hour=2),
    ],
    ids=lambda release: release.fault,
)
def test_what_gets_worse_after_success_stops_it_and_nothing_is_begun_any_more(release: Release):
    told = story(Script(release=release, background=Background(), seed=2))

    assert told.rollout.state == "stopped"
    assert told.stopped_at is not None
    assert told.evidence_at is not None
    assert (told.stopped_at - told.evidence_at).total_seconds() <= 10
    assert told.touched_at_stop == 2
    assert told.begun_after_stop == 0
    assert told.last_verdict is not None
    assert told.last_verdict.word == "stop"


def test_a_power_cut_of_an_annex_stops_nothing():
    told = story(Script(mishaps=(Mishap(kind="power", annex="annex-001", at_s=1200, lasts_s=5000),)))

    assert told.rollout.state == "done"
    assert told.tally == {"succeeded": 24}


@pytest.mark.parametrize("seed", range(6))
def test_no_annex_loses_its_last_counter_or_printer(seed: int):
    """Whatever happens, and however many may be changed at once."""
    quick = Policy(canary_count=4, most_at_once=50, soak_s=60, canary_soak_s=60, verify_within_s=120)
    told = story(Script(background=Background(link_losses_of_device_a_week=6), seed=seed), quick)
    devices = {candidate.number: candidate for candidate in TOWN.candidates}
    all_counters = Counter(of.annex_id for of in TOWN.candidates if of.role == "counter")
    spans = [
        (target.begun_at, target.run_ended_at, devices[target.number])
        for target in told.targets
        if target.begun_at is not None and target.run_ended_at is not None
    ]

    assert max(all_counters.values()) > 1
    for at, _, _ in spans:
        down = [of for begun, ended, of in spans if begun <= at < ended]
        for annex_id, count in Counter(of.annex_id for of in down if of.role == "counter").items():
            assert count < all_counters[annex_id]
        ids = {of.id for of in down}
        for annex_id, served in TOWN.served_by.items():
            assert any(not set(by) <= ids for by in served.values()), annex_id
