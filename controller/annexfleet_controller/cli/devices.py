"""`annexfleet device`: which there are, and shutting one out."""

import argparse

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import console_user, opened, opened_engine
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import DeviceUnknown
from annexfleet_controller.settings import Home


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
