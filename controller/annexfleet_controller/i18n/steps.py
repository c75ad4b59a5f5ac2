"""What annex staff do about a cause, one small step after the other, and the picture that goes with it.

`guidance` says it in a sentence; a board shows it as numbered steps, each a single movement that somebody who never
opened a printer can make.  The steps of a cause stand in the catalogues under `cause_step`, as `paper_jam 1` and on.

Sources: how the makers of office printers tell people to clear a jam, fill paper and change a cartridge (switch off is
never the first step; what is hot is named); the table of causes in `protocol.causes`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import guidance, has_guidance

Picture = Literal[
    "paper", "jam", "cover", "tray", "output", "toner", "cable", "power", "computer", "battery", "line", "queue",
    "printer", "portal", "disk", "well", "others", "unknown",
]  # fmt: skip
PICTURES: tuple[Picture, ...] = get_args(Picture)

STEPS: Mapping[str, int] = MappingProxyType(
    {
        "paper_empty": 3, "paper_low": 2, "paper_wrong": 3, "paper_jam": 4, "cover_open": 2, "tray_missing": 2,
        "output_full": 2, "output_almost_full": 1, "output_tray_missing": 2, "toner_empty": 4, "supply_empty": 4,
        "cartridge_missing": 3, "duplex_problem": 2, "unreachable": 3, "powered_off": 3, "print_queue_deep": 2,
        "device_offline": 4, "battery_low": 2, "battery_critical": 3, "power_cut": 3, "queue_long": 2,
        "queue_critical": 2, "queue_stalled": 2,
    }
)  # fmt: skip
"""How many steps there are, of each cause that annex staff can end."""

_PICTURES: Mapping[str, Picture] = MappingProxyType(
    {
        "paper_empty": "paper", "paper_low": "paper", "paper_wrong": "paper", "paper_jam": "jam", "jam_repeat": "jam",
        "cover_open": "cover", "tray_missing": "tray", "tray_failure": "tray", "output_full": "output",
        "output_almost_full": "output", "output_tray_missing": "output", "toner_empty": "toner", "toner_low": "toner",
        "supply_empty": "toner", "supply_low": "toner", "cartridge_missing": "toner", "waste_full": "toner",
        "waste_almost_full": "toner", "drum_end": "toner", "drum_near_end": "toner", "developer": "toner",
        "unreachable": "cable", "powered_off": "power", "power_cut": "power", "device_offline": "computer",
        "device_missing": "computer", "device_flapping": "cable", "battery_low": "battery",
        "battery_critical": "battery", "battery_worn": "battery", "line_cut": "line", "queue_long": "queue",
        "queue_critical": "queue", "queue_stalled": "queue", "queue_silent": "queue", "portal_down": "portal",
        "portal_down_everywhere": "portal", "portal_slow": "portal", "portal_certificate": "portal",
        "disk_low": "disk", "disk_critical": "disk", "disk_read_only": "disk", "disk_failing": "disk",
        "duplex_problem": "printer", "fuser_fault": "printer", "queue_paused": "printer", "job_stuck": "printer",
        "queue_rejecting": "printer", "spool_full": "printer", "partly_stopped": "printer",
        "service_needed": "printer", "driver_problem": "printer", "print_queue_deep": "printer",
        "print_queue_healed": "printer", "print_queue_not_healed": "printer", "config_changed": "printer",
        "sleep_or_warmup": "printer", "annex_ok": "well",
    }
)  # fmt: skip


def steps(language: Language, cause: str, facts: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """What to do about a cause, in order; of one without steps of its own, its action as the only one.

    Empty where there is nothing to do.
    """
    if cause in STEPS:
        return tuple(language.name("cause_step", message_id(cause, number)) for number in range(1, STEPS[cause] + 1))
    action = guidance(language, cause, facts).action
    return (action,) if action else ()


def message_id(cause: str, number: int) -> str:
    """What a step is called in the catalogues; numbers begin with 1."""
    return f"{cause} {number}"


def picture(cause: str) -> Picture:
    """The picture that goes with a cause: a device's where it has none of its own."""
    if cause in _PICTURES:
        return _PICTURES[cause]
    return "computer" if has_guidance(cause) else "unknown"
