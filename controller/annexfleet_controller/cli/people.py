"""`annexfleet user`: who may sign in, and keys for programs.  Also the way back in when nobody can any more."""

import argparse

from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened_engine
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.settings import Home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    user = commands.add_parser(
        "user", help="create, list, edit, reset, disable and enable people; create keys for programs"
    )
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
    enable = actions.add_parser("enable", help="let a person in again and print a one-time password")
    enable.add_argument("name")
    enable.set_defaults(run=_enable)
    edit = actions.add_parser("edit", help="change a person's role, annexes, name, mail address or language")
    edit.add_argument("name")
    edit.add_argument("--role", choices=ROLES)
    reach = edit.add_mutually_exclusive_group()
    reach.add_argument("--annex", action="append", default=[], help="confine to this annex alone (may be repeated)")
    reach.add_argument("--province", action="store_true", help="the whole province")
    edit.add_argument("--full-name")
    edit.add_argument("--email")
    edit.add_argument("--language", choices=("", *CODES))
    edit.set_defaults(run=_edit)
    factor = actions.add_parser("reset-factor", help="take the second factor from who lost it; their sessions end")
    factor.add_argument("name")
    factor.set_defaults(run=_reset_factor)
    key = actions.add_parser("key", help="print a bearer key for a program that acts with a person's rights")
    key.add_argument("name")
    key.add_argument("--for", dest="purpose", required=True, help="what program it is for")
    key.add_argument("--days", type=int, default=365, help="how long it is good (%(default)s)")
    key.add_argument("--role", choices=ROLES, default="", help="at most this role; else the person's")
    key.add_argument("--reads-only", action="store_true", help="it may change nothing")
    key.add_argument("--annex", action="append", default=[], help="confine to this annex (may be repeated)")
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
            if user.totp_confirmed_at is not None:
                state = f"{state} second factor".strip()
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


def _enable(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import users

    with opened_engine(home) as engine:
        print(users.enable(engine, args.name, now=SYSTEM.now(), by=console_user()))
    return exits.DONE


def _edit(home: Home, args: argparse.Namespace) -> int:
    import msgspec

    from annexfleet_controller.access import users
    from annexfleet_controller.store import database, people

    given = {"role": args.role, "full_name": args.full_name, "email": args.email, "language": args.language}
    wanted = {field: value for field, value in given.items() if value is not None}
    if args.annex or args.province:
        wanted["annexes"] = tuple(args.annex)
    if not wanted:
        raise SettingsWrong("say what to change: --role, --annex or --province, --full-name, --email, --language")
    with opened_engine(home) as engine, database.writing(engine) as db:
        user = people.get(db, args.name)
        wish = msgspec.structs.replace(users.profile_of(db, user), **wanted)
        users.edit(db, user, wish, version=user.version, now=SYSTEM.now(), by=users.By(console_user()))
    print(f"{args.name} is changed.")
    return exits.DONE


def _reset_factor(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import users
    from annexfleet_controller.store import database, people

    with opened_engine(home) as engine, database.writing(engine) as db:
        user = people.get(db, args.name)
        was_on = users.reset_factor(db, user, now=SYSTEM.now(), by=users.By(console_user()))
    print(f"{args.name} signs in with the password alone." if was_on else f"{args.name} had no second factor.")
    return exits.DONE


def _key(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import keys, users

    if args.days < 1:
        raise SettingsWrong("--days must be 1 or more")
    with opened_engine(home) as engine:
        key = users.create_key(
            engine, args.name, args.purpose, now=SYSTEM.now(), days=args.days, by=console_user(),
            bounds=keys.Bounds(role=args.role, reads_only=args.reads_only, annexes=tuple(args.annex)),
        )  # fmt: skip
    print(key)
    return exits.DONE
