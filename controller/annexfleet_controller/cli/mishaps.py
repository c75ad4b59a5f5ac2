"""Options for what goes wrong, the same for `rollout rehearse` and `simulate`."""

import argparse
from typing import TYPE_CHECKING

from annexfleet_controller.waves.mishaps import FAULTS, MISHAPS

if TYPE_CHECKING:
    from annexfleet_controller.waves.rehearsal import Mishap, Release

_A_MINUTE_S, _AN_HOUR_S = 60.0, 3600.0
_HELP = {
    "link": "so many devices lose their link",
    "power": "so many annexes lose their mains",
    "off": "so many devices are switched off in order",
}


def add(parser: argparse.ArgumentParser) -> None:
    """By themselves nothing goes wrong."""
    of = parser.add_argument_group("what the release does to devices")
    of.add_argument("--fault", default="", choices=[one for one in FAULTS if one], help="what it does (now nothing)")
    of.add_argument("--model", action="append", default=[], help="only to devices of this model; may be repeated")
    of.add_argument("--role", action="append", default=[], help="only to devices of this role")
    of.add_argument("--annex", action="append", default=[], help="only to devices of this annex")
    of.add_argument("--share", type=_share, default=1.0, help="of these, to so many (now %(default)s)")
    of.add_argument("--after", type=_time, default=0.0, metavar="MINUTES", help="so long after their change")
    of.add_argument("--leak", type=_share, default=0.03, metavar="RATIO", help="leak: of its memory in an hour")
    of = parser.add_argument_group("what befalls devices, whatever is released")
    for kind in MISHAPS:
        of.add_argument(f"--{kind}", type=_count, default=0, metavar="N", help=_HELP[kind])
    of.add_argument("--at", type=_time, default=0.0, metavar="MINUTES", help="so long after the start")
    of.add_argument(
        "--lasts", type=_time, default=1.0, metavar="HOURS", help="for so long; 72 for one that is away for days"
    )


def release(args: argparse.Namespace) -> "Release":
    """As these options say it."""
    from annexfleet_controller.waves.rehearsal import Release

    return Release(
        fault=args.fault, models=tuple(args.model), roles=tuple(args.role), annexes=tuple(args.annex),
        share=args.share, after_s=args.after * _A_MINUTE_S, leak_an_hour=args.leak if args.fault == "leak" else 0.0,
    )  # fmt: skip


def mishaps(args: argparse.Namespace) -> "tuple[Mishap, ...]":
    """As these options say it; whom they befall is drawn later."""
    from annexfleet_controller.waves.rehearsal import Mishap

    at_s, lasts_s = args.at * _A_MINUTE_S, args.lasts * _AN_HOUR_S
    counts = {kind: getattr(args, kind) for kind in MISHAPS}
    return tuple(
        Mishap(kind=kind, count=count, at_s=at_s, lasts_s=lasts_s) for kind, count in counts.items() if count
    )  # fmt: skip


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def _time(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1000000")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value
