"""What open pages hear of an annex as a whole."""

import asyncio
from datetime import UTC, datetime

import pytest

from annexfleet_controller.access.person import Person
from annexfleet_controller.api.hub import Event, Hub, Listener
from annexfleet_controller.store.pulses import Pulse
from annexfleet_controller.store.scope import Scope

AT = datetime(2026, 11, 25, 9, tzinfo=UTC)


def test_a_pulse_of_an_annex_becomes_an_event_that_says_what_changed():
    pulse = Pulse(7, AT, {}, {"berkane-1": "ir", "": "i"})

    events = Hub._events([pulse], {}, {})

    assert events == [
        Event("annex", 7, "", "berkane-1", AT.timestamp(), ("incident", "readiness")),
        Event("annex", 7, "", "", AT.timestamp(), ("incident",)),
    ]
    assert b'event: annex\ndata: {"annex":"berkane-1"' in events[0].encoded("ar")


def test_runs_and_commands_are_told_too():
    pulse = Pulse(7, AT, {4: "bk"}, {"berkane-1": "u"})

    device, annex = Hub._events([pulse], {4: ("d-x", "berkane-1")}, {})

    assert (device.kinds, annex.kinds) == (("beat", "command"), ("run",))


def test_pages_of_the_desired_configuration_hear_who_differs_now():
    (event,) = Hub._events([Pulse(7, AT, {}, {"berkane-1": "d"})], {}, {})

    assert event.kinds == ("drift",)


def test_a_letter_that_a_newer_controller_writes_is_left_out():
    events = Hub._events([Pulse(7, AT, {}, {"berkane-1": "xa"})], {}, {})

    assert [event.kinds for event in events] == [("alert",)]


@pytest.mark.parametrize(
    ("annexes", "of", "hears"),
    [
        (None, "", True),
        (None, "berkane-2", True),
        (["berkane-1"], "", False),
        (["berkane-1"], "berkane-1", True),
        (["berkane-1"], "berkane-2", False),
    ],
)
def test_who_sees_some_annexes_hears_of_those_alone(annexes: list[str] | None, of: str, *, hears: bool):
    person = Person(
        user_id=1, name="amina", role="staff", scope=Scope(None if annexes is None else frozenset(annexes)),
        language="fr", must_change_password=False, via="session", digest="",
    )  # fmt: skip

    async def wants() -> bool:
        listener = Listener(person, device_id="", annex_id="", watch=False)
        return listener.wants(Event("annex", 7, "", of, AT.timestamp(), ("incident",)))

    assert asyncio.run(wants()) is hears
