"""When each wave is expected: on the calendar, in words, on the page of a draft and of one under way."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.controller.site import Site
from tests.controller.web import rolled
from tests.controller.web.test_pages import LANGUAGES, Parsed
from tests.controller.web.test_rollout_form import form, place
from tests.controller.web.test_runs import spaced

from annexfleet_controller.store.database import writing
from annexfleet_controller.waves.forecast import ExpectedWave
from annexfleet_controller.web import expected, waves
from annexfleet_controller.web.expected import Label
from annexfleet_controller.zones import PROVINCE

__all__ = ["place"]  # a fixture
NOON = datetime(2026, 11, 25, 12, tzinfo=PROVINCE)  # a Wednesday
EVENING = NOON + timedelta(hours=4, minutes=30)
MORNING = NOON + timedelta(hours=20, minutes=30)
WINDOWS = {"a": [(EVENING, MORNING)]}


def wave(number: int, begins: float, rolled_after: float, soaked_after: float) -> ExpectedWave:
    """One whose moments are hours after noon."""
    at = [NOON + timedelta(hours=hours) for hours in (begins, rolled_after, soaked_after)]
    return ExpectedWave(
        number=number, begins_at=at[0], rolled_at=at[1], soaked_at=at[2], spans=((at[0], at[1]),)
    )  # fmt: skip


def days(of: list[ExpectedWave], count: int = 2) -> list[expected.Day]:
    return expected.days(of, WINDOWS, since=NOON + timedelta(hours=1), zone=PROVINCE, count=count)


def test_a_wave_stands_on_the_night_in_which_it_is_changed_and_goes_on_in_the_next():
    first, second = days([wave(1, 6, 9, 30)])

    assert [(one.kind, one.start, one.width) for one in first.blocks] == [
        ("changed", 25.0, 12.5), ("watched", 37.5, 62.5),
    ]  # fmt: skip
    assert [(one.kind, one.start, one.width) for one in second.blocks] == [("watched", 0.0, 25.0)]
    assert first.labels == [Label(25.0, 1, 1)]
    assert second.labels == [Label(0.0, 1, 1)]


def test_short_waves_close_together_share_a_label_and_can_still_be_seen():
    first, _ = days([wave(1, 6, 6.05, 6.1), wave(2, 6.1, 6.2, 6.3), wave(3, 12, 13, 14)])

    assert first.labels == [Label(25.0, 1, 2), Label(50.0, 3, 3)]
    assert min(one.width for one in first.blocks) == 0.7
    (late, _) = days([wave(1, 23.99, 24, 24)])
    assert late.blocks[0].start + late.blocks[0].width <= 100


def test_the_calendar_is_as_long_as_it_takes_within_reason():
    def needed(*of: ExpectedWave) -> int:
        return expected.nights_needed(of, since=NOON + timedelta(hours=1), zone=PROVINCE)

    assert (needed(), needed(wave(1, 6, 7, 8))) == (7, 7)
    assert needed(wave(1, 6, 7, 9 * 24 + 1)) == 10
    assert needed(wave(1, 6, 7, 40 * 24)) == 14
    short, long = wave(1, 6, 7, 8), wave(2, 9, 10, 60)
    assert expected.first_beyond([short, long], days([short, long])[-1], PROVINCE) == 2
    assert expected.first_beyond([short], days([short])[-1], PROVINCE) is None


def test_a_night_with_a_gap_shows_its_pieces():
    gap = NOON + timedelta(hours=8), NOON + timedelta(hours=8, minutes=30)
    windows = {"a": [(NOON, gap[0]), (gap[1], NOON + timedelta(days=1))]}

    (night,) = waves.nights(windows, since=NOON, zone=PROVINCE, count=1)
    assert night.hours == [("12:00", "20:00"), ("20:30", "12:00")]
    (both,) = waves.nights(windows | {"b": [(NOON, MORNING)]}, since=NOON, zone=PROVINCE, count=1)
    assert both.hours == [("12:00", "12:00")]


def test_a_wave_in_words_has_its_days():
    (line,) = expected.lines([wave(1, 6, 13, 24)], PROVINCE)

    (span,) = line.spans
    assert (span.on.isoformat(), span.until_on.isoformat()) == ("2026-11-25", "2026-11-26")
    assert line.watched_on is not None
    assert line.watched_on.isoformat() == "2026-11-26"
    (never,) = expected.lines([wave(1, 6, 7, 7)], PROVINCE)
    assert never.watched_until is None


def test_each_wave_stands_on_the_calendar_before_anything_is_kept(place: Site):
    place.clock.at = datetime(2026, 11, 25, 9, tzinfo=UTC)  # a Wednesday; offices are open from 8:30 to 16:30
    client = place.signed_in("technician")

    html = client.post("/rollouts/new", data=form()).text

    page = spaced(Parsed(html).text)
    assert len(re.findall('<rect class="block changed"', html)) >= 2
    assert '<rect class="block watched"' in html
    first, second = re.findall(r"from (\w+,? \d+ November), 16:30 until \d\d:\d\d", page)
    assert (first, second) == ("Wednesday 25 November", "Thursday 26 November")
    assert re.search(r"Thursday 26 November, 12:30", page)  # half a day of serving people
    assert "some devices would not be begun" not in page
    assert re.search(r"Fingerprint of the list of devices ?[0-9a-f]{64}", page)


def test_a_deadline_before_the_end_is_said_before_anything_is_kept(place: Site):
    place.clock.at = datetime(2026, 11, 25, 9, tzinfo=UTC)

    html = place.signed_in("technician").post("/rollouts/new", data=form(deadline_days="1")).text

    page = spaced(Parsed(html).text)
    assert re.search(
        r"The deadline, 1 d.* after its start, comes before the expected end, .*26.* would not be begun", page
    )
    assert "after the deadline: it would not be begun" in page


def test_one_under_way_says_when_each_wave_is_expected(place: Site):
    place.clock.at = datetime(2026, 11, 25, 19, tzinfo=UTC)
    with writing(place.engine) as db:
        rollout_id = rolled.draft(db, [[1, 2], [4, 5]], now=place.clock.at)
    client = place.signed_in("technician")
    draft = spaced(Parsed(client.get(f"/rollouts/{rollout_id}").text).text)
    assert draft.count("Expected, if it went on now: from ") == 2
    assert re.search(r"Fingerprint of the list of devices ?[0-9a-f]{64} frozen when it is submitted", draft)

    with writing(place.engine) as db:
        rolled.started(db, rollout_id, now=place.clock.at, wave=2)
        rolled.stand(db, rollout_id, {1: "succeeded", 2: "succeeded"}, now=place.clock.at)
    page = spaced(Parsed(client.get(f"/rollouts/{rollout_id}").text).text)
    assert page.count("Expected: from ") == 1
    assert page.index("Wave 2") < page.index("Expected: from ") < page.index("watched until ")
    assert "frozen when it is submitted" not in page


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_calendar_is_read_in_every_language(place: Site, code: str):
    client = place.signed_in("technician")
    client.post("/language", data={"code": code})

    answer = client.post("/rollouts/new", data=form(deadline_days="1"))

    assert answer.status_code == 200
    assert answer.text.count('<td dir="ltr" aria-hidden="true"><svg class="night">') == 7
    assert 'class="stacked expected"' in answer.text
