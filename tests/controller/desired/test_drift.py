from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol.messages import DesiredSettings, Portal
from annexfleet_controller.desired.document import Key, parse
from annexfleet_controller.desired.drift import Drift, Finding, Told, address_of, find
from annexfleet_controller.desired.resolve import PROVINCE, Place, Resolved, resolve, settings

AT = datetime(2026, 11, 24, 20, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
QUEUE = {"uri": "ipp://10.0.0.5/ipp/print", "location": "Hall"}


def wanted(document: dict[str, object]) -> Resolved:
    return resolve({PROVINCE: parse(document)}, Place(device_id="d", annex_id="a", role="counter"))


def one(document: dict[str, object], told: Told) -> tuple[str, str, str | None]:
    (finding,) = find(wanted(document), told).findings
    return finding.standing, finding.reason, finding.reported


SETTING = {"agent": {"sample_period_s": 30}}
SENT = DesiredSettings(sample_period_s=30.0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Told(), ("differs", "not_sent", None)),
        (Told(sent=DesiredSettings(sample_period_s=60.0), sent_version=2, config_version=2),
         ("differs", "not_sent", "60")),
        (Told(sent=SENT, sent_version=3, config_version=2), ("differs", "not_in_force", None)),
        (Told(sent=SENT, sent_version=3, config_version=None), ("unknown", "not_reported", None)),
        (Told(sent=SENT, sent_version=3, config_version=3), ("same", "", "30")),
    ],
)  # fmt: skip
def test_a_setting_is_in_force_when_the_device_says_the_version_that_was_sent(told: Told, expected: tuple):
    assert one(SETTING, told) == expected


def test_a_portal_that_was_sent_otherwise_differs():
    document = {"portals": {"cnie": {"url": "https://cnie.ma/", "expect_text": "CNIE"}}}
    sent = DesiredSettings(portals=[Portal(name="cnie", url="https://cnie.ma/")])

    assert one(document, Told(sent=sent, sent_version=1, config_version=1))[:2] == ("differs", "not_sent")
    assert one(document, Told(sent=settings(wanted(document)), sent_version=1, config_version=1))[0] == "same"


def test_what_was_sent_and_nobody_wants_any_more_differs():
    told = Told(sent=SENT, sent_version=1, config_version=1, config_at=AT)

    drift = find(wanted({}), told)

    assert [(one.key, one.standing, one.reason, one.wanted) for one in drift.findings] == [
        (Key("agent", "sample_period_s"), "differs", "not_wanted", "")
    ]


def test_printers_that_another_device_asks_are_no_wish():
    told = Told(sent=DesiredSettings(printers_probed_elsewhere=["10.0.0.5:631"]), sent_version=1, config_version=1)

    assert find(wanted({}), told) == Drift(())
    assert find(wanted({}), told).standing == "same"


@pytest.mark.parametrize(
    ("wish", "installed", "expected"),
    [
        ("present", None, ("unknown", "not_reported", None)),
        ("absent", None, ("unknown", "not_reported", None)),
        ("present", {}, ("differs", "missing", None)),
        ("present", {"htop": "3.2"}, ("same", "", "3.2")),
        ("absent", {}, ("same", "", None)),
        ("absent", {"htop": "3.2"}, ("differs", "still_there", "3.2")),
        ("3.2", {"htop": "3.2"}, ("same", "", "3.2")),
        ("3.2", {"htop": "3.1"}, ("differs", "other_version", "3.1")),
        ("3.*", {"htop": "3.1"}, ("same", "", "3.1")),
        ("3.*", {"htop": "2.9"}, ("differs", "other_version", "2.9")),
        ("3.2", {}, ("differs", "missing", None)),
    ],
)
def test_packages(wish: str, installed: dict[str, str] | None, expected: tuple):
    assert one({"packages": {"htop": wish}}, Told(packages=installed)) == expected


@pytest.mark.parametrize(
    ("wish", "queues", "brought", "expected"),
    [
        (QUEUE, None, None, ("unknown", "not_reported")),
        (QUEUE, {}, None, ("differs", "missing")),
        (QUEUE, {"q": "10.0.0.6:631"}, None, ("differs", "other_address")),
        (QUEUE, {"q": "10.0.0.5:631"}, None, ("unknown", "details_unknown")),
        (QUEUE, {"q": "10.0.0.5:631"}, QUEUE, ("same", "")),
        (QUEUE, {"q": ""}, QUEUE, ("same", "")),
        (QUEUE, {"q": "10.0.0.5:631"}, QUEUE | {"location": "Office"}, ("differs", "other_details")),
        (QUEUE, {"q": "10.0.0.6:631"}, QUEUE, ("differs", "other_address")),
        (QUEUE, {}, QUEUE, ("differs", "missing")),
        ("absent", {}, None, ("same", "")),
        ("absent", {"q": "usb"}, None, ("differs", "still_there")),
    ],
)
def test_queues_are_told_by_name_and_address_and_the_rest_by_what_was_brought(
    wish: object, queues: dict[str, str] | None, brought: object, expected: tuple
):
    told = Told(queues=queues, brought=None if brought is None else wanted({"print_queues": {"q": brought}}))

    assert one({"print_queues": {"q": wish}}, told)[:2] == expected


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("ipp://10.0.0.5/ipp/print", "10.0.0.5:631"), ("ipps://10.0.0.5:443/x", "10.0.0.5:443"),
        ("http://printer/ipp", "printer:80"), ("socket://10.0.0.5:9100", "10.0.0.5:631"),
        ("lpd://10.0.0.5/lp", "10.0.0.5:631"), ("usb://HP/LaserJet?serial=1", "usb"), ("hp:/usb/x?serial=1", "usb"),
        ("ipp://[2001:db8::5]/ipp", "[2001:db8::5]:631"), ("dnssd://HP._ipp._tcp.local/", ""),
        ("ipp://HP._ipp._tcp.local/", ""), ("smb://server/share", ""), ("ipp://localhost/printers/x", ""),
        ("ipp://[bad/", ""),
    ],
)  # fmt: skip
def test_addresses_are_written_as_agents_write_them(uri: str, address: str):
    assert address_of(uri) == address


@pytest.mark.parametrize(("uri"), ["ipp://10.0.0.5/ipp/print", "socket://10.0.0.5:9100", "usb://HP/x", "lpd://h/q"])
def test_and_the_agent_does(uri: str):
    from annexfleet_agent.printers.address import of_uri

    assert address_of(uri) == of_uri(uri).address


def test_a_device_stands_as_the_worst_of_its_entries_since_the_newest_that_shows_it():
    told = Told(
        sent=SENT, sent_version=1, config_version=1, config_at=LATER, packages={}, packages_at=AT,
    )  # fmt: skip

    differs = find(wanted(SETTING | {"packages": {"htop": "present"}}), told)
    same = find(wanted(SETTING | {"packages": {"telnet": "absent"}}), told)

    assert (differs.standing, differs.at) == ("differs", AT)
    # The list of packages was right before; that the settings are, is news.
    assert (same.standing, same.at) == ("same", LATER)


values = st.sampled_from(["present", "absent", "1", "2", "1.*"])
lists = st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2", "1.5"]))


@given(st.dictionaries(st.sampled_from(["aa", "bb", "cc"]), values), lists)
def test_every_wish_has_one_finding_and_no_other_is_made_up(wishes: dict[str, str], installed: dict[str, str] | None):
    installed = None if installed is None else {name * 2: version for name, version in installed.items()}
    findings: tuple[Finding, ...] = find(wanted({"packages": wishes}), Told(packages=installed)).findings

    assert [finding.key.name for finding in findings] == sorted(wishes)
    assert all((finding.reason == "") == (finding.standing == "same") for finding in findings)
    assert installed is not None or all(finding.standing == "unknown" for finding in findings)
