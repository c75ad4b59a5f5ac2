"""`annexfleet board`: links to an annex's board, which open without a password."""

import argparse

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.settings import Home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    board = commands.add_parser("board", help="create, list and revoke links to an annex's board")
    actions = board.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("create", help="print the address of a new board; it is shown once")
    new.add_argument("annex")
    new.add_argument("--label", required=True, help="where it hangs, such as hall; it stands in every story")
    new.set_defaults(run=_create)
    listing = actions.add_parser("list", help="the boards of an annex, or all, without their secrets")
    listing.add_argument("annex", nargs="?", default="")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="let a board open nothing any more")
    revoke.add_argument("annex")
    revoke.add_argument("id", type=int, help="its number, as `list` shows it")
    revoke.set_defaults(run=_revoke)


def _create(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import links
    from annexfleet_controller.access.address import address

    with opened(home) as db:
        _, secret = links.new_board_at_console(db, args.annex, label=args.label, by=console_user(), now=SYSTEM.now())
    settings = home.settings
    print(address(settings.public_url or f"http://{settings.web_host}:{settings.web_port}").of(f"/board/{secret}"))
    return exits.DONE


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import links
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        for board in links.boards(db, WHOLE, args.annex):
            used = f"used {board.used_at:%Y-%m-%d %H:%M} UTC" if board.used_at else "never used"
            state = "revoked" if board.revoked_at else "good"
            print(f"{board.id:<6} {board.annex_id:16} {state:8} {board.label:20} {used}, by {board.created_by}")
    return exits.DONE


def _revoke(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import links
    from annexfleet_controller.store.scope import Scope

    with opened(home) as db:
        scope = Scope(frozenset({args.annex}))
        board = links.revoke_board(db, scope, args.id, by=console_user(), via="console", now=SYSTEM.now())
    print(f"Board {board.id} ({board.label}) of {board.annex_id} is revoked.")
    return exits.DONE
