"""What is to go wrong in a rehearsal: with the release itself, with single devices, and what goes wrong anyway."""

from collections.abc import Mapping

from msgspec import Struct

from annexfleet_controller.waves.mishaps import Fault, MishapKind


class Release(Struct, frozen=True, kw_only=True):
    """What a release does to devices.  Those that fit all that is named, and of these a share, have its fault."""

    fault: Fault = ""
    models: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    annexes: tuple[str, ...] = ()
    devices: tuple[int, ...] = ()
    share: float = 1.0
    after_s: float = 0.0
    """After the change: when it crashes."""
    every_s: float = 240.0
    """Between two starts of a crash loop."""
    leak_an_hour: float = 0.0
    """Share of its memory."""
    crashes_an_open_hour: float = 1.0
    """Under load: how often, on average."""


class Mishap(Struct, frozen=True, kw_only=True):
    """Something that befalls one device, one annex, or some that are drawn, whatever is released."""

    kind: MishapKind
    device: int = 0
    annex: str = ""
    count: int = 0
    """Where neither is named: so many of the rollout's own devices are drawn; of `power`, of their annexes."""
    at_s: float = 0.0
    """After the start of the rehearsal; below 0 before."""
    lasts_s: float = 3600.0
    """Days, for a device that comes back after days."""


class Background(Struct, frozen=True, kw_only=True):
    """What happens in every province.  Rates are guesses of an ordinary one, and bad enough."""

    power_cuts_of_annex_a_week: float = 0.5
    power_cut_minutes: tuple[float, float] = (5.0, 180.0)
    link_losses_of_device_a_week: float = 0.3
    link_loss_minutes: tuple[float, float] = (2.0, 90.0)
    switched_off_ratio: float = 0.15
    """Of counters and kiosks: those that people switch off in the evening and on in the morning."""
    jams_of_device_a_day: float = 0.1
    """Alerts of a printer that it serves, in opening hours."""
    jam_minutes: tuple[float, float] = (3.0, 45.0)
    restarts_of_device_a_week: float = 0.15


QUIET = Background(
    power_cuts_of_annex_a_week=0.0, link_losses_of_device_a_week=0.0, switched_off_ratio=0.0, jams_of_device_a_day=0.0,
    restarts_of_device_a_week=0.0,
)  # fmt: skip
"""Nothing happens but what the script says."""


class Script(Struct, frozen=True, kw_only=True):
    release: Release = Release()
    mishaps: tuple[Mishap, ...] = ()
    background: Background = QUIET
    new_facts: Mapping[str, str] = {}
    """What a changed device reports."""
    seed: int = 1
