from typing import Any

import pytest

from annexfleet_controller.desired.document import Document, Key, PortalWish, QueueWish, parse, written
from annexfleet_controller.errors import Invalid

WHOLE: dict[str, Any] = {
    "agent": {"sample_period_s": 30.0, "beat_period_s": None},
    "portals": {"cnie": {"url": "https://www.cnie.ma/a?b=c"}, "old": None},
    "print_queues": {
        "guichet-1": {"uri": "ipp://10.20.1.31/ipp/print", "location": "Hall", "options": {"media": "A4"}},
        "hp-old": "absent",
    },
    "printing": {"default_queue": "guichet-1"},
    "packages": {"cups": "2.4.2-3+deb12u8", "htop": "present", "telnet": "absent"},
}


def test_a_document_comes_back_as_it_was_written():
    document = parse(WHOLE)

    assert written(document) == WHOLE
    assert parse(written(document)) == document
    assert document.entries[Key("portals", "cnie")] == PortalWish(url="https://www.cnie.ma/a?b=c")
    assert document.entries[Key("print_queues", "guichet-1")] == QueueWish(
        uri="ipp://10.20.1.31/ipp/print", location="Hall", options={"media": "A4"}
    )
    assert document.entries[Key("portals", "old")] is None


def test_what_is_empty_decides_nothing():
    assert parse({}) == Document()
    assert parse({"agent": None, "packages": {}}) == Document()


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ([], "document", "not_an_object"),
        ({"agents": {}}, "agents", "unknown_field"),
        ({"agent": []}, "agent", "not_an_object"),
        ({"agent": {"log": 1}}, "agent.log", "unknown_field"),
        ({"agent": {"sample_period_s": 4}}, "agent.sample_period_s", "not_within_bounds"),
        ({"agent": {"beat_period_s": 3601}}, "agent.beat_period_s", "not_within_bounds"),
        ({"agent": {"sample_period_s": True}}, "agent.sample_period_s", "not_a_number"),
        ({"agent": {"sample_period_s": float("nan")}}, "agent.sample_period_s", "not_a_number"),
        ({"portals": {"CNIE": {"url": "https://x"}}}, "portals.CNIE", "not_a_name"),
        ({"portals": {"a": {}}}, "portals.a.url", "missing"),
        ({"portals": {"a": {"url": "ftp://x/"}}}, "portals.a.url", "not_an_address"),
        ({"portals": {"a": {"url": "https://x:99999/"}}}, "portals.a.url", "not_an_address"),
        ({"portals": {"a": {"url": "https://x/ y"}}}, "portals.a.url", "not_an_address"),
        ({"portals": {"a": {"url": "https://me:secret@x/"}}}, "portals.a.url", "holds_a_password"),
        ({"portals": {"a": {"url": "https://x", "expect_status": 99}}}, "portals.a.expect_status", "not_within_bounds"),
        ({"portals": {"a": {"url": "https://x", "post": 1}}}, "portals.a.post", "unknown_field"),
        ({"portals": {f"p{n}": {"url": "https://x"} for n in range(17)}}, "portals", "too_many"),
        ({"print_queues": {"a b": "absent"}}, "print_queues.a b", "not_a_name"),
        ({"print_queues": {"a": "present"}}, "print_queues.a", "not_an_object"),
        ({"print_queues": {"a": {"uri": "10.0.0.1"}}}, "print_queues.a.uri", "not_an_address"),
        ({"print_queues": {"a": {"uri": "ipp://u:p@h/"}}}, "print_queues.a.uri", "holds_a_password"),
        ({"print_queues": {"a": {"uri": "usb://x", "ppd": "/etc/x"}}}, "print_queues.a.ppd",
         "not_a_file_of_the_library"),
        ({"print_queues": {"a": {"uri": "usb://x", "ppd": "a/../../x"}}}, "print_queues.a.ppd",
         "not_a_file_of_the_library"),
        ({"print_queues": {"a": {"uri": "usb://x", "ppd": "x", "driver": "raw"}}}, "print_queues.a.ppd",
         "driver_or_ppd"),
        ({"print_queues": {"a": {"uri": "usb://x", "error_policy": "no"}}}, "print_queues.a.error_policy",
         "unknown_choice"),
        ({"print_queues": {"a": {"uri": "usb://x", "shared": "yes"}}}, "print_queues.a.shared", "not_yes_or_no"),
        ({"print_queues": {"a": {"uri": "usb://x", "options": {"a b": "c"}}}}, "print_queues.a.options.a b",
         "not_a_name"),
        ({"print_queues": {"a": {"uri": "usb://x", "info": "\u202eabc"}}}, "print_queues.a.info", "too_long"),
        ({"printing": {"default_queue": "a b"}}, "printing.default_queue", "not_a_name"),
        ({"packages": {"Htop": "present"}}, "packages.Htop", "not_a_name"),
        ({"packages": {"htop": ""}}, "packages.htop", "not_a_version"),
        ({"packages": {"htop": "latest"}}, "packages.htop", "not_a_version"),
        ({"packages": {"htop": True}}, "packages.htop", "not_a_version"),
        ({"packages": {"htop": "1; rm"}}, "packages.htop", "not_a_version"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_field(document: object, field: str, reason: str):
    with pytest.raises(Invalid) as refused:
        parse(document)

    assert refused.value.facts == {"field": field, "reason": reason}
