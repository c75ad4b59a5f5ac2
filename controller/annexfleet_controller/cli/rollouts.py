"""`annexfleet rollout`: changes to many devices in waves, planned and steered from the controller's console."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from annexfleet_controller.cli import exits, rollout_acts, rollout_plan, rollout_rehearse, rollout_watch
from annexfleet_controller.cli.opened import opened, opened_engine
from annexfleet_controller.cli.runs import typed
from annexfleet_controller.errors import Invalid
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.rollouts.proposing import Wish


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rollout = commands.add_parser("rollout", help="change many devices in waves")
    actions = rollout.add_subparsers(required=True, metavar="ACTION")
    _add_plan(actions)
    rollout_acts.add(actions)
    status = rollout_acts.of_one(actions, "status", "how one stands", _status)
    status.epilog = rollout_acts.EXPLAINED
    status.add_argument("--follow", action="store_true", help="tell how it goes until it is over")
    status.add_argument("--devices", action="store_true", help="each device, too")
    status.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    rehearse = rollout_acts.of_one(
        actions, "rehearse", "play one through with simulated devices, and begin nothing", _rehearse
    )
    rollout_rehearse.add(rehearse)
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
    plan.add_argument(
        "--preset",
        default="careful",
        help="careful (now), evening or urgent: in the first a test group serves people for half a day, so that slow "
        "faults stop it early; the others stop at once for what shows at once, and for the rest when all are changed",
    )
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


# -- planning


def _plan(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.clock import SYSTEM
    from annexfleet_controller.rollouts import foreseeing, proposing
    from annexfleet_controller.store import rollouts
    from annexfleet_controller.store.database import reading, writing
    from annexfleet_controller.store.scope import WHOLE

    wish, now, draft = _wish(home, args), SYSTEM.now(), None
    with opened_engine(home) as engine:
        with reading(engine) as db:
            preview = proposing.preview(db, home, wish, rollout_acts.asker(), now=now)
            forecast = foreseeing.of_preview(db, preview, wish, now=now)
        if not args.preview:
            with writing(engine) as db:
                draft = rollouts.find(db, WHOLE, proposing.draft(db, home, wish, rollout_acts.asker(), now=now))
    if args.json:
        print(json.dumps(rollout_plan.as_json(preview, draft, forecast), ensure_ascii=False, indent=2))
        return exits.DONE
    rollout_plan.tell(preview, forecast)
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
        policy=policy, reason=args.reason, deadline_s=args.deadline * rollout_acts.AN_HOUR_S,
    )  # fmt: skip


# -- looking


def _status(home: Home, args: argparse.Namespace) -> int:
    if args.follow and args.json:
        raise Invalid("--follow tells as it goes, and --json once: only one of them", field="json")
    if args.follow:
        return rollout_watch.follow(home, args.number, rollout_acts.asker())
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
