import re
from datetime import UTC, datetime

import pytest

from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.rollouts import wording
from annexfleet_controller.store.rollout_events import Event
from annexfleet_controller.waves import gate
from annexfleet_controller.waves.model import GateReason, GateVerdict

NOW = datetime(2026, 11, 25, 20, tzinfo=UTC)
FACTS: dict[str, str | int | float] = {
    "bad": 3, "ended": 9, "kind": "annex", "value": "berkane-1", "sign": "alert", "rule": "device.offline",
    "metric": "memory_used_ratio", "hits": 4, "changed": 6, "other_hits": 1, "others": 1200, "by": 0.12, "hours": 6.0,
    "devices": 5, "until": "2026-11-25T21:30:00+00:00",
}  # fmt: skip


def lines(code: str, *reasons: GateReason) -> list[wording.GateLine]:
    verdict = GateVerdict(word="wait", reasons=reasons, at=NOW)
    return wording.grounds(language(code), verdict, places={"berkane-1": "Annexe 1"}, now=NOW)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("reason", gate.REASONS)
def test_every_ground_of_the_gate_is_a_sentence_with_its_figures(code: str, reason: str):
    [line] = lines(code, GateReason(reason, FACTS))

    assert line.title != reason
    assert "%(" not in line.detail
    assert not re.search(r"[a-z]+_[a-z]+", line.title + line.about + line.detail)
    assert bool(line.detail) is (reason in wording.GATE_DETAILS)


def test_a_ground_tells_what_shows_it_and_where():
    [line] = lines("en", GateReason("now_worse", FACTS))

    assert plain(line.about) == "Device no longer answers, Memory in use, annex Annexe 1"
    assert line.detail == "Changed devices: 4 of 6; devices not touched: 1 of 1,200"


def test_amounts_are_written_as_their_unit_wants():
    [line] = lines("fr", GateReason("reading_worse", FACTS))
    assert "12 %" in plain(line.detail).replace("\u202f", " ").replace("\u00a0", " ")
    [line] = lines("en", GateReason("soaking", FACTS))
    assert plain(line.detail) == "Until 21:30 at least"
    [line] = lines("en", GateReason("still_unclear", FACTS))
    assert plain(line.detail) == "Waited in vain for 6 hr"


def test_facts_of_another_version_leave_no_hole():
    [line] = lines("en", GateReason("bad_results", {"bad": 3}))

    assert (line.title, line.detail) == ("Too many devices ended badly", "")


@pytest.mark.parametrize(
    ("kind", "facts", "expected"),
    [
        ("submitted", {"devices": 300, "waves": 5, "plan": "x"}, "devices: 300, waves: 5"),
        ("begun", {"devices": 4, "wave": 2, "run": 9}, "devices: 4, wave 2"),
        ("gate", {"word": "stop", "codes": ["bad_results"]}, "It stops, Too many devices ended badly"),
        ("stopped", {"reason": "gate"}, "the changed devices fare worse, see below"),
        ("aborted", {"reason": "Wrong version"}, "Wrong version"),
        ("approved", {"plan": "x", "targets": "y"}, ""),
        ("wave", {}, ""),
    ],
)
def test_a_line_of_the_story(kind: str, facts: dict[str, object], expected: str):
    event = Event(id=1, rollout_id=1, at=NOW, kind=kind, actor="", facts=facts)  # type: ignore[arg-type]

    assert wording.story(language("en"), event) == expected
