"""`annexfleet run`, `annexfleet runs` and `annexfleet play`: Ansible over the fleet from the controller's console."""

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from annexfleet_controller.cli import exits, interrupted
from annexfleet_controller.cli.opened import opened, opened_engine
from annexfleet_controller.errors import AnnexfleetError, Invalid
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.rollouts.ordering import Asker, Order
    from annexfleet_controller.store import runs
    from annexfleet_controller.store.run_results import DiffGroup

CODES = {"ok": exits.DONE, "failed": exits.FAILED, "cancelled": 5, "timed_out": 6, "unknown": 7}
"""Exit codes by outcome."""
_EXPLAINED = (
    "exit codes: 0 all devices ok; 1 some failed or were not reached, or the run could not begin; 5 cancelled; "
    "6 its time was up; 7 it is not known what became of some devices"
)
_LOOK_EVERY_S = 0.5
_WAITS_LONG_S = 10.0


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser("run", help="run a playbook on devices of the fleet", epilog=_EXPLAINED)
    run.add_argument("playbook", help="its name, as `annexfleet runs playbooks` lists it")
    run.add_argument(
        "--limit", required=True, metavar="WHAT",
        help="with commas: d-... (a device), annex:ID, role:NAME, all; roles narrow what annexes or `all` give",
    )  # fmt: skip
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="given", help="a variable")
    run.add_argument(
        "--secret", action="append", default=[], metavar="NAME", dest="secrets",
        help="a secret variable: its value is asked for, or read as a line of standard input",
    )  # fmt: skip
    run.add_argument("--check", action="store_true", help="a dry run: tell what would change, change nothing")
    run.add_argument("--forks", type=int, default=0, help="devices at once (1 to 50; by default as is sensible)")
    run.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS", help="(now %(default).0f)")
    run.add_argument("--reason", default="", help="why, for those who read the list of runs")
    run.add_argument("--detach", action="store_true", help="print the run's number and do not wait")
    run.set_defaults(run=_run)
    actions = commands.add_parser("runs", help="look after runs").add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("playbooks", help="list the playbooks with their variables").set_defaults(run=_playbooks)
    list_ = actions.add_parser("list", help="the newest first")
    list_.add_argument("--state", choices=("queued", "running", "ended"), default="", help="only these")
    list_.add_argument("--limit", type=int, default=30, help="at most so many (now %(default)s)")
    list_.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    list_.set_defaults(run=_list)
    show = actions.add_parser("show", help="one run with its devices")
    show.add_argument("number", type=run_number)
    show.add_argument(
        "--diffs", action="store_true", help="what changed or would change, devices that do alike together"
    )
    show.set_defaults(run=_show)
    cancel = actions.add_parser("cancel", help="ask for the end of a run")
    cancel.add_argument("number", type=run_number)
    cancel.set_defaults(run=_cancel)
    play = commands.add_parser("play", help="carry a run out (started by `annexfleet work`)")
    play.add_argument("number", type=run_number)
    play.add_argument("--attempt", type=int, required=True)
    play.set_defaults(run=_play, log_name="play")


def run_number(text: str) -> int:
    """Of a run, as large as the database takes it."""
    number = int(text)
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"no number of a run: {text}")
    return number


def _play(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rollouts import play

    return play.carry_out(home, args.number, args.attempt)


# -- asking


def _run(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import ordering

    wish = _order(home, args)
    with opened(home) as db:
        run_id = ordering.order(db, home, wish, _asker(), now=SYSTEM.now())
    if args.detach:
        print(run_id)
        return exits.DONE
    return _follow(home, run_id)


def _order(home: Home, args: argparse.Namespace) -> "Order":
    from annexfleet_controller.rollouts.ordering import Order

    given, secrets = typed(home, args.playbook, args.given, args.secrets)
    meant = limit(args.limit)
    return Order(
        playbook=args.playbook, variables=given, secrets=secrets, devices=meant["devices"], annexes=meant["annexes"],
        roles=meant["roles"], everywhere=bool(meant["all"]), check=args.check, forks=args.forks,
        timeout_s=args.timeout, reason=args.reason,
    )  # fmt: skip


def typed(
    home: Home, playbook: str, given: Sequence[str], secrets: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables from `--set NAME=VALUE`, and secrets by name, which are asked for.  Raises Invalid, PlaybookUnknown."""
    from annexfleet_controller.rollouts import bundle
    from annexfleet_controller.rollouts.variables import from_text

    known = {variable.name: variable for variable in bundle.playbook(home, playbook).variables}
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"--set takes NAME=VALUE, not {text!r}", field="variables")
        found[name] = from_text(known[name], value) if name in known else value
    return found, {name: from_text(known[name], _secret(name)) if name in known else "" for name in secrets}


def limit(text: str) -> dict[str, list[str]]:
    """What `--limit` means: lists of `devices`, `annexes`, `roles`, and `all`.  Raises Invalid."""
    found: dict[str, list[str]] = {"devices": [], "annexes": [], "roles": [], "all": []}
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, colon, name = part.partition(":")
        if colon and kind in {"annex", "role"} and name:
            found[{"annex": "annexes", "role": "roles"}[kind]].append(name)
        elif part == "all":
            found["all"].append(part)
        elif part.startswith("d-") and not colon:
            found["devices"].append(part)
        else:
            raise Invalid(f"--limit does not know {part!r}: d-..., annex:ID, role:NAME or all", field="devices")
    if not any(found.values()):
        raise Invalid("--limit names no device", field="devices")
    return found


def _secret(name: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ")
    return sys.stdin.readline().rstrip("\n")


def _asker() -> "Asker":
    from annexfleet_controller.rollouts.ordering import Asker

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        name = f"uid {os.getuid()}"
    return Asker(name=name, via="console")


# -- watching


class _Progress:
    """A line for each device as it ends, and on a terminal one line below that counts."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._is_terminal = sys.stdout.isatty()
        self._shown = ""

    def tell(self, run: "runs.Run", hosts: Sequence[Any]) -> None:
        from annexfleet_controller.rollouts.masking import plain

        fresh = [host for host in hosts if host.state == "ended" and host.device_id not in self._told]
        if fresh:
            self._clear()
        for host in fresh:
            self._told.add(host.device_id)
            why = f"  {host.task}: {host.message.splitlines()[0]}" if host.message else ""
            print(f"{host.outcome:12} {host.device_id}  {plain(host.device_name)}{why}", flush=not self._is_terminal)
        if self._is_terminal:
            self._count(run)

    def end(self) -> None:
        self._clear()

    def _count(self, run: "runs.Run") -> None:
        of = run.hosts
        line = f"{of.ended}/{of.all} ended, {of.running} running, {of.failed + of.unreachable} failed"
        if run.state == "queued":
            line = "queued"
        if line != self._shown:
            self._clear()
            print(line, end="", flush=True)
            self._shown = line

    def _clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", flush=True)
            self._shown = ""


def _follow(home: Home, run_id: int) -> int:
    """Tell how a run goes until it has ended.  The first Ctrl-C asks, the second one cancels."""
    from sqlalchemy.exc import OperationalError

    print(f"run {run_id}", flush=True)
    progress, asked, may_complain, is_away = _Progress(), False, True, False
    began = time.monotonic()
    with interrupted.noted() as interruptions:
        while True:
            try:
                run, hosts = _look(home, run_id)
                is_away = False
                progress.tell(run, hosts)
                if run.state == "ended":
                    progress.end()
                    return _tell_end(run)
                if run.state == "queued" and may_complain and time.monotonic() - began > _WAITS_LONG_S:
                    may_complain = False
                    print("It waits: is `annexfleet serve` (or `annexfleet work`) running?", file=sys.stderr)
            except OperationalError as error:
                # Away for a while; the run is another process's, and goes on.
                progress.end()
                if not is_away:
                    print(f"The database does not answer ({error.orig}). Trying on.", file=sys.stderr)
                is_away = True
            if interruptions.within(_LOOK_EVERY_S):
                progress.end()
                if asked:
                    _ask_for_end(home, run_id)
                else:
                    print(f"Run {run_id} goes on. Press Ctrl-C once more to cancel it.", file=sys.stderr)
                asked = True


def _look(home: Home, run_id: int) -> "tuple[runs.Run, Sequence[Any]]":
    from annexfleet_controller.store import run_hosts, runs
    from annexfleet_controller.store.database import open_database, reading
    from annexfleet_controller.store.scope import WHOLE

    engine = open_database(home.database_url)
    try:
        with reading(engine) as db:
            # The run first: if that has ended, so have all its devices.
            run = runs.find(db, WHOLE, run_id)
            return run, run_hosts.hosts(db, WHOLE, run_id)
    finally:
        engine.dispose()


def _ask_for_end(home: Home, run_id: int) -> None:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import ordering

    try:
        with opened(home) as db:
            ordering.cancel(db, run_id, _asker(), now=SYSTEM.now())
        print(f"Run {run_id} is being cancelled.", file=sys.stderr)
    except AnnexfleetError as error:
        print(f"annexfleet: {error}", file=sys.stderr)


def _tell_end(run: "runs.Run") -> int:
    from annexfleet_controller.store import runs

    counts = [f"{count} {name}" for name in runs.HOST_OUTCOMES if (count := getattr(run.hosts, name))]
    problem = f" ({run.problem.replace('_', ' ')})" if run.problem else ""
    print(f"run {run.id} {run.outcome.replace('_', ' ')}{problem}: {', '.join(counts) or 'no device'}")
    return CODES.get(run.outcome, exits.FAILED)


# -- looking


def _playbooks(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rollouts import bundle

    for playbook in bundle.playbooks(home):
        print(f"{playbook.name:20} {playbook.summary}")
        for variable in playbook.variables:
            marks = [
                variable.type,
                *(["required"] if variable.required else []),
                *(["secret"] if variable.secret else []),
            ]
            default = "" if variable.default is None else f", by default {json.dumps(variable.default)}"
            print(f"    {variable.name} ({', '.join(marks)}{default})")
    return exits.DONE


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rollouts.masking import plain
    from annexfleet_controller.store import runs
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        found = runs.listing(db, WHOLE, state=args.state, limit=max(1, min(args.limit, 1000)))
    if args.json:
        print(json.dumps({"items": [_as_json(run) for run in found]}, ensure_ascii=False, indent=2))
        return exits.DONE
    for run in found:
        kind = "dry run" if run.check else ""
        print(
            f"{run.id:6} {run.created_at:%Y-%m-%d %H:%M} UTC {run.outcome or run.state:10} {run.playbook:20} {kind:8}"
            f"{run.hosts.succeeded}/{run.hosts.all} devices  {plain(run.author)}  {plain(run.reason)}"
        )
    return exits.DONE


def _show(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rollouts.masking import plain
    from annexfleet_controller.store import run_hosts, run_results, runs
    from annexfleet_controller.store.database import reading
    from annexfleet_controller.store.scope import WHOLE

    with opened_engine(home) as engine, reading(engine) as db:
        run = runs.find(db, WHOLE, args.number)
        hosts = run_hosts.hosts(db, WHOLE, run.id)
        groups = run_results.diff_groups(db, WHOLE, run.id) if args.diffs else []
        parts = {
            group.digest: run_results.diff_parts(db, run.id, group.devices[0][0]) for group in groups if group.digest
        }
        unpredictable = run_results.unpredictable(db, run.id)
    print(json.dumps(_as_json(run), ensure_ascii=False, indent=2))
    for host in hosts:
        why = f"  {host.task}: {host.message.splitlines()[0]}" if host.message else ""
        print(f"{host.outcome or host.state:12} {host.device_id}  {plain(host.device_name)}{why}")
    for group in groups:
        print(f"\n{len(group.devices)} devices {_how(group)}:")
        print("  " + " ".join(id_ for id_, _ in group.devices))
        for part in parts.get(group.digest, ()):
            print(f"  {part.task}\n" + "".join(f"    {line}\n" for line in part.text.splitlines()))
    for task in unpredictable:
        print(f"nobody can tell what this would do: {task.name}")
    return exits.DONE


def _how(group: "DiffGroup") -> str:
    if not group.digest:
        return "change nothing"
    return "change alike until they fail" if group.is_partial else "change alike"


def _cancel(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import ordering

    with opened(home) as db:
        run = ordering.cancel(db, args.number, _asker(), now=SYSTEM.now())
    print("cancelled" if run.state == "ended" else "its end is asked for")
    return exits.DONE


def _as_json(run: "runs.Run") -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(run)
    return found
