"""All that was read before a rollout's next steps are thought out."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.waves.budget import AnnexNow
from annexfleet_controller.waves.model import GateVerdict, Health
from annexfleet_controller.waves.windows import Window


class Device(Struct, frozen=True, kw_only=True):
    """A device as it is now; one that has left service is not among them."""

    number: int
    id: str
    annex_id: str
    """Where it stands now, which need not be where it stood when the targets were frozen."""
    role: str
    facts: Mapping[str, str] = {}
    heard_at: datetime | None = None
    """When it last reported these facts, by the controller's clock."""
    is_online: bool = False
    """Its session stands: commands reach it."""
    up_since: datetime | None = None
    """When it last said hello; None if nobody noted it."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a device's run ended."""

    outcome: str
    """ok, changed, failed, unreachable, cancelled, unknown or skipped (`run_host`), or timed_out; not_begun, where the
    run never had a process"""
    ended_at: datetime


class Seen(Struct, frozen=True, kw_only=True):
    """What is missing is unknown: nothing is begun and nothing succeeds on the strength of it."""

    devices: Mapping[int, Device] = {}
    """The targets by number, and devices of their annexes that are none (they show whether an annex is cut off)."""
    knows_devices: bool = True
    """False: `devices` is not all there is, and one that is missing is not gone."""
    outcomes: Mapping[int, Outcome] = {}
    """Of the run that a target belongs to (`Target.run_id`), once it has ended for that device."""
    ailing: Mapping[int, datetime] = {}
    """Devices that failed in a run which still lasts, for others hang, with the moment at which that was seen.  A
    failure may yet be rescued."""
    windows: Mapping[str, Window] = {}
    """By annex."""
    annexes: Mapping[str, AnnexNow] = {}
    """Of those with devices that are due (`beginning.due`)."""
    moved: Mapping[int, datetime] = {}
    """Devices that stand elsewhere than where they were frozen, with the moment at which that was seen first."""
    calendars: Mapping[str, Calendar] = {}
    """Of the annexes of the wave that soaks, where opening hours count."""
    health: Sequence[Health] = ()
    """Of every changed device, since its run ended; and of untouched ones, since the run of the middle one of this
    wave's changed devices ended, so that both were watched through the same hours: as many as the changed ones ten
    times over, from fifty to two hundred, those of the same annexes first."""
    busy: frozenset[int] = frozenset()
    """Devices that another run or another rollout holds."""
    superseded: frozenset[int] = frozenset()
    """Devices of a rollout that was started later and configures the same."""
    takes_s: float | None = None
    """On one device, as measured; None before."""
    verdict: GateVerdict | None = None
    """The newest that was kept."""
