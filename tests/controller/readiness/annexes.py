"""Annexes for tests of readiness, in small."""

from datetime import UTC, datetime, timedelta

from annexfleet_controller import views
from annexfleet_controller.readiness import services, tree
from annexfleet_controller.readiness.leaves import Circumstances, leaves
from annexfleet_controller.state import Level, Printer, Queue, printer_identity

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
ANNEX = "berkane-1"


def printer(name="P1", **of):
    of = {
        "state": "idle", "causes": [], "reasons": [], "model": "", "address": f"192.0.2.{len(name)}{ord(name[-1])}:631",
        "uuid": "", "source": "device_ipp", "accepting": True, "paused": False, "jobs": 0.0, "oldest_job_age_s": None,
        "pages": None, "supplies": [], "trays": [], "at": NOW, **of,
    }  # fmt: skip
    return Printer(name=name, **of)


def level(name, ratio, kind=""):
    return Level(name=name, kind=kind, colour="", ratio=ratio)


def queue(service="residence", **of):
    of = {
        "waiting": 3.0, "longest_wait_s": None, "average_wait_s": None, "served_last_hour": None,
        "abandoned_last_hour": None, "counters_open": None, "counters_total": None, "observed_at": NOW, "stale": False,
        "at": NOW, **of,
    }  # fmt: skip
    return Queue(service=service, **of)


def probe(up=True, name="portail"):
    return views.Probe(name=name, up=up, at=NOW)


def device(number, role="counter", *, online=True, **of):
    of = {
        "connected": online, "heard_at": NOW - timedelta(minutes=1 if online else 40),
        "gone_at": None if online else NOW - timedelta(minutes=40), **of,
    }  # fmt: skip
    return views.DeviceView(
        number=number, id=f"d-{number}", annex_id=ANNEX, name=f"{role} {number}", role=role,
        enrolled_at=NOW - timedelta(days=90), **of,
    )  # fmt: skip


def annex(*devices, is_open=True):
    return views.annex(ANNEX, devices, now=NOW, is_open=is_open)


def identity(of, seen_by=1):
    return printer_identity(ANNEX, f"d-{seen_by}", of)


def trees(view, told=None, *, own=(), overrides=None):
    return services.trees(
        leaves(view, told or Circumstances()),
        annex_id=view.id,
        queues=[queue.service for queue in view.queues],
        known=services.catalogue(own),
        overrides=overrides or {},
    )


def assessed(view, told=None, **of):
    return tree.assess(view.id, trees(view, told, **of), is_open=view.is_open)
