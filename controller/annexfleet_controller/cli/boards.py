"""`annexfleet board` and `annexfleet wall`: links to an annex's board and to wall screens, without a password."""

import argparse
from typing import TYPE_CHECKING

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.store.links import Link


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
    _add_walls(commands)


def _add_walls(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    wall = commands.add_parser("wall", help="create, list and revoke links to wall screens")
    actions = wall.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("create", help="print the address of a new wall screen; it is shown once")
    new.add_argument("--district", default="", help="what it shows; else the whole province")
    new.add_argument("--label", required=True, help="where it hangs, such as operations room")
    new.set_defaults(run=_create_wall)
    listing = actions.add_parser("list", help="the links to wall screens, without their secrets")
    listing.set_defaults(run=_list_walls)
    revoke = actions.add_parser("revoke", help="let a wall screen's link open nothing any more")
    revoke.add_argument("id", type=int, help="its number, as `list` shows it")
    revoke.set_defaults(run=_revoke_wall)


def _create(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import links

    with opened(home) as db:
        _, secret = links.new_board_at_console(db, args.annex, label=args.label, by=console_user(), now=SYSTEM.now())
    _print_address(home, f"/board/{secret}")
    return exits.DONE


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import links
    from annexfleet_controller.store.scope import WHOLE

    with opened(home) as db:
        for board in links.boards(db, WHOLE, args.annex):
            _print_line(board, board.annex_id)
    return exits.DONE


def _revoke(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import links
    from annexfleet_controller.store.scope import Scope

    with opened(home) as db:
        scope = Scope(frozenset({args.annex}))
        board = links.revoke_board(db, scope, args.id, by=console_user(), via="console", now=SYSTEM.now())
    print(f"Board {board.id} ({board.label}) of {board.annex_id} is revoked.")
    return exits.DONE


def _create_wall(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import links

    with opened(home) as db:
        _, secret = links.new_wall_at_console(
            db, args.district, label=args.label, by=console_user(), now=SYSTEM.now()
        )  # fmt: skip
    _print_address(home, f"/wall/{secret}")
    return exits.DONE


def _list_walls(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import links

    with opened(home) as db:
        for wall in links.walls(db):
            _print_line(wall, wall.district_id or "(province)")
    return exits.DONE


def _revoke_wall(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.access import links

    with opened(home) as db:
        wall = links.revoke_wall(db, args.id, by=console_user(), via="console", now=SYSTEM.now())
    print(f"Wall screen {wall.id} ({wall.label}) is revoked.")
    return exits.DONE


def _print_address(home: Home, path: str) -> None:
    from annexfleet_controller.access.address import address

    settings = home.settings
    print(address(settings.public_url or f"http://{settings.web_host}:{settings.web_port}").of(path))


def _print_line(link: "Link", place: str) -> None:
    used = f"used {link.used_at:%Y-%m-%d %H:%M} UTC" if link.used_at else "never used"
    state = "revoked" if link.revoked_at else "good"
    print(f"{link.id:<6} {place:16} {state:8} {link.label:20} {used}, by {link.created_by}")
