"""What open pages hear of an annex as a whole."""

from datetime import UTC, datetime

from annexfleet_controller.api.hub import Event, Hub
from annexfleet_controller.store.pulses import Pulse

AT = datetime(2026, 11, 25, 9, tzinfo=UTC)


def test_a_pulse_of_an_annex_becomes_an_event_that_says_what_changed():
    pulse = Pulse(7, AT, {}, {"berkane-1": "ir", "": "i"})

    events = Hub._events([pulse], {}, {})

    assert events == [
        Event("annex", 7, "", "berkane-1", AT.timestamp(), ("incident", "readiness")),
        Event("annex", 7, "", "", AT.timestamp(), ("incident",)),
    ]
    assert b'event: annex\ndata: {"annex":"berkane-1"' in events[0].encoded("ar")


def test_a_letter_that_a_newer_controller_writes_is_left_out():
    events = Hub._events([Pulse(7, AT, {}, {"berkane-1": "xa"})], {}, {})

    assert [event.kinds for event in events] == [("alert",)]
