"""`annexfleet rollout`: changes to many devices in waves, planned and steered from the controller's console."""

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from annexfleet_controller.cli import exits, rollout_plan, rollout_rehearse, rollout_watch
from annexfleet_controller.cli.opened import console_user, opened, opened_engine
from annexfleet_controller.cli.runs import typed
from annexfleet_controller.errors import Invalid
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from annexfleet_controller.rollouts.ordering import Asker
    from annexfleet_controller.rollouts.proposing import Wish
    from annexfleet_controller.store.rollouts import Detail

_EXPLAINED = (
    "exit codes of --follow: 0 all devices have it; 1 some failed, or the gate stopped it; 5 aborted, or a newer one "
    "took its place, or you paused it; 6 the time of some devices was up; 7 it is not known what became of some"
)
_AN_HOUR_S = 3600.0
_LOOKING = frozenset({"status", "rehearse"})


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rollout = commands.add_parser("rollout", help="change many devices in waves")
    actions = rollout.add_subparsers(required=True, metavar="ACTION")
    _add_plan(actions)
    submit = _of_one(actions, "submit", "freeze the devices and waves of a draft", _submit)
    submit.add_argument("--targets", default="", metavar="DIGEST", help="refuse where other devices are meant by now")
    _of_one(actions, "approve", "say yes as the second person", _approve)
    start = _of_one(actions, "start", "let an approved one begin", _start)
    start.epilog = _EXPLAINED
    start.add_argument("--deadline", type=float, metavar="HOURS", help="at most so long (by default as it was planned)")
    start.add_argument("--follow", action="store_true", help="tell how it goes until it is over")
    status = _of_one(actions, "status", "how one stands", _status)
    status.epilog = _EXPLAINED
    status.add_argument("--follow", action="store_true", help="tell how it goes until it is over")
    status.add_argument("--devices", action="store_true", help="each device, too")
    status.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    rehearse = _of_one(actions, "rehearse", "play one through with simulated devices, and begin nothing", _rehearse)
    rollout_rehearse.add(rehearse)
    pause = _of_one(
        actions,
        "pause",
        "begin nothing from now on; what runs goes on to its end",
        _with_reason("pause", "paused: nothing is begun any more"),
    )
    pause.add_argument("--reason", default="", help="why, for those who read its story")
    resume = _of_one(actions, "resume", "let one go on", _with_reason("resume", "goes on"))
    resume.add_argument("--reason", default="", help="why; needed after the gate stopped it")
    abort = _of_one(actions, "abort", "end one; what runs goes on to its end", _with_reason("abort", "aborted"))
    abort.add_argument("--reason", required=True, help="why, for those who read its story")
    list_ = actions.add_parser("list", help="the newest first")
    list_.add_argument(
        "--state", default="", choices=rollout_watch.STATES, metavar="STATE", help="only these; open: begun, not over"
    )
    list_.add_argument("--playbook", default="", help="only of this one")
    list_.add_argument("--limit", type=int, default=30, help="at most so many (now %(default)s)")
    list_.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    list_.set_defaults(run=_list)


def _add_plan(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    plan = actions.add_parser("plan", help="show the waves, and keep them as a draft")
    plan.add_argument("playbook", help="its name, as `annexfleet runs playbooks` lists it")
    plan.add_argument(
        "--limit", required=True, metavar="WHAT",
        help="with commas: d-... (a device), annex:ID, role:NAME, tag:NAME, not-tag:NAME, model:NAME, agent:VERSION, "
        "readiness:STATE, or all; a device has to fit every kind that is named",
    )  # fmt: skip
    plan.add_argument("--name", default="", help="what the rollout is called (by default as the playbook)")
    plan.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="given", help="a variable")
    plan.add_argument(
        "--secret", action="append", default=[], metavar="NAME", dest="secrets",
        help="a secret variable: its value is asked for, or read as a line of standard input",
    )  # fmt: skip
    plan.add_argument("--preset", default="careful", help="careful, evening or urgent (now %(default)s)")
    plan.add_argument(
        "--policy", action="append", default=[], metavar="NAME=VALUE",
        help="otherwise than in the preset, such as most_at_once=5 or soak_s=900",
    )  # fmt: skip
    plan.add_argument("--reason", default="", help="why; needed with the window `always`")
    plan.add_argument(
        "--deadline", type=float, default=14 * 24.0, metavar="HOURS", help="from its start (now %(default).0f)"
    )
    plan.add_argument("--preview", action="store_true", help="show only, and keep nothing")
    plan.add_argument("--json", action="store_true", help="one JSON document with every device")
    plan.set_defaults(run=_plan)


def _of_one(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    about: str,
    run: Callable[[Home, argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=about)
    parser.add_argument("number", type=_rollout_number)
    if name not in _LOOKING:
        parser.add_argument(
            "--version", type=int, metavar="N", help="refuse where somebody changed it since `status` told this version"
        )
    parser.set_defaults(run=run)
    return parser


def _rollout_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"no number of a rollout: {text}")
    return number


# -- planning


def _plan(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.database import reading, writing
    from annexfleet_controller.store.scope import WHOLE

    wish, now, draft = _wish(home, args), SYSTEM.now(), None
    with opened_engine(home) as engine:
        with reading(engine) as db:
            preview = proposing.preview(db, home, wish, _asker(), now=now)
        if not args.preview:
            with writing(engine) as db:
                draft = rollouts.find(db, WHOLE, proposing.draft(db, home, wish, _asker(), now=now))
    if args.json:
        print(json.dumps(rollout_plan.as_json(preview, draft), ensure_ascii=False, indent=2))
        return exits.DONE
    rollout_plan.tell(preview)
    if draft is not None:
        print(f"\ndraft {draft.id}, version {draft.version}; `annexfleet rollout submit {draft.id}` freezes it")
    return exits.DONE


def _wish(home: Home, args: argparse.Namespace) -> "Wish":
    from annexfleet_controller.rollouts.proposing import Wish
    from annexfleet_controller.waves import documents

    selector = documents.parse_selector(rollout_plan.selector(args.limit))
    policy = documents.parse_policy(rollout_plan.policy(args.preset, args.policy))
    given, secrets = typed(home, args.playbook, args.given, args.secrets)
    return Wish(
        name=args.name or args.playbook, playbook=args.playbook, variables=given, secrets=secrets, selector=selector,
        policy=policy, reason=args.reason, deadline_s=args.deadline * _AN_HOUR_S,
    )  # fmt: skip


# -- steering


def _submit(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    done = _done(
        home, args,
        lambda db, version: proposing.submit(
            db, home, args.number, _asker(), version=version, now=SYSTEM.now(), targets_digest=args.targets
        ),
    )  # fmt: skip
    if done.state == "approved":
        print(f"rollout {done.id} needs no second person; `annexfleet rollout start {done.id}` begins it")
    else:
        print(f"rollout {done.id} waits for a second person: `annexfleet rollout approve {done.id}`, or on its page")
    print(f"devices {done.targets_digest}\nplan    {done.plan_digest}")
    return exits.DONE


def _approve(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    done = _done(
        home, args,
        lambda db, version: proposing.approve(db, home, args.number, _asker(), version=version, now=SYSTEM.now()),
    )  # fmt: skip
    print(f"rollout {done.id} approved by {done.approved_by}; `annexfleet rollout start {done.id}` begins it")
    return exits.DONE


def _start(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import proposing

    deadline_s = None if args.deadline is None else args.deadline * _AN_HOUR_S
    done = _done(
        home, args,
        lambda db, version: proposing.start(
            db, home, args.number, _asker(), version=version, now=SYSTEM.now(), deadline_s=deadline_s
        ),
    )  # fmt: skip
    if args.follow:
        return rollout_watch.follow(home, done.id, _asker())
    print(f"rollout {done.id} begins, until {done.deadline_at:%Y-%m-%d %H:%M} UTC at most")
    return exits.DONE


def _with_reason(act: str, said: str) -> Callable[[Home, argparse.Namespace], int]:
    """The command that asks for this act of `proposing` with a reason, and what it says when that is done."""

    def run(home: Home, args: argparse.Namespace) -> int:
        from annexfleet_controller.clock import SYSTEM
        from annexfleet_controller.rollouts import proposing

        do = getattr(proposing, act)
        done = _done(
            home, args,
            lambda db, version: do(db, args.number, _asker(), version=version, now=SYSTEM.now(), reason=args.reason),
        )  # fmt: skip
        return _tell_under_way(done, said)

    return run


def _tell_under_way(done: "Detail", what: str) -> int:
    under_way = done.tally.get("running", 0) + done.tally.get("verifying", 0)
    print(f"rollout {done.id} {what}" + (f"; {under_way} devices go on to their end" if under_way else ""))
    return exits.DONE


def _done(home: Home, args: argparse.Namespace, do: "Callable[[Session, int], Detail]") -> "Detail":
    """Carry out an act on the version that was named, else on the rollout as it is."""
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        found = rollouts.find(db, WHOLE, args.number)
        return do(db, found.version if args.version is None else args.version)


def _asker() -> "Asker":
    from annexfleet_controller.rollouts.ordering import Asker

    return Asker(name=console_user(), via="console")


# -- looking


def _status(home: Home, args: argparse.Namespace) -> int:
    if args.follow and args.json:
        raise Invalid("--follow tells as it goes, and --json once: only one of them", field="json")
    if args.follow:
        return rollout_watch.follow(home, args.number, _asker())
    return rollout_watch.status(home, args.number, with_devices=args.devices, as_json=args.json)


def _rehearse(home: Home, args: argparse.Namespace) -> int:
    return rollout_rehearse.tell(home, args.number, args)


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.rollouts.masking import plain
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        found = rollouts.listing(
            db, WHOLE, state=args.state, playbook=args.playbook, limit=max(1, min(args.limit, 1000))
        )
    if args.json:
        items: list[Any] = [rollout_watch.built(one) for one in found]
        print(json.dumps({"items": items}, ensure_ascii=False, indent=2))
        return exits.DONE
    for one in found:
        had = one.tally.get("succeeded", 0) + one.tally.get("compliant", 0)
        print(
            f"{one.id:6} {one.created_at:%Y-%m-%d %H:%M} UTC {one.state:10} wave {one.wave}/{one.wave_count}  "
            f"{had}/{one.target_count} devices have it  {one.playbook}  {plain(one.author)}  {plain(one.name)}"
        )
    return exits.DONE
