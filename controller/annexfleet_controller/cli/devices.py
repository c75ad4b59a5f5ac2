"""`annexfleet device`: which there are, what people change of them, and shutting one out."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened, opened_engine
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import DeviceUnknown, SettingsWrong
from annexfleet_controller.settings import Home

if TYPE_CHECKING:
    from annexfleet_controller.tending.trace import Hand


class RevokedNotYetOut(exits.NotReady):
    """A device is revoked, and what is left to do needs a person."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    device = commands.add_parser("device", help="list devices, and shut one out")
    actions = device.add_subparsers(required=True, metavar="ACTION")
    list_ = actions.add_parser("list", help="all devices in service")
    list_.add_argument("--annex", default="", help="only those of this annex")
    list_.add_argument("--revoked", action="store_true", help="those that were shut out instead")
    list_.set_defaults(run=_list)
    revoke = actions.add_parser(
        "revoke",
        help="let a device in no more",
        description="Revokes a device's certificates and ends its connection. It can come back only with a new token.",
    )
    revoke.add_argument("id", help="as `annexfleet device list` shows it: d-...")
    revoke.set_defaults(run=_revoke)
    _add_acts(actions)


def _add_acts(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    move = actions.add_parser("move", help="move a device to another annex")
    move.add_argument("id")
    move.add_argument("annex", help="where it goes")
    move.set_defaults(run=_move)
    rename = actions.add_parser("rename", help="give a device another name, or say where it stands")
    rename.add_argument("id")
    rename.add_argument("name")
    rename.add_argument("--place", help="room or counter")
    rename.set_defaults(run=_rename)
    retire = actions.add_parser(
        "retire",
        help="take a device out of service for good",
        description="Its past stays. It is disconnected and comes in no more, as with `revoke`.",
    )
    retire.add_argument("id")
    retire.set_defaults(run=_retire)
    replace = actions.add_parser(
        "replace",
        help="let a new device take an old one's place",
        description="The new one takes name, place, tags and role; the old one is retired and its past leads on.",
    )
    replace.add_argument("old")
    replace.add_argument("new", help="another device of the same annex")
    replace.set_defaults(run=_replace)


def _list(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import fleet, scope

    now = SYSTEM.now()
    with opened(home) as db:
        presence = "revoked" if args.revoked else ""
        for row in fleet.devices(db, scope.WHOLE, now=now, annex_id=args.annex, presence=presence):
            heard = f"heard {row.heard_at:%Y-%m-%d %H:%M} UTC" if row.heard_at else ""
            print(f"{row.id:28} {row.annex_id:16} {row.role:8} {row.presence(now):8} {row.name}  {heard}".rstrip())
    return exits.DONE


def _revoke(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import authority, revocation

    authority.ensure(home)
    with opened_engine(home) as engine:
        try:
            revocation.revoke(home, args.id, engine=engine, by=console_user())
        except DeviceUnknown:
            raise DeviceUnknown(f"There is no device {args.id}; `annexfleet device list` shows all.") from None
        except (revocation.NotHeeded, revocation.NotKicked) as error:
            raise RevokedNotYetOut(
                f"Device {args.id} is revoked, but the broker still lets it in: {error}. Restart the broker "
                "(`annexfleet serve`), then run this command again."
            ) from error
    print(f"Device {args.id} is revoked: it is disconnected and comes in no more.")
    return exits.DONE


def _move(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.tending import devices as tending

    with opened(home) as db, _told():
        _, place, reach = tending.moving(db, _hand(), [args.id], args.annex)
        tending.move(db, _hand(), [args.id], args.annex, confirmed=reach.digest, now=SYSTEM.now())
    print(f"Device {args.id} belongs to {place.id} now.")
    return exits.DONE


def _rename(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.store import devices, scope
    from annexfleet_controller.tending import devices as tending
    from annexfleet_controller.tending.typed import DeviceWish

    with opened(home) as db, _told():
        row = devices.seen(db, scope.WHOLE, args.id)
        wish = DeviceWish(name=args.name, place=row.place if args.place is None else args.place)
        tending.change(db, _hand(), args.id, wish, version=row.version, now=SYSTEM.now())
    print(f"Device {args.id} is called {args.name} now.")
    return exits.DONE


def _retire(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.tending import devices as tending

    with opened(home) as db, _told():
        _, reach = tending.retiring(db, _hand(), [args.id])
        tending.retire(db, _hand(), [args.id], confirmed=reach.digest, now=SYSTEM.now())
    print(f"Device {args.id} is retired: its messages are refused, its past stays.")
    return _end_connection(home, args.id)


def _replace(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.tending import devices as tending

    with opened(home) as db, _told():
        old, _, reach = tending.replacing(db, _hand(), args.old, args.new)
        name = old.name
        tending.replace(db, _hand(), args.old, args.new, confirmed=reach.digest, now=SYSTEM.now())
    print(f"Device {args.new} is {name} now; {args.old} is retired.")
    return _end_connection(home, args.old)


def _end_connection(home: Home, device_id: str) -> int:
    """At once, and not only when `work` looks."""
    from annexfleet_controller.identity import authority, revocation

    authority.ensure(home)
    with opened_engine(home) as engine:
        try:
            revocation.shut_out(home, [device_id], engine=engine)
        except (revocation.NotHeeded, revocation.NotKicked) as error:
            raise RevokedNotYetOut(
                f"Device {device_id} is retired, but the broker still lets it in: {error}. Restart the broker "
                f"(`annexfleet serve`), then run `annexfleet device revoke {device_id}`."
            ) from error
    return exits.DONE


def _hand() -> "Hand":
    from annexfleet_controller.tending.trace import Hand

    return Hand(0, console_user(), "console")


@contextmanager
def _told() -> Iterator[None]:
    """Refusals as sentences of this command."""
    from annexfleet_controller.errors import OutOfService, SettingWrong

    try:
        yield
    except SettingWrong as wrong:
        raise SettingsWrong(f"{wrong.facts['field']}: {str(wrong.facts['reason']).replace('_', ' ')}") from None
    except OutOfService:
        raise SettingsWrong("The device is out of service.") from None
    except DeviceUnknown:
        raise DeviceUnknown("There is no such device in service; `annexfleet device list` shows all.") from None
