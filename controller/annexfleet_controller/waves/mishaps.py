"""The words for what may go wrong in a rehearsal and with simulated devices, for pages, API and console alike."""

from typing import Literal, get_args

Fault = Literal[
    "",  # none: the release is good
    "play_fails",  # its run fails
    "hangs",  # its run never ends, and is ended when it has taken too long
    "crash",  # the device falls silent for good
    "crash_loop",  # its agent starts again and again
    "leak",  # it needs ever more memory, and starts again when there is none left
    "under_load",  # it falls silent when people are served
]
"""What a release does to a device."""
FAULTS: tuple[Fault, ...] = get_args(Fault)

MishapKind = Literal[
    "link",  # its link fails
    "power",  # its mains do
    "off",  # it is switched off in order
]
"""What befalls a device, or an annex, whatever is released."""
MISHAPS: tuple[MishapKind, ...] = get_args(MishapKind)
