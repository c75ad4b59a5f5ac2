"""The command line: `annexfleet COMMAND`; each room of `cli/` adds its commands."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from annexfleet_controller import settings
from annexfleet_controller.cli import (
    auditing,
    boards,
    data,
    desired,
    devices,
    doctor,
    exits,
    logs,
    people,
    places,
    relaying,
    reporting,
    rollouts,
    rules,
    runs,
    serve,
    signing,
    simulate,
    ssh,
    troubles,
)
from annexfleet_controller.errors import AnnexfleetError, SettingsWrong

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (see `exits`)."""
    args = _parser().parse_args(argv)
    logs.begin(args.logs, getattr(args, "log_name", "annexfleet"), level=args.level)
    try:
        args.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        code: int = args.run(settings.load(args.home), args)
    except SettingsWrong as error:
        return _say(error, exits.SETTINGS)
    except (exits.HomeInUse, exits.PortTaken) as error:
        return _say(error, exits.TAKEN)
    except AnnexfleetError as error:
        return _say(error, exits.FAILED)
    except OSError as error:
        # What a person can mend: a directory that may not be written, a disk that is full, a socket that is not there.
        return _say(error, exits.FAILED)
    except KeyboardInterrupt:
        return 130
    return code


def _say(error: Exception, code: int) -> int:
    print(f"annexfleet: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="annexfleet",
        description="The controller of annexfleet: listens to the devices of annexes and shows their state.",
        epilog=exits.EXPLAINED,
    )
    parser.add_argument("--version", action="version", version=f"annexfleet {version('annexfleet-controller')}")
    parser.add_argument(
        "--home",
        type=Path,
        default=settings.default_home(),
        help="directory with everything this controller owns (ANNEXFLEET_HOME; now %(default)s)",
    )
    parser.add_argument("--logs", type=Path, help="write logs into this directory, rotated, instead of to stderr")
    parser.add_argument(
        "-v", "--verbose", dest="level", action="store_const", const=logging.DEBUG, default=logging.INFO,
        help="log details too",
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for room in (
        serve,
        people,
        places,
        devices,
        troubles,
        rules,
        ssh,
        signing,
        relaying,
        runs,
        rollouts,
        reporting,
        desired,
        auditing,
        boards,
        data,
        doctor,
        simulate,
    ):
        room.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
