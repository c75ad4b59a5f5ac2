from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from annexfleet_agent.protocol import topics

DEVICE = "d-" + "a2b3" * 6 + "cd"


@pytest.mark.parametrize("kind", get_args(topics.Up))
def test_a_topic_tells_who_speaks_and_what(kind):
    assert topics.sender(topics.up(DEVICE, kind)) == (DEVICE, kind)
    assert topic_matches_sub(topics.EVERY_UP, topics.up(DEVICE, kind))


@pytest.mark.parametrize("kind", get_args(topics.Down))
def test_a_device_hears_what_is_meant_for_it(kind):
    assert topic_matches_sub(topics.every_down(DEVICE), topics.down(DEVICE, kind))
    assert topics.sender(topics.down(DEVICE, kind)) is None


@pytest.mark.parametrize(
    "topic",
    [
        "",
        f"af/v1/d/{DEVICE}/up/run",
        f"af/v1/d/{DEVICE}/up/",
        f"af/v1/d/{DEVICE}/up/beat/",
        f"af/v1/d/{DEVICE}/up/beat\n",
        f"af/v2/d/{DEVICE}/up/beat",
        f"af/v1/d/{DEVICE.upper()}/up/beat",
        f"af/v1/d/{DEVICE[:-1]}1/up/beat",
        f"af/v1/d/{DEVICE}x/up/beat",
        "af/v1/d/+/up/beat",
        f"$SYS/af/v1/d/{DEVICE}/up/beat",
    ],
)
def test_nobody_speaks_on_a_foreign_topic(topic):
    assert topics.sender(topic) is None


@given(st.text(max_size=80))
def test_any_topic_is_judged_without_an_error(topic):
    assert topics.sender(topic) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(DEVICE, True), (DEVICE + "\n", False), ("d-", False), ("svc-controller", False), (DEVICE + "/up", False)],
)
def test_a_device_id(text, is_one):
    assert topics.is_device_id(text) is is_one
