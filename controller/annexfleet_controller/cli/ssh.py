"""`annexfleet ssh`: what devices must trust to be reached over SSH, and certificates for their host keys."""

import argparse
import sys

from annexfleet_controller.cli import exits
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.settings import Home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = commands.add_parser("ssh", help="the authority for SSH, where devices are reached so").add_subparsers(
        required=True, metavar="ACTION"
    )
    actions.add_parser("user-ca", help="print the line for a device's TrustedUserCAKeys").set_defaults(run=_user_ca)
    actions.add_parser("known-hosts", help="print the line for a known_hosts file").set_defaults(run=_known_hosts)
    sign = actions.add_parser(
        "sign-host", help="read a device's public host key from standard input and print its certificate"
    )
    sign.add_argument("device", help="as `annexfleet device list` shows it: d-...")
    sign.add_argument("--name", action="append", default=[], help="a name or address it is reached by; may be repeated")
    sign.set_defaults(run=_sign_host)


def _user_ca(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import ssh

    print(ssh.user_authority(home))
    return exits.DONE


def _known_hosts(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import ssh

    print(ssh.known_hosts(home), end="")
    return exits.DONE


def _sign_host(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller.identity import ssh

    key = sys.stdin.read(10_000)
    print(ssh.certify_host(home, args.device, key, names=args.name, now=SYSTEM.now()), end="")
    return exits.DONE
