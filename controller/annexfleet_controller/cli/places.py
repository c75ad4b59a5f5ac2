"""`annexfleet annex` and `annexfleet token`: where devices are, and leave to enrol new ones there."""

import argparse
from datetime import timedelta

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import AnnexExists, SettingsWrong, TokenUnknown
from annexfleet_controller.settings import Home

ROLES = ("counter", "kiosk", "tablet", "server")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    annex = commands.add_parser("annex", help="create and list annexes").add_subparsers(required=True, metavar="ACTION")
    create = annex.add_parser("create", help="add an annex")
    create.add_argument("id", help="short name for addresses, such as berkane-1")
    create.add_argument("--name-fr", required=True, help="its name in French")
    create.add_argument("--name-ar", required=True, help="its name in Arabic")
    create.add_argument("--time-zone", default="Africa/Casablanca")
    create.add_argument("--if-missing", action="store_true", help="succeed if it is there already")
    create.set_defaults(run=_create_annex)
    annex.add_parser("list", help="all annexes").set_defaults(run=_list_annexes)

    token = commands.add_parser("token", help="create, list and revoke tokens for new devices")
    actions = token.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("create", help="print a token that lets new devices in; it is shown once")
    new.add_argument("--annex", required=True)
    new.add_argument("--role", choices=ROLES, default="counter")
    new.add_argument("--devices", type=int, default=1, help="how many devices may use it (%(default)s)")
    new.add_argument("--hours", type=float, default=72.0, help="how long it is good (%(default)g)")
    new.add_argument("--by", default="command line", help="who creates it, for the list")
    new.set_defaults(run=_create_token)
    actions.add_parser("list", help="all tokens, without their secrets").set_defaults(run=_list_tokens)
    revoke = actions.add_parser("revoke", help="let nobody else in by it; devices that came in by it stay")
    revoke.add_argument("id")
    revoke.set_defaults(run=_revoke_token)


def _create_annex(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import annexes

    with opened(home) as db:
        try:
            annexes.create(
                db, args.id, name_fr=args.name_fr, name_ar=args.name_ar, time_zone=args.time_zone, now=SYSTEM.now()
            )
        except AnnexExists:
            if not args.if_missing:
                raise
        else:
            print(f"Annex {args.id} is created.")
    return exits.DONE


def _list_annexes(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import annexes

    with opened(home) as db:
        for annex in annexes.listing(db):
            print(f"{annex.id:16} {annex.time_zone:20} {annex.name_fr} | {annex.name_ar}")
    return exits.DONE


def _create_token(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import authority, tokens

    if args.devices < 1 or args.hours <= 0:
        raise SettingsWrong("--devices must be 1 or more, and --hours more than 0")
    ours = authority.ensure(home)
    with opened(home) as db:
        token = tokens.create(
            db,
            annex_id=args.annex,
            role=args.role,
            max_devices=args.devices,
            expires_at=SYSTEM.now() + timedelta(hours=args.hours),
            created_by=args.by,
            enrol_url=home.enrol_url,
            authority_pin=ours.pin,
            now=SYSTEM.now(),
        )
    print(token)
    return exits.DONE


def _list_tokens(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import tokens

    now = SYSTEM.now()
    with opened(home) as db:
        for token in tokens.listing(db):
            state = "revoked" if token.revoked_at else "expired" if token.expires_at <= now else "good"
            print(
                f"{token.id:16} {token.annex_id:16} {token.role:8} {token.used}/{token.max_devices} used  {state:8} "
                f"until {token.expires_at:%Y-%m-%d %H:%M} UTC, by {token.created_by}"
            )
    return exits.DONE


def _revoke_token(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import audit, tokens

    now = SYSTEM.now()
    with opened(home) as db:
        token = tokens.find(db, args.id)
        if token is None or not tokens.revoke(db, args.id, now):
            raise TokenUnknown(f"There is no token {args.id} that is still good.")
        audit.add(
            db, now=now, actor=console_user(), via="console", act="token.revoke", subject=f"token:{token.id}",
            annex_id=token.annex_id,
        )  # fmt: skip
    print(f"Token {args.id} is revoked.")
    return exits.DONE
