"""What a device reports against what is wanted of it, entry by entry.

`differs` is said only where the device itself, or what was sent to it, shows it.  A device does not report everything:
of a print queue its name and where it leads, no option.  What it does not report is taken from the wishes that a run
last brought to it, and is `unknown` if there was none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal, get_args
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from annexfleet_agent.protocol.messages import DesiredSettings, Portal
from annexfleet_controller.desired.compare import shown
from annexfleet_controller.desired.document import ABSENT, PRESENT, Key, PortalWish, QueueWish, Value
from annexfleet_controller.desired.resolve import Layer, Resolved

Standing = Literal["same", "differs", "unknown"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)

Reason = Literal[
    "",
    "not_sent",  # other settings were sent last, or none
    "not_in_force",  # sent, and the device says that it has others
    "not_wanted",  # it was sent once, and nobody wants it any more
    "not_reported",  # the device does not tell this
    "missing",
    "still_there",
    "other_version",
    "other_address",
    "other_details",  # a run brought other details last
    "details_unknown",  # name and address fit; no run ever brought the rest
]
REASONS: tuple[Reason, ...] = get_args(Reason)


class Told(Struct, frozen=True, kw_only=True):
    """What is known of a device.  None: it does not report that."""

    sent: DesiredSettings = DesiredSettings()
    sent_version: int = 0
    """Of the settings meant for it; 0 if there are none."""
    config_version: int | None = None
    """Of those in force, as it says."""
    config_at: datetime | None = None
    packages: Mapping[str, str] | None = None
    """Name to version of all that is installed."""
    packages_at: datetime | None = None
    queues: Mapping[str, str] | None = None
    """Name to address (`host:port`, `usb`, `local` or empty)."""
    queues_at: datetime | None = None
    brought: Resolved | None = None
    """What the last run brought that came to a good end."""
    brought_at: datetime | None = None


class Finding(Struct, frozen=True, kw_only=True):
    """One entry of one device."""

    key: Key
    standing: Standing
    reason: Reason = ""
    wanted: str
    """Empty: nothing is wanted."""
    reported: str | None = None
    layer: Layer | None = None
    at: datetime | None = None
    """When what it rests on was so."""


class Drift(Struct, frozen=True):
    """All findings of one device."""

    findings: tuple[Finding, ...]

    @property
    def standing(self) -> Standing:
        """differs if anything does, else unknown if anything is, else same."""
        standings = {finding.standing for finding in self.findings}
        if "differs" in standings:
            return "differs"
        return "unknown" if "unknown" in standings else "same"

    @property
    def at(self) -> datetime | None:
        """When it came to stand like that: the newest of what shows it."""
        of = self.standing
        return max((one.at for one in self.findings if one.standing == of and one.at is not None), default=None)

    def of(self, standing: Standing) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.standing == standing)


def find(wanted: Resolved, told: Told) -> Drift:
    """Every entry that is wanted, and agent settings that were sent and are wanted no more."""
    findings = []
    for key, entry in wanted.entries.items():
        standing, reason, reported, at = _judge(key, entry.value, told)
        findings.append(
            Finding(
                key=key, standing=standing, reason=reason, wanted=shown(entry.value), reported=reported,
                layer=entry.layer, at=at,
            )
        )  # fmt: skip
    findings += [
        Finding(key=key, standing="differs", reason="not_wanted", wanted="", reported=text, at=told.config_at)
        for key, text in _sent(told.sent).items()
        if key not in wanted.entries
    ]
    return Drift(tuple(sorted(findings, key=lambda finding: finding.key)))


_Answer = tuple[Standing, Reason, str | None, datetime | None]


def _judge(key: Key, value: Value, told: Told) -> _Answer:
    match key.section:
        case "agent" | "portals":
            return _setting(key, value, told)
        case "packages":
            return _package(key.name, str(value), told)
        case "print_queues":
            return _queue(key, value, told)
        case "printing":
            standing, reason = _as_brought(key, value, told)
            return standing, reason, None, told.brought_at


def _setting(key: Key, value: Value, told: Told) -> _Answer:
    """Settings travel whole and have a version, so it is known to the letter which are in force."""
    was_sent = _sent(told.sent).get(key)
    if was_sent != shown(value):
        return "differs", "not_sent", was_sent, told.config_at
    if told.config_version is None:
        return "unknown", "not_reported", None, None
    if told.config_version != told.sent_version:
        return "differs", "not_in_force", None, told.config_at
    return "same", "", was_sent, told.config_at


def _package(name: str, value: str, told: Told) -> _Answer:
    if told.packages is None:
        return "unknown", "not_reported", None, None
    version = told.packages.get(name)
    at = told.packages_at
    if value == ABSENT:
        return ("differs", "still_there", version, at) if version is not None else ("same", "", None, at)
    if version is None:
        return "differs", "missing", None, at
    if value != PRESENT and not (fnmatchcase(version, value) if "*" in value else version == value):
        return "differs", "other_version", version, at
    return "same", "", version, at


def _queue(key: Key, value: Value, told: Told) -> _Answer:
    if told.queues is None:
        return "unknown", "not_reported", None, None
    address = told.queues.get(key.name)
    at = told.queues_at
    if value == ABSENT:
        return ("differs", "still_there", address, at) if address is not None else ("same", "", None, at)
    if address is None:
        return "differs", "missing", None, at
    assert isinstance(value, QueueWish)
    wanted = address_of(value.uri)
    if wanted and address and wanted.lower() != address.lower():
        return "differs", "other_address", address, at
    standing, reason = _as_brought(key, value, told)
    return standing, reason, address, max(filter(None, (at, told.brought_at)), default=None)


def _as_brought(key: Key, value: Value, told: Told) -> tuple[Standing, Reason]:
    """For what no device reports: whether the last run brought just that."""
    if told.brought is None:
        return "unknown", "details_unknown"
    brought = told.brought.entries.get(key)
    return ("same", "") if brought is not None and brought.value == value else ("differs", "other_details")


# -- as it was sent


def _sent(settings: DesiredSettings) -> dict[Key, str]:
    found = {}
    if settings.sample_period_s is not None:
        found[Key("agent", "sample_period_s")] = shown(settings.sample_period_s)
    if settings.beat_period_s is not None:
        found[Key("agent", "beat_period_s")] = shown(settings.beat_period_s)
    for portal in settings.portals or ():
        found[Key("portals", portal.name)] = shown(_wish(portal))
    return found


def _wish(portal: Portal) -> PortalWish:
    return PortalWish(url=portal.url, expect_status=portal.expect_status, expect_text=portal.expect_text)


_PORTS = {"ipp": 631, "ipps": 631, "http": 80, "https": 443, "socket": 631, "lpd": 631, "snmp": 161}
"""By which port agents know a printer (annexfleet_agent.printers.address): raw ones are asked by IPP."""


def address_of(uri: str) -> str:
    """The address that an agent would report of this queue; empty where the URI does not say it."""
    scheme, _, rest = uri.partition(":")
    scheme = scheme.lower()
    if scheme in {"usb", "ippusb"} or (scheme in {"hp", "hpfax"} and rest.startswith("/usb")):
        return "usb"
    if scheme in {"file", "cups-pdf", "parallel", "serial"}:
        return "local"
    if scheme not in _PORTS:
        return ""
    try:
        parts = urlsplit(uri)
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError:
        return ""
    if not host or "._tcp" in host or host in {"localhost", "::1"} or host[:4] == "127.":
        return ""
    shown_port = _PORTS[scheme] if scheme in {"socket", "lpd"} else port or _PORTS[scheme]
    return f"[{host}]:{shown_port}" if ":" in host else f"{host}:{shown_port}"


def tally(drifts: Sequence[Drift]) -> dict[Standing, int]:
    """How many devices stand how."""
    return {standing: sum(drift.standing == standing for drift in drifts) for standing in STANDINGS}
