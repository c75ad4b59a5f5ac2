"""`annexfleet user`: who may sign in, and keys for programs.  Also the way back in when nobody can any more."""

import argparse

from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened_engine
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.settings import Home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    user = commands.add_parser("user", help="create, list, reset and disable people; create keys for programs")
    actions = user.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="add a person and print a one-time password")
    create.add_argument("name")
    create.add_argument("--role", choices=ROLES, required=True)
    create.add_argument("--annex", action="append", default=[], help="confine to this annex (may be repeated)")
    create.set_defaults(run=_create)
    actions.add_parser("list", help="all people").set_defaults(run=_list)
    reset = actions.add_parser("reset", help="print a new one-time password; every session of the person ends")
    reset.add_argument("name")
    reset.set_defaults(run=_reset)
    disable = actions.add_parser("disable", help="let a person in no more")
    disable.add_argument("name")
    disable.set_defaults(run=_disable)
    key = actions.add_parser("key", help="print a bearer key for a program that acts with a person's rights")
    key.add_argument("name")
    key.add_argument("--for", dest="purpose", required=True, help="what program it is for")
    key.add_argument("--days", type=int, default=365, help="how long it is good (%(default)s)")
    key.set_defaults(run=_key)


def _create(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import users

    with opened_engine(home) as engine:
        print(users.create(engine, args.name, args.role, now=SYSTEM.now(), annex_ids=args.annex, by=console_user()))
    return exits.DONE


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import database, people

    with opened_engine(home) as engine, database.reading(engine) as db:
        for user in people.everybody(db):
            annexes = people.scope_of(db, user.id).annexes
            state = "disabled" if user.disabled_at else "one-time password" if user.must_change_password else ""
            print(f"{user.name:24} {user.role:12} {', '.join(sorted(annexes)) if annexes else 'province':24} {state}")
    return exits.DONE


def _reset(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import users

    with opened_engine(home) as engine:
        print(users.reset(engine, args.name, now=SYSTEM.now(), by=console_user()))
    return exits.DONE


def _disable(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import users

    with opened_engine(home) as engine:
        users.disable(engine, args.name, now=SYSTEM.now(), by=console_user())
    print(f"{args.name} may come in no more.")
    return exits.DONE


def _key(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import users

    if args.days < 1:
        raise SettingsWrong("--days must be 1 or more")
    with opened_engine(home) as engine:
        key = users.create_key(engine, args.name, args.purpose, now=SYSTEM.now(), days=args.days, by=console_user())
    print(key)
    return exits.DONE
