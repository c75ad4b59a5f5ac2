"""The command line of the agent.

Exit codes: 0 done; 1 it failed; 2 wrong usage or settings; 3 this device is not enrolled; 4 another agent runs on the
same state.  `enrol` and `renew` have finer ones, see `enrolment`.
"""

import sys
from typing import TYPE_CHECKING

from annexfleet_agent import lean  # noqa: F401  # before all that imports a library
from annexfleet_agent import settings as settings_

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from annexfleet_agent.collectors.report import Collector, Report
    from annexfleet_agent.enrolment import RunnerPlace
    from annexfleet_agent.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

_STANDARD_INPUT = "-"
_LONGEST_TOKEN = 10_000


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    option, rest = _settings_option(argv)
    if rest == ["run"]:  # without argparse, which would stay in memory for months
        arguments = None
    else:
        arguments = _parser().parse_args(argv)
        option = arguments.settings
    path = settings_.path_from(option)
    try:
        settings = settings_.load(path)
    except settings_.BadSettings as error:
        return _say(str(error), EXIT_USAGE)
    if arguments is None or arguments.command == "run":
        return _run(settings, path)
    code: int = arguments.act(settings, arguments)
    return code


def _run(settings: "Settings", path: "Path | None") -> int:
    from annexfleet_agent import program, queues  # noqa: PLC0415

    for name in [name for name in sys.modules if name.startswith("tomllib")]:
        del sys.modules[name]  # it was needed once
    try:
        return program.run(settings, path)
    except queues.BadSource as error:
        return _say(f"{path}: {error}", EXIT_USAGE)


def _enrol(settings: "Settings", arguments: "argparse.Namespace") -> int:
    from annexfleet_agent import enrolment  # noqa: PLC0415

    return enrolment.main_enrol(
        arguments.token if arguments.token != _STANDARD_INPUT else _token(),
        state_dir=settings.state_dir,
        name=arguments.name,
        role=arguments.role,
        again=arguments.again,
        runner=_runner_place(settings),
    )


def _runner_place(settings: "Settings") -> "RunnerPlace | None":
    from annexfleet_agent import enrolment  # noqa: PLC0415

    if not settings.runner_is_possible:
        return None
    return enrolment.RunnerPlace(settings.runner_dir, settings.runner_is_own)


def _token() -> str:
    """What stands on standard input, a line of it if a person types."""
    if sys.stdin.isatty():
        print("Token: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline(_LONGEST_TOKEN)
    return sys.stdin.read(_LONGEST_TOKEN)


def _renew(settings: "Settings", _arguments: "argparse.Namespace") -> int:
    from annexfleet_agent import enrolment  # noqa: PLC0415

    return enrolment.main_renew(state_dir=settings.state_dir, runner=_runner_place(settings))


def _runner_trust(settings: "Settings", _arguments: "argparse.Namespace") -> int:
    from annexfleet_agent.runner import trusting  # noqa: PLC0415

    return trusting.main(settings)


def _check(settings: "Settings", arguments: "argparse.Namespace") -> int:
    """Ask every collector, twice where it counts something per second, and print what it said."""
    import shutil  # noqa: PLC0415

    from annexfleet_agent import queues, tables  # noqa: PLC0415
    from annexfleet_agent.clock import SystemClock  # noqa: PLC0415
    from annexfleet_agent.collectors import all_of  # noqa: PLC0415

    try:
        found = all_of(settings, SystemClock())
    except queues.BadSource as error:
        return _say(str(error), EXIT_USAGE)
    wanted = [collector for collector in found if not arguments.only or collector.name in arguments.only]
    if not wanted:
        return _say(f"there are: {', '.join(collector.name for collector in found)}", EXIT_USAGE)
    reports = _ask_all(wanted, quiet=arguments.json)
    if arguments.json:
        print(tables.to_json(reports))
    else:
        print(tables.render(reports, width=shutil.get_terminal_size((100, 24)).columns), end="")
    return EXIT_OK


def _ask_all(wanted: "list[Collector]", *, quiet: bool) -> "dict[str, Report]":
    from annexfleet_agent.loop import Loop  # noqa: PLC0415
    from annexfleet_agent.sampler import Sampler  # noqa: PLC0415

    reports: dict[str, Report] = {}
    loop = Loop(max_stuck_workers=len(wanted))
    asked: dict[str, int] = {}

    def heard(collector: "Collector", report: "Report") -> None:
        reports[collector.name] = report
        asked[collector.name] = asked.get(collector.name, 0) + 1
        if not quiet and sys.stderr.isatty():
            print(f"\rasked {len(reports)} of {len(wanted)} ", end="", file=sys.stderr, flush=True)

    def done() -> bool:
        # What does not block is asked a second time, for rates; a blocking one may be slow, once is enough.
        return all(asked.get(c.name, 0) >= (1 if c.blocking or c.period_s else 2) for c in wanted)

    sampler = Sampler(loop, wanted, heard, period_s=1.5)
    loop.run_until(done, timeout_s=sum(collector.deadline_s for collector in wanted if collector.blocking) + 5)
    sampler.stop()
    loop.close()
    if not quiet and sys.stderr.isatty():
        print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    return {collector.name: reports[collector.name] for collector in wanted if collector.name in reports}


def _status(settings: "Settings", arguments: "argparse.Namespace") -> int:
    from annexfleet_agent import status  # noqa: PLC0415
    from annexfleet_agent.clock import SystemClock  # noqa: PLC0415

    try:
        found = status.read(settings.state_dir)
    except OSError as error:
        return _say(f"{settings.state_dir}: {error.strerror}", EXIT_FAILED)
    if found is None:
        return _say(f"no agent has run on {settings.state_dir}", EXIT_FAILED)
    running = status.is_running(found)
    if arguments.json:
        print(status.to_json(found, running=running))
    else:
        print(status.render(found, running=running, now=SystemClock().now()))
    return EXIT_OK if running and found.link == "connected" else EXIT_FAILED


def _queue_set(settings: "Settings", arguments: "argparse.Namespace") -> int:
    from annexfleet_agent.queues import client, rows  # noqa: PLC0415

    figures = {name: getattr(arguments, name) for name in _QUEUE_FIGURES if getattr(arguments, name) is not None}
    if not figures:
        return _say("nothing to set: give at least one figure, such as --waiting 12", EXIT_USAGE)
    try:
        client.set_(settings, rows.Row(service=arguments.service, **figures))
    except client.NotSet as error:
        return _say(str(error), EXIT_FAILED)
    return EXIT_OK


_QUEUE_FIGURES: dict[str, tuple[type, str]] = {
    "waiting": (int, "people waiting"),
    "longest_wait_s": (float, "seconds that the first of them has waited"),
    "average_wait_s": (float, "mean wait in seconds"),
    "served_last_hour": (int, "people served in the last 60 minutes"),
    "abandoned_last_hour": (int, "people who left unserved in the last 60 minutes"),
    "counters_open": (int, "counters that serve now"),
    "counters_total": (int, "counters there are"),
}


def _parser() -> "argparse.ArgumentParser":
    import argparse  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog="annexfleet-agent", description="Reports the health of this device, its printers and its queues."
    )
    parser.add_argument(
        "--settings", metavar="FILE", help=f"agent.toml (default: ${settings_.PATH_VARIABLE}, {settings_.DEFAULT_PATH})"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="measure and report until stopped")

    enrol = commands.add_parser("enrol", help="get this device's certificate with a token")
    enrol.add_argument(
        "token",
        metavar="TOKEN",
        help="or - to read it from standard input, which is better: every user of this machine sees the arguments of "
        "a running program",
    )
    enrol.add_argument("--name", default="", help="what people will see; the machine's name if left out")
    enrol.add_argument("--role", default="", help="counter, kiosk, tablet or server; the token's if left out")
    enrol.add_argument("--again", action="store_true", help="even if this device has an identity")
    enrol.set_defaults(act=_enrol)

    commands.add_parser("renew", help="get the next certificate with the present one").set_defaults(act=_renew)

    runner = commands.add_parser("runner", help="what the controller may have done here")
    acts = runner.add_subparsers(dest="action", required=True, metavar="ACTION")
    trust = acts.add_parser(
        "trust",
        help="once, as root: let a runner of root's obey the controller that this device is enrolled with",
    )
    trust.set_defaults(act=_runner_trust)

    check = commands.add_parser("check", help="ask every collector now and print what it says")
    check.add_argument("--json", action="store_true", help="for programs")
    check.add_argument("--only", action="append", metavar="COLLECTOR", help="only this one; may be repeated")
    check.set_defaults(act=_check)

    status = commands.add_parser("status", help="how the running agent is; exit code 0 while it is connected")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(act=_status)

    queue = commands.add_parser("queue", help="tell the running agent how a service queue stands")
    actions = queue.add_subparsers(dest="action", required=True, metavar="ACTION")
    set_ = actions.add_parser("set", help="give figures; those left out are unknown")
    set_.add_argument("service", help="the queue's id, such as birth-records")
    for name, (type_, meaning) in _QUEUE_FIGURES.items():
        set_.add_argument("--" + name.replace("_", "-"), type=type_, metavar="N", help=meaning)
    set_.set_defaults(act=_queue_set)
    return parser


def _settings_option(argv: list[str]) -> tuple[str | None, list[str]]:
    """The value of --settings, and what is left; for the one command that does without argparse."""
    if argv[:1] == ["--settings"] and len(argv) > 1:
        return argv[1], argv[2:]
    if argv[:1] and argv[0].startswith("--settings="):
        return argv[0].partition("=")[2], argv[1:]
    return None, argv


def _say(what: str, code: int) -> int:
    print(f"annexfleet-agent: {what}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
