"""Views that tests start from: devices, printers and queues as they are when all is well."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from annexfleet_controller import state, views
from annexfleet_controller.views import DeviceView, Probe

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
"""A Wednesday; annexes are open."""


def device(n: int = 1, **more: object) -> DeviceView:
    """A counter that was heard a minute ago."""
    made = DeviceView(
        number=n, id=f"d-{n}", annex_id="berkane-1", name=f"guichet-{n}", role="counter",
        enrolled_at=NOW - timedelta(days=30), connected=True, heard_at=NOW - timedelta(minutes=1),
        connected_at=NOW - timedelta(hours=2), told_at=NOW - timedelta(minutes=1), agent_version="0.1.0",
    )  # fmt: skip
    return replace(made, **more)


def silent(n: int = 1, *, minutes: float = 10, orderly: bool = False, **more: object) -> DeviceView:
    """One that went so many minutes ago."""
    gone_at = NOW - timedelta(minutes=minutes)
    return device(n, connected=False, gone_at=gone_at, gone_orderly=orderly, heard_at=gone_at, **more)


def printer(name: str = "laser-1", **more: object) -> state.Printer:
    """An idle network printer."""
    made = state.Printer(
        name=name, state="idle", causes=[], reasons=[], model="HP LaserJet Pro M404dn", address="10.1.1.21:631",
        uuid="", source="device_ipp", accepting=True, paused=False, jobs=0.0, oldest_job_age_s=0.0, pages=1000.0,
        supplies=[], trays=[], at=NOW - timedelta(minutes=1),
    )  # fmt: skip
    return replace(made, **more)


def queue(service: str = "residence", **more: object) -> state.Queue:
    """Four people wait."""
    made = state.Queue(
        service=service, waiting=4.0, longest_wait_s=300.0, average_wait_s=150.0, served_last_hour=12.0,
        abandoned_last_hour=0.0, counters_open=2.0, counters_total=3.0, observed_at=NOW - timedelta(minutes=1),
        stale=False, at=NOW - timedelta(minutes=1),
    )  # fmt: skip
    return replace(made, **more)


def probe(name: str = "portal", up: bool | None = True, **more: object) -> Probe:
    return replace(Probe(name=name, up=up, total_s=0.5, certificate_days=80.0, at=NOW - timedelta(minutes=1)), **more)


def annex(*devices: DeviceView, is_open: bool = True, now: datetime = NOW) -> views.AnnexView:
    return views.annex("berkane-1", devices, now=now, is_open=is_open)
